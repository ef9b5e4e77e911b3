//! A node that cannot be reached, is not the one meant, or refuses: one clear line, and the exit code.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use plexspaces_node::wasm::Kind;
use tempfile::TempDir;

use crate::cli::{Said, file, plexspaces, run, shown, to};
use crate::guests::{ECHO, RASCAL, guest};
use crate::harness::{Node, node};
use crate::tokens;

/// One command over HTTP and one over gRPC.
fn both(address: &str) -> [Said; 2] {
    let dir = TempDir::new().unwrap();
    let wasm = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let deploy = ["deploy", "--name", "echo", "--wasm", shown(&wasm)];
    [&["list"][..], &deploy].map(|command| run(&[command, &["--node", address]].concat()))
}

#[test]
fn a_node_that_is_down_is_named() {
    for said in both("localhost:1") {
        said.fails(
            1,
            &[
                "cannot reach a node at localhost:",
                "is it running",
                "--node",
            ],
        );
    }
}

#[test]
fn the_http_port_is_not_taken_for_the_grpc_port() {
    let node = node();
    let [list, deploy] = both(&node.http.to_string());
    list.fails(1, &[&node.http.to_string(), "gRPC port"]);
    deploy.fails(1, &[&node.http.to_string(), "gRPC port"]);
}

/// The address of a server of another kind, on two ports in a row, that says this to everybody.
fn another_server(says: &'static [u8]) -> String {
    let (first, second) = loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if let Ok(second) = TcpListener::bind(("127.0.0.1", port.wrapping_add(1))) {
            break (first, second);
        }
    };
    let address = first.local_addr().unwrap().to_string();
    for listener in [first, second] {
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // Closed with the request unread, the connection would be reset.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(says);
            }
        });
    }
    address
}

#[test]
fn what_is_no_node_is_named() {
    for said in both(&another_server(b"SSH-2.0-OpenSSH_9.2\r\n")) {
        said.fails(1, &["does not speak", "gRPC port"]);
    }
}

#[test]
fn what_answers_in_other_shapes_is_told_so() {
    for says in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"actors\":[3]}",
    ] {
        let address = another_server(says);
        for command in [&["status", "app"][..], &["list"], &["actor", "list"]] {
            let said = run(&[command, &["--node", &address]].concat());
            let empty_is_known = command == ["actor", "list"] && says.ends_with(b"{}");
            if !empty_is_known {
                said.fails(1, &["not what this program knows"]);
            }
        }
    }
}

#[test]
fn a_list_that_never_ends_is_given_up() {
    let body = r#"{"workflows":[{}],"page":{"has_next":true}}"#;
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:";
    let says = format!("{head} {}\r\n\r\n{body}", body.len());
    let address = another_server(says.leak().as_bytes());
    let said = run(&["workflow", "list", "--node", &address]);
    said.fails(1, &["workflows does not end", "1000 pages"]);
}

#[test]
fn a_missing_or_unknown_token_is_told_and_a_good_one_is_taken_from_anywhere() {
    let node = Node::start(TempDir::new().unwrap(), &["--require-token"]);
    let (dir, address) = (TempDir::new().unwrap(), node.grpc.to_string());
    let wasm = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let deploy = ["deploy", "--name", "echo", "--wasm", shown(&wasm)];
    for command in [&["list"][..], &deploy] {
        to(&node, command).fails(1, &["token", "plexspaces token create", "--token-file"]);
        let with = |more: &[&str]| to(&node, &[command, more].concat());
        with(&["--token", "plx_wrong"]).fails(1, &["no such token"]);
        with(&["--token", "a b"]).fails(2, &["no token"]);
        with(&["--token-file", "/gone"]).fails(1, &["/gone", "No such file"]);
        with(&["--token", "a", "--token-file", "b"]).fails(2, &["not both"]);
    }
    let (_, token) = tokens::create(node.data_dir(), "deploy");
    let odd = file(&dir, "odd", b"a b");
    to(&node, &["list", "--token-file", shown(&odd)]).fails(1, &["odd", "no token"]);
    let kept = file(&dir, "token", format!("{token}\n").as_bytes());
    to(&node, &[&deploy[..], &["--token", &token]].concat()).done();
    to(&node, &["list", "--token-file", shown(&kept)]).done();
    for (variable, value) in [
        ("PLEXSPACES_TOKEN", token.as_str()),
        ("PLEXSPACES_TOKEN_FILE", shown(&kept)),
    ] {
        let mut command = plexspaces(&["list"]);
        let command = command
            .env(variable, value)
            .env("PLEXSPACES_NODE", &address);
        let said: Said = command.output().unwrap().into();
        assert!(said.done().contains("echo"), "{said:?}");
    }
    let (_, reader) = tokens::create(node.data_dir(), "read");
    to(&node, &["undeploy", "echo", "--token", &reader]).fails(1, &["scope"]);
}

#[test]
fn wrong_usage_has_an_exit_code_of_its_own() {
    for wrong in [
        &["launch"][..],
        &["deploy", "--wasm", "x.wasm"],
        &["list", "--node", "localhost"],
        &["list", "--node", "localhost:65535"],
        &["list", "--output", "xml"],
        &["list", "--colour"],
        &["completions", "tcsh"],
        &["application"],
    ] {
        let said = run(wrong);
        assert_eq!(
            (said.code, said.out.as_str()),
            (2, ""),
            "{wrong:?}: {said:?}"
        );
        assert!(said.err.starts_with("plexspaces: "), "{said:?}");
    }
    let said: Said = plexspaces(&["list"])
        .env("PLEXSPACES_NODE", "nowhere")
        .output()
        .unwrap()
        .into();
    said.fails(2, &["PLEXSPACES_NODE", "nowhere", "localhost:8000"]);
    let said: Said = plexspaces(&["list"])
        .env("PLEXSPACES_TOKEN", "a b")
        .output()
        .unwrap()
        .into();
    said.fails(2, &["no token"]);
    run(&["list", "--token", ""]).fails(2, &["no token"]);
}

#[test]
fn an_empty_name_or_id_is_wrong_usage_before_any_node_is_asked() {
    for wrong in [
        &["status", ""][..],
        &["status", "--name", ""],
        &["status", "--app-id", ""],
        &["undeploy", ""],
        &["application", "stop", ""],
        &["application", "logs", ""],
        &["actor", "list", "--application", ""],
        &["actor", "send", ""],
        &["actor", "ask", "", "x"],
        &["actor", "stop", ""],
        &["workflow", "list", "--application", ""],
        &["workflow", "status", "", "x"],
        &["workflow", "cancel", "x", ""],
        &["workflow", "signal", "x", "y", ""],
        &["token", "revoke", ""],
    ] {
        run(wrong).fails(2, &["it is empty, and names nothing", "--help"]);
    }
}

#[test]
fn who_says_nothing_is_helped_and_who_is_off_by_a_word_is_told_the_command() {
    assert_eq!(run(&[]).done(), run(&["--help"]).done());
    run(&["logs", "calculator"]).fails(2, &["did you mean plexspaces application logs?"]);
    run(&["application", "invoke"]).fails(2, &["did you mean plexspaces invoke?"]);
    run(&["lst"]).fails(2, &["did you mean plexspaces list?"]);
    run(&["list", "--nod", "edge:8000"]).fails(2, &["did you mean --node?"]);
    run(&["deploy", "calc.wasm"]).fails(2, &["did you mean --wasm calc.wasm?"]);
    run(&["invoke", "a", "x:add", "y:[2"]).fails(2, &["one message in single quotes"]);
}

#[test]
fn a_value_that_does_not_fit_is_said_once_with_what_would() {
    let check = |arguments: &[&str], words: &[&str]| {
        let said = run(arguments);
        said.fails(2, words);
        assert!(!said.err.contains("Error parsing"), "{said:?}");
    };
    check(
        &["invoke", "a", "--timeout", "5x"],
        &["--timeout: \"5x\" is no length of time"],
    );
    for odd in ["11m", "0", "601"] {
        let words = ["--timeout: ", odd, "between 1ms and 10m"];
        check(&["invoke", "a", "--timeout", odd], &words);
        check(&["actor", "ask", "a", "--timeout", odd], &words);
    }
    check(
        &["tuplespace", "take", "[]", "--timeout", "11m"],
        &["--timeout: ", "between 0s and 10m"],
    );
    for odd in ["0", "366d"] {
        let write = ["tuplespace", "write", "[]", "--ttl", odd];
        check(&write, &["--ttl: ", odd, "between 1ms and 365 days"]);
    }
    for flag in ["--tenant", "--namespace"] {
        check(
            &["tuplespace", "count", "[]", flag, "a/b"],
            &[flag, "a/b", "is not valid"],
        );
    }
    for command in [
        &["invoke", "a"][..],
        &["actor", "ask", "a"],
        &["actor", "send", "a"],
    ] {
        let odd = [command, &["--type", ""]].concat();
        check(&odd, &["--type: \"\" is no type", "1 to 128"]);
    }
    check(
        &["tuplespace", "take", "[]", "--limit", "x"],
        &["--limit: \"x\" is no whole number"],
    );
    for (flag, odd) in [("--version", ""), ("--name", "../x"), ("--app-id", "")] {
        let deploy = ["deploy", "--name", "a", "--wasm", "a.wasm", flag, odd];
        let deploy = match flag {
            "--name" => [&["deploy"][..], &deploy[3..]].concat(),
            _ => deploy.to_vec(),
        };
        check(&deploy, &[&format!("{flag}: "), "is not valid"]);
    }
    check(
        &["application", "logs", "a", "--tail", "5000"],
        &["--tail", "from 0 to 1000"],
    );
    check(
        &["workflow", "list", "--status", "bogus"],
        &[
            "--status",
            "running, completed, failed, cancelled or timed_out",
        ],
    );
    check(
        &["deploy", "--name", "a", "--wasm", "a", "--sha256", "abcd"],
        &["--sha256", "64 hexadecimal digits"],
    );
}

#[test]
fn what_to_do_is_said_in_commands() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let check = |arguments: &[&str], command: &str| {
        let said = to(&node, arguments);
        said.fails(1, &[command]);
        assert!(!said.err.contains("/api/v1/"), "{said:?}");
    };
    for command in [
        &["status", "greetr"][..],
        &["undeploy", "greetr"],
        &["invoke", "greetr"],
        &["actor", "list", "--application", "greetr"],
        &["workflow", "list", "--application", "greetr"],
    ] {
        check(command, "plexspaces list shows those deployed");
    }
    check(&["actor", "stop", "nobody"], "plexspaces actor list shows");
    to(&node, &["actor", "stop", "echo"]).done();
    const BY_ID: [&[&str]; 3] = [
        &["actor", "ask", "echo"],
        &["actor", "send", "echo"],
        &["actor", "stop", "echo@test-node"],
    ];
    let all_say_how_it_starts = || {
        for command in [&[&["invoke", "echo"][..]][..], &BY_ID].concat() {
            check(
                command,
                "is stopped; plexspaces application start echo starts it",
            );
        }
    };
    all_say_how_it_starts();
    to(&node, &["application", "stop", "echo"]).done();
    all_say_how_it_starts();
    for command in ["actor", "workflow"] {
        let said = to(&node, &[command, "list", "--application", "echo"]);
        assert_eq!((said.code, &*said.out), (0, ""), "{said:?}");
    }
    let dir = TempDir::new().unwrap();
    let wasm = file(&dir, "echo.wasm", &guest(Kind::Core, ECHO));
    let again = ["deploy", "--name", "echo", "--wasm", shown(&wasm)];
    check(&again, "plexspaces application start echo");
}

#[test]
fn what_takes_too_long_or_is_no_json_says_what_to_do() {
    let node = node();
    let slow = guest(Kind::Core, RASCAL);
    node.form("rascal", &slow)
        .config("[limits]\nmax_execution_time = '300s'")
        .send()
        .is_deployed();
    // A plain number is seconds, here as in a configuration.
    let asked = ["invoke", "rascal", "spin", "--timeout", "0.05"];
    let said = to(&node, &asked);
    said.fails(
        1,
        &["did not answer", "--timeout", "plexspaces status rascal"],
    );
    assert!(!said.err.contains("X-Timeout"), "{said:?}");
    let said = to(&node, &["invoke", "none", "{operation:add}"]);
    said.fails(1, &["plexspaces list", "single quotes"]);
    let said = to(&node, &["workflow", "status", "rascal", "none"]);
    said.fails(1, &["plexspaces workflow list --application rascal"]);
    to(&node, &["application", "stop", "rascal"]);
    let listed = to(&node, &["list"]);
    let line = listed.done().lines().nth(1).unwrap();
    assert!(
        line.contains("STOPPED") && line.contains(" - "),
        "{listed:?}"
    );
}

#[test]
fn a_host_may_be_a_name() {
    let node = node();
    let named = format!("localhost:{}", node.grpc.port());
    let said = run(&["list", "--output", "json", "--node", &named]);
    assert_eq!(said.json()["applications"], serde_json::json!([]));
    let unknown = format!("no-such-host.invalid:{}", node.grpc.port());
    let said = run(&["list", "--node", &unknown]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("no-such-host.invalid") && said.err.contains("IP address"),
        "{said:?}"
    );
}
