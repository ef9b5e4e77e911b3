//! The calculators that keep a journal, work in the tuple space, and stand behind a queue: what ends, and what does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Node, node};
use crate::readmes::follow;

fn example(file: &str) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/simple/wasm_calculator");
    example.join(file)
}

/// A module of the example; none where it is not built, which `scripts/test.sh` sees to.
fn module(name: &str) -> Option<Vec<u8>> {
    let built = fs::read(example("wasm-modules").join(name)).ok();
    if built.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not built");
        eprintln!("skipped: {name} is not built; see scripts/build_examples.sh");
    }
    built
}

fn calculates(node: &Node, operation: &str, operand: f64) -> Value {
    let request = json!({"operation": operation, "operand": operand});
    node.ask("durable", request.to_string().as_bytes())
        .payload()
}

#[track_caller]
fn has_total(node: &Node, expected: f64) {
    let answer = node.ask_with("durable", &[("x-message-type", "total")], b"");
    assert_eq!(answer.payload(), json!({"total": expected}));
}

#[test]
fn the_durable_calculator_keeps_its_total_whatever_ends_it() {
    let Some(wasm) = module("durable_calculator.wasm") else {
        return;
    };
    let node = node();
    follow(&node, &example("README.md"), "One that forgets nothing");
    has_total(&node, 5.0);
    assert_eq!(
        calculates(&node, "multiply", 4.5),
        json!({"total": 22.5, "entry": 2})
    );
    assert_eq!(
        calculates(&node, "divide", 0.0),
        json!({"error": "division by zero"})
    );
    assert_eq!(
        calculates(&node, "root", 2.0),
        json!({"error": "unknown operation: root"})
    );
    let nonsense = node.ask("durable", b"5").payload();
    assert!(
        nonsense["error"].as_str().unwrap().starts_with("send JSON"),
        "{nonsense}"
    );

    let node = Node::again(node.kill());
    has_total(&node, 22.5);
    assert_eq!(node.wish("durable", "stop").status, 200);
    assert_eq!(node.wish("durable", "start").status, 200);
    has_total(&node, 22.5);
    let newer = node.form("durable", &wasm).field("version", "2.0.0");
    newer.send().is_deployed();
    has_total(&node, 22.5);
    assert_eq!(
        calculates(&node, "subtract", 0.5),
        json!({"total": 22.0, "entry": 3})
    );
    let node = Node::again(node.stop());
    has_total(&node, 22.0);
}

#[test]
fn the_calculator_is_deployed_asked_and_undeployed_as_its_page_says() {
    let node = node();
    for (heading, commands) in [("Deploy", 1), ("Ask", 2), ("Undeploy", 1)] {
        assert_eq!(follow(&node, &example("README.md"), heading), commands);
    }
    assert_eq!(node.total_applications(), 0);
}

#[test]
fn the_durable_calculator_lives_on_when_its_journal_begins_anew() {
    let Some(wasm) = module("durable_calculator.wasm") else {
        return;
    };
    let node = node();
    node.deploy("durable", &wasm).is_deployed();
    for entry in 1..=103 {
        let answer = calculates(&node, "add", 1.0);
        assert_eq!(answer, json!({"total": f64::from(entry), "entry": entry}));
    }
    let node = Node::again(node.kill());
    has_total(&node, 103.0);
    assert_eq!(
        calculates(&node, "add", 1.0),
        json!({"total": 104.0, "entry": 104})
    );
}

fn tuples(node: &Node, verb: &str, body: &Value) -> Value {
    let path = format!("/api/v1/tuplespace/{verb}");
    let answer = node.request("POST", &path, &[], body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["tuples"][0].clone()
}

fn write(node: &Node, request: &Value) {
    tuples(node, "tuples", &json!({"tuple": request}));
}

fn result(node: &Node, id: &Value) -> Value {
    let pattern = json!(["result", id, {"any": true}, {"any": true}]);
    let taken = tuples(
        node,
        "take",
        &json!({"pattern": pattern, "timeout_ms": 60_000}),
    );
    json!([taken[2], taken[3]])
}

#[test]
fn the_tuple_space_calculator_takes_requests_and_leaves_results() {
    if module("tuplespace_calculator.wasm").is_none() {
        return;
    }
    let node = node();
    follow(&node, &example("README.md"), "One in the tuple space");
    for (id, operation, operands, expected) in [
        (json!("a"), "multiply", [json!(6), json!(7.5)], json!(45.0)),
        (json!(7), "subtract", [json!(1), json!(2)], json!(-1.0)),
        (
            json!("b"),
            "divide",
            [json!(1), json!(0)],
            json!("division by zero"),
        ),
        (
            json!("c"),
            "root",
            [json!(1), json!(2)],
            json!("unknown operation: root"),
        ),
        (
            json!("d"),
            "add",
            [json!("1"), json!(true)],
            json!("operands must be numbers"),
        ),
    ] {
        write(
            &node,
            &json!(["calculate", id, operation, operands[0], operands[1]]),
        );
        let word = if expected.is_string() { "error" } else { "ok" };
        assert_eq!(result(&node, &id), json!([word, expected]), "{operation}");
    }

    // Stopped while it waits; what comes meanwhile lies there until it is back.
    assert_eq!(node.wish("tuples", "stop").status, 200);
    write(&node, &json!(["calculate", "late", "add", 1, 1]));
    assert_eq!(node.wish("tuples", "start").status, 200);
    assert_eq!(result(&node, &json!("late")), json!(["ok", 2.0]));
    assert_eq!(node.undeploy("tuples").status, 200);
}

fn desk(node: &Node, message_type: &str, payload: &str) -> String {
    let headers = [("x-message-type", message_type)];
    let path = "/api/v1/actors/channel/desk";
    node.request("POST", path, &headers, payload.as_bytes())
        .body_payload()
}

/// The next result, when there is one.
fn next_result(node: &Node) -> String {
    let mut result = String::new();
    node.waits_for("a result", || {
        result = desk(node, "result", "");
        !result.is_empty()
    });
    result
}

#[test]
fn the_channel_calculator_loses_no_request_when_its_node_is_killed() {
    if module("channel_calculator.wasm").is_none() {
        return;
    }
    let node = node();
    follow(&node, &example("README.md"), "One behind a queue");
    desk(&node, "submit", "nonsense");
    let nonsense = next_result(&node);
    assert!(nonsense.contains("not valid JSON"), "{nonsense}");

    let expected: BTreeSet<String> = (0..12)
        .map(|number| {
            let request = format!(r#"{{"operation":"add","operands":[{number},0.5]}}"#);
            desk(&node, "submit", &request);
            format!(r#"{{"operation":"add","result":{number}.5}}"#)
        })
        .collect();
    let node = Node::again(node.kill());
    // A result may come twice, since its request was not acknowledged yet; none may be missing.
    let mut results = BTreeSet::new();
    node.waits_for("every result", || {
        results.insert(next_result(&node));
        results.len() == expected.len()
    });
    assert_eq!(results, expected);
    assert_eq!(node.undeploy("channel").status, 200);
}
