//! The process: ports, the data directory and its lock, and a stop that lets work finish.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::guests::{EARLY, RASCAL, guest};
use crate::harness::{Node, command, node, send};
use plexspaces_node::wasm::Kind;

/// Starts a node that cannot start, and returns what it says.
fn fails_to_start(dir: &TempDir, address: &str) -> String {
    let mut child = command(dir.path(), address).spawn().unwrap();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_gateway_listens_on_the_next_port() {
    let node = node();
    assert_eq!(node.http.port(), node.grpc.port() + 1);
}

#[test]
fn a_port_in_use_is_named() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let said = fails_to_start(&dir, &address.to_string());
    assert!(
        said.contains(&format!("cannot listen on {address}")) && said.contains("--listen-addr"),
        "{said}"
    );
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "a start that failed left files"
    );
}

#[test]
fn a_port_in_use_that_nobody_named_is_explained() {
    let dir = TempDir::new().unwrap();
    let (taken, before) = loop {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let before = taken.local_addr().unwrap().port() - 1;
        if TcpListener::bind(("127.0.0.1", before)).is_ok() {
            break (taken, before);
        }
    };
    let said = fails_to_start(&dir, &format!("127.0.0.1:{before}"));
    let named = format!(
        "cannot listen on {}, the HTTP port, which is one after --listen-addr",
        taken.local_addr().unwrap()
    );
    assert!(said.contains(&named), "{said}");
}

#[test]
fn a_data_directory_serves_one_node_at_a_time() {
    let node = node();
    let pid = node.pid().as_raw_nonzero();
    let mut second = command(node.data_dir(), "127.0.0.1:0").spawn().unwrap();
    let mut said = String::new();
    second
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(1));
    assert!(said.contains(&format!("in use by process {pid}")), "{said}");
    // A node that was killed holds nothing.
    let again = Node::start(node.kill(), &[]);
    let mode = fs::metadata(again.data_dir().join("artifacts"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn data_of_a_newer_format_is_refused() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("format"), "9999").unwrap();
    let said = fails_to_start(&dir, "127.0.0.1:0");
    assert!(said.contains("has format \"9999\""), "{said}");
}

#[test]
fn uploads_that_a_crash_left_are_swept_away() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("uploads")).unwrap();
    fs::write(dir.path().join("uploads/7.part"), "half a module").unwrap();
    let node = Node::start(dir, &[]);
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());
}

/// Makes the application `rascal` spin; what is sent to it next waits in its mailbox.
fn spin(node: &Node) {
    let told = node.ask_with("rascal", &[("prefer", "respond-async")], b"spin");
    assert_eq!(told.status, 202, "{told:?}");
}

#[test]
fn a_stop_lets_messages_finish_and_refuses_new_ones() {
    let node = node();
    let goodbye = RASCAL.to_owned() + r#"(data (i32.const 4000) "goodbye") "#;
    let config = "[limits]\nmax_execution_time = '1s'";
    node.form("rascal", &guest(Kind::Core, &goodbye))
        .config(config)
        .send()
        .is_deployed();
    spin(&node);
    thread::scope(|scope| {
        let asked = scope.spawn(|| node.ask("rascal", b"echo"));
        while node.get("/api/v1/applications/rascal").json()["actors"][0]["mailbox_depth"] != 1 {}
        node.signal(Signal::TERM);
        node.log_says("stopping: finishing what is in flight");
        let health = node.get("/health");
        assert_eq!(
            (health.status, &health.json()["status"]),
            (503, &"not_serving".into())
        );
        let refused = node.ask("rascal", b"third");
        refused.is_refused(503, "UNAVAILABLE", &["stopping"]);
        assert!(refused.header("retry-after").is_some());
        // The guest spins until its time is up, comes back, and answers.
        assert_eq!(asked.join().unwrap().body_payload(), "echo");
    });
    assert_eq!(node.ended().code(), Some(0));
}

#[test]
fn a_stopping_node_says_goodbye_to_its_guests() {
    let node = node();
    let wasm = wat::parse_str(
        r#"(module
            (import "plexspaces" "log" (func $log (param i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "goodbye") (data (i32.const 32) "\05\00\00\00state")
            (func (export "handle_message") (param i32 i32 i32 i32 i32 i32))
            (func (export "snapshot_state") (result i32) (i32.const 32))
            (func (export "shutdown") (call $log (i32.const 16) (i32.const 7))))"#,
    );
    node.deploy("polite", &wasm.unwrap()).is_deployed();
    node.signal(Signal::INT);
    node.log_says("polite@test-node: goodbye");
    assert_eq!(node.ended().code(), Some(0));
}

#[test]
fn a_log_in_json_is_an_object_a_line() {
    let dir = TempDir::new().unwrap();
    let mut command = command(dir.path(), "127.0.0.1:0");
    let mut child = command.args(["--log-format", "json"]).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut events =
        lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let ready = events.find(|event| {
        event["message"]
            .as_str()
            .unwrap()
            .starts_with("ready, with")
    });
    let ready = ready.unwrap();
    assert_eq!(
        (&ready["level"], &ready["room"]),
        (&"INFO".into(), &"node".into())
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn how_the_log_is_written_may_be_said_in_three_places() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("node.toml");
    let check = |in_file: &str, variable: Option<&str>, flag: &[&str], json: bool| {
        fs::write(&file, format!("log_format = '{in_file}'")).unwrap();
        let mut command = command(dir.path(), "127.0.0.1:0");
        command.arg("--config").arg(&file).args(flag);
        command.envs(variable.map(|value| ("PLEXSPACES_LOG_FORMAT", value)));
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let log = child.stderr.take().unwrap();
        BufReader::new(log).read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let shown = (in_file, variable, flag);
        assert_eq!(line.starts_with('{'), json, "{shown:?}: {line}");
    };
    check("json", None, &[], true);
    check("json", Some("plain"), &[], false);
    check("plain", Some("json"), &[], true);
    check("json", Some("json"), &["--log-format", "plain"], false);
}

#[test]
fn a_second_signal_ends_at_once() {
    let node = node();
    let config = "[limits]\nmax_execution_time = '1h'";
    node.form("rascal", &guest(Kind::Core, RASCAL))
        .config(config)
        .send()
        .is_deployed();
    spin(&node);
    thread::scope(|scope| {
        let long = [("x-timeout-ms", "600000")];
        let node = &node;
        let ask =
            move || std::panic::catch_unwind(|| node.ask_with("rascal", &long, b"echo")).is_err();
        let cut_off = scope.spawn(ask);
        while node.get("/api/v1/applications/rascal").json()["actors"][0]["mailbox_depth"] != 1 {}
        node.signal(Signal::TERM);
        node.log_says("stopping: finishing what is in flight");
        node.signal(Signal::TERM);
        assert!(cut_off.join().unwrap(), "an answer came after all");
    });
    assert_eq!(node.ended().code(), Some(1));
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_plexspaces"))
            .args(arguments)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = run(&["start", "--colour", "red"]);
    assert_eq!(code, Some(2), "{text}");
    let (code, text) = run(&["start", "--listen-addr", "nowhere"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("nowhere") && text.contains("0.0.0.0:8000"),
        "{text}"
    );
    let (code, text) = run(&["start", "--help"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("--data-dir") && text.contains("plexspaces start --node-id"),
        "{text}"
    );
}

#[test]
fn a_node_reads_its_file_and_says_where_it_is_wrong() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("node.toml");
    let run = |toml: &str| {
        fs::write(&file, toml).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_plexspaces"))
            .args(["start", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run("node_id = 'edge'\nlisten_adr = '127.0.0.1:0'");
    let words = [
        "node.toml: line 2",
        "listen_adr",
        "expected one of",
        "listen_addr",
    ];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");

    fs::write(&file, "node_id = 'from-file'\nprofile = 'tiny'").unwrap();
    let node = Node::start(
        TempDir::new().unwrap(),
        &["--config", file.to_str().unwrap()],
    );
    node.log_says("guests lie in 60 small slots");
    let health = node.get("/health").json();
    assert_eq!(
        health["node_id"], "test-node",
        "a flag decides over the file"
    );
}

#[test]
fn a_pool_too_large_for_the_address_space_steps_down_and_guests_still_run() {
    let check = |kib: u64, rung: &str| {
        let node = Node::start_within(kib);
        node.log_says(rung);
        node.deploy("echo", &guest(Kind::Core, RASCAL))
            .is_deployed();
        assert_eq!(node.ask("echo", b"echo").body_payload(), "echo");
    };
    check(24 << 20, "guests lie in 250 small slots");
    check(3 << 20, "small memories on demand");
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let dir = TempDir::new().unwrap();
    let mut child = command(dir.path(), "127.0.0.1:0").spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line_with = |text: &str| loop {
        let mut line = String::new();
        let read = log.read_line(&mut line).unwrap();
        assert_ne!(read, 0, "the node ends before {text:?}");
        if line.contains(text) {
            break line;
        }
    };
    let line = line_with("HTTP gateway server on ");
    let url = line.rsplit(' ').next().unwrap().trim();
    // Before that it would be told to come back.
    line_with("ready, with");
    // From here on the pipe is open, and full after a while: each message is logged once by the guest.
    let wasm = guest(Kind::Core, EARLY);
    let mut body = b"--b\r\nContent-Disposition: form-data; name=\"wasm_file\"\r\n\r\n".to_vec();
    body.extend_from_slice(&wasm);
    for field in ["application_id", "name", "version"] {
        let part =
            format!("\r\n--b\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\nearly");
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(b"\r\n--b--\r\n");
    let form = [("content-type", "multipart/form-data; boundary=b")];
    send(
        &format!("{url}/api/v1/applications/deploy"),
        "POST",
        &form,
        &body,
    )
    .is_deployed();
    for _ in 0..100 {
        let said = send(
            &format!("{url}/api/v1/actors/early/early"),
            "POST",
            &[],
            &[b'x'; 4_000],
        );
        assert_eq!(said.body_payload(), "early");
    }
    assert_eq!(send(&format!("{url}/health"), "GET", &[], b"").status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}
