//! Each application's log: what its guests say and what happens to it, kept over restarts, followed live.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::guests::{EARLY, RASCAL, for_both_kinds, guest};
use crate::harness::{Node, node};
use crate::tokens;

fn lines(node: &Node, name: &str, query: &str) -> Vec<Value> {
    let answer = node.get(&format!("/api/v1/applications/{name}/logs{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["lines"].as_array().unwrap().clone()
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect()
}

for_both_kinds! {
    fn an_application_has_a_log_of_its_own(node, kind) {
        node.deploy("teller", &guest(kind, EARLY)).is_deployed();
        node.deploy("rascal", &guest(kind, RASCAL)).is_deployed();
        node.ask("teller", b"a line of its guest");
        node.ask("rascal", b"trap");
        let told = lines(&node, "teller", "");
        assert_eq!(messages(&told), ["version 1.0.0 is running", "a line of its guest"]);
        assert_eq!((&told[1]["actor"], &told[1]["level"]), (&"teller@test-node".into(), &"INFO".into()));
        assert_eq!(told[0]["actor"], Value::Null);

        let graver = lines(&node, "rascal", "?level=warn");
        let (trap, restart) = (&graver[0], &graver[graver.len() - 1]);
        assert_eq!(trap["level"], "ERROR");
        let text = trap["message"].as_str().unwrap();
        assert!(text.contains("unreachable") && text.contains("backtrace"), "{text}");
        assert!(restart["message"].as_str().unwrap().starts_with("restarted: "));
        let moment = restart["time"].as_str().unwrap();
        let since = lines(&node, "rascal", &format!("?since={moment}"));
        assert_eq!(since.last(), Some(restart));
        assert_eq!(lines(&node, "rascal", "?tail=1"), std::slice::from_ref(restart));

        // A stop in order writes what waits; what is undeployed takes its log along.
        let node = Node::again(node.stop());
        assert!(messages(&lines(&node, "teller", "")).contains(&"a line of its guest"));
        assert_eq!(node.undeploy("teller").status, 200);
        node.get("/api/v1/applications/teller/logs").is_refused(404, "NOT_FOUND", &["teller"]);
    }
}

for_both_kinds! {
    fn no_word_of_a_guest_turns_or_breaks_a_line(node, kind) {
        node.deploy("teller", &guest(kind, EARLY)).is_deployed();
        node.ask("teller", "a\u{2028}b\u{202e}c\u{2069}d\u{1b}e".as_bytes());
        let shown = "a·b·c·d·e";
        node.log_says(&format!("teller@test-node: {shown}"));
        assert!(messages(&lines(&node, "teller", "")).contains(&shown));
    }
}

/// What a follower of the teller's log hears, from its last line on.
fn follow(node: &Node, headers: &str) -> impl Iterator<Item = Value> + use<> {
    let mut connection = TcpStream::connect(node.http).unwrap();
    let path = "/api/v1/applications/teller/logs?tail=1&follow=true";
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    BufReader::new(connection)
        .lines()
        .map(Result::unwrap)
        .inspect(|line| assert!(!line.starts_with("HTTP/1.1 4"), "{line}"))
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
}

#[test]
fn a_log_is_followed_from_its_last_lines_on() {
    let node = node();
    node.deploy("teller", &guest(plexspaces_node::wasm::Kind::Core, EARLY))
        .is_deployed();
    node.ask("teller", b"before");
    let mut events = follow(&node, "");
    assert_eq!(events.next().unwrap()["message"], "before");
    node.ask("teller", b"while it listens");
    assert_eq!(events.next().unwrap()["message"], "while it listens");
    // A follower is no reason not to stop.
    let dir = node.stop();
    assert_eq!(events.next(), None);
    drop(dir);
}

#[test]
fn a_revoked_token_follows_a_log_no_further() {
    let node = node();
    node.deploy("teller", &guest(plexspaces_node::wasm::Kind::Core, EARLY))
        .is_deployed();
    node.ask("teller", b"before");
    let (id, token) = tokens::create(node.data_dir(), "read");
    let headers = format!("X-Forwarded-For: 192.0.2.7\r\nAuthorization: Bearer {token}\r\n");
    let mut events = follow(&node, &headers);
    assert_eq!(events.next().unwrap()["message"], "before");
    node.ask("teller", b"while it may listen");
    assert_eq!(events.next().unwrap()["message"], "while it may listen");
    tokens::token_json(node.data_dir(), &["revoke", &id]);
    node.ask("teller", b"after that");
    assert_eq!(events.next(), None);
}

#[test]
fn a_log_says_what_it_does_not_understand() {
    let node = node();
    node.get("/api/v1/applications/nobody/logs")
        .is_refused(404, "NOT_FOUND", &["nobody"]);
    node.deploy("rascal", &guest(plexspaces_node::wasm::Kind::Core, RASCAL))
        .is_deployed();
    node.get("/api/v1/applications/rascal/logs?lines=5")
        .is_refused(400, "INVALID_ARGUMENT", &["tail=", "level=", "since="]);
}
