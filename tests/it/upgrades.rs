//! Upgrades and the way back: the old goes on until the new stands in its place, and no message is lost in between.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::to;
use crate::harness::{Answer, Node, node};
use crate::puppets::{puppet, stateful};
use plexspaces_node::wasm::Kind;

/// Keeps the numbers that it is asked with in order: answers each with itself, or breaks when one comes twice or out of
/// its order. Its snapshot is the last number. `more` goes into the module, `first` in front of every message.
fn ordered(more: &str, first: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "plexspaces" "send_after" (func $send_after (param i64 i32 i32 i32 i32) (result i64)))
        (memory (export "memory") 2)
        (global $last (mut i32) (i32.const 0))
        {more}
        (func $number (param $at i32) (param $len i32) (result i32) (local $sum i32)
            (block $done (loop $next
                (br_if $done (i32.eqz (local.get $len)))
                (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 10))
                    (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (local.set $len (i32.sub (local.get $len) (i32.const 1)))
                (br $next)))
            (local.get $sum))
        (func $init_state (export "init") (param i32 i32) (result i32)
            (if (i32.eq (local.get 1) (i32.const 4)) (then (global.set $last (i32.load (local.get 0)))))
            (call $begin))
        (func (export "snapshot_state") (result i64)
            (i32.store (i32.const 4096) (global.get $last))
            (i64.or (i64.shl (i64.const 4) (i64.const 32)) (i64.const 4096)))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64) (local $number i32)
            {first}
            (local.set $number (call $number (local.get 4) (local.get 5)))
            (if (i32.le_u (local.get $number) (global.get $last)) (then (unreachable)))
            (global.set $last (local.get $number))
            (i64.or (i64.shl (i64.extend_i32_u (local.get 5)) (i64.const 32)) (i64.extend_i32_u (local.get 4)))))"#
    );
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

const BEGINS: &str = "(func $begin (result i32) (i32.const 0))";

fn good(version: usize) -> Vec<u8> {
    ordered(
        &format!("{BEGINS} (global (export \"version\") i32 (i32.const {version}))"),
        "",
    )
}

fn deploy(node: &Node, name: &str, version: &str, wasm: &[u8]) -> Answer {
    node.form(name, wasm).field("version", version).send()
}

fn version(node: &Node, name: &str) -> String {
    let detail = node.get(&format!("/api/v1/applications/{name}")).json();
    detail["version"].as_str().unwrap().to_owned()
}

#[track_caller]
fn comes_to(node: &Node, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let detail = node.get(&format!("/api/v1/applications/{name}")).json();
        if wanted(&detail) {
            return detail;
        }
        assert!(Instant::now() < deadline, "never as wanted: {detail:#}");
    }
}

/// Numbers go up as fast as they are answered while fifty versions follow each other: each is answered or refused in
/// words, none twice, none out of order, and what was known before is known after.
#[test]
fn fifty_upgrades_under_load_lose_nothing() {
    let node = node();
    let modules = [good(1), good(2)];
    deploy(&node, "counter", "1", &modules[0]).is_deployed();
    let files = AtomicUsize::new(0);
    let (done, answered, refused) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        let (node, done) = (&node, &done);
        scope.spawn(|| {
            for number in 1.. {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                let answer = node.ask("counter", number.to_string().as_bytes());
                match answer.status {
                    200 => {
                        assert_eq!(answer.payload(), number);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    429 | 503 => drop(refused.fetch_add(1, Ordering::SeqCst)),
                    // A number that came twice or late would have broken the guest.
                    _ => panic!("{number}: {answer:?}"),
                }
            }
        });
        for round in 0..50 {
            let before = answered.load(Ordering::SeqCst);
            let answer = deploy(
                node,
                "counter",
                &(round + 2).to_string(),
                &modules[(round + 1) % 2],
            );
            answer.is_deployed();
            if round == 0 {
                files.store(node.files().len(), Ordering::SeqCst);
            }
            while answered.load(Ordering::SeqCst) < before + 2 {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    let (answered, refused) = (
        answered.load(Ordering::SeqCst),
        refused.load(Ordering::SeqCst),
    );
    assert_eq!(refused, 0, "of {answered}");
    assert_eq!(version(&node, "counter"), "51");
    let seen = node.get("/api/v1/applications/counter").json();
    assert_eq!(seen["actors"][0]["messages_handled"], answered);
    assert_eq!(seen["actors"][0]["restarts"], 0);
    // One actor, and no more memory than it takes, is left of fifty-one versions.
    assert_eq!(
        node.files().len(),
        files.into_inner(),
        "two modules, each compiled once"
    );
}

#[test]
fn a_version_that_does_not_start_changes_nothing() {
    let node = node();
    deploy(&node, "app", "1", &good(1)).is_deployed();
    assert_eq!(node.ask("app", b"7").payload(), 7);
    let files = node.files().len();
    let memory = |node: &Node| {
        let detail = node.get("/api/v1/applications/app").json();
        detail["actors"][0]["memory_bytes"].as_u64().unwrap()
    };
    let before = memory(&node);
    let trapping = "(func $begin (result i32)
        (drop (memory.grow (i32.const 20))) (unreachable))";
    let trapping = ordered(trapping, "");
    deploy(&node, "app", "2", &trapping).is_refused(
        422,
        "INVALID_ARGUMENT",
        &["does not start", "unreachable"],
    );
    assert_eq!(memory(&node), before, "what is shown is the old one's");
    let log = node.get("/api/v1/applications/app/logs").body;
    assert!(log.contains("version 2 is not taken"), "{log}");
    deploy(&node, "app", "2", b"\0asm\x01\0\0\0").is_refused(422, "INVALID_ARGUMENT", &[]);
    assert_eq!(version(&node, "app"), "1");
    assert_eq!(
        node.ask("app", b"8").payload(),
        8,
        "the old one lost its state"
    );
    node.uploads_end();
    assert_eq!(node.files().len(), files);
    let node = Node::again(node.kill());
    assert_eq!(version(&node, "app"), "1");
}

#[test]
fn a_version_that_breaks_at_its_first_message_is_replaced_by_the_one_before() {
    let node = Node::unforgiving();
    deploy(&node, "app", "1", &good(1)).is_deployed();
    assert_eq!(node.ask("app", b"7").payload(), 7);
    deploy(&node, "app", "2", &ordered(BEGINS, "(unreachable)")).is_deployed();
    assert_eq!(version(&node, "app"), "2");
    node.ask("app", b"8")
        .is_refused(502, "ABORTED", &["unreachable"]);
    comes_to(&node, "app", |it| {
        it["version"] == "1" && it["status"] == "APPLICATION_STATUS_RUNNING"
    });
    assert_eq!(
        node.ask("app", b"8").payload(),
        8,
        "the state at the upgrade"
    );
    node.log_says("version 2 has failed in its probation");
    let undone = node.get("/api/v1/applications/app").json()["undone"].clone();
    assert_eq!(undone["version"], "2");
    assert!(undone["reason"].as_str().unwrap().contains("unreachable"));
    let shown = to(&node, &["status", "app"]);
    let line = "\n  undone    2 failed in its probation at ";
    assert!(shown.done().contains(line), "{shown:?}");
    let widest = shown.out.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|it| it <= 80), "{shown:?}");
    deploy(&node, "app", "3", &good(1)).is_deployed();
    let seen = node.get("/api/v1/applications/app").json();
    assert_eq!(
        seen["undone"],
        Value::Null,
        "the next deploy is another story"
    );
    assert_eq!(node.wish("app", "rollback").status, 200);
    let node = Node::again(node.kill());
    assert_eq!(version(&node, "app"), "1");
    assert_eq!(node.ask("app", b"9").payload(), 9);
}

#[test]
fn a_version_that_keeps_breaking_after_a_while_is_replaced_by_the_one_before() {
    let node = Node::unforgiving();
    deploy(&node, "app", "1", &good(1)).is_deployed();
    assert_eq!(node.ask("app", b"7").payload(), 7);
    // A message of its own breaks it, each time a little after its start.
    let begins = r#"(data (i32.const 64) "tick")
        (func $begin (result i32)
            (drop (call $send_after (i64.const 300) (i32.const 64) (i32.const 4) (i32.const 64) (i32.const 0)))
            (i32.const 0))"#;
    let ticks = "(if (i32.eqz (local.get 5)) (then (unreachable)))";
    deploy(&node, "app", "2", &ordered(begins, ticks)).is_deployed();
    assert_eq!(node.ask("app", b"8").payload(), 8);
    comes_to(&node, "app", |it| {
        it["version"] == "1" && it["status"] == "APPLICATION_STATUS_RUNNING"
    });
    assert_eq!(
        node.ask("app", b"8").payload(),
        8,
        "what came since the upgrade is lost, and said to be"
    );
    node.log_says("what has changed since is lost");
}

#[test]
fn a_version_that_no_longer_starts_after_a_restart_of_the_node_is_replaced() {
    let node = node();
    deploy(&node, "app", "1", &stateful("")).is_deployed();
    node.ask("app", b"ok");
    let second = stateful(r#"(global (export "second") i32 (i32.const 2))"#);
    deploy(&node, "app", "2", &second).is_deployed();
    assert_eq!(node.ask("app", b"").body_payload(), "ok");
    // Its own snapshot keeps it from starting.
    node.ask("app", b"xxfail");
    let node = Node::again(node.stop());
    let seen = comes_to(&node, "app", |it| {
        it["version"] == "1" && it["status"] == "APPLICATION_STATUS_RUNNING"
    });
    assert_eq!(seen["undone"]["version"], "2");
    assert_eq!(node.ask("app", b"").body_payload(), "ok");
}

#[test]
fn a_rollback_goes_to_the_version_before_and_back_again() {
    let node = node();
    deploy(&node, "app", "1", &good(1)).is_deployed();
    node.wish("app", "rollback")
        .is_refused(409, "FAILED_PRECONDITION", &["no version before"]);
    assert_eq!(node.ask("app", b"7").payload(), 7);
    deploy(&node, "app", "2", &good(2)).is_deployed();
    assert_eq!(node.ask("app", b"8").payload(), 8);
    let seen = node.get("/api/v1/applications/app").json();
    assert_eq!(
        (&seen["previous"]["version"], &seen["on_probation"]),
        (&"1".into(), &true.into())
    );
    assert_eq!(node.wish("app", "rollback").status, 200);
    assert_eq!(version(&node, "app"), "1");
    assert_eq!(node.ask("app", b"9").payload(), 9, "with its state");
    node.ask("app", b"8")
        .is_refused(502, "ABORTED", &["unreachable"]);
    let node = Node::again(node.kill());
    assert_eq!(version(&node, "app"), "1");
    assert_eq!(node.wish("app", "rollback").status, 200);
    assert_eq!(version(&node, "app"), "2");
    node.wish("nobody", "rollback")
        .is_refused(404, "NOT_FOUND", &["nobody"]);
}

#[test]
fn an_upgrade_changes_the_tree_and_each_keeps_what_is_its_own() {
    let node = node();
    let tree = |ids: &[&str]| -> String {
        ids.iter()
            .map(|id| format!("[[supervisor.children]]\nid = '{id}'\n"))
            .collect()
    };
    let send = |version: &str, ids: &[&str], wasm: &[u8]| {
        let form = node.form("app", wasm).field("version", version);
        form.config(&tree(ids)).send()
    };
    send("1", &["one", "two"], &stateful("")).is_deployed();
    node.ask_by_id("app/one", b"first");
    node.ask_by_id("app/two", b"second");
    send("2", &["three", "two"], &stateful("")).is_deployed();
    assert_eq!(node.ask_by_id("app/two", b"").body_payload(), "second");
    assert_eq!(node.ask_by_id("app/three", b"").body_payload(), "");
    let gone = comes_to(&node, "app", |it| it["page"]["total_size"] == 2);
    assert_eq!(gone["actors"][0]["actor_id"], "app/three@test-node");
    node.ask_by_id("app/one", b"")
        .is_refused(404, "NOT_FOUND", &["app/one"]);
}

#[test]
fn what_belongs_to_an_actor_stays_with_it_through_an_upgrade() {
    let node = node();
    deploy(&node, "boss", "1", &puppet(Kind::Core)).is_deployed();
    let order = |actor: &str, order: &str| {
        let answer = node.ask_by_id(actor, order.as_bytes());
        answer.body_payload()
    };
    order("boss", "shelper");
    order("boss", "swatched");
    assert_eq!(order("boss", "mwatched"), "0");
    assert_eq!(order("boss/helper", "lwatched"), "0");
    deploy(&node, "boss", "2", &puppet(Kind::Core)).is_deployed();
    assert_eq!(
        order("boss/helper", "p"),
        "boss@test-node",
        "those it spawned go along"
    );
    node.ask_by_id("boss/watched", b"t")
        .is_refused(502, "ABORTED", &[]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !order("boss", "q").contains("DOWN") || !order("boss/helper", "q").contains("EXIT") {
        assert!(Instant::now() < deadline, "nobody heard of it");
    }
}

/// Each of these messages makes one actor ask another, which must not be at rest before it.
#[test]
fn actors_that_ask_each_other_are_upgraded_while_they_do() {
    let node = node();
    let tree = "[[supervisor.children]]\nid = 'back'\n[[supervisor.children]]\nid = 'front'\n\
        [[supervisor.children]]\nid = 'rear'\n";
    let send = |version: usize| {
        let wasm = puppet(Kind::Core);
        let version = version.to_string();
        let form = node.form("app", &wasm).field("version", &version);
        form.config(tree).send()
    };
    send(0).is_deployed();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (front, back) in [("front", "aback"), ("front", "arear"), ("rear", "aback")] {
            let (node, done) = (&node, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let answer = node.ask_by_id(&format!("app/{front}"), back.as_bytes());
                    let answer = answer.body_payload();
                    // An error has a digit; a count alone comes to `-` one day.
                    let failed = answer.starts_with('-') && answer.len() > 1;
                    assert!(!failed, "{front} to {back}: {answer}");
                }
            });
        }
        for version in 1..=10 {
            let answer = send(version);
            if answer.status != 200 {
                done.store(true, Ordering::SeqCst);
            }
            answer.is_deployed();
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn an_actor_that_does_not_come_to_an_end_is_not_upgraded() {
    let node = node();
    let config = "[[supervisor.children]]\nid = 'slow'\nshutdown_timeout = '1s'\n";
    let send = |version: &str| {
        let wasm = puppet(Kind::Core);
        let form = node.form("app", &wasm).field("version", version);
        form.config(config).send()
    };
    send("1").is_deployed();
    let path = "/api/v1/actors/by-id/app%2Fslow";
    let told = node.request("POST", path, &[("prefer", "respond-async")], b"z");
    assert_eq!(told.status, 202);
    send("2").is_refused(
        409,
        "FAILED_PRECONDITION",
        &[
            "app/slow@test-node",
            "shutdown",
            "GET /api/v1/applications/app shows whether it is busy",
        ],
    );
    assert_eq!(version(&node, "app"), "1");
}

#[test]
fn an_actor_that_breaks_as_it_tells_its_state_is_named_and_its_application_can_be_stopped_and_upgraded()
 {
    let node = node();
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "snapshot_state") (result i64) (unreachable))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
            (i64.or (i64.shl (i64.extend_i32_u (local.get 5)) (i64.const 32)) (i64.extend_i32_u (local.get 4)))))"#;
    deploy(&node, "app", "1", &wat::parse_str(text).unwrap()).is_deployed();
    deploy(&node, "app", "2", &good(2)).is_refused(
        422,
        "INVALID_ARGUMENT",
        &[
            "app@test-node broke as it told its state",
            "unreachable",
            "plexspaces application stop app",
        ],
    );
    assert_eq!(version(&node, "app"), "1");
    assert_eq!(node.ask("app", b"it goes on").body_payload(), "it goes on");
    assert_eq!(node.wish("app", "stop").status, 200);
    deploy(&node, "app", "2", &good(2)).is_deployed();
    assert_eq!(node.ask("app", b"1").payload(), 1);
}

#[test]
fn what_an_upgrade_changes_of_the_config_is_in_the_log() {
    let node = node();
    let (first, second) = (good(1), good(2));
    let form = node.form("app", &first).field("version", "1");
    form.config("env = { MODE = 'fast' }\n[limits]\nmax_mailbox = 10")
        .send()
        .is_deployed();
    deploy(&node, "app", "2", &second).is_deployed();
    let log = node.get("/api/v1/applications/app/logs").body;
    assert!(log.contains("version 2 changes env, limits"), "{log}");
}

/// Killed at some instant of an upgrade, the node comes back with the old version or the new one, and its whole state.
#[test]
fn a_node_killed_during_an_upgrade_has_one_version_whole() {
    let modules = [good(1), good(2)];
    let node = node();
    deploy(&node, "app", "0", &modules[0]).is_deployed();
    let (mut node, mut current) = (node, "0".to_owned());
    for round in 1..=8 {
        let number = round.to_string();
        let asked = round * 100;
        assert_eq!(
            node.ask("app", asked.to_string().as_bytes()).payload(),
            asked
        );
        let url = format!("http://{}/api/v1/applications/deploy", node.http);
        let wasm = &modules[round % 2];
        let form = node.form("app", wasm).field("version", &round.to_string());
        let (content_type, body) = form.encode();
        let sender = std::thread::spawn(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .into();
            let request = ureq::http::Request::builder()
                .method("POST")
                .uri(url)
                .header("content-type", content_type);
            agent
                .run(request.body(&body[..]).unwrap())
                .map(|answer| answer.status().as_u16())
                .ok()
        });
        // Each round lets it come a little further.
        let deadline = Instant::now() + Duration::from_millis(3 * round as u64);
        while Instant::now() < deadline && !sender.is_finished() {
            std::thread::yield_now();
        }
        let dir = node.kill();
        let answered = sender.join().unwrap();
        node = Node::again(dir);
        let seen = version(&node, "app");
        let fits = seen == number || (answered.is_none() && seen == current);
        assert!(
            fits,
            "answered {answered:?}, is {seen}, was {current}, sent {number}"
        );
        let again = (asked + 1).to_string();
        assert_eq!(
            node.ask("app", again.as_bytes()).status,
            200,
            "it is half there"
        );
        current = seen;
    }
}
