//! Actors that do not stop as they were to: one that does not tell its state, and one that takes too long.

use plexspaces_node::wasm::Kind;
use rustix::process::Signal;

use crate::guests::{RASCAL, guest};
use crate::harness::{Node, node};

/// Remembers the message before, and answers with it; after one that begins with `!` its snapshot breaks.
fn fickle() -> Vec<u8> {
    let text = r#"(module
        (memory (export "memory") 2)
        (global $len (mut i32) (i32.const 0))
        (global $breaks (mut i32) (i32.const 0))
        (func $remember (param $at i32) (param $len i32)
            (memory.copy (i32.const 4096) (local.get $at) (local.get $len))
            (global.set $len (local.get $len)))
        (func $state (result i64)
            (i64.or (i64.shl (i64.extend_i32_u (global.get $len)) (i64.const 32)) (i64.const 4096)))
        (func (export "init") (param i32 i32) (result i32)
            (call $remember (local.get 0) (local.get 1))
            (i32.const 0))
        (func (export "snapshot_state") (result i64)
            (if (global.get $breaks) (then (unreachable)))
            (call $state))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
            (memory.copy (i32.const 8192) (i32.const 4096) (global.get $len))
            (i64.or (i64.shl (i64.extend_i32_u (global.get $len)) (i64.const 32)) (i64.const 8192))
            (call $remember (local.get 4) (local.get 5))
            (global.set $breaks (i32.eq (i32.load8_u (local.get 4)) (i32.const 33)))))"#;
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// What an application's log says of this actor, line by line.
fn said_of(node: &Node, application: &str, actor: &str) -> Vec<String> {
    let log = node.get(&format!("/api/v1/applications/{application}/logs"));
    let log = log.json();
    let lines = log["lines"].as_array().unwrap().iter();
    let of_it = lines.filter(|line| line["actor"] == format!("{actor}@test-node"));
    let texts = of_it.map(|line| line["message"].as_str().unwrap().to_owned());
    texts.collect()
}

const LOST: &str =
    "stopped without telling its state; its next life begins with the state before, or with none: ";

#[test]
fn a_state_that_is_not_told_at_a_stop_is_missed_in_both_logs_and_the_one_before_counts() {
    let node = node();
    node.deploy("fickle", &fickle()).is_deployed();
    node.ask("fickle", b"kept");
    assert_eq!(node.wish("fickle", "stop").status, 200);
    assert_eq!(node.wish("fickle", "start").status, 200);
    assert!(said_of(&node, "fickle", "fickle").is_empty());
    assert_eq!(node.ask("fickle", b"! lost").body_payload(), "kept");
    assert_eq!(node.wish("fickle", "stop").status, 200);
    let missed = |node: &Node| {
        let said = said_of(node, "fickle", "fickle");
        let lost = said.iter().filter(|line| line.starts_with(LOST));
        lost.filter(|line| line.contains("unreachable")).count()
    };
    assert_eq!(missed(&node), 1);
    let line = node.log_says("actor fickle@test-node stopped without telling its state");
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(node.wish("fickle", "start").status, 200);
    assert_eq!(node.ask("fickle", b"! lost").body_payload(), "kept");
    // The same when the node ends.
    let node = Node::again(node.stop());
    assert_eq!(missed(&node), 2);
    assert_eq!(node.ask("fickle", b"").body_payload(), "kept");
}

/// An application with two actors that compute for ever, and do not stop within 40 and 50 ms.
fn spinners() -> Node {
    let node = Node::configured("drain_time = '100ms'");
    let config = "limits.max_execution_time = '1h'
        [[supervisor.children]]
        id = 'one'
        shutdown_timeout = '40ms'
        [[supervisor.children]]
        id = 'two'
        shutdown_timeout = '50ms'";
    let wasm = guest(Kind::Core, RASCAL);
    node.form("app", &wasm).config(config).send().is_deployed();
    for actor in ["one", "two"] {
        let path = format!("/api/v1/actors/by-id/app%2F{actor}");
        let later = [("prefer", "respond-async")];
        assert_eq!(node.request("POST", &path, &later, b"spin").status, 202);
    }
    node.waits_for("both to be busy", || {
        let shown = node.get("/api/v1/applications/app").json();
        let actors = shown["actors"].as_array().unwrap();
        actors.iter().all(|actor| actor["busy_seconds"].is_f64())
    });
    node
}

const KILLED: [(&str, &str); 2] = [
    ("app/one", "did not stop within 40ms: killed"),
    ("app/two", "did not stop within 50ms: killed"),
];

#[test]
fn each_actor_that_is_killed_as_its_application_stops_is_named_with_the_time_that_it_had() {
    let node = spinners();
    assert_eq!(node.wish("app", "stop").status, 200);
    for (actor, text) in KILLED {
        assert_eq!(said_of(&node, "app", actor), [text]);
        node.log_says(&format!("actor {actor}@test-node {text}"));
    }
}

#[test]
fn each_actor_that_is_killed_as_the_node_ends_is_named_with_the_time_that_it_had() {
    let node = spinners();
    node.signal(Signal::TERM);
    for (actor, text) in KILLED {
        node.log_says(&format!("actor {actor}@test-node {text}"));
    }
    let node = Node::again(node.stopped());
    for (actor, text) in KILLED {
        assert_eq!(said_of(&node, "app", actor), [text]);
    }
}
