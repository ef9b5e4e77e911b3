//! Components in Rust and Python that call the functions of the interfaces with good arguments and bad ones, and report.

use std::fs;
use std::path::PathBuf;
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Node, node};

/// The guest in Rust, where a toolchain for it was found.
pub fn conformance() -> Option<Vec<u8>> {
    built("conformance.wasm")
}

fn built(module: &str) -> Option<Vec<u8>> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/guests/built");
    match fs::read(built.join(module)) {
        Ok(wasm) => Some(wasm),
        Err(_) => {
            // `scripts/test.sh` builds it where it can, and says so where it cannot.
            assert!(
                std::env::var_os("CI").is_none(),
                "tests/guests/build.sh has not run"
            );
            eprintln!("skipped: tests/guests/build.sh has not run");
            None
        }
    }
}

fn asked(node: &Node, name: &str, message_type: &str, payload: &str) -> String {
    let headers = [("x-message-type", message_type), ("x-timeout-ms", "60000")];
    node.ask_with(name, &headers, payload.as_bytes())
        .body_payload()
}

/// The report on one interface: nothing failed, and that of many checks.
fn reports(interface: &str, checks_min: u64) {
    let Some(wasm) = conformance() else { return };
    let node = node();
    node.deploy("guest", &wasm).is_deployed();
    reports_to(&node, interface, checks_min);
}

fn reports_to(node: &Node, interface: &str, checks_min: u64) {
    let headers = [("x-message-type", interface), ("x-timeout-ms", "60000")];
    let report = node.ask_with("guest", &headers, b"").payload();
    assert_eq!(report["failures"], json!([]), "{interface}: {report:#}");
    let checks = report["checks"].as_u64().unwrap();
    assert!(checks >= checks_min, "{interface}: only {checks} checks");
}

#[test]
fn every_function_that_most_actors_use_keeps_its_word_in_python() {
    let Some(wasm) = built("conformance_python.wasm") else {
        return;
    };
    // One node for all: the module takes longer to compile than its checks.
    let node = node();
    let limits = "[limits]\nmax_execution_time = '30s'";
    node.form("guest", &wasm)
        .config(limits)
        .send()
        .is_deployed();
    for (interface, checks_min) in [
        ("tuplespace", 60),
        ("keyvalue", 45),
        ("channels", 50),
        ("locks", 30),
        ("messaging", 35),
        ("process-groups", 25),
    ] {
        reports_to(&node, interface, checks_min);
    }
    examples_run(&node);
}

/// The examples of docs/polyglot.md, in the language of this guest.
fn examples_run(node: &Node) {
    let outcomes = "doubled: true, led: true, told: 1, visits: 2, results: 1, dead letters: 1, bytes: 3, receipt: first";
    assert_eq!(asked(node, "guest", "examples", ""), outcomes);
    let tea = || node.get("/api/v1/workflows/guest/tea-1").json();
    node.waits_for("the tea", || tea()["status"] != "RUNNING");
    assert_eq!(tea()["result"], "tea of water", "{:#}", tea());
}

#[test]
fn the_examples_of_the_page_run_in_rust() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    node.deploy("guest", &wasm).is_deployed();
    examples_run(&node);
    let event = asked(&node, "guest", "events", "");
    assert!(event.contains("order.made"), "{event}");
}

#[test]
fn every_function_of_the_tuple_space_keeps_its_word() {
    reports("tuplespace", 60);
}

#[test]
fn every_function_of_the_locks_keeps_its_word() {
    reports("locks", 30);
}

#[test]
fn every_function_of_the_process_groups_keeps_its_word() {
    reports("process-groups", 30);
}

#[test]
fn every_function_of_the_keys_keeps_its_word() {
    reports("keyvalue", 40);
}

#[test]
fn every_function_of_the_channels_keeps_its_word() {
    reports("channels", 40);
}

#[test]
fn every_function_of_the_journal_keeps_its_word() {
    reports("durability", 30);
}

#[test]
fn a_component_gets_its_checkpoint_and_the_entries_after_it_again() {
    let Some(wasm) = conformance() else { return };
    let mut node = node();
    node.deploy("guest", &wasm).is_deployed();
    asked(&node, "guest", "durability", "");
    assert_eq!(
        asked(&node, "guest", "journal", ""),
        "3 4",
        "it was compacted"
    );
    assert_eq!(asked(&node, "guest", "journal", "five"), "3 4 5");
    let breaks = |node: &Node| {
        let answer = node.ask_with("guest", &[("x-message-type", "trap")], b"");
        assert_eq!(answer.status, 502);
    };
    breaks(&node);
    assert_eq!(asked(&node, "guest", "events", ""), "add five again");
    node = Node::again(node.kill());
    assert_eq!(asked(&node, "guest", "journal", "six"), "3 4 5 6");
    node = Node::again(node.stop());
    assert_eq!(asked(&node, "guest", "events", ""), "add five again");
    breaks(&node);
    assert_eq!(asked(&node, "guest", "events", ""), "add five again");
}

#[test]
fn every_function_of_the_blobs_keeps_its_word() {
    reports("blob", 40);
}

#[test]
fn every_function_of_the_registry_keeps_its_word() {
    reports("registry", 35);
}

#[test]
fn every_function_of_messaging_and_of_the_conversation_keeps_its_word() {
    reports("messaging", 40);
}

#[test]
fn spans_are_timed_and_counted_and_stand_in_the_log() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    node.deploy("guest", &wasm).is_deployed();
    let report = node.ask_with("guest", &[("x-message-type", "logging")], b"");
    assert_eq!(report.payload()["failures"], json!([]), "{report:?}");
    let log = node.get("/api/v1/applications/guest/logs").body;
    for line in [
        r#"span \"inner\" event \"step\" n=\"1\""#,
        r#"span \"inner\" took "#,
        r#"span \"outer\" took "#,
        r#"event \"alone\""#,
        r#"span \"left open\" is forgotten"#,
        r#"with fields a=\"b\""#,
    ] {
        assert!(log.contains(line), "{line} is not in {log}");
    }
    let metrics = node.get("/metrics").body;
    for line in [
        "plexspaces_guest_span_seconds_count 2",
        "plexspaces_guest_spans_forgotten_total 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[test]
fn events_arrive_and_end_with_the_actor() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    node.deploy("guest", &wasm).is_deployed();
    let write = |tuple: Value| {
        let body = json!({"tuple": tuple}).to_string();
        let answer = node.request("POST", "/api/v1/tuplespace/tuples", &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let id = asked(&node, "guest", "subscribe", "a");
    write(json!(["a", 1]));
    write(json!(["b", 2]));
    // The event lies in the mailbox before the question does.
    let expected = format!(r#"tuple {{"subscription":{id},"tuple":["a",1]}}"#);
    assert_eq!(asked(&node, "guest", "events", ""), expected);
    let stats = || node.get("/api/v1/tuplespace/stats").json();
    assert_eq!(stats()["subscriptions"], 1);
    assert_eq!(
        node.ask_with("guest", &[("x-message-type", "trap")], b"")
            .status,
        502
    );
    while stats()["subscriptions"] != 0 {
        thread::yield_now();
    }
    write(json!(["a", 3]));
    assert_eq!(asked(&node, "guest", "events", ""), "", "a new life");
}

#[test]
fn a_component_that_waits_gets_a_tuple_once_and_is_told_when_it_is_stopped() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    for name in ["one", "other"] {
        node.deploy(name, &wasm).is_deployed();
    }
    let waiting_become = |count: u64| {
        while node.get("/api/v1/tuplespace/stats").json()["waiting"] != count {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let takers = ["one", "other"].map(|name| {
            let taker = scope.spawn(|| asked(&node, name, "take", "job"));
            waiting_become(if name == "one" { 1 } else { 2 });
            taker
        });
        let body = json!({"tuple": ["job", 1]}).to_string();
        node.request("POST", "/api/v1/tuplespace/tuples", &[], body.as_bytes());
        let [one, other] = takers;
        assert!(
            one.join().unwrap().contains("IntVal(1)"),
            "the first to come"
        );
        waiting_become(1);
        assert_eq!(node.undeploy("other").status, 200);
        let told = other.join().unwrap();
        assert!(
            told.contains("ErrorCode::Timeout") && told.contains("stopped or upgraded"),
            "{told}"
        );
    });
}

#[test]
fn no_guest_reaches_another_tenant_by_any_function() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    let config = "tenant = 'acme'\nnamespace = 'shop'";
    node.form("guest", &wasm)
        .config(config)
        .send()
        .is_deployed();
    let reach = |place: &str| -> Vec<String> {
        let answer = node.request(
            "POST",
            "/api/v1/actors/acme/shop/guest?type=reach",
            &[],
            place.as_bytes(),
        );
        answer
            .body_payload()
            .split(' ')
            .map(str::to_owned)
            .collect()
    };
    for place in ["acme/shop", "/", "/yard", "acme/yard"] {
        let answers = reach(place);
        assert!(
            answers.len() >= 40 && answers.iter().all(|it| it == "ok"),
            "{place}: {answers:?}"
        );
    }
    for place in ["default/default", "default/", "other/shop", "ACME/shop"] {
        let answers = reach(place);
        assert!(
            answers.len() >= 40 && answers.iter().all(|it| it == "NotPermitted"),
            "{place}: {answers:?}"
        );
    }
    for (place, word) in [
        ("/../shop", "InvalidMessage"),
        ("acme/a b", "InvalidMessage"),
        ("other/../shop", "NotPermitted"),
    ] {
        let answers = reach(place);
        assert!(
            answers.len() >= 40 && answers.iter().all(|it| it == word),
            "{place}: {answers:?}"
        );
    }
    // What it wrote at home is at home alone.
    let count = |place: &str| {
        let body = format!(r#"{{"pattern":[{{"any":true}},{{"any":true}}]{place}}}"#);
        node.request("POST", "/api/v1/tuplespace/count", &[], body.as_bytes())
            .json()["count"]
            .as_u64()
    };
    assert_eq!(count(""), Some(0));
    assert_eq!(
        count(r#","tenant":"acme","namespace":"shop""#),
        Some(0),
        "all was taken again"
    );
}

#[test]
fn a_guest_of_another_namespace_holds_nothing_that_this_one_wants() {
    let Some(wasm) = conformance() else { return };
    let node = node();
    node.deploy("one", &wasm).is_deployed();
    node.form("other", &wasm)
        .config("namespace = 'yard'")
        .send()
        .is_deployed();
    node.deploy("third", &wasm).is_deployed();
    let version = asked(&node, "one", "lock", "k");
    assert!(
        asked(&node, "other", "lock", "k") > version,
        "another lock of the same name"
    );
    assert_eq!(asked(&node, "one", "join", "g"), "joined");
    assert_eq!(asked(&node, "other", "join", "g"), "joined");
    // A third in the first's namespace waits until the first is gone.
    thread::scope(|scope| {
        let third = scope.spawn(|| asked(&node, "third", "lock", "k"));
        assert_eq!(node.undeploy("one").status, 200);
        assert!(third.join().unwrap() > version);
    });
}
