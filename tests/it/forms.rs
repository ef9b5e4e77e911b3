//! Every form of export that the node calls, every world it links, and what it says of the others.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use crate::guests::OUTPUT_STREAM;
use crate::harness::{Node, node};

/// The types that component fixtures use by name.
const TYPES: &str = r#"
    (type $code' (enum "unknown" "actor-not-found" "delivery-failed" "timeout" "invalid-message"
        "not-permitted" "resource-exhausted" "internal" "not-implemented"))
    (export $code "error-code" (type $code'))
    (type $error' (record (field "code" $code) (field "message" string) (field "details" (option string))))
    (export $error "actor-error" (type $error'))
    (type $result' (variant (case "ok" (list u8)) (case "err" $error)))
    (export $result "actor-result" (type $result'))
    (type $odd' (record (field "message" string)))
    (export $odd "odd-error" (type $odd'))"#;

/// A component whose `handle-request` has these parameters and result; its core function runs `body`, with the
/// text "good" at 64 and "bad" at 80.
pub fn component(parameters: &str, result: &str, core_type: &str, body: &str) -> Vec<u8> {
    let result = if result.is_empty() {
        String::new()
    } else {
        format!("(result {result})")
    };
    let text = format!(
        r#"(component
        (core module $guest
            (memory (export "memory") 1)
            (global $free (mut i32) (i32.const 1024))
            (data (i32.const 64) "good") (data (i32.const 80) "bad")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $free)
                (global.set $free (i32.add (global.get $free) (local.get 3))))
            ;; At 512: a discriminant, then pointer and length of the text.
            (func $answer (param $discriminant i32) (param $offset i32) (param $text i32) (param $len i32) (result i32)
                (i32.store (i32.const 512) (local.get $discriminant))
                (i32.store (i32.add (i32.const 512) (local.get $offset)) (local.get $text))
                (i32.store (i32.add (i32.const 516) (local.get $offset)) (local.get $len))
                (i32.const 512))
            (func (export "act") {core_type} {body}))
        (core instance $guest (instantiate $guest))
        (alias core export $guest "memory" (core memory $memory))
        (alias core export $guest "realloc" (core func $realloc))
        {TYPES}
        (func (export "handle-request") {parameters} {result}
            (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// Deploys, asks once with the type `kind` and the payload `sent`, and takes it away again.
fn answer(node: &Node, wasm: &[u8]) -> crate::harness::Answer {
    node.deploy("form", wasm).is_deployed();
    let answer = node.ask_with("form", &[("x-message-type", "kind")], b"sent");
    assert_eq!(node.undeploy("form").status, 200);
    answer
}

#[test]
fn every_form_of_result_is_understood() {
    let node = node();
    let payload = r#"(param "payload" (list u8))"#;
    let good = |result: &str, body: &str| {
        let core = if result.is_empty() {
            "(param i32 i32)"
        } else {
            "(param i32 i32) (result i32)"
        };
        answer(&node, &component(payload, result, core, body))
    };
    let (plain, in_result) = (
        "(call $answer (i32.const 64) (i32.const 4) (i32.const 4) (i32.const 0))",
        "(call $answer (i32.const 0) (i32.const 4) (i32.const 64) (i32.const 4))",
    );
    // Without a discriminant, pointer and length start at once.
    let plain = plain.replace(
        "(i32.const 64) (i32.const 4) (i32.const 4) (i32.const 0)",
        "(i32.const 0) (i32.const 0) (i32.const 64) (i32.const 4)",
    );
    assert_eq!(good("", "").payload(), "");
    assert_eq!(good("(list u8)", &plain).payload(), "good");
    assert_eq!(good("string", &plain).payload(), "good");
    for error in ["string", "$error"] {
        assert_eq!(
            good(&format!("(result (error {error}))"), in_result).payload(),
            ""
        );
        assert_eq!(
            good(&format!("(result (list u8) (error {error}))"), in_result).payload(),
            "good"
        );
        assert_eq!(
            good(&format!("(result string (error {error}))"), in_result).payload(),
            "good"
        );
    }
    assert_eq!(good("$result", in_result).payload(), "good");

    // An error text stands where the value would; in an actor-error the code comes first.
    let text_error = "(call $answer (i32.const 1) (i32.const 4) (i32.const 80) (i32.const 3))";
    let actor_error = "(call $answer (i32.const 1) (i32.const 8) (i32.const 80) (i32.const 3))";
    for (error, body) in [("string", text_error), ("$error", actor_error)] {
        for value in ["", "(list u8)", "string"] {
            good(&format!("(result {value} (error {error}))"), body).is_refused(
                502,
                "ABORTED",
                &["bad"],
            );
        }
    }
    good("$result", actor_error).is_refused(502, "ABORTED", &["bad"]);
}

#[test]
fn every_form_of_parameters_gets_its_parts() {
    let node = node();
    let check = |parameters: &str, count: usize, pairs: usize, expected: &str| {
        let core = format!("(param{}) (result i32)", " i32".repeat(2 * count));
        // Answers with the part whose number is `pairs`.
        let body = format!(
            "(call $answer (i32.const 0) (i32.const 4) (local.get {}) (local.get {}))",
            2 * pairs,
            2 * pairs + 1
        );
        let wasm = component(
            parameters,
            "(result (list u8) (error string))",
            &core,
            &body,
        );
        assert_eq!(
            answer(&node, &wasm).payload(),
            expected,
            "part {pairs} of {parameters}"
        );
    };
    let all =
        r#"(param "from-actor" string) (param "msg-type" string) (param "payload" (list u8))"#;
    check(all, 3, 0, "http@test-node");
    check(all, 3, 1, "kind");
    check(all, 3, 2, "sent");
    let sender = r#"(param "from-actor" string) (param "request" (list u8))"#;
    check(sender, 2, 0, "http@test-node");
    check(sender, 2, 1, "sent");
    let by_type = r#"(param "event-type" string) (param "event" (list u8))"#;
    check(by_type, 2, 0, "kind");
    check(by_type, 2, 1, "sent");
    check(r#"(param "payload" (list u8))"#, 1, 0, "sent");
}

#[test]
fn a_component_with_another_form_is_refused_by_name() {
    let node = node();
    let check = |parameters: &str, result: &str, shown: &str| {
        let (core, body) = ("(param i32 i32) (result i32)", "(local.get 0)");
        let core = match parameters.contains("u32") {
            true => "(param i32) (result i32)",
            false => core,
        };
        // Before anything is started, so a rehearsal says it too.
        let wasm = component(parameters, result, core, body);
        let (content_type, form) = node.form("form", &wasm).encode();
        let headers = [("content-type", content_type.as_str())];
        let path = "/api/v1/applications/deploy?dry_run=true";
        node.request("POST", path, &headers, &form).is_refused(
            422,
            "INVALID_ARGUMENT",
            &["handle-request", shown, "docs/wasm-deployment.md"],
        );
    };
    let payload = r#"(param "payload" (list u8))"#;
    check(r#"(param "count" u32)"#, "u32", "func(u32) -> u32;");
    check(
        payload,
        "(result (list u8) (error $odd))",
        "func(list<u8>) -> result<list<u8>, record { message: string }>;",
    );
    check(
        payload,
        "(result (error u8))",
        "func(list<u8>) -> result<_, u8>;",
    );
}

/// A component that echoes, with a world-level `init` of these parameters that traps when it is called.
fn with_init(parameters: &str, core: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
        (core module $guest
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "init") {core} (result i32) (unreachable))
            (func (export "act") (param i32 i32)))
        (core instance $guest (instantiate $guest))
        (alias core export $guest "memory" (core memory $memory))
        (alias core export $guest "realloc" (core func $realloc))
        (func (export "init") {parameters} (result (result (error string)))
            (canon lift (core func $guest "init") (memory $memory) (realloc $realloc)))
        (func (export "handle-request") (param "payload" (list u8))
            (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_a_toolchain_leaves_behind_is_no_hook_and_anything_else_is_refused() {
    let node = node();
    let leftover =
        r#"(param "a" string) (param "b" string) (param "c" (option string)) (param "d" bool)"#;
    let wasm = with_init(leftover, "(param i32 i32 i32 i32 i32 i32 i32 i32)");
    assert_eq!(answer(&node, &wasm).payload(), "");
    let check = |parameters: &str, core: &str, shown: &str| {
        let refused = node.deploy("form", &with_init(parameters, core));
        refused.is_refused(422, "INVALID_ARGUMENT", &["its export init", shown]);
    };
    check(
        r#"(param "a" string) (param "b" string) (param "c" (option string))"#,
        "(param i32 i32 i32 i32 i32 i32 i32)",
        "func(string, string, option<string>) -> result<_, string>",
    );
    check(
        r#"(param "a" string)"#,
        "(param i32 i32)",
        "func(string) -> result<_, string>",
    );
    // One that the node does call is called, and traps.
    let own = with_init(r#"(param "state" (list u8))"#, "(param i32 i32)");
    node.deploy("form", &own).is_refused(
        422,
        "INVALID_ARGUMENT",
        &["does not start", "unreachable"],
    );
}

#[test]
fn every_form_of_core_result_is_understood() {
    let node = node();
    let check = |result: &str, body: &str, expected: &str| {
        let wasm = wat::parse_str(format!(
            r#"(module (memory (export "memory") 1) (data (i32.const 64) "\04\00\00\00good")
               (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) {result} {body}))"#
        ));
        assert_eq!(
            answer(&node, &wasm.unwrap()).payload(),
            expected,
            "{result} {body}"
        );
    };
    check("", "", "");
    check("(result i32)", "(i32.const 64)", "good");
    check("(result i32)", "(i32.const 0)", "");
    check("(result i64)", "(i64.const 0x0000000400000044)", "good");
    check("(result i32 i32)", "(i32.const 68) (i32.const 4)", "good");
    // Without an allocator the host lends memory of its own, and the guest may hand it back.
    check("(result i32 i32)", "(local.get 4) (local.get 5)", "sent");
}

#[test]
fn a_core_module_that_could_not_be_called_is_refused_by_what_it_exports() {
    let node = node();
    let check = |inside: &str, words: &[&str]| {
        let text = format!(
            r#"(module {inside} (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#
        );
        let refused = node.deploy("form", &wat::parse_str(text).unwrap());
        refused.is_refused(422, "INVALID_ARGUMENT", words);
    };
    let typed = |export: &str| {
        let memory = r#"(memory (export "memory") 1)"#;
        check(
            &format!("{memory} (func (export \"{export}\") (param i64))"),
            &[
                &format!("its export {export} has the type (type (func (param i64)))"),
                "docs/core-abi.md",
            ],
        );
    };
    for export in ["_initialize", "alloc", "malloc", "cabi_realloc"] {
        typed(export);
    }
    let hook = r#"(memory (export "memory") 1) (func (export "shutdown") (param i32))"#;
    check(
        hook,
        &[
            "its export shutdown has the type",
            "takes 0 i32 and gives nothing or i32;",
        ],
    );
    check(r#"(memory (export "memory") i64 1)"#, &["64-bit", "wasm32"]);
    check(
        r#"(memory (export "memory") 1 1 shared)"#,
        &["shared", "without threads"],
    );
    check(r#"(func (export "memory"))"#, &["exports no memory"]);
    check(
        r#"(global (export "memory") i32 (i32.const 0))"#,
        &["exports no memory"],
    );
    let stuck = [
        "no room for its messages",
        "beyond 1 pages",
        "export alloc",
        "grow by 32 pages",
    ];
    check(r#"(memory (export "memory") 1 1)"#, &stuck);
    assert_eq!(node.total_applications(), 0);
    assert_eq!(node.files(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_memory_that_cannot_grow_is_enough_for_a_guest_that_allocates() {
    let node = node();
    let wasm = wat::parse_str(
        r#"(module (memory (export "memory") 1 1)
           (func (export "malloc") (param i32) (result i32) (i32.const 1024))
           (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i32 i32)
               (local.get 4) (local.get 5)))"#,
    );
    assert_eq!(answer(&node, &wasm.unwrap()).payload(), "sent");
}

#[test]
fn a_component_with_a_memory_of_another_form_is_refused() {
    let node = node();
    let check = |memory: &str, words: &[&str]| {
        let text = format!("(component (core module (memory {memory})))");
        let refused = node.deploy("form", &wat::parse_str(text).unwrap());
        refused.is_refused(422, "INVALID_ARGUMENT", words);
    };
    check("i64 1", &["64-bit", "wasm32"]);
    check("1 1 shared", &["shared", "without threads"]);
}

#[test]
fn init_gets_its_state_and_may_refuse() {
    let node = node();
    let module = |init: &str| {
        wat::parse_str(format!(
            r#"(module (memory (export "memory") 1) (global $len (mut i32) (i32.const -1))
               (func (export "_initialize") (i32.store8 (i32.const 99) (i32.const 7)))
               (func (export "init") (param i32 i32) (result i32) {init})
               (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
                   (i32.store8 (i32.const 64) (i32.add (i32.const 48) (global.get $len)))
                   (i64.const 0x0000000100000040)))"#
        ))
        .unwrap()
    };
    let initialized =
        "(if (i32.ne (i32.load8_u (i32.const 99)) (i32.const 7)) (then (unreachable)))";
    let takes = module(&format!(
        "{initialized} (global.set $len (local.get 1)) (i32.const 0)"
    ));
    assert_eq!(
        answer(&node, &takes).payload(),
        0,
        "without a state, init gets no bytes"
    );
    node.deploy("form", &module("(i32.const 3)")).is_refused(
        422,
        "INVALID_ARGUMENT",
        &["does not start", "init answered 3"],
    );
    assert_eq!(node.total_applications(), 0);
}

/// The smallest component of a world: it imports all there is to import, and each export traps.
fn dummy(world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/wit/plexspaces-actor");
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

#[test]
fn a_guest_of_every_world_links() {
    let node = node();
    let worlds = [
        "plexspaces-actor",
        "simple-actor",
        "durable-actor",
        "coordination-actor",
        "event-actor",
        "request-actor",
        "stateful-request-actor",
        "deferring-request-actor",
        "full-request-actor",
    ];
    for world in worlds {
        let deployed = node.deploy(world, &dummy(world));
        // It links and starts; where the world has an `init`, that is the first thing to trap.
        if deployed.status != 200 {
            deployed.is_refused(422, "INVALID_ARGUMENT", &["does not start", "unreachable"]);
        }
    }
    assert_eq!(
        node.total_applications(),
        2,
        "request-actor and deferring-request-actor have no init"
    );
}

#[test]
fn an_error_of_the_node_reaches_a_component_by_its_code() {
    let node = node();
    // Signals the workflow without a name, and answers with the error's code.
    let text = r#"(component
        (import "plexspaces:actor/workflow@0.1.0" (instance $workflow
            (type $context' (record (field "tenant-id" string) (field "namespace" string)))
            (export "context" (type $context (eq $context')))
            (type $code' (enum "unknown" "actor-not-found" "delivery-failed" "timeout" "invalid-message"
                "not-permitted" "resource-exhausted" "internal" "not-implemented"))
            (export "error-code" (type $code (eq $code')))
            (type $error' (record (field "code" $code) (field "message" string) (field "details" (option string))))
            (export "actor-error" (type $error (eq $error')))
            (export "signal-workflow" (func (param "ctx" $context) (param "workflow-id" string)
                (param "signal-name" string) (param "payload" (list u8)) (result (result (error $error)))))))
        (core module $heap
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $heap (instantiate $heap))
        (alias core export $heap "memory" (core memory $memory))
        (alias core export $heap "realloc" (core func $realloc))
        (core func $delete (canon lower (func $workflow "signal-workflow") (memory $memory) (realloc $realloc)))
        (core module $guest
            (import "heap" "memory" (memory 1))
            (import "host" "delete" (func $delete (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (func (export "act") (param i32 i32) (result i32)
                (call $delete (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 512))
                (i32.store8 (i32.const 64) (i32.add (i32.const 48) (i32.load8_u (i32.const 516))))
                (i32.store (i32.const 600) (i32.const 64))
                (i32.store (i32.const 604) (i32.load8_u (i32.const 512)))
                (i32.const 600)))
        (core instance $guest (instantiate $guest
            (with "heap" (instance $heap)) (with "host" (instance (export "delete" (func $delete))))))
        (func (export "handle-request") (param "payload" (list u8)) (result (list u8))
            (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#;
    node.deploy("nameless", &wat::parse_str(text).unwrap())
        .is_deployed();
    assert_eq!(node.ask("nameless", b"").payload(), 4, "invalid-message");
}

#[test]
fn the_last_words_on_standard_error_reach_whoever_asked() {
    let node = node();
    let text = format!(
        r#"(component
        {OUTPUT_STREAM}
        (import "wasi:cli/stderr@0.2.0" (instance $stderr
            (alias outer 1 $a-stream (type $outer-stream))
            (export "output-stream" (type $output-stream (eq $outer-stream)))
            (export "get-stderr" (func (result (own $output-stream))))))
        (core module $heap
            (memory (export "memory") 1)
            (data (i32.const 64) "the sensor is gone\nand so am I\n")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $heap (instantiate $heap))
        (alias core export $heap "memory" (core memory $memory))
        (alias core export $heap "realloc" (core func $realloc))
        (core func $get-stderr (canon lower (func $stderr "get-stderr")))
        (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
            (memory $memory) (realloc $realloc)))
        (core module $guest
            (import "host" "get-stderr" (func $get-stderr (result i32)))
            (import "host" "write" (func $write (param i32 i32 i32 i32)))
            (func (export "act") (param i32 i32)
                (call $write (call $get-stderr) (i32.const 64) (i32.const 31) (i32.const 512))
                (unreachable)))
        (core instance $guest (instantiate $guest (with "host" (instance
            (export "get-stderr" (func $get-stderr)) (export "write" (func $write))))))
        (func (export "handle-request") (param "payload" (list u8))
            (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#
    );
    node.deploy("sensor", &wat::parse_str(&text).unwrap())
        .is_deployed();
    node.ask("sensor", b"").is_refused(
        502,
        "ABORTED",
        &["unreachable", "the sensor is gone | and so am I"],
    );
    node.log_says("guest: sensor@test-node: the sensor is gone");
    let log = node
        .get("/api/v1/applications/sensor/logs?level=error")
        .json();
    let kept = log["lines"][0]["message"].as_str().unwrap();
    assert!(
        kept.contains("unreachable") && kept.contains("wasm backtrace"),
        "{kept}"
    );
}
