//! Commands: programs with a `main`, run once for each message.

use std::thread;

use crate::guests::{CAT, OUTPUT_STREAM, RELAY, guest};
use crate::harness::{Answer, Node, node};
use plexspaces_node::wasm::Kind;
use serde_json::json;

fn run(node: &Node, body: &str) -> Answer {
    node.deploy("command", &guest(Kind::Command, body))
        .is_deployed();
    let answer = node.ask("command", b"x");
    assert_eq!(node.undeploy("command").status, 200);
    answer
}

#[test]
fn a_command_reads_its_message_and_writes_its_reply() {
    let node = node();
    node.deploy("cat", &guest(Kind::Command, CAT)).is_deployed();
    let shown = node.get("/api/v1/applications/cat").json();
    assert_eq!(shown["kind"], "command");
    let check = |payload: &[u8], expected: serde_json::Value| {
        let read = node.ask_with("cat", &[("x-message-type", "mew")], payload);
        let whole = json!({"from": "http@test-node", "type": "mew", "payload": expected});
        assert_eq!(read.payload(), whole);
    };
    check(br#"{"n": [1, 2.5]}"#, json!({"n": [1, 2.5]}));
    check(b"7", json!(7));
    check("gr\u{fc}\u{df}e".as_bytes(), json!("gr\u{fc}\u{df}e"));
    check(b"", json!(""));
    check(b"\xff\x00\xfe", json!({"base64": "/wD+"}));
    let long = "x".repeat(1_000_000);
    check(long.as_bytes(), json!(long));
}

#[test]
fn every_message_runs_a_fresh_instance() {
    let node = node();
    let counts = "(global.set $runs (i32.add (global.get $runs) (i32.const 1)))
        (i32.store8 (i32.const 1024) (global.get $runs))
        (call $write (i32.const 1) (i32.const 1024) (i32.const 1))";
    node.deploy("counter", &guest(Kind::Command, counts))
        .is_deployed();
    assert_eq!(node.ask("counter", b"").payload(), 1);
    assert_eq!(node.ask("counter", b"").payload(), 1);
}

#[test]
fn an_exit_code_other_than_0_is_a_guest_error_with_the_last_words() {
    let node = node();
    let fails =
        "(call $write (i32.const 2) (i32.const 64) (i32.const 13)) (call $exit (i32.const 3))";
    let words = ["exit code 3", "no luck | today"];
    run(&node, fails).is_refused(502, "ABORTED", &words);
    let succeeds =
        "(call $write (i32.const 1) (i32.const 64) (i32.const 2)) (call $exit (i32.const 0))";
    assert_eq!(run(&node, succeeds).payload(), "no");
}

#[test]
fn a_reply_over_a_mebibyte_is_a_guest_error() {
    let node = node();
    let writes =
        |bytes: u32| format!("(call $write (i32.const 1) (i32.const 1024) (i32.const {bytes}))");
    assert_eq!(run(&node, &writes(1 << 20)).status, 200);
    run(&node, &writes((1 << 20) + 1)).is_refused(502, "ABORTED", &["1048576"]);
}

#[test]
fn a_command_that_traps_or_spins_fails_its_message_only() {
    let node = node();
    run(&node, "(unreachable)").is_refused(502, "ABORTED", &["unreachable"]);
    let often = guest(Kind::Command, "(unreachable)");
    node.deploy("often", &often).is_deployed();
    for _ in 0..6 {
        node.ask("often", b"")
            .is_refused(502, "ABORTED", &["unreachable"]);
    }
    let spins = guest(Kind::Command, "(loop $on (br $on))");
    let limits = "[limits]\nmax_execution_time = '100ms'";
    node.form("spins", &spins)
        .config(limits)
        .send()
        .is_deployed();
    thread::scope(|scope| {
        let spin = scope.spawn(|| node.ask("spins", b""));
        assert_eq!(node.get("/health").status, 200);
        let words = ["longer than its limit of 100ms"];
        spin.join().unwrap().is_refused(502, "ABORTED", &words);
    });
}

#[test]
fn actors_ask_commands() {
    let node = node();
    node.deploy("cat", &guest(Kind::Command, CAT)).is_deployed();
    node.deploy("relay", &guest(Kind::Core, RELAY))
        .is_deployed();
    let read = node.ask("relay", b"cat").payload();
    assert_eq!(
        read,
        json!({"from": "relay@test-node", "type": "call", "payload": "hello"})
    );
}

/// A component that exports `wasi:cli/run`, writes "done" and ends with this result.
fn component(result: u32) -> Vec<u8> {
    let text = format!(
        r#"(component
        {OUTPUT_STREAM}
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $a-stream (type $outer-stream))
            (export "output-stream" (type $output-stream (eq $outer-stream)))
            (export "get-stdout" (func (result (own $output-stream))))))
        (core module $heap
            (memory (export "memory") 1)
            (data (i32.const 64) "done")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $heap (instantiate $heap))
        (alias core export $heap "memory" (core memory $memory))
        (alias core export $heap "realloc" (core func $realloc))
        (core func $get-stdout (canon lower (func $stdout "get-stdout")))
        (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
            (memory $memory) (realloc $realloc)))
        (core module $guest
            (import "host" "get-stdout" (func $get-stdout (result i32)))
            (import "host" "write" (func $write (param i32 i32 i32 i32)))
            (func (export "run") (result i32)
                (call $write (call $get-stdout) (i32.const 64) (i32.const 4) (i32.const 512))
                (i32.const {result})))
        (core instance $guest (instantiate $guest (with "host" (instance
            (export "get-stdout" (func $get-stdout)) (export "write" (func $write))))))
        (func $run (result (result)) (canon lift (core func $guest "run")))
        (instance $interface (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $interface)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_component_with_a_main_is_a_command_too() {
    let node = node();
    node.deploy("done", &component(0)).is_deployed();
    let shown = node.get("/api/v1/applications/done").json();
    assert_eq!(shown["kind"], "command");
    assert_eq!(node.ask("done", b"").payload(), "done");
    assert_eq!(node.ask("done", b"").payload(), "done");
    node.deploy("failed", &component(1)).is_deployed();
    node.ask("failed", b"")
        .is_refused(502, "ABORTED", &["exit code 1"]);
}
