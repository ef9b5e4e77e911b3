//! A component in Rust built against the older edition of the package: it links, runs, and every function keeps its word.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::harness::node;

/// The guest, where a toolchain for it was found.
fn older() -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/guests/built/older.wasm");
    let built = fs::read(path).ok();
    if built.is_none() {
        // `scripts/test.sh` builds it where it can, and says so where it cannot.
        assert!(
            std::env::var_os("CI").is_none(),
            "tests/guests/build.sh has not run"
        );
        eprintln!("skipped: tests/guests/build.sh has not run");
    }
    built
}

#[test]
fn every_function_of_the_older_interface_keeps_its_word() {
    let Some(wasm) = older() else { return };
    let node = node();
    node.deploy("older", &wasm).is_deployed();
    let answer = node.ask_with("older", &[("x-message-type", "check")], b"");
    assert_eq!(answer.body_payload(), "");
    let log = node.get("/api/v1/applications/older/logs").body;
    assert_eq!(
        log.matches("a line of the older edition").count(),
        6,
        "{log}"
    );
    node.waits_for("the spawned actor to be told", || {
        let log = node.get("/api/v1/applications/older/logs").body;
        log.contains("told hello by older@test-node")
    });
}

#[test]
fn requests_are_answered_by_the_older_result() {
    let Some(wasm) = older() else { return };
    let node = node();
    node.deploy("older", &wasm).is_deployed();
    assert_eq!(node.ask("older", b"echo").payload(), json!("echo"));
    let failed = node.ask_with("older", &[("x-message-type", "fail")], b"");
    failed.is_refused(502, "ABORTED", &["failed as asked"]);
}

#[test]
fn with_its_capabilities_off_it_is_told_so() {
    let Some(wasm) = older() else { return };
    let node = node();
    let config = "[capabilities]\nallow_send_messages = true";
    node.form("older", &wasm)
        .config(config)
        .send()
        .is_deployed();
    let report = node.ask_with("older", &[("x-message-type", "check")], b"");
    let report = report.body_payload();
    for word in ["allow_tuplespace is off", "allow_spawn_actors is off"] {
        assert!(report.contains(word), "{word} is not in {report}");
    }
}
