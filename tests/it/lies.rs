//! Guests that lie: pointers and lengths of nowhere in every host function and every result, and lists that grow on
//! their way out. A lie ends the message that told it, never the node.

use crate::forms;
use crate::guests::{ECHO, for_both_kinds, guest};
use crate::harness::{Answer, Node, node};
use plexspaces_node::wasm::Kind;

/// What stands in the even and in the odd places of a call: pointers and lengths, mostly.
const LIES: [(i32, i32); 7] = [
    (-1, -1),
    (-1, 1),
    (0, -1),
    (i32::MAX, i32::MAX),
    (-8, 8),
    (65_535, 2),
    (0, i32::MIN),
];

/// Host functions that both kinds of guests know: i for an i32, I for an i64, and the result behind a space.
const FUNCTIONS: [(&str, &str); 9] = [
    ("log", "ii"),
    ("tell", "iiiiii i"),
    ("ask", "iiiiiiIi i"),
    ("reply", "ii i"),
    ("reply_to", "iiii i"),
    ("forward", "iiiiiiiiii i"),
    ("send_after", "Iiiii I"),
    ("defer", "i i"),
    ("self_id", "i i"),
];

/// Those that core modules alone import, of this node and of WASI.
#[rustfmt::skip]
const CORE_FUNCTIONS: [(&str, &str); 50] = [
    ("plexspaces send_message", "iiii i"), ("plexspaces fail", "ii"), ("plexspaces message_id", "i i"),
    ("plexspaces correlation_id", "i i"),
    ("args_get", "ii i"), ("args_sizes_get", "ii i"), ("clock_res_get", "ii i"), ("clock_time_get", "iIi i"),
    ("environ_get", "ii i"), ("environ_sizes_get", "ii i"), ("fd_advise", "iIIi i"), ("fd_allocate", "iII i"),
    ("fd_close", "i i"), ("fd_datasync", "i i"), ("fd_fdstat_get", "ii i"), ("fd_fdstat_set_flags", "ii i"),
    ("fd_fdstat_set_rights", "iII i"), ("fd_filestat_get", "ii i"), ("fd_filestat_set_size", "iI i"),
    ("fd_filestat_set_times", "iIIi i"), ("fd_pread", "iiiIi i"), ("fd_prestat_dir_name", "iii i"),
    ("fd_prestat_get", "ii i"), ("fd_pwrite", "iiiIi i"), ("fd_read", "iiii i"), ("fd_readdir", "iiiIi i"),
    ("fd_renumber", "ii i"), ("fd_seek", "iIii i"), ("fd_sync", "i i"), ("fd_tell", "ii i"), ("fd_write", "iiii i"),
    ("path_create_directory", "iii i"), ("path_filestat_get", "iiiii i"), ("path_filestat_set_times", "iiiiIIi i"),
    ("path_link", "iiiiiii i"), ("path_open", "iiiiiIIii i"), ("path_readlink", "iiiiii i"),
    ("path_remove_directory", "iii i"), ("path_rename", "iiiiii i"), ("path_symlink", "iiiii i"),
    ("path_unlink_file", "iii i"), ("poll_oneoff", "iiii i"), ("proc_exit", "i"), ("proc_raise", "i i"),
    ("random_get", "ii i"), ("sched_yield", " i"), ("sock_accept", "iii i"), ("sock_recv", "iiiiii i"),
    ("sock_send", "iiiii i"), ("sock_shutdown", "ii i"),
];

/// The handler's body: calls `$name` with the two i32 of its payload.
fn telling(name: &str, signature: &str) -> String {
    let (parameters, result) = signature.split_once(' ').unwrap_or((signature, ""));
    let lie = |(place, letter)| match (letter, place % 2) {
        ('I', _) => "(i64.const 1) ",
        (_, 0) => "(i32.load (local.get 4)) ",
        _ => "(i32.load offset=4 (local.get 4)) ",
    };
    let arguments: String = parameters.chars().enumerate().map(lie).collect();
    let drop = if result.is_empty() { "" } else { "drop" };
    format!("{arguments} call ${name} {drop}")
}

/// A core module that imports one function, and what it calls `$it` with.
fn core(function: &str, signature: &str) -> Vec<u8> {
    let (module, name) = function
        .split_once(' ')
        .unwrap_or(("wasi_snapshot_preview1", function));
    let (parameters, result) = signature.split_once(' ').unwrap_or((signature, ""));
    let types = |letters: &str| letters.replace('i', " i32").replace('I', " i64");
    let text = format!(
        r#"(module
        (import "{module}" "{name}" (func $it (param{}) (result{})))
        (memory (export "memory") 1)
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) {}))"#,
        types(parameters),
        types(result),
        telling("it", signature)
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// Asks once; whatever came of it, the message has ended in words of the contract, and others are served.
fn ends(node: &Node, wasm: &[u8], payload: &[u8]) -> Answer {
    node.deploy("liar", wasm).is_deployed();
    let answer = node.ask_with("liar", &[("x-timeout-ms", "300")], payload);
    match answer.status {
        200 => {}
        // What it defers with a good pointer it never answers.
        504 => answer.is_refused(504, "DEADLINE_EXCEEDED", &[]),
        _ => answer.is_refused(502, "ABORTED", &[]),
    }
    assert_eq!(node.undeploy("liar").status, 200);
    assert_eq!(node.ask("neighbour", b"fine").body_payload(), "fine");
    answer
}

fn tell_every_lie(node: &Node, wasm: &[u8]) {
    for (even, odd) in LIES {
        ends(
            node,
            wasm,
            &[even.to_le_bytes(), odd.to_le_bytes()].concat(),
        );
    }
}

fn with_neighbour(node: Node) -> Node {
    node.deploy("neighbour", &guest(Kind::Core, ECHO))
        .is_deployed();
    node
}

for_both_kinds! {
    fn no_pointer_in_a_call_of_the_node_is_believed(node, kind) {
        let node = with_neighbour(node);
        for (name, signature) in FUNCTIONS {
            let body = telling(name, signature);
            let act = "(func $act (param i32 i32 i32 i32 i32 i32) (result i64)";
            let wasm = guest(kind, &format!("{act} {body} (i64.const 0))"));
            tell_every_lie(&node, &wasm);
            let nowhere = [(-8_i32).to_le_bytes(), 8_i32.to_le_bytes()].concat();
            ends(&node, &wasm, &nowhere).is_refused(502, "ABORTED", &[]);
        }
    }
}

#[test]
fn no_pointer_in_a_call_that_core_modules_alone_make_is_believed() {
    let node = with_neighbour(node());
    for (function, signature) in CORE_FUNCTIONS {
        tell_every_lie(&node, &core(function, signature));
    }
}

#[test]
fn no_pointer_in_a_component_s_result_is_believed() {
    let node = with_neighbour(node());
    let answers = |discriminant: i32, offset: i32, text: i32, len: i32| {
        format!(
            "(call $answer (i32.const {discriminant}) (i32.const {offset}) (i32.const {text}) (i32.const {len}))"
        )
    };
    let lies = |with_discriminant: bool, offset: i32| {
        let mut lies = vec![
            "(i32.const -1)".to_owned(),
            "(i32.const -4)".to_owned(),
            "(i32.const 65534)".to_owned(),
            answers(0, offset, -1, 1),
            answers(0, offset, 64, -1),
            answers(0, offset, 65_535, 2),
            answers(0, offset, i32::MAX, i32::MAX),
        ];
        if with_discriminant {
            lies.extend([
                answers(7, offset, 64, 4),
                answers(1, offset, 64, -1),
                answers(1, 8, -1, 64),
            ]);
        }
        lies
    };
    for (result, with_discriminant, offset) in [
        ("(list u8)", false, 0),
        ("string", false, 0),
        ("(result (list u8) (error string))", true, 4),
        ("(result string (error string))", true, 4),
        ("(result (list u8) (error $error))", true, 4),
        ("(result string (error $error))", true, 4),
        ("$result", true, 4),
    ] {
        for lie in lies(with_discriminant, offset) {
            let parameters = r#"(param "payload" (list u8))"#;
            let wasm = forms::component(parameters, result, "(param i32 i32) (result i32)", &lie);
            let answer = ends(&node, &wasm, b"");
            assert_eq!(answer.status, 502, "{result} {lie}: {answer:?}");
        }
    }
}

#[test]
fn no_pointer_in_a_core_module_s_result_is_believed() {
    let node = with_neighbour(node());
    let module = |name: &str, parameters: &str, result: &str, body: &str| {
        let text = format!(
            r#"(module (memory (export "memory") 1) (data (i32.const 64) "\ff\ff\ff\ff")
               (func (export "handle_transition") (param i32 i32 i32 i32 i32 i32))
               (func (export "{name}") {parameters} (result {result}) {body}))"#
        );
        wat::parse_str(text).unwrap()
    };
    for (result, lie) in [
        ("i32", "(i32.const -1)"),
        ("i32", "(i32.const -4)"),
        ("i32", "(i32.const 65534)"),
        ("i32", "(i32.const 64)"),
        ("i64", "(i64.const -1)"),
        ("i64", "(i64.const 0x00000001ffffffff)"),
        ("i64", "(i64.const 0xffffffff00000000)"),
        ("i64", "(i64.const 0x7fffffff00000001)"),
        ("i32 i32", "(i32.const -1) (i32.const -1)"),
        ("i32 i32", "(i32.const -1) (i32.const 1)"),
        ("i32 i32", "(i32.const 0) (i32.const -1)"),
        ("i32 i32", "(i32.const 1) (i32.const 0x7fffffff)"),
    ] {
        let handler = module(
            "handle_request",
            "(param i32 i32 i32 i32 i32 i32)",
            result,
            lie,
        );
        let answer = ends(&node, &handler, b"");
        assert_eq!(answer.status, 502, "{result} {lie}: {answer:?}");
        // The state that it starts with is read as an answer is, and so is the one that it leaves.
        let first = node.deploy("liar", &module("get_state", "", result, lie));
        first.is_refused(422, "INVALID_ARGUMENT", &["does not start"]);
        ends(&node, &module("snapshot_state", "", result, lie), b"");
    }
}

/// Passes a list of a hundred thousand entries over one and the same region: on `1` to `log-with-fields`, on `2` to
/// `join-group`.
const AMPLIFIER: &str = r#"(component
    (import "plexspaces:actor/logging@0.1.0" (instance $logging
        (type $level' (enum "trace" "debug" "info" "warn" "error"))
        (export "log-level" (type $level (eq $level')))
        (export "log-with-fields" (func (param "level" $level) (param "message" string)
            (param "fields" (list (tuple string string)))))))
    (import "plexspaces:actor/process-groups@0.1.0" (instance $groups
        (type $context' (record (field "tenant-id" string) (field "namespace" string)))
        (export "context" (type $context (eq $context')))
        (type $code' (enum "unknown" "actor-not-found" "delivery-failed" "timeout" "invalid-message"
            "not-permitted" "resource-exhausted" "internal" "not-implemented"))
        (export "error-code" (type $code (eq $code')))
        (type $error' (record (field "code" $code) (field "message" string) (field "details" (option string))))
        (export "actor-error" (type $error (eq $error')))
        (export "join-group" (func (param "ctx" $context) (param "group-name" string) (param "namespace" string)
            (param "topics" (list string)) (result (result (error $error)))))))
    (core module $heap
        (memory (export "memory") 60)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $heap (instantiate $heap))
    (alias core export $heap "memory" (core memory $memory))
    (alias core export $heap "realloc" (core func $realloc))
    (core func $log (canon lower (func $logging "log-with-fields") (memory $memory)))
    (core func $join (canon lower (func $groups "join-group") (memory $memory) (realloc $realloc)))
    (core module $guest
        (import "heap" "memory" (memory 60))
        (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
        (import "host" "join" (func $join (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (func $fill (param $at i32) (param $count i32) (param $len i32)
            (loop $next
                (i32.store (local.get $at) (i32.const 4096))
                (i32.store offset=4 (local.get $at) (local.get $len))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $next (local.get $count))))
        (func (export "act") (param $payload i32) (param i32)
            (if (i32.eq (i32.load8_u (local.get $payload)) (i32.const 49)) (then
                (call $fill (i32.const 2097152) (i32.const 200000) (i32.const 60000))
                (call $log (i32.const 2) (i32.const 4096) (i32.const 1) (i32.const 2097152) (i32.const 100000))))
            (if (i32.eq (i32.load8_u (local.get $payload)) (i32.const 50)) (then
                (call $fill (i32.const 2097152) (i32.const 100000) (i32.const 60000))
                (call $join (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 2097152) (i32.const 100000) (i32.const 512))))))
    (core instance $guest (instantiate $guest
        (with "heap" (instance $heap))
        (with "host" (instance (export "log" (func $log)) (export "join" (func $join))))))
    (func (export "handle-request") (param "payload" (list u8))
        (canon lift (core func $guest "act") (memory $memory) (realloc $realloc))))"#;

#[test]
fn a_list_over_one_region_takes_no_more_than_a_message_may() {
    let node = with_neighbour(node());
    let wasm = wat::parse_str(AMPLIFIER).unwrap();
    let before = node.peak_bytes();
    for payload in [b"1", b"2"] {
        ends(&node, &wasm, payload).is_refused(502, "ABORTED", &["too much data"]);
    }
    let risen = node.peak_bytes() - before;
    assert!(risen < 32 << 20, "the node took {risen} bytes more");
}
