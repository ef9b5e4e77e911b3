//! The example `firmware_rollout`: a rollout goes on after a kill, waits for its operator, and takes back what it did.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Answer, Node, node};
use crate::readmes::follow;

fn example() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/intermediate/firmware_rollout")
}

/// A node with the application, where its module is built.
fn fleet() -> Option<Node> {
    let Ok(wasm) = fs::read(example().join("wasm-modules/firmware_rollout.wasm")) else {
        // `scripts/test.sh` builds it where it can, and says so where it cannot.
        assert!(
            std::env::var_os("CI").is_none(),
            "firmware_rollout.wasm is not built"
        );
        eprintln!("skipped: firmware_rollout.wasm is not built; see its README");
        return None;
    };
    let node = node();
    let config = fs::read_to_string(example().join("application.toml")).unwrap();
    node.form("fleet", &wasm)
        .config(&config)
        .send()
        .is_deployed();
    Some(node)
}

fn ask(node: &Node, worker: &str, message_type: &str, payload: &str) -> Answer {
    let path = format!("/api/v1/actors/fleet/{worker}?type={message_type}");
    node.request("POST", &path, &[], payload.as_bytes())
}

fn look(node: &Node, id: &str) -> Value {
    node.get(&format!("/api/v1/workflows/fleet/{id}")).json()
}

fn version(node: &Node, device: &str) -> String {
    ask(node, "devices", "version", device)
        .payload()
        .to_string()
}

fn signal(node: &Node, id: &str, name: &str) {
    let path = format!("/api/v1/workflows/fleet/{id}/signal?name={name}");
    assert_eq!(node.request("POST", &path, &[], b"").status, 200);
}

fn result(node: &Node, id: &str) -> String {
    node.waits_for("the rollout to end", || {
        look(node, id)["status"] != "RUNNING"
    });
    look(node, id)["result"].as_str().unwrap().to_owned()
}

#[test]
fn the_page_is_as_it_says() {
    let readme = example().join("README.md");
    if !example()
        .join("wasm-modules/firmware_rollout.wasm")
        .exists()
    {
        return;
    }
    let node = node();
    for (heading, commands) in [("Deploy", 1), ("Roll out", 4), ("See it take back", 4)] {
        assert_eq!(follow(&node, &readme, heading), commands, "{heading}");
    }
}

#[test]
fn a_rollout_waits_for_its_operator_over_a_kill_and_reaches_every_device() {
    let Some(mut node) = fleet() else { return };
    let plan = "spring\nfirmware 2.1.0\nsoak 20\nbatch gate-1\nbatch gate-2 shy-3\nbatch gate-4";
    assert_eq!(
        ask(&node, "rollout", "start", plan).body_payload(),
        "spring"
    );
    let again = ask(&node, "rollout", "start", plan);
    assert!(again.body.contains("already"), "{again:?}");
    // The first batch has been flashed, and has proven itself.
    node.waits_for("the first batch", || look(&node, "spring")["steps"] == 2);
    node = Node::again(node.kill());
    assert!(version(&node, "gate-1").contains("2.1.0"));
    assert!(
        version(&node, "gate-2").contains("1.0.0"),
        "nobody approved"
    );
    signal(&node, "spring", "approve");
    node = Node::again(node.kill());
    assert_eq!(result(&node, "spring"), "2.1.0 on 4 devices");
    for device in ["gate-1", "gate-2", "shy-3", "gate-4"] {
        assert!(version(&node, device).contains("2.1.0"), "{device}");
    }
}

#[test]
fn a_rollout_whose_batch_fails_takes_back_what_it_flashed() {
    let Some(mut node) = fleet() else { return };
    let plan = "autumn\nfirmware 3.0.0\nbatch gate-1\nbatch gate-2 broken-3 gate-4";
    ask(&node, "rollout", "start", plan);
    signal(&node, "autumn", "approve");
    node = Node::again(node.kill());
    assert_eq!(
        result(&node, "autumn"),
        "rolled back: broken-3: takes no firmware"
    );
    for device in ["gate-1", "gate-2", "broken-3", "gate-4"] {
        assert!(version(&node, device).contains("1.0.0"), "{device}");
    }
    let plan = "winter\nfirmware 3.1.0\nbatch gate-1\nbatch gate-2";
    ask(&node, "rollout", "start", plan);
    signal(&node, "winter", "reject");
    assert_eq!(
        result(&node, "winter"),
        "rolled back: an operator rejected it"
    );
    assert!(version(&node, "gate-1").contains("1.0.0"));
    // A mistyped signal is none: the rollout waits on.
    let plan = "summer\nfirmware 3.2.0\nbatch gate-1\nbatch gate-2";
    ask(&node, "rollout", "start", plan);
    signal(&node, "summer", "aprove");
    node.waits_for("its log tells", || {
        node.get("/api/v1/applications/fleet/logs")
            .body
            .contains("not aprove")
    });
    signal(&node, "summer", "approve");
    assert_eq!(result(&node, "summer"), "3.2.0 on 2 devices");
    let nonsense = ask(&node, "rollout", "start", "odd\nfly me");
    assert!(nonsense.body.contains("a plan has no"), "{nonsense:?}");
}
