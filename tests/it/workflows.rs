//! Workflows: what a run did is not done again, whatever ends its actor, its application or the node.

use serde_json::{Value, json};

use crate::conformance::conformance;
use crate::harness::{Answer, Node, node};

/// One worker to be asked, and one that does activities and is the type of the runs.
const TREE: &str = "
    [supervisor]
    strategy = 'one_for_one'
    [[supervisor.children]]
    id = 'caller'
    [[supervisor.children]]
    id = 'doer'
";

fn deploy(node: &Node, wasm: &[u8]) {
    node.form("guest", wasm).config(TREE).send().is_deployed();
}

/// Asks the worker that does no activities.
fn ask(node: &Node, message_type: &str, payload: &str) -> Answer {
    let path = format!("/api/v1/actors/guest/caller?type={message_type}");
    let headers = [("x-timeout-ms", "120000")];
    node.request("POST", &path, &headers, payload.as_bytes())
}

#[test]
fn every_function_of_the_workflows_keeps_its_word() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    deploy(&node, &wasm);
    let report = ask(&node, "workflow", "").payload();
    assert_eq!(report["failures"], json!([]), "{report:#}");
    let checks = report["checks"].as_u64().unwrap();
    assert!(checks >= 55, "only {checks} checks");
}
