//! A first deploy that comes to nothing: whatever its actors began by then, nothing of it is left.

use std::fs;
use std::thread;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::backup::{backup, succeeds};
use crate::conformance::conformance;
use crate::harness::{Answer, Deploy, Node, node};

/// What the first actor does before it is there.
const LEAVES: &str =
    "say left; begin left wait; lock left; join left; subscribe left; receive left";

/// A tree whose first worker leaves what it can, and whose second has it leave a journal and then does this, before it is
/// there.
fn tree(second: &str) -> String {
    format!(
        "
        [supervisor]
        strategy = 'one_for_one'
        [[supervisor.children]]
        id = 'doer'
        args = {{ init = '{LEAVES}' }}
        [[supervisor.children]]
        id = 'second'
        args = {{ init = 'ask doer journal left; {second}' }}
        "
    )
}

/// One that is told to by its messages.
fn witness(node: &Node, wasm: &[u8]) {
    node.form("witness", wasm)
        .field("application_id", "witness")
        .send()
        .is_deployed();
    assert_eq!(ask(node, "send left").status, 200);
}

fn ask(node: &Node, orders: &str) -> Answer {
    let headers = [("x-message-type", "in-turn"), ("x-timeout-ms", "120000")];
    node.ask_with("witness", &headers, orders.as_bytes())
}

fn form<'a>(node: &'a Node, wasm: &[u8], second: &str) -> Deploy<'a> {
    node.form("guest", wasm).config(&tree(second))
}

fn stats(node: &Node) -> Value {
    node.get("/api/v1/tuplespace/stats").json()
}

fn runs(node: &Node) -> Value {
    node.get("/api/v1/workflows").json()["page"]["total_size"].clone()
}

/// Whether these bytes are anywhere in a backup.
fn backup_has(node: &Node, bytes: &[u8]) -> bool {
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("node.tar");
    succeeds(&backup(node, &file));
    let archive = fs::read(&file).unwrap();
    archive.windows(bytes.len()).any(|some| some == bytes)
}

/// What only rows of the actor `guest/doer` have in them, in a backup: its journal's.
const OF_GUEST: &[u8] = b"\x05\0\0\0guest\x04\0\0\0doer";

/// Whether its log is on disk.
fn has_log(node: &Node) -> bool {
    let digest = format!("{:x}", Sha256::digest(b"guest"));
    node.data_dir().join(format!("logs/{digest}.log")).exists()
}

/// Nothing is left but the witness and what is its own.
fn nothing_is_left(node: &Node) {
    assert_eq!(node.get("/api/v1/applications/guest").status, 404);
    assert_eq!(runs(node), 0);
    assert!(!backup_has(node, OF_GUEST), "a journal is left");
    assert_eq!(stats(node)["subscriptions"], 0);
    let again = ask(node, "lock left; receive left");
    assert_eq!(again.body_payload(), "left", "{again:?}");
}

#[test]
fn all_of_it_is_there_once_a_deploy_has_succeeded() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    witness(&node, &wasm);
    form(&node, &wasm, "send left").send().is_deployed();
    assert_eq!(runs(&node), 1);
    assert!(backup_has(&node, OF_GUEST));
    assert_eq!(stats(&node)["subscriptions"], 1);
}

#[test]
fn one_whose_second_actor_does_not_start_leaves_nothing() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    witness(&node, &wasm);
    let refused = form(&node, &wasm, "no-such-order").send();
    refused.is_refused(422, "INVALID_ARGUMENT", &["child second", "no-such-order"]);
    nothing_is_left(&node);
    assert!(!has_log(&node));
}

#[test]
fn one_that_is_called_off_leaves_nothing_and_its_name_is_free() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    witness(&node, &wasm);
    thread::scope(|scope| {
        let deploying = scope.spawn(|| form(&node, &wasm, "take never").send());
        is_stuck(&node);
        assert_eq!(node.get("/api/v1/applications/guest/logs").status, 200);
        assert!(has_log(&node));
        assert_eq!(node.undeploy("guest").status, 200);
        // Before the deploy has an answer: what follows is not its.
        nothing_is_left(&node);
        assert!(!has_log(&node));
        let refused = deploying.join().unwrap();
        refused.is_refused(409, "FAILED_PRECONDITION", &["undeployed"]);
    });
    node.deploy("guest", &wasm).is_deployed();
    assert_eq!(runs(&node), 0);
}

#[test]
fn one_that_the_node_does_not_outlive_is_swept_up_at_its_next_start() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    witness(&node, &wasm);
    thread::scope(|scope| {
        let form = form(&node, &wasm, "take never");
        let (content_type, body) = form.encode();
        let url = format!("http://{}/api/v1/applications/deploy", node.http);
        scope.spawn(move || {
            // The node is killed while this waits: there is no answer.
            let request = ureq::post(&url).header("content-type", &content_type);
            assert!(request.send(&body[..]).is_err());
        });
        is_stuck(&node);
        assert_eq!(runs(&node), 1);
        assert!(backup_has(&node, OF_GUEST));
        node.signal(rustix::process::Signal::KILL);
    });
    node = Node::again(node.kill());
    node.log_says("application guest is not deployed: its workflows are removed");
    nothing_is_left(&node);
}

/// Waits until the deploy's second actor waits for a tuple that does not come.
fn is_stuck(node: &Node) {
    node.waits_for("the second actor to start", || stats(node)["waiting"] == 1);
}
