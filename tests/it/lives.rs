//! Actors that spawn, stop, link and watch each other, in both spellings.

use std::time::{Duration, Instant};

use crate::guests::for_both_kinds;
use crate::harness::{Node, node};
use crate::puppets::{deaf_puppet, puppet};
use plexspaces_node::wasm::Kind;

/// What an actor of the application answers, as text.
fn order(node: &Node, actor: &str, order: &str) -> String {
    node.ask_by_id(actor, order.as_bytes()).body_payload()
}

/// Asks until the answer is this: what it tells of happens a moment later.
#[track_caller]
fn comes_to(node: &Node, actor: &str, asked: &str, expected: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = order(node, actor, asked);
        if expected.iter().all(|word| answer.contains(word)) {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "{actor} answers {answer:?} to {asked:?}, never {expected:?}"
        );
    }
}

fn actors(node: &Node, name: &str) -> Vec<String> {
    let detail = node.get(&format!("/api/v1/applications/{name}")).json();
    let actors = detail["actors"].as_array().unwrap().iter();
    let running = actors.filter(|actor| actor["state"] == "running");
    running
        .map(|actor| actor["actor_id"].as_str().unwrap().to_owned())
        .collect()
}

for_both_kinds! {
    fn an_actor_spawns_others_that_belong_to_its_application(node, kind) {
        node.deploy("boss", &puppet(kind)).is_deployed();
        assert_eq!(order(&node, "boss", "p"), "", "a deployed one has no parent");
        assert_eq!(order(&node, "boss", "shelper"), "boss/helper@test-node");
        assert_eq!(order(&node, "boss/helper", "p"), "boss@test-node");
        assert_eq!(order(&node, "boss", "shelper"), "-4", "an id is taken once");
        assert_eq!(order(&node, "boss", "s.bad"), "-4");
        assert_eq!(order(&node, "boss", "Snothing"), "-4");
        // Within the application a short address is enough, and its prefix is known.
        assert_eq!(order(&node, "boss", "ahelper"), "1");
        assert_eq!(order(&node, "boss", "aboss/helper@test-node"), "2");
        assert_eq!(order(&node, "boss/helper", "aboss"), "1");
        let made_up = order(&node, "boss/helper", "s");
        assert_eq!(made_up, "boss/helper.1@test-node");
        // What breaks is not restarted, and leaves nothing.
        node.ask_by_id("boss/helper", b"t").is_refused(502, "ABORTED", &["unreachable"]);
        comes_to(&node, "boss", "ahelper", &["-1"]);
        assert_eq!(actors(&node, "boss"), ["boss@test-node", "boss/helper.1@test-node"]);
        assert_eq!(node.undeploy("boss").status, 200);
        node.ask_by_id("boss/helper.1", b"c").is_refused(404, "NOT_FOUND", &["helper.1"]);
    }

    fn a_watcher_hears_once_how_another_ended(node, kind) {
        node.deploy("boss", &puppet(kind)).is_deployed();
        assert_eq!(order(&node, "boss", "mnobody"), "-1");
        order(&node, "boss", "sone");
        assert_eq!(order(&node, "boss", "mone"), "0");
        node.ask_by_id("boss/one", b"t").is_refused(502, "ABORTED", &[]);
        let down = comes_to(&node, "boss", "q", &["DOWN", "error: ", "unreachable"]);
        assert!(down.contains("boss/one@test-node") && down.contains("\"ref\":"), "{down}");
        order(&node, "boss", "stwo");
        order(&node, "boss", "mtwo");
        assert_eq!(order(&node, "boss", "ktwo"), "0");
        comes_to(&node, "boss", "q", &["DOWN", "boss/two@test-node", "shutdown"]);
        order(&node, "boss", "sthree");
        order(&node, "boss", "mthree");
        order(&node, "boss/three", "kthree");
        comes_to(&node, "boss", "q", &["DOWN", "boss/three@test-node", "normal"]);
    }

    fn those_that_are_linked_hear_of_each_others_ends(node, kind) {
        node.deploy("boss", &puppet(kind)).is_deployed();
        order(&node, "boss", "sone");
        assert_eq!(order(&node, "boss", "lone"), "0");
        assert_eq!(order(&node, "boss", "lboss"), "-4", "nobody is linked to himself");
        node.ask_by_id("boss/one", b"t").is_refused(502, "ABORTED", &[]);
        comes_to(&node, "boss", "q", &["EXIT", "boss/one@test-node", "error: "]);
        order(&node, "boss", "stwo");
        order(&node, "boss", "ltwo");
        order(&node, "boss", "utwo");
        order(&node, "boss", "ktwo");
        comes_to(&node, "boss", "atwo", &["-1"]);
        assert!(order(&node, "boss", "q").contains("boss/one"), "an undone link is heard of");
    }

    fn one_that_is_stopped_is_restarted_as_its_type_says(node, kind) {
        let tree = "[[supervisor.children]]\nid = 'always'\n\
            [[supervisor.children]]\nid = 'never'\nrestart = 'transient'\n";
        node.form("pair", &puppet(kind)).config(tree).send().is_deployed();
        assert_eq!(order(&node, "pair/always", "c"), "1");
        order(&node, "pair/never", "kalways");
        comes_to(&node, "pair/never", "aalways", &["1"]);
        order(&node, "pair/always", "knever");
        comes_to(&node, "pair/always", "anever", &["-1"]);
        node.ask_by_id("pair/never", b"c").is_refused(404, "NOT_FOUND", &[]);
        assert_eq!(actors(&node, "pair"), ["pair/always@test-node"]);
        // An operator may want it all the same.
        assert_eq!(node.wish("pair", "start").status, 200);
        comes_to(&node, "pair/always", "anever", &["1"]);
    }
}

#[test]
fn one_without_a_handler_for_notices_ends_with_whom_it_is_linked_to() {
    let node = node();
    node.deploy("boss", &deaf_puppet()).is_deployed();
    order(&node, "boss", "sone");
    order(&node, "boss", "stwo");
    order(&node, "boss/one", "ltwo");
    // An orderly end takes nobody along.
    order(&node, "boss", "sthree");
    order(&node, "boss/three", "lone");
    order(&node, "boss", "kthree");
    comes_to(&node, "boss", "athree", &["-1"]);
    assert_ne!(order(&node, "boss", "aone"), "-1");
    node.ask_by_id("boss/two", b"t")
        .is_refused(502, "ABORTED", &[]);
    comes_to(&node, "boss", "aone", &["-1"]);
    node.log_says("it was linked to boss/two@test-node");
}

#[test]
fn several_of_one_type_take_turns() {
    let node = node();
    let tree = "[[supervisor.children]]\nid = 'worker'\nargs = { a = 'b' }\n";
    let deploy = node.form("pool", &puppet(Kind::Core)).config(tree);
    deploy.send().is_deployed();
    assert_eq!(
        order(&node, "pool/worker", "Sworker"),
        "pool/worker.1@test-node"
    );
    let ask = || {
        let answer = node.request("POST", "/api/v1/actors/pool/worker", &[], b"c");
        answer.json()["actor_id"].as_str().unwrap().to_owned()
    };
    let asked: std::collections::BTreeSet<String> = (0..4).map(|_| ask()).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[test]
fn spawning_is_a_capability() {
    let node = node();
    let config = "[capabilities]\nallow_send_messages = true\n";
    let deploy = node.form("boss", &puppet(Kind::Core)).config(config);
    deploy.send().is_deployed();
    assert_eq!(order(&node, "boss", "shelper"), "-5");
}

#[test]
fn an_ask_to_one_that_ends_is_answered_at_once() {
    let node = node();
    node.deploy("boss", &puppet(Kind::Core)).is_deployed();
    order(&node, "boss", "sone");
    // It waits in the mailbox of one that never comes to it.
    let began = Instant::now();
    std::thread::scope(|scope| {
        let path = "/api/v1/actors/by-id/boss%2Fone";
        let told = node.request("POST", path, &[("prefer", "respond-async")], b"z");
        assert_eq!(told.status, 202, "{told:?}");
        let waiting = scope.spawn(|| {
            let patient = [("x-timeout-ms", "600000")];
            node.request("POST", path, &patient, b"c")
        });
        let detail = || node.get("/api/v1/applications/boss").json();
        while detail()["actors"][1]["mailbox_depth"] != 1 {}
        assert_eq!(order(&node, "boss", "kone"), "0");
        let words = ["boss/one@test-node", "stopped"];
        let answer = waiting.join().unwrap();
        answer.is_refused(503, "UNAVAILABLE", &words);
    });
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// Each of its lives says whether it could spawn another while it is stopped.
const HYDRA: &str = r#"(module
    (import "plexspaces" "log" (func $log (param i32 i32)))
    (import "plexspaces" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "one more head") (data (i32.const 32) "none any more")
    (func $one_more (result i32)
        (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 512)))
    (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
        (drop (call $one_more)) (i64.const 0))
    (func (export "shutdown")
        (if (i32.eqz (call $one_more))
            (then (call $log (i32.const 16) (i32.const 13)))
            (else (call $log (i32.const 32) (i32.const 13))))))"#;

#[test]
fn an_application_that_is_being_stopped_spawns_nobody() {
    let node = node();
    node.deploy("hydra", &wat::parse_str(HYDRA).unwrap())
        .is_deployed();
    assert_eq!(node.ask("hydra", b"").status, 200);
    assert_eq!(node.wish("hydra", "stop").status, 200);
    assert_eq!(node.log_count("none any more"), 2);
    assert_eq!(node.log_count("one more head"), 0);
    assert_eq!(node.wish("hydra", "start").status, 200);
    assert_eq!(node.ask("hydra", b"").status, 200, "it may again");
    assert_eq!(node.undeploy("hydra").status, 200);
}
