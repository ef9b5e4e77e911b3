//! WASI preview 1: what a core module built with a C library or by Go finds, and what it is denied.

use crate::harness::{Node, node};

/// A core module that imports from both worlds; its handler runs `body` and answers with the four digits at 96.
fn module(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "plexspaces" "log" (func $log (param i32 i32)))
        (import "plexspaces" "fail" (func $fail (param i32 i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 2)
        (data (i32.const 64) "first\0asecond")
        (data (i32.const 128) "/etc/passwd")
        (func $digit (param $at i32) (param $error i32)
            (i32.store8 (i32.add (i32.const 96) (local.get $at))
                (i32.add (i32.const 48) (i32.ne (local.get $error) (i32.const 0)))))
        (func $say (param $fd i32) (param $text i32) (param $len i32)
            (i32.store (i32.const 0) (local.get $text))
            (i32.store (i32.const 4) (local.get $len))
            (call $digit (i32.const 0)
                (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
            (i32.store (i32.const 96) (i32.const 0x30303030))
            {body}
            (i64.const 0x0000000400000060)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn deployed(body: &str) -> Node {
    let node = node();
    node.form("guest", &module(body))
        .config("[env]\nGREETING = 'hello'\n[limits]\nmax_message_bytes = 100")
        .send()
        .is_deployed();
    node
}

#[test]
fn what_a_module_writes_is_logged_line_by_line_and_the_last_line_at_the_end_of_the_message() {
    let node = deployed(
        "(call $log (i32.const 64) (i32.const 5)) (call $say (i32.const 1) (i32.const 64) (i32.const 12))",
    );
    assert_eq!(node.ask("guest", b"").body_payload(), "0000");
    assert!(node.log_says("guest@test-node: first").contains("INFO"));
    node.log_says("guest@test-node: second");
    assert_eq!(node.log_count("guest@test-node: first"), 2);
}

#[test]
fn the_last_words_reach_whoever_asked() {
    let node = deployed("(call $say (i32.const 2) (i32.const 64) (i32.const 12)) (unreachable)");
    let words = ["unreachable", "first | second"];
    node.ask("guest", b"").is_refused(502, "ABORTED", &words);
    assert!(node.log_says("guest@test-node: second").contains("WARN"));
}

#[test]
fn an_exit_within_a_handler_is_a_fault_that_says_so() {
    let node = deployed("(call $exit (i32.const 7))");
    let words = ["exit code 7", "a handler returns instead"];
    node.ask("guest", b"").is_refused(502, "ABORTED", &words);
    let shown = node.get("/api/v1/applications/guest").json();
    assert_eq!(shown["actors"][0]["restarts"], 1);
}

#[test]
fn files_sockets_and_input_are_denied_or_empty() {
    let node = deployed(
        "(call $digit (i32.const 0) (call $fd_prestat_get (i32.const 3) (i32.const 256)))
         (call $digit (i32.const 1) (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 11)
            (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 256)))
         (call $digit (i32.const 2) (call $sock_accept (i32.const 0) (i32.const 0) (i32.const 256)))
         (i32.store (i32.const 0) (i32.const 256)) (i32.store (i32.const 4) (i32.const 16))
         (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
         (call $digit (i32.const 3) (i32.load (i32.const 8)))",
    );
    assert_eq!(
        node.ask("guest", b"").body_payload(),
        "1110",
        "of reading, nothing comes"
    );
}

#[test]
fn clocks_chance_sleep_and_the_environment_work() {
    let node = deployed(
        "(call $digit (i32.const 0) (call $environ_get (i32.const 256) (i32.const 512)))
         (call $log (i32.const 512) (i32.const 14))
         (call $digit (i32.const 1) (call $clock (i32.const 0) (i64.const 1) (i32.const 1024)))
         (if (i64.eqz (i64.load (i32.const 1024))) (then (unreachable)))
         (call $digit (i32.const 2) (call $random (i32.const 2048) (i32.const 16)))
         ;; one subscription: the monotonic clock, 5 ms from now
         (i32.store (i32.const 4096) (i32.const 1)) (i32.store8 (i32.const 4104) (i32.const 0))
         (i32.store (i32.const 4112) (i32.const 1)) (i64.store (i32.const 4120) (i64.const 5000000))
         (call $digit (i32.const 3) (call $poll (i32.const 4096) (i32.const 8192) (i32.const 1) (i32.const 8)))",
    );
    assert_eq!(node.ask("guest", b"").body_payload(), "0000");
    node.log_says("guest@test-node: GREETING=hello");
}

#[test]
fn fail_makes_the_message_an_error_and_the_actor_lives_on() {
    let node = deployed("(if (local.get 5) (then (call $fail (i32.const 64) (i32.const 5))))");
    node.ask("guest", b"x")
        .is_refused(502, "ABORTED", &["first"]);
    assert_eq!(node.ask("guest", b"").body_payload(), "0000");
    let shown = node.get("/api/v1/applications/guest").json();
    assert_eq!(shown["actors"][0]["restarts"], 0);
}

#[test]
fn what_is_missing_of_both_worlds_is_named() {
    let node = node();
    let text = r#"(module
        (import "plexspaces" "fly" (func))
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_fly" (func))
        (import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#;
    let missing = "plexspaces.fly, wasi_snapshot_preview1.fd_fly, wasi_unstable.fd_write";
    let deployed = node.deploy("guest", &wat::parse_str(text).unwrap());
    deployed.is_refused(422, "INVALID_ARGUMENT", &[missing]);
    assert!(!deployed.body.contains("wasi_snapshot_preview1.fd_write"));
}
