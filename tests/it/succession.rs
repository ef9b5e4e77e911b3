//! What an actor holds in the services while one version of it follows another: all of it stays, and what every `init`
//! asks for anew is there once.

use serde_json::Value;

use crate::harness::{Node, node};

/// Asks for everything in its `init`, counts what it hears of, and does what a message's first letter says: `w` causes
/// an event of each kind, `c` answers with how many came (tuple, key, topic, group), `t` whether `init` got the lock,
/// `n` the lock as it is, `g` leaves the group, `p` how many a message to the group reaches, `r` borrows from the queue
/// and answers with the message's id, `a` and such an id acknowledges it, `b` waits for a tuple that never comes.
fn holder(version: usize, more: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "plexspaces" "tuple_subscribe" (func $subscribe (param i32 i32) (result i64)))
        (import "plexspaces" "tuple_write" (func $write (param i32 i32) (result i32)))
        (import "plexspaces" "tuple_take_blocking" (func $take (param i32 i32 i64 i32) (result i32)))
        (import "plexspaces" "keyvalue_watch" (func $watch (param i32 i32) (result i64)))
        (import "plexspaces" "keyvalue_put" (func $put (param i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "subscribe_to_topic" (func $listen (param i32 i32 i32 i32) (result i64)))
        (import "plexspaces" "publish_to_topic" (func $publish (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "group_join" (func $join (param i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "group_leave" (func $leave (param i32 i32) (result i32)))
        (import "plexspaces" "group_publish" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "lock_try_acquire" (func $lock (param i32 i32 i32 i32 i64 i32) (result i32)))
        (import "plexspaces" "lock_look" (func $look (param i32 i32 i32) (result i32)))
        (import "plexspaces" "send_to_queue" (func $send (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "receive_from_queue" (func $receive (param i32 i32 i64) (result i32)))
        (import "plexspaces" "received_id" (func $received_id (param i32) (result i32)))
        (import "plexspaces" "ack" (func $ack (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2 40)
        (global (export "version") i32 (i32.const {version}))
        (data (i32.const 64) "[\"job\",{{\"any\":true}}]")
        (data (i32.const 128) "[\"job\",1]")
        (data (i32.const 160) "name")
        (data (i32.const 192) "[\"never\"]")
        (data (i32.const 224) "[\"go\"]")
        (global $locked (mut i32) (i32.const 0))
        (func $digit (param $at i32) (param $n i32)
            (i32.store8 (local.get $at) (i32.add (i32.const 48) (local.get $n))))
        (func $packed (param $at i32) (param $len i32) (result i64)
            (i64.or (i64.shl (i64.extend_i32_u (local.get $len)) (i64.const 32)) (i64.extend_i32_u (local.get $at))))
        ;; 0 and above as a digit, an error as `-` and its digit
        (func $status (param $status i32) (result i64)
            (if (i32.ge_s (local.get $status) (i32.const 0)) (then
                (call $digit (i32.const 512) (local.get $status))
                (return (call $packed (i32.const 512) (i32.const 1)))))
            (i32.store8 (i32.const 512) (i32.const 45))
            (call $digit (i32.const 513) (i32.sub (i32.const 0) (local.get $status)))
            (call $packed (i32.const 512) (i32.const 2)))
        (func $found (param $status i32) (result i64)
            (if (i32.lt_s (local.get $status) (i32.const 0)) (then (return (call $status (local.get $status)))))
            (call $packed (i32.load (i32.const 520)) (i32.load (i32.const 524))))
        (func (export "init") (param i32 i32) (result i32)
            (global.set $locked (call $lock (i32.const 160) (i32.const 4) (i32.const 0) (i32.const 0)
                (i64.const 600000) (i32.const 520)))
            (drop (call $subscribe (i32.const 64) (i32.const 20)))
            (drop (call $watch (i32.const 160) (i32.const 4)))
            (drop (call $listen (i32.const 160) (i32.const 4) (i32.const 0) (i32.const 0)))
            (drop (call $join (i32.const 160) (i32.const 4) (i32.const 0) (i32.const 0)))
            {more}
            (i32.const 0))
        (func (export "handle_event") (param i32 i32 i32 i32 i32 i32) (local $at i32)
            ;; of tuple, topic, key and group the second letters are these
            (local.set $at (i32.load8_u offset=1 (local.get 2)))
            (if (i32.eq (local.get $at) (i32.const 117)) (then (local.set $at (i32.const 1024)))
                (else (if (i32.eq (local.get $at) (i32.const 101)) (then (local.set $at (i32.const 1025)))
                (else (if (i32.eq (local.get $at) (i32.const 111)) (then (local.set $at (i32.const 1026)))
                (else (local.set $at (i32.const 1027))))))))
            (i32.store8 (local.get $at) (i32.add (i32.const 1) (i32.load8_u (local.get $at)))))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64) (local $order i32) (local $at i32)
            (local.set $order (i32.load8_u (local.get 4)))
            (if (i32.eq (local.get $order) (i32.const 119)) (then
                (drop (call $write (i32.const 128) (i32.const 9)))
                (drop (call $publish (i32.const 160) (i32.const 4) (i32.const 160) (i32.const 4)
                    (i32.const 0) (i32.const 0)))
                (drop (call $call (i32.const 160) (i32.const 4) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0)))
                (return (call $status (call $put (i32.const 160) (i32.const 4) (i32.const 160) (i32.const 4))))))
            (if (i32.eq (local.get $order) (i32.const 99)) (then
                (loop $next
                    (call $digit (i32.add (i32.const 512) (local.get $at))
                        (i32.load8_u (i32.add (i32.const 1024) (local.get $at))))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $at) (i32.const 4))))
                (return (call $packed (i32.const 512) (i32.const 4)))))
            (if (i32.eq (local.get $order) (i32.const 116)) (then (return (call $status (global.get $locked)))))
            (if (i32.eq (local.get $order) (i32.const 110)) (then (return (call $found
                (call $look (i32.const 160) (i32.const 4) (i32.const 520))))))
            (if (i32.eq (local.get $order) (i32.const 103)) (then (return (call $status
                (call $leave (i32.const 160) (i32.const 4))))))
            (if (i32.eq (local.get $order) (i32.const 112)) (then (return (call $status
                (call $call (i32.const 160) (i32.const 4) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0))))))
            (if (i32.eq (local.get $order) (i32.const 114)) (then
                (drop (call $send (i32.const 160) (i32.const 4) (i32.const 160) (i32.const 4)
                    (i32.const 160) (i32.const 4)))
                (drop (call $receive (i32.const 160) (i32.const 4) (i64.const 0)))
                (return (call $found (call $received_id (i32.const 520))))))
            (if (i32.eq (local.get $order) (i32.const 97)) (then (return (call $status (call $ack
                (i32.const 160) (i32.const 4)
                (i32.add (local.get 4) (i32.const 1)) (i32.sub (local.get 5) (i32.const 1)))))))
            (if (i32.eq (local.get $order) (i32.const 98)) (then (return (call $status
                (call $take (i32.const 192) (i32.const 9) (i64.const 0) (i32.const 520))))))
            (unreachable)))"#
    );
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Its `init` waits for a tuple.
const WAITS: &str =
    "(drop (call $take (i32.const 224) (i32.const 6) (i64.const 30000) (i32.const 520)))";

fn deploy(node: &Node, version: usize, more: &str) -> u16 {
    let wasm = holder(version, more);
    let form = node
        .form("app", &wasm)
        .field("version", &version.to_string());
    form.send().status
}

fn order(node: &Node, name: &str, order: &str) -> String {
    node.ask(name, order.as_bytes()).body_payload()
}

fn lock(node: &Node) -> Value {
    let seen = node.ask("app", b"n").payload();
    assert_eq!(seen["locked"], true, "{seen}");
    seen["version"].clone()
}

/// Waits until it has heard of everything, and answers with how often.
fn heard(node: &Node, name: &str) -> String {
    node.waits_for("events of all kinds", || {
        !order(node, name, "c").contains('0')
    });
    order(node, name, "c")
}

#[test]
fn what_every_version_asks_for_in_its_init_is_there_once() {
    let node = node();
    for version in 1..=4 {
        assert_eq!(deploy(&node, version, ""), 200);
    }
    order(&node, "app", "w");
    assert_eq!(heard(&node, "app"), "1111");
    let stats = node.get("/api/v1/tuplespace/stats").json();
    assert_eq!(stats["subscriptions"], 1, "{stats}");
    assert_eq!(order(&node, "app", "g"), "0");
    assert_eq!(order(&node, "app", "p"), "0", "it is in the group once");
}

#[test]
fn a_lock_goes_from_version_to_version_and_stays_when_one_does_not_start() {
    let node = node();
    assert_eq!(deploy(&node, 1, ""), 200);
    node.deploy("rival", &holder(1, "")).is_deployed();
    assert_eq!(order(&node, "app", "t"), "1");
    assert_eq!(order(&node, "rival", "t"), "0");
    let version = lock(&node);
    assert_eq!(deploy(&node, 2, "(unreachable)"), 422);
    assert_eq!(lock(&node), version, "it is still its own");
    assert_eq!(deploy(&node, 3, ""), 200);
    assert_eq!(order(&node, "app", "t"), "1", "its init has it");
    assert_eq!(lock(&node), version);
    node.undeploy("rival");
    node.deploy("rival", &holder(1, "")).is_deployed();
    assert_eq!(order(&node, "rival", "t"), "0");
    node.undeploy("app");
    node.undeploy("rival");
    node.deploy("rival", &holder(1, "")).is_deployed();
    assert_eq!(order(&node, "rival", "t"), "1", "it ended with the actor");
}

#[test]
fn a_message_on_loan_stays_so_and_can_be_answered_for_by_the_next_version() {
    let node = node();
    assert_eq!(deploy(&node, 1, ""), 200);
    let id = order(&node, "app", "r");
    assert_eq!(deploy(&node, 2, ""), 200);
    assert_eq!(order(&node, "app", &format!("a{id}")), "0");
    let borrowed = order(&node, "app", "r");
    node.undeploy("app");
    node.deploy("next", &holder(1, "")).is_deployed();
    assert_eq!(order(&node, "next", "r"), borrowed, "it came back");
}

#[test]
fn a_wait_without_end_ends_when_its_actor_is_upgraded_or_stopped() {
    let node = node();
    assert_eq!(deploy(&node, 1, ""), 200);
    let waits = || node.get("/api/v1/tuplespace/stats").json()["waiting"] == 1;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| order(&node, "app", "b"));
        node.waits_for("it to wait", waits);
        assert_eq!(deploy(&node, 2, ""), 200);
        assert_eq!(waiting.join().unwrap(), "-4");
        let waiting = scope.spawn(|| order(&node, "app", "b"));
        node.waits_for("it to wait", waits);
        assert_eq!(node.wish("app", "stop").status, 200);
        assert_eq!(waiting.join().unwrap(), "-4");
    });
}

#[test]
fn a_new_version_may_wait_in_its_init() {
    let node = node();
    assert_eq!(deploy(&node, 1, ""), 200);
    std::thread::scope(|scope| {
        let deploying = scope.spawn(|| deploy(&node, 2, WAITS));
        node.waits_for("it to wait", || {
            node.get("/api/v1/tuplespace/stats").json()["waiting"] == 1
        });
        let path = "/api/v1/tuplespace/tuples";
        let written = node.request("POST", path, &[], br#"{"tuple":["go"]}"#);
        assert_eq!(written.status, 200);
        assert_eq!(deploying.join().unwrap(), 200);
    });
    let left = node.get("/api/v1/tuplespace/count?pattern=%5B%22go%22%5D");
    assert_eq!(left.json()["count"], 0, "{left:?}");
}
