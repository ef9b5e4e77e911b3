//! `plexspaces list`, `status`, `undeploy` and `application …`: what they show and do, by name and by id.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use plexspaces_node::wasm::Kind;
use serde_json::Value;

use crate::cli::{plexspaces, run, to};
use crate::guests::{COUNTER, EARLY, RASCAL, guest};
use crate::harness::{Node, node};

fn with_counter() -> Node {
    let node = node();
    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    node
}

#[test]
fn an_application_is_listed_and_shown() {
    let node = node();
    let empty = to(&node, &["list"]);
    assert_eq!((empty.code, empty.out.as_str()), (0, ""));
    assert!(empty.err.contains("plexspaces deploy"), "{empty:?}");

    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    for list in [&["list"][..], &["application", "list"]] {
        let said = to(&node, list);
        let lines: Vec<Vec<&str>> = said
            .done()
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[0],
            ["NAME", "VERSION", "STATUS", "ACTORS", "UPTIME", "ID"]
        );
        assert_eq!(lines[1][..4], ["counter", "1.0.0", "RUNNING", "1"]);
        assert_eq!(lines[1].last(), Some(&"counter-app"));
        assert_eq!(lines.len(), 2);
    }
    for naming in [
        &["status", "counter"][..],
        &["application", "status", "--app-id", "counter-app"],
    ] {
        let said = to(&node, naming);
        let words = [
            "counter 1.0.0 is RUNNING",
            "counter-app",
            "core",
            "└─ counter",
            "running",
        ];
        assert!(
            words.iter().all(|word| said.done().contains(word)),
            "{said:?}"
        );
    }
}

#[test]
fn json_is_what_the_node_answers() {
    let node = with_counter();
    let check = |arguments: &[&str], path: &str, part: &str| {
        let (said, answered) = (to(&node, arguments).json(), node.get(path).json());
        assert_eq!(said.pointer(part), answered.pointer(part), "{said}");
        assert!(said.pointer(part).is_some(), "{said}");
    };
    let json = ["--output", "json"];
    let list = "/api/v1/applications";
    let one = "/api/v1/applications/counter";
    check(
        &[&["list"], &json[..]].concat(),
        list,
        "/applications/0/module_hash",
    );
    check(&[&["status", "counter"], &json[..]].concat(), one, "/spec");
    check(
        &[&["status", "counter"], &json[..]].concat(),
        one,
        "/actors",
    );
}

#[test]
fn an_application_is_stopped_started_and_undeployed() {
    let node = with_counter();
    assert_eq!(
        to(&node, &["application", "stop", "counter"]).done(),
        "counter is STOPPED\n"
    );
    assert_eq!(node.status_of("counter"), "STOPPED");
    assert_eq!(
        to(&node, &["application", "start", "--app-id=counter-app"]).done(),
        "counter is RUNNING\n"
    );
    let said = to(
        &node,
        &[
            "application",
            "undeploy",
            "--name",
            "counter",
            "--output",
            "json",
        ],
    );
    assert_eq!(
        said.json(),
        serde_json::json!({"success": true, "application_id": "counter-app"})
    );
    for command in ["undeploy", "status"] {
        to(&node, &[command, "counter"]).fails(1, &["counter", "no application"]);
        to(&node, &[command, "--app-id", "counter-app"])
            .fails(1, &["counter-app", "plexspaces list"]);
    }
}

#[test]
fn the_health_of_a_node_is_shown_and_decides_on_the_exit_code() {
    let node = Node::unforgiving();
    let health = to(&node, &["health"]);
    assert_eq!(
        health.done(),
        format!(
            "node test-node is healthy\n  version  {}\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    let health = to(&node, &["health", "--output", "json"]);
    assert_eq!(health.json()["status"], "healthy");

    node.form("rascal", &guest(Kind::Core, RASCAL))
        .config("[supervisor]\nmax_restarts = 0")
        .send()
        .is_deployed();
    node.ask("rascal", b"trap");
    node.waits_for("the failure", || node.status_of("rascal") == "FAILED");
    let health = to(&node, &["health"]);
    assert_eq!(
        (health.code, health.err.as_str()),
        (1, "plexspaces: the node is degraded\n"),
        "{health:?}"
    );
    let says_why = "node test-node is degraded\n";
    let next = "application/rascal: it has failed; plexspaces status rascal says why\n";
    assert!(
        health.out.starts_with(says_why) && health.out.ends_with(next),
        "{health:?}"
    );
    run(&["health", "--node", "localhost:1"]).fails(1, &["cannot reach a node"]);
}

#[test]
fn an_application_that_is_not_told_is_wrong_usage() {
    run(&["undeploy"]).fails(2, &["--app-id", "plexspaces list"]);
    run(&["status", "a", "--name", "b"]).fails(2, &["one of"]);
}

#[test]
fn a_failed_actor_shows_its_error() {
    let node = node();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    node.ask("rascal", b"trap");
    let said = to(&node, &["status", "rascal"]);
    assert!(
        said.done().contains("Last errors:\nrascal@test-node: "),
        "{said:?}"
    );
    let widest = said.out.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|it| it <= 80), "{said:?}");
    assert!(said.out.contains("unreachable"), "{said:?}");
}

#[test]
fn a_log_is_shown_by_number_time_and_level() {
    let node = node();
    node.deploy("teller", &guest(Kind::Core, EARLY))
        .is_deployed();
    node.ask("teller", b"one");
    node.ask("teller", b"two");
    let logs = |more: &[&str]| to(&node, &[&["application", "logs", "teller"], more].concat());
    let all = logs(&[]);
    let lines: Vec<&str> = all.done().lines().collect();
    assert!(
        lines[0].ends_with("INFO  version 1.0.0 is running"),
        "{lines:?}"
    );
    assert!(
        lines[1].ends_with("INFO  teller@test-node: one"),
        "{lines:?}"
    );
    assert_eq!(
        logs(&["--tail", "1"]).done().lines().collect::<Vec<_>>(),
        lines[2..]
    );
    assert_eq!(logs(&["--level", "warn"]).done(), "");
    assert_eq!(logs(&["--since", "1h"]).done(), all.out);
    assert_eq!(logs(&["--since", "2999-01-01T00:00:00Z"]).done(), "");
    assert_eq!(
        logs(&["--output", "json"]).json()["lines"][1]["message"],
        "one"
    );
    let wrong = logs(&["--since", "yesterday"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}

#[test]
fn a_log_is_followed_until_the_node_stops() {
    let node = node();
    node.deploy("teller", &guest(Kind::Core, EARLY))
        .is_deployed();
    node.ask("teller", b"before");
    let follow = [
        "application",
        "logs",
        "teller",
        "-f",
        "--tail",
        "1",
        "--output",
        "json",
    ];
    let mut child = plexspaces(&follow)
        .args(["--node", &node.grpc.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(lines.next().unwrap()["message"], "before");
    node.ask("teller", b"while it listens");
    assert_eq!(lines.next().unwrap()["message"], "while it listens");
    let dir = node.stop();
    assert_eq!(lines.next(), None);
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(said.contains("ended the log"), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    drop(dir);
}

#[test]
fn a_tree_is_drawn() {
    let node = node();
    let tree = r#"
        [[supervisor.children]]
        id = "pool"
        type = "supervisor"
        [supervisor.children.supervisor]
        strategy = "one_for_all"
        [[supervisor.children.supervisor.children]]
        id = "worker-1"
        [[supervisor.children.supervisor.children]]
        id = "worker-2"
        [[supervisor.children]]
        id = "till"
    "#;
    let form = node.form("orders", &guest(Kind::Core, COUNTER));
    form.config(tree).send().is_deployed();
    let said = to(&node, &["status", "orders"]);
    let drawn = said.done().split_once("\n\n").unwrap().1;
    let labels: Vec<_> = drawn
        .lines()
        .skip(1)
        .map(|line| line.split("  running").next().unwrap().trim_end())
        .collect();
    assert_eq!(
        labels,
        [
            "orders (one_for_one)",
            "├─ pool (one_for_all)",
            "│  ├─ worker-1",
            "│  └─ worker-2",
            "└─ till",
        ]
    );
    assert!(
        drawn.lines().all(|line| line.chars().count() <= 80),
        "{drawn}"
    );
}

#[test]
fn an_upgrade_is_rolled_back() {
    let node = with_counter();
    to(&node, &["application", "rollback", "counter"]).fails(1, &["counter", "no version before"]);
    let form = node.form("counter", &guest(Kind::Core, COUNTER));
    form.field("version", "2.0.0").send().is_deployed();
    let said = to(&node, &["status", "counter"]);
    assert!(said.done().contains("\n  before    1.0.0\n"), "{said:?}");
    assert_eq!(
        to(&node, &["application", "rollback", "counter"]).done(),
        "counter is rolled back from 2.0.0 to 1.0.0; once more leads forward again\n"
    );
    let said = to(&node, &["status", "counter"]);
    assert!(
        said.done().starts_with("counter 1.0.0 is RUNNING"),
        "{said:?}"
    );
}
