//! More deploys than the node takes at once: who waits, who is told to come back, and that messages go on.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::guests::{ECHO, RASCAL, guest};
use crate::harness::{Node, node};
use crate::uploads::{FORM, echo_of, post};
use plexspaces_node::limits::{DEPLOYS_MAX, UPLOADS_MAX};
use plexspaces_node::wasm::Kind;

/// Begins an upload, and reads the first line of what the node says to it before any of its body was sent.
fn begin_upload(node: &Node) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(node.http).unwrap();
    let head = post(FORM, "Expect: 100-continue\r\nContent-Length: 1000");
    stream.write_all(head.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    (stream, line)
}

#[test]
fn of_many_uploads_at_once_two_are_taken_and_messages_go_on() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let begun: Vec<(TcpStream, String)> = (0..32).map(|_| begin_upload(&node)).collect();
    let answered = |words: &str| {
        begun
            .iter()
            .filter(|(_, line)| line.contains(words))
            .count()
    };
    assert_eq!(
        (answered("100 Continue"), answered("503")),
        (UPLOADS_MAX, 32 - UPLOADS_MAX)
    );
    assert_eq!(node.ask("echo", b"1").body_payload(), "1");
}

#[test]
fn what_waits_in_all_mailboxes_together_is_bounded() {
    let node = Node::start(TempDir::new().unwrap(), &["--profile", "tiny"]);
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let later = [("prefer", "respond-async")];
    let (mut taken, message) = (0, vec![b'x'; 1 << 20]);
    // Each of five holds three of these, by its own bounds; the tiny profile has 16 MiB for all.
    for name in ["a", "b", "c", "d", "e"] {
        let config = "[limits]\nmax_execution_time = '1h'";
        let rascal = node.form(name, &guest(Kind::Core, RASCAL)).config(config);
        rascal.send().is_deployed();
        assert_eq!(node.ask_with(name, &later, b"spin").status, 202);
        let waits = || node.get(&format!("/api/v1/applications/{name}")).json();
        while waits()["actors"][0]["mailbox_depth"] != 0 {}
        while node.ask_with(name, &later, &message).status == 202 {
            taken += 1;
        }
    }
    assert_eq!(taken, 15);
    let refused = node.ask("echo", &message);
    refused.is_refused(
        429,
        "RESOURCE_EXHAUSTED",
        &["this node keeps as many bytes"],
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(node.ask("echo", b"1").body_payload(), "1");
    // Whoever goes gives back what waited for it.
    assert_eq!(node.undeploy("a").status, 200);
    assert_eq!(
        node.ask_with("echo", &[("accept", "application/octet-stream")], &message)
            .status,
        200
    );
}

/// A module over which the compiler sits for a while.
fn slow_to_compile() -> Vec<u8> {
    let steps: String = (0..2_000)
        .map(|k| {
            format!("(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const {k})) (local.get 1)))")
        })
        .collect();
    let function = format!("(func (param i32 i32) {steps})");
    wat::parse_str(format!("(module {})", function.repeat(150))).unwrap()
}

/// The node's compiler, once there is one, stopped where it stands.
fn stop_compiler(node: &Node) -> Pid {
    let pid = node.pid().as_raw_nonzero();
    let children = format!("/proc/{pid}/task/{pid}/children");
    loop {
        let text = fs::read_to_string(&children).unwrap();
        let child = text.split_whitespace().next().unwrap_or("none");
        let started = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        // Before that it still is the node, which waits for it to become the compiler.
        if String::from_utf8_lossy(&started).contains("--compile-child") {
            let child = Pid::from_raw(child.parse().unwrap()).unwrap();
            kill_process(child, Signal::STOP).unwrap();
            return child;
        }
        thread::yield_now();
    }
}

fn starting(node: &Node) -> bool {
    let metrics = node.get("/metrics").body;
    metrics.contains(&format!(
        "plexspaces_applications{{status=\"starting\"}} {DEPLOYS_MAX}\n"
    ))
}

#[test]
fn deploys_that_wait_for_the_compiler_let_others_send_and_are_few() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    thread::scope(|scope| {
        let node = &node;
        let slow = scope.spawn(|| node.deploy("slow", &slow_to_compile()));
        let compiler = stop_compiler(node);
        // All of these stream in, although the compiler stands still: more than two.
        let waiting: Vec<_> = (1..DEPLOYS_MAX)
            .map(|at| {
                scope.spawn(move || node.deploy(&format!("w{at}"), &echo_of(1_000 + at as u64)))
            })
            .collect();
        // Two come at a time; those that are told to come back do.
        let mut waiting: Vec<_> = waiting.into_iter().map(Some).collect();
        while !starting(node) {
            for (place, at) in waiting.iter_mut().zip(1..) {
                if place.as_ref().unwrap().is_finished() {
                    let refused = place.take().unwrap().join().unwrap();
                    refused.is_refused(503, "UNAVAILABLE", &["2 uploads are under way"]);
                    let again = move || node.deploy(&format!("w{at}"), &echo_of(1_000 + at));
                    *place = Some(scope.spawn(again));
                }
            }
        }
        let (mut refused, line) = begin_upload(node);
        assert!(line.starts_with("HTTP/1.1 503"), "{line}");
        let mut rest = String::new();
        let _ = refused.read_to_string(&mut rest);
        assert_eq!(node.ask("echo", b"1").body_payload(), "1");
        node.deploy("more", &echo_of(5_000)).is_refused(
            503,
            "UNAVAILABLE",
            &["8 deploys", "wait for the compiler", "try again"],
        );
        kill_process(compiler, Signal::CONT).unwrap();
        for deployed in waiting {
            deployed.unwrap().join().unwrap().is_deployed();
        }
        slow.join()
            .unwrap()
            .is_refused(422, "INVALID_ARGUMENT", &["handler"]);
    });
    node.deploy("more", &echo_of(5_000)).is_deployed();
}
