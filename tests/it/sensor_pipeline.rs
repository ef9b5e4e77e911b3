//! The sensor pipeline: its page as printed, a reading that breaks workers, and a node that is killed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Node, node};
use crate::readmes::follow;

fn readme() -> PathBuf {
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/intermediate/sensor_pipeline");
    example.join("README.md")
}

/// A node with the pipeline, deployed and used as its page says; none where the module is not built.
fn pipeline() -> Option<Node> {
    let module = readme().with_file_name("wasm-modules/sensor_pipeline.wasm");
    if !module.exists() {
        assert!(std::env::var_os("CI").is_none(), "it is not built");
        eprintln!("skipped: {module:?} is not built; see scripts/build_examples.sh");
        return None;
    }
    let node = node();
    assert_eq!(follow(&node, &readme(), "Run"), 5);
    Some(node)
}

fn sends(node: &Node, reading: &str) {
    let path = "/api/v1/actors/sensors/intake";
    let taken = node.request("POST", path, &[], reading.as_bytes());
    assert_eq!(taken.status, 200, "{taken:?}");
}

fn summary(node: &Node, query: &str) -> Value {
    node.get(&format!("/api/v1/actors/sensors/summary{query}"))
        .payload()
}

fn comes_to(node: &Node, query: &str, expected: &Value) {
    node.waits_for(&format!("{expected}"), || summary(node, query) == *expected);
}

/// How often the actors whose ids begin like this were restarted.
fn restarts(node: &Node, id: &str) -> u64 {
    let shown = node.get("/api/v1/applications/sensors").json();
    assert_eq!(shown["status"], "APPLICATION_STATUS_RUNNING");
    let actors = shown["actors"].as_array().unwrap();
    let of = |actor: &&Value| actor["actor_id"].as_str().unwrap().starts_with(id);
    let counts = actors.iter().filter(of).map(|it| it["restarts"].as_u64());
    counts.map(Option::unwrap).sum()
}

#[test]
fn readings_come_through_and_the_highest_stays() {
    let Some(node) = pipeline() else { return };
    sends(&node, r#"{"sensor":"attic","celsius":31.5}"#);
    let highest = json!({"sensor": "attic", "latest": 31.5, "highest": 31.5});
    comes_to(&node, "?sensor=attic", &highest);
    sends(&node, r#"{"sensor":"attic","celsius":-4}"#);
    let later = json!({"sensor": "attic", "latest": -4.0, "highest": 31.5});
    comes_to(&node, "?sensor=attic", &later);
    let unknown = json!({"sensor": "cellar", "latest": null, "highest": null});
    assert_eq!(summary(&node, "?sensor=cellar"), unknown);
}

#[test]
fn a_reading_that_breaks_workers_is_put_aside_and_the_others_come_through() {
    let Some(node) = pipeline() else { return };
    assert_eq!(follow(&node, &readme(), "Break it"), 3);
    // The reading may be put aside by one worker before the other has been started again.
    node.waits_for("three restarts", || restarts(&node, "sensors/worker") == 3);
    assert_eq!(restarts(&node, "sensors/"), 3, "of nobody else");
    node.log_says("is put aside");

    // Several at once, with good ones between them.
    for number in 0..5 {
        sends(&node, "[]");
        sends(
            &node,
            &format!(r#"{{"sensor":"oven-{number}","celsius":{number}}}"#),
        );
    }
    comes_to(&node, "", &json!({"waiting": 0, "rejected": 6}));
    for number in 0..5 {
        let celsius = f64::from(number);
        let query = format!("?sensor=oven-{number}");
        let expected =
            json!({"sensor": format!("oven-{number}"), "latest": celsius, "highest": celsius});
        comes_to(&node, &query, &expected);
    }
}

#[test]
fn no_reading_that_was_taken_in_is_missing_after_a_kill() {
    let Some(node) = pipeline() else { return };
    let sensors: Vec<String> = (0..30).map(|number| format!("room-{number}")).collect();
    for sensor in &sensors {
        sends(
            &node,
            &json!({"sensor": sensor, "celsius": 20.5}).to_string(),
        );
    }
    let node = Node::again(node.kill());
    for sensor in &sensors {
        let expected = json!({"sensor": sensor, "latest": 20.5, "highest": 20.5});
        comes_to(&node, &format!("?sensor={sensor}"), &expected);
    }
    assert_eq!(summary(&node, "")["rejected"], 0);
}

#[test]
fn upgrades_leave_no_work_behind() {
    let Some(node) = pipeline() else { return };
    let file = |name: &str| fs::read(readme().with_file_name(name)).unwrap();
    let wasm = file("wasm-modules/sensor_pipeline.wasm");
    let spec = String::from_utf8(file("sensor_pipeline.toml")).unwrap();
    for version in ["2.0.0", "3.0.0", "4.0.0"] {
        let form = node.form("sensors", &wasm).field("version", version);
        let form = form.field("application_id", "sensors").config(&spec);
        form.send().is_deployed();
        sends(&node, r#"{"sensor":"attic","celsius":31.5}"#);
    }
    let highest = json!({"sensor": "attic", "latest": 31.5, "highest": 31.5});
    comes_to(&node, "?sensor=attic", &highest);
    let waiting = || {
        let shown = node.get("/api/v1/applications/sensors").json();
        let actors = shown["actors"].as_array().unwrap().clone();
        actors
            .iter()
            .map(|it| it["mailbox_depth"].as_u64().unwrap())
            .sum::<u64>()
    };
    // One wakes the workers, so that each looks into its mailbox.
    node.waits_for("the mailboxes to be empty", || {
        sends(&node, r#"{"sensor":"attic","celsius":31.5}"#);
        waiting() == 0
    });
}
