//! What an application's config withholds from its guests: refused where a refusal can be said, else not to be seen.

use crate::guests::{EARLY, FORWARDER, RELAY, TELLER, WITNESS, for_both_kinds, guest};
use crate::harness::{Node, node};
use plexspaces_node::wasm::Kind;

/// Everything that is not set is off.
const NOTHING: &str = "[env]\nGREETING = 'hello'\n[capabilities]\n";
const ALL: &str = "[env]\nGREETING = 'hello'\n";

/// Answers with the status of a timer that it sets, one digit.
const SETTER: &str = r#"
    (data (i32.const 64) "tick")
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (i32.store8 (i32.const 96) (i32.sub (i32.const 48) (i32.wrap_i64
            (call $send_after (i64.const 600000) (i32.const 64) (i32.const 4) (i32.const 64) (i32.const 4)))))
        (call $packed (i32.const 96) (i32.const 1)))"#;

/// Answers `t` where it sees the time.
const CLOCK: &str = r"
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (i32.store8 (i32.const 96) (select (i32.const 102) (i32.const 116) (i64.eqz (call $now))))
        (call $packed (i32.const 96) (i32.const 1)))";

fn deployed(node: &Node, name: &str, config: &str, wasm: &[u8]) {
    node.form(name, wasm).config(config).send().is_deployed();
}

for_both_kinds! {
    fn who_may_not_send_is_told_so_and_may_still_answer(node, kind) {
        deployed(&node, "witness", NOTHING, &guest(kind, WITNESS));
        let said = |config: &str, body: &str| {
            deployed(&node, "mute", config, &guest(kind, body));
            let said = node.ask("mute", b"witness").body_payload();
            assert_eq!(node.undeploy("mute").status, 200);
            said
        };
        assert_eq!(said(NOTHING, RELAY), "-5", "ask: not-permitted");
        assert_eq!(said(NOTHING, TELLER), "6", "tell: not-permitted");
        assert_eq!(said(NOTHING, FORWARDER), "6", "forward: not-permitted");
        assert_eq!(said(NOTHING, SETTER), "6", "send-after: not-permitted");
        assert_eq!(said(NOTHING, EARLY), "early");
        let granted = "[capabilities]\nallow_send_messages = true";
        assert_eq!(said(granted, TELLER), "0");
        assert_eq!(said(granted, RELAY), "mute@test-node call");
        assert_eq!(said("", SETTER), "/", "without [capabilities] there is a timer, number 1");
    }

    fn who_may_not_log_leaves_no_line(node, kind) {
        let early = guest(kind, EARLY);
        deployed(&node, "mute", NOTHING, &early);
        deployed(&node, "loud", "[capabilities]\nallow_logging = true", &early);
        for name in ["mute", "loud"] {
            assert_eq!(node.ask(name, b"a line").body_payload(), "early");
        }
        node.log_says("loud@test-node: a line");
        assert_eq!(node.log_count("mute@test-node: a line"), 0);
    }

    fn who_may_not_look_at_clocks_sees_none(node, kind) {
        let clock = guest(kind, CLOCK);
        deployed(&node, "blind", NOTHING, &clock);
        deployed(&node, "seeing", "[capabilities]\nallow_clocks = true", &clock);
        assert_eq!(node.ask("blind", b"").body_payload(), "f");
        assert_eq!(node.ask("seeing", b"").body_payload(), "t");
    }
}

/// Answers with eight random bytes, the wall clock and the monotonic clock, eight bytes each, and the number of its
/// variables in four.
fn onlooker(kind: Kind) -> Vec<u8> {
    let text = match kind {
        Kind::Core => {
            r#"(module
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
            (memory (export "memory") 17)
            (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i32 i32)
                (drop (call $random (i32.const 64) (i32.const 8)))
                (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 72)))
                (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 80)))
                (drop (call $environ (i32.const 88) (i32.const 96)))
                (i32.const 64) (i32.const 28)))"#
        }
        _ => {
            r#"(component
            (import "wasi:random/random@0.2.0" (instance $random
                (export "get-random-u64" (func (result u64)))))
            (import "wasi:clocks/wall-clock@0.2.0" (instance $wall
                (type $datetime' (record (field "seconds" u64) (field "nanoseconds" u32)))
                (export "datetime" (type $datetime (eq $datetime')))
                (export "now" (func (result $datetime)))))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $monotonic
                (export "now" (func (result u64)))))
            (import "wasi:cli/environment@0.2.0" (instance $environment
                (export "get-environment" (func (result (list (tuple string string)))))))
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
            (core func $random (canon lower (func $random "get-random-u64")))
            (core func $wall (canon lower (func $wall "now") (memory $memory)))
            (core func $monotonic (canon lower (func $monotonic "now")))
            (core func $environment (canon lower (func $environment "get-environment")
                (memory $memory) (realloc $realloc)))
            (core module $guest
                (import "heap" "memory" (memory 1))
                (import "host" "random" (func $random (result i64)))
                (import "host" "wall" (func $wall (param i32)))
                (import "host" "monotonic" (func $monotonic (result i64)))
                (import "host" "environment" (func $environment (param i32)))
                (func (export "act") (param i32 i32) (result i32)
                    (call $wall (i32.const 72))
                    (i64.store (i32.const 64) (call $random))
                    (i64.store (i32.const 80) (call $monotonic))
                    (call $environment (i32.const 96))
                    (i32.store (i32.const 88) (i32.load (i32.const 100)))
                    (i32.store (i32.const 32) (i32.const 64))
                    (i32.store (i32.const 36) (i32.const 28))
                    (i32.const 32)))
            (core instance $guest (instantiate $guest (with "heap" (instance $heap)) (with "host" (instance
                (export "random" (func $random)) (export "wall" (func $wall))
                (export "monotonic" (func $monotonic)) (export "environment" (func $environment))))))
            (func (export "handle-request") (param "payload" (list u8)) (result (list u8))
                (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#
        }
    };
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// What an onlooker of this config sees: random bytes, whether either clock stands at its beginning, its variables.
fn sees(node: &Node, kind: Kind, config: &str) -> (Vec<u8>, bool, u8) {
    use base64::Engine;
    deployed(node, "onlooker", config, &onlooker(kind));
    let payload = node.ask("onlooker", b"").json()["payload"].clone();
    let bytes = base64::engine::general_purpose::STANDARD.decode(payload.as_str().unwrap());
    let bytes = bytes.unwrap();
    assert_eq!(node.undeploy("onlooker").status, 200);
    let stands = bytes[8..16] == [0; 8] || bytes[16..24] == [0; 8];
    (bytes[..8].to_vec(), stands, bytes[24])
}

for_both_kinds! {
    fn what_a_guest_may_not_see_of_the_world_is_not_there(node, kind) {
        let (first, stands, variables) = sees(&node, kind, NOTHING);
        assert_eq!((stands, variables), (true, 0));
        let (second, ..) = sees(&node, kind, NOTHING);
        assert_eq!(first, second, "without allow_random bytes are the same at each start");
        let (third, stands, variables) = sees(&node, kind, ALL);
        let (fourth, ..) = sees(&node, kind, ALL);
        assert_eq!((stands, variables), (false, 1));
        assert_ne!(third, fourth);
        let (_, stands, variables) = sees(&node, kind, &format!("{NOTHING}allow_env = true"));
        assert_eq!((stands, variables), (true, 1), "one by one");
    }
}

/// A component that calls one function of an interface with these parameters, all zero, and answers with the digit of
/// the error's code.
fn caller(interface: &str, types: &str, function: &str, signature: &str, core: usize) -> Vec<u8> {
    let (params, zeros) = (" i32".repeat(core), "(i32.const 0) ".repeat(core));
    let text = format!(
        r#"(component
        (import "plexspaces:actor/{interface}@0.1.0" (instance $host
            (type $code' (enum "unknown" "actor-not-found" "delivery-failed" "timeout" "invalid-message"
                "not-permitted" "resource-exhausted" "internal" "not-implemented"))
            (export "error-code" (type $code (eq $code')))
            (type $error' (record (field "code" $code) (field "message" string) (field "details" (option string))))
            (export "actor-error" (type $error (eq $error')))
            {types}
            (export "{function}" (func {signature}))))
        (core module $heap
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $heap (instantiate $heap))
        (alias core export $heap "memory" (core memory $memory))
        (alias core export $heap "realloc" (core func $realloc))
        (core func $call (canon lower (func $host "{function}") (memory $memory) (realloc $realloc)))
        (core module $guest
            (import "heap" "memory" (memory 1))
            (import "host" "call" (func $call (param{params} i32)))
            (func (export "act") (param i32 i32) (result i32)
                (call $call {zeros} (i32.const 512))
                (i32.store8 (i32.const 64) (i32.add (i32.const 48) (i32.load8_u (i32.const 516))))
                (i32.store (i32.const 600) (i32.const 64))
                (i32.store (i32.const 604) (i32.load8_u (i32.const 512)))
                (i32.const 600)))
        (core instance $guest (instantiate $guest
            (with "heap" (instance $heap)) (with "host" (instance (export "call" (func $call))))))
        (func (export "handle-request") (param "payload" (list u8)) (result (list u8))
            (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn what_is_not_granted_is_withheld_also_what_comes_later() {
    let node = node();
    let check = |config: &str, wasm: &[u8], expected: &str| {
        deployed(&node, "caller", config, wasm);
        assert_eq!(node.ask("caller", b"").body_payload(), expected, "{config}");
        assert_eq!(node.undeploy("caller").status, 200);
    };
    let options = r#"(type $options' (record (field "actor-id" (option string))
        (field "labels" (list (tuple string string))) (field "mailbox-size" (option u32)) (field "durable" bool)
        (field "supervisor" (option string))))
        (export "spawn-options" (type $options (eq $options')))"#;
    let signature = r#"(param "module-ref" string) (param "initial-state" (list u8)) (param "options" $options)
        (result (result string (error $error)))"#;
    let spawn = caller("messaging", options, "spawn", signature, 15);
    let (not_permitted, no_error) = ("5", "");
    check(NOTHING, &spawn, not_permitted);
    let allowed = "[capabilities]\nallow_spawn_actors = true";
    deployed(&node, "caller", allowed, &spawn);
    assert_eq!(node.ask("caller", b"").payload(), "", "it is told an error");
    assert_eq!(node.undeploy("caller").status, 200);
    let tuple = r#"(type $context' (record (field "tenant-id" string) (field "namespace" string)))
        (export "context" (type $context (eq $context')))
        (type $field' (variant (case "string-val" string) (case "int-val" s64) (case "float-val" f64)
            (case "bytes-val" (list u8)) (case "bool-val" bool) (case "null-val")))
        (export "tuple-field" (type $field (eq $field')))
        (type $data' (list $field))
        (export "tuple-data" (type $data (eq $data')))"#;
    let signature =
        r#"(param "ctx" $context) (param "tuple-data" $data) (result (result (error $error)))"#;
    let write = caller("tuplespace", tuple, "write", signature, 6);
    check(NOTHING, &write, not_permitted);
    check("[capabilities]\nallow_tuplespace = true", &write, no_error);
}

#[test]
fn a_capability_that_no_guest_gets_here_is_refused() {
    let node = node();
    let check = |line: &str, words: &[&str]| {
        let config = format!("[capabilities]\n{line}");
        let answer = node
            .form("odd", &guest(Kind::Core, EARLY))
            .config(&config)
            .send();
        answer.is_refused(422, "INVALID_ARGUMENT", words);
    };
    for key in [
        "allow_network = true",
        "allow_filesystem = true",
        "filesystem_root = '/srv'",
    ] {
        let name = key.split(' ').next().unwrap();
        check(key, &[name, "not supported by this node"]);
    }
    check("allow_netwrok = true", &["line 2", "allow_netwrok"]);
    check("allow_env = 'yes'", &["line 2", "allow_env"]);
    let off =
        "[capabilities]\nallow_network = false\nallow_filesystem = false\nfilesystem_root = ''";
    deployed(&node, "odd", off, &guest(Kind::Core, EARLY));
}
