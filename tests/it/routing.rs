//! Which handler gets a message when a guest has several, and the hooks around messages.

use crate::harness::{Answer, Node, node};

/// A core module whose handlers each answer with their own name, and whose hooks each log theirs.
fn core(names: &[&str]) -> Vec<u8> {
    let (mut data, mut functions) = (String::new(), String::new());
    for (index, name) in names.iter().enumerate() {
        let (at, len) = (1024 + 32 * index, name.len());
        data += &format!(r#"(data (i32.const {at}) "{name}")"#);
        functions += &if name.starts_with("handle") {
            format!(
                r#"(func (export "{name}") (param i32 i32 i32 i32 i32 i32) (result i32 i32)
                    (i32.const {at}) (i32.const {len}))"#
            )
        } else {
            let result = if name.starts_with("get") {
                "(result i32 i32)"
            } else {
                ""
            };
            let state = if name.starts_with("get") {
                "(i32.const 1024) (i32.const 6)"
            } else {
                ""
            };
            let taken = if *name == "init" {
                "(param i32 i32)"
            } else {
                ""
            };
            format!(
                r#"(func (export "{name}") {taken} {result}
                    (call $log (i32.const {at}) (i32.const {len})) {state})"#
            )
        };
    }
    let text = format!(
        r#"(module (import "plexspaces" "log" (func $log (param i32 i32)))
            (memory (export "memory") 1) {data} {functions})"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn ask(node: &Node, wasm: &[u8], message_type: &str) -> Answer {
    node.deploy("guest", wasm).is_deployed();
    let answer = node.ask_with("guest", &[("x-message-type", message_type)], b"");
    assert_eq!(node.undeploy("guest").status, 200);
    answer
}

#[test]
fn an_ask_finds_its_handler() {
    let node = node();
    let check = |names: &[&str], message_type: &str, expected: &str| {
        let answer = ask(&node, &core(names), message_type);
        assert_eq!(answer.payload(), expected, "{message_type} to {names:?}");
    };
    check(&["handle_message", "handle_call"], "call", "handle_call");
    check(&["handle_message", "handle_call"], "add", "handle_message");
    check(&["handle_request", "handle_call"], "call", "handle_request");
    check(&["handle_transition"], "open", "handle_transition");
    check(&["handle_transition", "handle_call"], "open", "handle_call");
}

#[test]
fn a_module_with_handlers_for_other_messages_is_accepted() {
    let node = node();
    for name in ["handle_event", "handle_info", "handle_cast"] {
        let words = ["no handler for messages of type \"call\""];
        ask(&node, &core(&[name]), "call").is_refused(422, "INVALID_ARGUMENT", &words);
    }
}

#[test]
fn hooks_are_called_in_their_order() {
    let node = node();
    let hooks = [
        "init",
        "post_init",
        "pre_suspend",
        "snapshot_state",
        "shutdown",
        "post_resume",
        "handle_request",
    ];
    node.deploy("guest", &core(&hooks)).is_deployed();
    let answer = node.ask_with("guest", &[("x-message-type", "call")], b"");
    assert_eq!(answer.payload(), "handle_request");
    assert_eq!(node.wish("guest", "stop").status, 200);
    node.log_says("guest@test-node: shutdown");
    let logged = node.log_lines("guest: guest@test-node: ");
    assert_eq!(
        logged,
        [
            "init",
            "post_init",
            "pre_suspend",
            "snapshot_state",
            "shutdown"
        ]
    );
}

#[test]
fn an_error_of_post_init_refuses_the_deploy() {
    let node = node();
    let text = r#"(module (memory (export "memory") 1)
        (func (export "post_init") (result i32) (i32.const 2))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#;
    let words = ["does not start", "post-init failed", "2"];
    node.deploy("guest", &wat::parse_str(text).unwrap())
        .is_refused(422, "INVALID_ARGUMENT", &words);
    assert_eq!(node.total_applications(), 0);
}

const TYPES: &str = r#"
    (type $code' (enum "unknown" "actor-not-found" "delivery-failed" "timeout" "invalid-message"
        "not-permitted" "resource-exhausted" "internal" "not-implemented"))
    (export $code "error-code" (type $code'))
    (type $error' (record (field "code" $code) (field "message" string) (field "details" (option string))))
    (export $error "actor-error" (type $error'))"#;

/// A component whose `handle-request` fails with an error of this code and the text "no", and whose
/// `handle-message` answers with the payload.
fn passing(code: u32, with_message: bool) -> Vec<u8> {
    let form = r#"(param "payload" (list u8)) (result (result (list u8) (error $error)))"#;
    let message = if with_message {
        format!(
            r#"(func (export "handle-message") {form}
                (canon lift (core func $guest "message") (memory $memory) (realloc $realloc)))"#
        )
    } else {
        String::new()
    };
    let text = format!(
        r#"(component
        (core module $guest
            (memory (export "memory") 1)
            (data (i32.const 64) "no")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "request") (param i32 i32) (result i32)
                (i32.store (i32.const 512) (i32.const 1))
                (i32.store (i32.const 516) (i32.const {code}))
                (i32.store (i32.const 520) (i32.const 64))
                (i32.store (i32.const 524) (i32.const 2))
                (i32.const 512))
            (func (export "message") (param i32 i32) (result i32)
                (i32.store (i32.const 512) (i32.const 0))
                (i32.store (i32.const 516) (local.get 0))
                (i32.store (i32.const 520) (local.get 1))
                (i32.const 512)))
        (core instance $guest (instantiate $guest))
        (alias core export $guest "memory" (core memory $memory))
        (alias core export $guest "realloc" (core func $realloc))
        {TYPES}
        (func (export "handle-request") {form}
            (canon lift (core func $guest "request") (memory $memory) (realloc $realloc)))
        {message})"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_handler_that_does_not_implement_a_message_is_passed_over() {
    let node = node();
    let (unknown, not_implemented) = (0, 8);
    node.deploy("passing", &passing(not_implemented, true))
        .is_deployed();
    assert_eq!(node.ask("passing", b"whole").payload(), "whole");
    node.deploy("failing", &passing(unknown, true))
        .is_deployed();
    node.ask("failing", b"").is_refused(502, "ABORTED", &["no"]);
    node.deploy("alone", &passing(not_implemented, false))
        .is_deployed();
    node.ask("alone", b"").is_refused(502, "ABORTED", &["no"]);
}

/// A component whose transition appends its event to its state, which begins as "closed".
pub fn machine() -> Vec<u8> {
    let text = r#"(component
        (core module $guest
            (memory (export "memory") 1)
            (global $free (mut i32) (i32.const 1024))
            (data (i32.const 64) "closed")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $free)
                (global.set $free (i32.add (global.get $free) (local.get 3))))
            (func (export "state") (result i32)
                (i32.store (i32.const 512) (i32.const 64))
                (i32.store (i32.const 516) (i32.const 6))
                (i32.const 512))
            (func (export "transition") (param i32 i32 i32 i32) (result i32)
                (memory.copy (i32.const 32768) (local.get 0) (local.get 1))
                (memory.copy (i32.add (i32.const 32768) (local.get 1)) (local.get 2) (local.get 3))
                (i32.store (i32.const 512) (i32.const 0))
                (i32.store (i32.const 516) (i32.const 32768))
                (i32.store (i32.const 520) (i32.add (local.get 1) (local.get 3)))
                (i32.const 512)))
        (core instance $guest (instantiate $guest))
        (alias core export $guest "memory" (core memory $memory))
        (alias core export $guest "realloc" (core func $realloc))
        (func (export "get-state") (result string)
            (canon lift (core func $guest "state") (memory $memory)))
        (func (export "handle-transition") (param "current-state" string) (param "event" (list u8))
            (result (result string (error string)))
            (canon lift (core func $guest "transition") (memory $memory) (realloc $realloc))))"#;
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_node_keeps_the_state_of_a_guest_that_has_only_a_transition() {
    let node = node();
    node.deploy("door", &machine()).is_deployed();
    assert_eq!(node.ask("door", b"+opened").payload(), "closed+opened");
    assert_eq!(node.ask("door", b"+shut").payload(), "closed+opened+shut");
    assert_eq!(node.wish("door", "stop").status, 200);
    assert_eq!(node.wish("door", "start").status, 200);
    let answer = node.ask("door", b"+locked");
    assert_eq!(answer.payload(), "closed+opened+shut+locked");
}
