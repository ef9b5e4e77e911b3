//! A guest can do nothing to the node: it spins, recurses, hogs, traps and lies, and another actor goes on answering.

use std::thread;

use crate::guests::{ECHO, RASCAL, for_both_kinds, guest};
use crate::harness::Node;
use plexspaces_node::wasm::Kind;

/// Each of these breaks the actor; it comes back, and its neighbour never noticed.
fn breaks(node: &Node, kind: Kind, misdeed: &[u8], words: &[&str]) {
    node.form("rascal", &guest(kind, RASCAL))
        .config("[limits]\nmax_execution_time = '100ms'")
        .send()
        .is_deployed();
    node.deploy("neighbour", &guest(kind, ECHO)).is_deployed();
    node.ask("rascal", misdeed)
        .is_refused(502, "ABORTED", words);
    assert_eq!(node.ask("neighbour", b"fine").body_payload(), "fine");
    assert_eq!(
        node.ask("rascal", b"echo").body_payload(),
        "echo",
        "the actor did not come back"
    );
    let line =
        node.log_says("rascal@test-node of application rascal trapped while handling a message: ");
    assert!(
        line.contains("`plexspaces application logs rascal`"),
        "{line}"
    );
    assert!(!line.contains("wasm backtrace"), "{line}");
}

for_both_kinds! {
    fn a_guest_that_spins_past_its_time_is_trapped(node, kind) {
        breaks(&node, kind, b"spin", &["longer than its limit of 100ms", "max_execution_time"]);
    }

    fn a_trap_fails_the_ask_with_its_reason(node, kind) {
        breaks(&node, kind, b"trap", &["unreachable"]);
    }

    fn endless_recursion_is_a_trap(node, kind) {
        breaks(&node, kind, b"recurse", &["stack"]);
    }

    fn an_answer_from_a_bad_pointer_is_a_fault(node, kind) {
        breaks(&node, kind, b"pointer", &[]);
    }

    fn an_answer_of_a_bad_length_is_a_fault(node, kind) {
        breaks(&node, kind, b"length", &[]);
    }

    fn memory_ends_at_the_limit(node, kind) {
        let limits = "[limits]\nmax_memory_bytes = 4194304";
        node.form("rascal", &guest(kind, RASCAL)).config(limits).send().is_deployed();
        let before = node.rss_bytes();
        assert_eq!(node.ask("rascal", b"hog").body_payload(), "full");
        assert!(node.rss_bytes() < before + (16 << 20), "RSS rose from {before} to {}", node.rss_bytes());
        assert_eq!(node.ask("rascal", b"echo").body_payload(), "echo");
    }

    fn others_answer_and_timers_fire_while_guests_spin(node, kind) {
        for name in ["one", "two", "three", "four", "five"] {
            node.deploy(name, &guest(kind, RASCAL)).is_deployed();
        }
        node.deploy("waiter", &guest(kind, RASCAL)).is_deployed();
        thread::scope(|scope| {
            let spinning = ["one", "two", "three", "four", "five"].map(|name| {
                let node = &node;
                scope.spawn(move || node.ask_with(name, &[("x-timeout-ms", "2000")], b"spin"))
            });
            // These can only come back while the five spin: their deadline is far off, and a spin has no other end.
            while node.get("/api/v1/applications/five").json()["actors"][0]["mailbox_depth"] != 0 {}
            assert_eq!(node.ask("waiter", b"wait and echo").body_payload(), "wait and echo");
            assert_eq!(node.get("/health").status, 200);
            for spin in spinning {
                spin.join().unwrap().is_refused(504, "DEADLINE_EXCEEDED", &["deadline"]);
            }
            // A deadline answers the caller and leaves the guest at it; even so the node goes on.
            assert_eq!(node.ask("waiter", b"wait once more").body_payload(), "wait once more");
        });
    }
}

/// One instruction over all of it runs to its end, whoever waits.
#[test]
fn no_guest_is_given_more_memory_than_an_instruction_may_take() {
    let node = crate::harness::node();
    let deploy = |bytes: u64| {
        let limits = format!("[limits]\nmax_memory_bytes = {bytes}");
        node.form("large", &guest(Kind::Core, ECHO))
            .config(&limits)
            .send()
    };
    let words = ["max_memory_bytes is 536870913", "65536 and 536870912"];
    deploy((512 << 20) + 1).is_refused(422, "INVALID_ARGUMENT", &words);
    deploy(512 << 20).is_deployed();
}

#[test]
fn waiting_outside_the_guest_does_not_count_as_its_time() {
    let node = crate::harness::node();
    let limits = "[limits]\nmax_execution_time = '15ms'";
    node.form("rascal", &guest(Kind::Component, RASCAL))
        .config(limits)
        .send()
        .is_deployed();
    // Each waits 20 ms, which is more than it may compute.
    for _ in 0..5 {
        assert_eq!(node.ask("rascal", b"wait").body_payload(), "wait");
    }
}

#[test]
fn an_allocator_that_calls_the_node_cannot_take_its_stacks() {
    let node = crate::harness::node();
    let wasm = wat::parse_str(
        r#"(module
            (import "plexspaces" "self_id" (func $self_id (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "alloc") (param i32) (result i32)
                (drop (call $self_id (i32.const 0)))
                (i32.const 1024))
            (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#,
    );
    node.deploy("greedy", &wasm.unwrap()).is_deployed();
    node.deploy("neighbour", &guest(Kind::Core, ECHO))
        .is_deployed();
    node.ask("greedy", b"x")
        .is_refused(502, "ABORTED", &["allocator called the node"]);
    assert_eq!(node.ask("neighbour", b"fine").body_payload(), "fine");
}

#[test]
fn names_without_end_make_a_short_refusal() {
    let node = crate::harness::node();
    let name = "n".repeat(1_000);
    let check = |text: String| {
        let refused = node.deploy("wordy", &wat::parse_str(text).unwrap());
        refused.is_refused(422, "INVALID_ARGUMENT", &["and 480 more"]);
        assert!(refused.body.len() < 8_192, "{} bytes", refused.body.len());
    };
    let many = |one: &dyn Fn(usize) -> String| (0..500).map(one).collect::<String>();
    check(format!(
        "(module {})",
        many(&|i| format!(r#"(func (export "{name}{i}"))"#))
    ));
    check(format!(
        "(module {})",
        many(&|i| format!(r#"(import "env" "{name}{i}" (func))"#))
    ));
}
