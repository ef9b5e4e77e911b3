//! Ask, tell and reply: between a client and an actor, and between actors of either kind.

use std::thread;

use crate::guests::{
    DEFERRER, EARLY, ECHO, FORWARDER, RASCAL, RELAY, TELLER, TIMEKEEPER, WITNESS, for_both_kinds,
    guest,
};
use crate::harness::node;
use plexspaces_node::wasm::Kind;

for_both_kinds! {
    fn sender_and_type_reach_the_guest_as_sent(node, kind) {
        node.deploy("witness", &guest(kind, WITNESS)).is_deployed();
        assert_eq!(node.ask("witness", b"").body_payload(), "http@test-node call");
        let typed = node.ask_with("witness", &[("x-message-type", "temperature")], b"");
        assert_eq!(typed.body_payload(), "http@test-node temperature");
    }

    fn actors_ask_each_other(node, kind) {
        node.deploy("relay", &guest(kind, RELAY)).is_deployed();
        node.deploy("witness", &guest(Kind::Core, WITNESS)).is_deployed();
        assert_eq!(node.ask("relay", b"witness@test-node").body_payload(), "relay@test-node call");
        assert_eq!(node.ask("relay", b"witness").body_payload(), "relay@test-node call", "without @NODE");
        assert_eq!(node.ask("relay", b"nobody").body_payload(), "-1", "actor-not-found");
        assert_eq!(node.ask("relay", b"witness@elsewhere").body_payload(), "-1", "actor-not-found");
    }

    fn an_actor_of_another_tenant_is_out_of_reach(node, kind) {
        node.form("witness", &guest(Kind::Core, WITNESS)).config("tenant = 'acme'").send().is_deployed();
        let check = |config: &str, expected: [&str; 3]| {
            for ((name, body), expected) in [("relay", RELAY), ("teller", TELLER), ("forwarder", FORWARDER)].iter().zip(expected) {
                node.form(name, &guest(kind, body)).config(config).send().is_deployed();
                for address in ["witness", "witness@test-node"] {
                    assert_eq!(node.ask_by_id(name, address.as_bytes()).body_payload(), expected, "{name} {config}");
                }
                assert_eq!(node.undeploy(name).status, 200);
            }
        };
        check("", ["-5", "6", "6"]);
        check("tenant = 'acme'\nnamespace = 'shop'", ["relay@test-node call", "0", "http@test-node call"]);
    }

    fn a_message_longer_than_its_receiver_takes_is_refused_to_the_sender(node, kind) {
        let short = "[limits]\nmax_message_bytes = 4";
        node.form("echo", &guest(kind, ECHO)).config(short).send().is_deployed();
        assert_eq!(node.ask("echo", b"four").body_payload(), "four");
        node.ask("echo", b"fives").is_refused(413, "RESOURCE_EXHAUSTED", &["Payload too large", "at most 4 bytes", "max_message_bytes"]);
        let told = node.ask_with("echo", &[("prefer", "respond-async")], b"fives");
        told.is_refused(413, "RESOURCE_EXHAUSTED", &["at most 4 bytes"]);
        // The others' message is `hello` or `a note`.
        for (name, body, expected) in [("relay", RELAY, "-6"), ("teller", TELLER, "7"), ("forwarder", FORWARDER, "7")] {
            node.deploy(name, &guest(kind, body)).is_deployed();
            assert_eq!(node.ask(name, b"echo").body_payload(), expected, "{name}: resource-exhausted");
        }
    }

    fn an_ask_of_a_broken_actor_fails_at_once(node, kind) {
        node.deploy("relay", &guest(kind, RELAY)).is_deployed();
        let traps = "(func $act (param i32 i32 i32 i32 i32 i32) (result i64) (unreachable))";
        node.deploy("breaks", &guest(kind, traps)).is_deployed();
        assert_eq!(node.ask("relay", b"breaks").body_payload(), "-2", "delivery-failed");
    }

    fn an_actor_that_asks_itself_ends_by_the_deadline(node, kind) {
        node.deploy("relay", &guest(kind, RELAY)).is_deployed();
        assert_eq!(node.ask("relay", b"relay").body_payload(), "-3", "timeout");
    }

    fn a_tell_arrives(node, kind) {
        node.deploy("teller", &guest(kind, TELLER)).is_deployed();
        node.deploy("early", &guest(kind, EARLY)).is_deployed();
        assert_eq!(node.ask("teller", b"early").body_payload(), "0");
        node.log_says("early@test-node: a note");
        assert_eq!(node.ask("teller", b"nobody").body_payload(), "2", "actor-not-found");
    }

    fn a_reply_answers_the_current_ask_and_the_result_is_dropped(node, kind) {
        node.deploy("early", &guest(kind, EARLY)).is_deployed();
        assert_eq!(node.ask("early", b"x").body_payload(), "early");
    }

    fn a_deferred_ask_is_answered_by_a_later_message(node, kind) {
        node.deploy("deferrer", &guest(kind, DEFERRER)).is_deployed();
        thread::scope(|scope| {
            let waits = scope.spawn(|| node.ask("deferrer", b"wait"));
            node.log_says("deferrer@test-node: wait");
            assert_eq!(node.ask("deferrer", b"answer").body_payload(), "0");
            assert_eq!(waits.join().unwrap().body_payload(), "answer");
        });
        let again = node.ask("deferrer", b"once more").body_payload();
        assert_eq!(again, "5", "invalid-message: it has been answered");
    }

    fn a_deferred_ask_fails_at_once_when_its_actor_breaks(node, kind) {
        node.deploy("deferrer", &guest(kind, DEFERRER)).is_deployed();
        thread::scope(|scope| {
            let waits = scope.spawn(|| node.ask_with("deferrer", &[("x-timeout-ms", "600000")], b"wait"));
            node.log_says("deferrer@test-node: wait");
            node.ask("deferrer", b"trap").is_refused(502, "ABORTED", &["unreachable"]);
            waits.join().unwrap().is_refused(503, "UNAVAILABLE", &["stopped before it answered"]);
        });
    }

    fn an_ask_deferred_by_the_message_that_breaks_hears_why(node, kind) {
        let body = "(func $act (param i32 i32 i32 i32 i32 i32) (result i64)
            (drop (call $defer (i32.const 1024))) (unreachable))";
        node.deploy("hasty", &guest(kind, body)).is_deployed();
        node.ask("hasty", b"x").is_refused(502, "ABORTED", &["unreachable"]);
    }

    fn what_is_too_long_to_send_is_refused_and_no_fault(node, kind) {
        let body = r#"
            (data (i32.const 64) "wordy") (data (i32.const 80) "note")
            (func $digit (param $at i32) (param $status i32)
                (i32.store8 (local.get $at) (i32.sub (i32.const 48) (local.get $status))))
            (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
                (drop (memory.grow (i32.const 40)))
                (call $digit (i32.const 96) (call $tell (i32.const 64) (i32.const 5) (i32.const 80) (i32.const 4)
                    (i32.const 65536) (i32.const 1048577)))
                (call $digit (i32.const 97) (call $tell (i32.const 64) (i32.const 5) (i32.const 65536)
                    (i32.const 1500000) (i32.const 80) (i32.const 4)))
                (call $digit (i32.const 98) (call $tell (i32.const 65536) (i32.const 1500000) (i32.const 80)
                    (i32.const 4) (i32.const 80) (i32.const 4)))
                (call $digit (i32.const 99) (call $forward (i32.const 64) (i32.const 5) (i32.const 80) (i32.const 4)
                    (i32.const 80) (i32.const 4) (i32.const 65536) (i32.const 1500000) (i32.const 0) (i32.const 0)))
                (call $log (i32.const 65536) (i32.const 1500000))
                (call $packed (i32.const 96) (i32.const 4)))"#;
        node.deploy("wordy", &guest(kind, body)).is_deployed();
        let statuses = "7525";
        let meaning = "resource-exhausted, invalid-message, actor-not-found, invalid-message";
        assert_eq!(node.ask("wordy", b"x").body_payload(), statuses, "{meaning}");
        assert!(node.log_says("guest: wordy@test-node: ").ends_with(" [cut]"));
    }

    fn a_forwarded_ask_is_answered_by_the_new_receiver(node, kind) {
        node.deploy("forwarder", &guest(kind, FORWARDER)).is_deployed();
        node.deploy("witness", &guest(kind, WITNESS)).is_deployed();
        assert_eq!(node.ask("forwarder", b"witness").body_payload(), "http@test-node call");
        assert_eq!(node.ask("forwarder", b"nobody").body_payload(), "2", "actor-not-found");
    }

    fn a_timer_sends_a_tell_of_its_own_type(node, kind) {
        node.deploy("timekeeper", &guest(kind, TIMEKEEPER)).is_deployed();
        assert_eq!(node.ask("timekeeper", b"start").body_payload(), "start");
        node.log_says("timekeeper@test-node: tock");
        node.log_says("timekeeper@test-node: timekeeper@test-node");
        assert_eq!(node.ask("timekeeper", b"cancel").body_payload(), "05", "done, then invalid-message");
    }

    fn a_guest_knows_its_name_and_the_time(node, kind) {
        node.deploy("rascal", &guest(kind, RASCAL)).is_deployed();
        assert_eq!(node.ask("rascal", b"i").body_payload(), "rascal@test-node");
    }

    fn payloads_of_any_size_and_kind_come_back_whole(node, kind) {
        node.deploy("echo", &guest(kind, ECHO)).is_deployed();
        let check = |sent: &[u8], encoding: &str, expected: serde_json::Value| {
            let answer = node.ask("echo", sent);
            assert_eq!((answer.payload(), answer.json()["payload_encoding"].as_str()), (expected, Some(encoding)));
        };
        check(br#"{"n": [1, 2.50]}"#, "json", serde_json::json!({"n": [1, 2.5]}));
        check("grüße".as_bytes(), "utf8", "grüße".into());
        check(b"", "utf8", "".into());
        check(b"\xff\x00\xfe", "base64", "/wD+".into());
        assert!(node.ask("echo", br#"{"n": 2.50}"#).body.contains(r#"{"n": 2.50}"#), "JSON is embedded as it is");
        for bytes in [1, 65_535, 65_537, 1_048_576] {
            let sent = "x".repeat(bytes);
            assert!(node.ask("echo", sent.as_bytes()).payload() == sent.as_str(), "{bytes} bytes");
        }
        let too_much = node.ask("echo", &vec![b'x'; 1_048_577]);
        too_much.is_refused(413, "RESOURCE_EXHAUSTED", &["Payload too large", "1048576"]);
    }

    fn a_full_mailbox_says_so(node, kind) {
        let limits = "[limits]\nmax_mailbox = 1\nmax_execution_time = '5s'";
        node.form("rascal", &guest(kind, RASCAL)).config(limits).send().is_deployed();
        node.deploy("teller", &guest(kind, TELLER)).is_deployed();
        // One spins, one waits, and the third finds no room.
        let soon = [("x-timeout-ms", "1")];
        node.ask_with("rascal", &[("prefer", "respond-async")], b"s");
        while node.ask("teller", b"rascal").body_payload() == "0" {}
        assert_eq!(node.ask("teller", b"rascal").body_payload(), "7", "resource-exhausted");
        let refused = node.ask_with("rascal", &soon, b"e");
        refused.is_refused(429, "RESOURCE_EXHAUSTED", &["rascal@test-node", "full"]);
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
}

#[test]
fn an_ask_says_how_long_it_waits() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    for wrong in ["0", "600001", "soon", "-1"] {
        let answer = node.ask_with("echo", &[("x-timeout-ms", wrong)], b"");
        answer.is_refused(400, "INVALID_ARGUMENT", &["X-Timeout-Ms", "600000"]);
    }
    assert_eq!(
        node.ask_with("echo", &[("x-timeout-ms", "600000")], b"1")
            .status,
        200
    );
    let long_type = "t".repeat(129);
    node.ask_with("echo", &[("x-message-type", &long_type)], b"")
        .is_refused(400, "INVALID_ARGUMENT", &["X-Message-Type"]);
}

#[test]
fn an_actor_is_found_by_namespace_and_by_application() {
    let node = node();
    let echo = guest(Kind::Core, ECHO);
    node.form("echo", &echo)
        .config("namespace = 'shop'")
        .send()
        .is_deployed();
    let at = |namespace: &str| {
        node.request(
            "POST",
            &format!("/api/v1/actors/{namespace}/echo"),
            &[],
            b"1",
        )
    };
    assert_eq!(at("shop").status, 200);
    assert_eq!(at("echo").status, 200);
    at("default").is_refused(404, "NOT_FOUND", &["echo", "default"]);
    node.request("POST", "/api/v1/actors/shop/other", &[], b"1")
        .is_refused(404, "NOT_FOUND", &["other"]);
}

#[test]
fn every_method_invokes_and_the_query_is_the_payload_of_those_without_a_body() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let send = |method: &str, path: &str, body: &[u8]| {
        node.request(method, &format!("/api/v1/actors/{path}"), &[], body)
    };
    let object = serde_json::json!({"a": ["1", "2"], "b": "x y"});
    assert_eq!(
        send("GET", "default/echo?a=1&a=2&b=x%20y", b"").payload(),
        object
    );
    assert_eq!(
        send("DELETE", "echo/echo?a=1&a=2&b=x+y", b"").payload(),
        object
    );
    assert_eq!(
        send("GET", "default/echo", b"").payload(),
        serde_json::json!({})
    );
    assert_eq!(
        send("PUT", "default/echo?ignored=1", b"[1]").payload(),
        serde_json::json!([1])
    );
    assert_eq!(
        send("POST", "default/default/echo", b"[2]").payload(),
        serde_json::json!([2])
    );
    send("POST", "acme/default/echo", b"").is_refused(404, "NOT_FOUND", &["echo"]);
    assert_eq!(
        send("POST", "by-id/echo%40test-node", b"[3]").payload(),
        serde_json::json!([3])
    );
    assert_eq!(
        send("POST", "by-id/echo", b"[3]").json()["actor_id"],
        "echo@test-node"
    );
    send("GET", "by-id/echo", b"").is_refused(405, "UNIMPLEMENTED", &["use POST"]);
    send("POST", "by-id/nobody%40test-node", b"").is_refused(
        404,
        "NOT_FOUND",
        &["nobody@test-node"],
    );
    send("PATCH", "default/echo", b"").is_refused(
        405,
        "UNIMPLEMENTED",
        &["GET, POST, PUT, DELETE"],
    );
}

#[test]
fn type_and_deadline_may_stand_in_the_query() {
    let node = node();
    node.deploy("witness", &guest(Kind::Core, WITNESS))
        .is_deployed();
    let post = |query: &str| {
        node.request(
            "POST",
            &format!("/api/v1/actors/default/witness{query}"),
            &[],
            b"",
        )
    };
    assert_eq!(post("?type=note").body_payload(), "http@test-node note");
    assert_eq!(post("?timeout_ms=600000").status, 200);
    post("?timeout_ms=0").is_refused(400, "INVALID_ARGUMENT", &["timeout_ms"]);
    let typed = node.request(
        "GET",
        "/api/v1/actors/default/witness?type=note",
        &[("x-message-type", "look")],
        b"",
    );
    assert_eq!(
        typed.body_payload(),
        "http@test-node look",
        "without a body, the query is all payload"
    );
}

#[test]
fn a_reply_may_be_raw_and_a_tell_does_not_wait() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let raw = node.ask_with(
        "echo",
        &[("accept", "application/octet-stream")],
        b"as it is",
    );
    assert_eq!(
        (raw.body.as_str(), raw.header("content-type")),
        ("as it is", Some("application/octet-stream"))
    );
    node.deploy("early", &guest(Kind::Core, EARLY))
        .is_deployed();
    let told = node.ask_with(
        "early",
        &[("prefer", "respond-async")],
        b"a note from outside",
    );
    assert_eq!(
        (told.status, told.json()["success"].as_bool()),
        (202, Some(true))
    );
    assert!(
        told.json()["message_id"]
            .as_str()
            .is_some_and(|id| !id.is_empty())
    );
    node.log_says("early@test-node: a note from outside");
}

#[test]
fn a_core_module_knows_the_message_in_hand() {
    let node = node();
    let knows = r#"(module
        (import "plexspaces" "message_id" (func $message_id (param i32) (result i32)))
        (import "plexspaces" "correlation_id" (func $correlation_id (param i32) (result i32)))
        (import "plexspaces" "sent_at" (func $sent_at (result i64)))
        (memory (export "memory") 1)
        (func (export "init") (param i32 i32)
            (drop (call $message_id (i32.const 64)))
            (if (i32.load (i32.const 68)) (then (unreachable)))
            (if (i64.ne (call $sent_at) (i64.const 0)) (then (unreachable))))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i32 i32)
            (if (i64.eqz (call $sent_at)) (then (unreachable)))
            (drop (call $message_id (i32.const 64)))
            (if (i32.eqz (i32.load (i32.const 68))) (then (unreachable)))
            (drop (call $correlation_id (i32.const 64)))
            (i32.load (i32.const 64)) (i32.load (i32.const 68))))"#;
    node.deploy("knows", &wat::parse_str(knows).unwrap())
        .is_deployed();
    let correlation = node.ask("knows", b"").body_payload();
    assert!(correlation.starts_with("m-"), "{correlation}");
}

#[test]
fn a_component_knows_the_message_in_hand() {
    let node = node();
    // Answers with the id; at 520 lies the message, with its correlation id at 552 and its time at 568.
    let knows = r#"(component
        (import "plexspaces:actor/conversation@0.1.0" (instance $conversation
            (type $record (record (field "id" string) (field "from-actor" string) (field "msg-type" string)
                (field "payload" (list u8)) (field "correlation-id" (option string)) (field "timestamp" u64)
                (field "headers" (list (tuple string string)))))
            (export "message" (type $message (eq $record)))
            (export "current-message" (func (result (option $message))))))
        (core module $heap
            (memory (export "memory") 1)
            (global $free (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $free)
                (global.set $free (i32.and (i32.const -8)
                    (i32.add (i32.const 7) (i32.add (global.get $free) (local.get 3)))))))
        (core instance $heap (instantiate $heap))
        (alias core export $heap "memory" (core memory $memory))
        (alias core export $heap "realloc" (core func $realloc))
        (core func $current (canon lower (func $conversation "current-message")
            (memory $memory) (realloc $realloc)))
        (core module $guest
            (import "heap" "memory" (memory 1))
            (import "host" "current" (func $current (param i32)))
            (func (export "act") (param i32 i32) (result i32)
                (call $current (i32.const 512))
                (if (i32.eqz (i32.load8_u (i32.const 512))) (then (unreachable)))
                (if (i32.eqz (i32.load8_u (i32.const 552))) (then (unreachable)))
                (if (i64.eqz (i64.load (i32.const 568))) (then (unreachable)))
                (i32.const 520)))
        (core instance $guest (instantiate $guest
            (with "heap" (instance $heap)) (with "host" (instance (export "current" (func $current))))))
        (func (export "handle-request") (param "payload" (list u8)) (result string)
            (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#;
    node.deploy("knows", &wat::parse_str(knows).unwrap())
        .is_deployed();
    let id = node.ask("knows", b"").body_payload();
    assert!(id.starts_with("m-"), "{id}");
}
