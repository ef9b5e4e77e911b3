//! Applications that need others, and libraries that lend their module.

use crate::guests::{ECHO, guest};
use crate::harness::{Answer, Node, node};
use crate::puppets::puppet;
use plexspaces_node::wasm::Kind;

fn needing(node: &Node, name: &str, dependencies: &[&str]) -> Answer {
    let config = format!("dependencies = {dependencies:?}\n");
    let echo = guest(Kind::Core, ECHO);
    node.form(name, &echo).config(&config).send()
}

#[test]
fn what_is_needed_must_run_and_cannot_be_taken_away() {
    let node = node();
    let words = ["stock, tax", "must run first"];
    needing(&node, "orders", &["stock", "tax"]).is_refused(409, "FAILED_PRECONDITION", &words);
    assert_eq!(node.total_applications(), 0);
    needing(&node, "stock", &[]).is_deployed();
    needing(&node, "tax", &[]).is_deployed();
    needing(&node, "orders", &["stock", "tax"]).is_deployed();
    node.undeploy("stock").is_refused(
        409,
        "FAILED_PRECONDITION",
        &["stock is needed by orders", "undeploy"],
    );
    assert_eq!(node.ask("stock", b"x").status, 200);
    // A circle could only come by an upgrade.
    needing(&node, "stock", &["orders"]).is_refused(
        409,
        "FAILED_PRECONDITION",
        &["stock → orders → stock"],
    );
    needing(&node, "tax", &["tax"]).is_refused(422, "INVALID_ARGUMENT", &["itself"]);
    assert_eq!(node.undeploy("orders").status, 200);
    assert_eq!(node.undeploy("stock").status, 200);
}

#[test]
fn what_is_needed_starts_first_after_a_restart() {
    let node = node();
    needing(&node, "early", &[]).is_deployed();
    needing(&node, "late", &[]).is_deployed();
    // From here on the order of the deploys is not that of the needs.
    needing(&node, "early", &["late"]).is_deployed();
    let node = Node::again(node.kill());
    for name in ["early", "late"] {
        assert_eq!(node.ask(name, b"x").status, 200, "{name}");
    }
    node.log_says("application early: version 1.0.0 is running");
    let mut started = node.log_lines("application ");
    started.retain(|line| line.ends_with(": version 1.0.0 is running"));
    let names: Vec<_> = started.iter().map(|line| line.split(':').next()).collect();
    assert_eq!(names, [Some("late"), Some("early")]);
    let seen = node.get("/api/v1/applications/early").json();
    assert_eq!(seen["spec"]["dependencies"][0], "late");
}

#[test]
fn a_stopped_dependency_keeps_others_from_starting() {
    let node = node();
    needing(&node, "stock", &[]).is_deployed();
    needing(&node, "orders", &["stock"]).is_deployed();
    for name in ["orders", "stock"] {
        assert_eq!(node.wish(name, "stop").status, 200);
    }
    node.wish("orders", "start")
        .is_refused(409, "FAILED_PRECONDITION", &["stock"]);
    assert_eq!(node.wish("stock", "start").status, 200);
    assert_eq!(node.wish("orders", "start").status, 200);
}

/// A version on probation may give way to the one before, which then needs what it needed.
#[test]
fn what_the_version_before_needs_stays_until_the_new_one_has_passed() {
    let node = node();
    needing(&node, "stock", &[]).is_deployed();
    needing(&node, "orders", &["stock"]).is_deployed();
    needing(&node, "orders", &[]).is_deployed();
    let refused = node.undeploy("stock");
    refused.is_refused(409, "FAILED_PRECONDITION", &["stock", "needed by orders"]);
    assert_eq!(node.undeploy("orders").status, 200);
    assert_eq!(node.undeploy("stock").status, 200);
}

#[test]
fn a_library_runs_nothing_and_lends_its_module() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    let library = || node.form("tools", &echo).config("type = 'library'");
    library().send().is_deployed();
    let seen = node.get("/api/v1/applications/tools").json();
    assert_eq!(
        (
            &seen["status"],
            &seen["metrics"]["actor_count"],
            &seen["spec"]["type"]
        ),
        (
            &"APPLICATION_STATUS_RUNNING".into(),
            &0.into(),
            &"library".into()
        )
    );
    node.ask("tools", b"x")
        .is_refused(404, "NOT_FOUND", &["tools"]);
    let boss = puppet(Kind::Component);
    let config = "dependencies = ['tools']\n";
    node.form("boss", &boss).config(config).send().is_deployed();
    node.deploy("lonely", &boss).is_deployed();
    let spawn = |of: &str| node.ask_by_id(of, b"Stools").body_payload();
    assert_eq!(spawn("lonely"), "-4", "it is not among its dependencies");
    assert_eq!(spawn("boss"), "boss/tools.1@test-node");
    assert_eq!(
        node.ask_by_id("boss/tools.1", b"hello").body_payload(),
        "hello"
    );
    let by_type = node.request("POST", "/api/v1/actors/boss/tools", &[], b"hello");
    assert_eq!(by_type.body_payload(), "hello");
    node.undeploy("tools")
        .is_refused(409, "FAILED_PRECONDITION", &["boss"]);
    let node = Node::again(node.kill());
    assert_eq!(
        node.ask_by_id("boss", b"Stools").body_payload(),
        "boss/tools.1@test-node"
    );
    for verb in ["stop", "start"] {
        assert_eq!(node.wish("tools", verb).status, 200);
    }
}
