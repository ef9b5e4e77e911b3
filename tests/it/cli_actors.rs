//! `plexspaces invoke` and `plexspaces actor`: asking, telling, listing, stopping.

use plexspaces_node::wasm::Kind;
use tempfile::TempDir;

use crate::cli::{fed, file, run, shown, to};
use crate::guests::{COUNTER, ECHO, RASCAL, guest};
use crate::harness::{Node, node};

fn with_echo() -> Node {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    node
}

#[test]
fn an_answer_is_printed_as_it_is() {
    let (node, dir) = (with_echo(), TempDir::new().unwrap());
    assert_eq!(to(&node, &["invoke", "echo", "hello"]).done(), "hello");
    assert_eq!(to(&node, &["invoke", "echo"]).done(), "");
    assert_eq!(
        to(&node, &["invoke", "echo/echo", "{\"a\": 1}"]).done(),
        "{\"a\": 1}"
    );
    assert_eq!(
        to(&node, &["invoke", "default/default/echo", "x"]).done(),
        "x"
    );
    assert_eq!(
        to(&node, &["invoke", "echo@test-node", "--", "--x"]).done(),
        "--x"
    );
    let path = file(&dir, "message", b"from a file\n");
    let at = format!("@{}", shown(&path));
    assert_eq!(to(&node, &["invoke", "echo", &at]).done(), "from a file\n");
    assert_eq!(
        fed(&node, &["invoke", "echo", "-"], b"piped").done(),
        "piped"
    );
    assert_eq!(
        fed(&node, &["actor", "ask", "echo", "@-"], b"piped").done(),
        "piped"
    );
    let json = to(&node, &["invoke", "echo", "{\"a\":1}", "--output", "json"]).json();
    assert_eq!(
        (&json["payload"]["a"], &json["actor_id"]),
        (&1.into(), &"echo@test-node".into())
    );
}

#[test]
fn actors_are_listed_asked_told_and_stopped() {
    let node = with_echo();
    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    let listed = to(&node, &["actor", "list"]);
    assert_eq!(listed.done().lines().count(), 3, "{listed:?}");
    let ours = to(
        &node,
        &[
            "actor",
            "list",
            "--application",
            "counter",
            "--output",
            "json",
        ],
    )
    .json();
    assert_eq!(ours["actors"].as_array().unwrap().len(), 1);
    assert_eq!(ours["actors"][0]["actor_id"], "counter@test-node");

    let told = to(&node, &["actor", "send", "counter@test-node", "x"]);
    assert_eq!(told.done().lines().count(), 1, "{told:?}");
    assert_eq!(to(&node, &["actor", "ask", "counter", "x"]).done(), "2");
    let told = to(&node, &["actor", "send", "counter", "--output", "json"]).json();
    assert!(told["message_id"].is_string(), "{told}");

    assert_eq!(
        to(&node, &["actor", "stop", "counter@test-node"]).done(),
        "counter@test-node is stopped\n"
    );
    to(&node, &["actor", "ask", "counter", "x"]).fails(1, &["counter"]);
}

#[test]
fn what_an_actor_cannot_answer_is_one_line() {
    let node = node();
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    to(&node, &["invoke", "nobody", "x"]).fails(1, &["nobody"]);
    to(&node, &["actor", "ask", "nobody", "x"]).fails(1, &["nobody"]);
    to(&node, &["invoke", "rascal", "trap"]).fails(1, &["unreachable"]);
    to(&node, &["invoke", "rascal", "spin", "--timeout", "10ms"]).fails(1, &["rascal"]);
}

#[test]
fn a_message_that_cannot_be_sent_is_told_before() {
    let dir = TempDir::new().unwrap();
    let large = file(&dir, "large", &vec![b'x'; 1024 * 1024 + 1]);
    let at = format!("@{}", shown(&large));
    run(&["invoke", "echo", &at, "--node", "127.0.0.1:1"]).fails(1, &["1048576 bytes"]);
    run(&["invoke", "echo", "@/gone"]).fails(1, &["/gone", "No such file"]);
    run(&["invoke", "a/b/c/d"]).fails(2, &["NAMESPACE/TYPE"]);
}
