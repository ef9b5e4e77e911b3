//! Guests that never come to an end, by every way into them: each is trapped at its time, and others answer meanwhile.

use std::thread;

use crate::guests::{ECHO, for_both_kinds, guest};
use crate::harness::{Answer, Deploy, Node, node};
use plexspaces_node::wasm::Kind;

/// How long a storm may last: where the machine is too busy for anybody to answer meanwhile, it lasts longer.
const TIMES: [&str; 3] = ["500ms", "2s", "8s"];
const FOREVER: &str = "(loop $forever (br $forever))";

/// Fails unless another actor answers during one of the attempts, each with a storm of this time.
#[track_caller]
fn others_answer(attempt: impl Fn(&str) -> bool) {
    let answered = TIMES.iter().any(|time| attempt(time));
    assert!(answered, "nobody answered meanwhile");
}

/// Runs an attack; says also whether another actor answered while it lasted.
fn with_others(node: &Node, attack: impl FnOnce() -> Answer + Send) -> (Answer, bool) {
    thread::scope(|scope| {
        let attack = scope.spawn(attack);
        while !a_guest_is_being_called(node) && !attack.is_finished() {}
        assert_eq!(node.ask("neighbour", b"fine").body_payload(), "fine");
        let meanwhile = !attack.is_finished();
        (attack.join().unwrap(), meanwhile)
    })
}

fn a_guest_is_being_called(node: &Node) -> bool {
    let metrics = node.get("/metrics").body;
    let mut stacks = metrics
        .lines()
        .filter(|line| line.starts_with("plexspaces_pool_stacks{"));
    stacks.any(|line| !line.ends_with(" 0"))
}

fn form<'a>(node: &'a Node, wasm: &[u8], time: &str) -> Deploy<'a> {
    let limits = format!("[limits]\nmax_execution_time = '{time}'");
    node.form("storm", wasm).config(&limits)
}

/// Its first message never ends.
#[track_caller]
fn never_answers(node: &Node, wasm: &[u8]) {
    others_answer(|time| {
        form(node, wasm, time).send().is_deployed();
        let (answer, meanwhile) = with_others(node, || node.ask_with("storm", &PATIENT, b"go"));
        answer.is_refused(502, "ABORTED", &[&format!("its limit of {time}")]);
        assert_eq!(node.undeploy("storm").status, 200);
        meanwhile
    });
}

/// It does not even start.
#[track_caller]
fn never_starts(node: &Node, wasm: &[u8]) {
    others_answer(|time| {
        let (answer, meanwhile) = with_others(node, || form(node, wasm, time).send());
        answer.is_refused(422, "INVALID_ARGUMENT", &[&format!("its limit of {time}")]);
        meanwhile
    });
}

const PATIENT: [(&str, &str); 1] = [("x-timeout-ms", "60000")];

fn with_neighbour(node: Node) -> Node {
    node.deploy("neighbour", &guest(Kind::Core, ECHO))
        .is_deployed();
    node
}

/// A guest that does `misdeed` again and again.
fn storm(kind: Kind, before: &str, misdeed: &str) -> Vec<u8> {
    guest(
        kind,
        &format!(
            r#"(table $table 10 funcref)
            (data (i32.const 64) "neighbour") (data (i32.const 80) "storm")
            (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
                {before}
                (loop $forever {misdeed} (br $forever))
                (i64.const 0))"#
        ),
    )
}

for_both_kinds! {
    fn growing_memory_without_end_holds_nobody_up(node, kind) {
        let node = with_neighbour(node);
        never_answers(&node, &storm(kind, "", "(drop (memory.grow (i32.const 1)))"));
        never_answers(&node, &storm(kind, "", "(drop (memory.grow (i32.const 65535)))"));
        never_answers(&node, &storm(kind, "", "(drop (memory.grow (i32.const 0)))"));
    }

    fn growing_a_table_without_end_holds_nobody_up(node, kind) {
        let node = with_neighbour(node);
        let grow = |by: &str| format!("(drop (table.grow $table (ref.null func) (i32.const {by})))");
        never_answers(&node, &storm(kind, "", &grow("1")));
        never_answers(&node, &storm(kind, "", &grow("-1")));
    }

    fn moving_memory_in_bulk_without_end_holds_nobody_up(node, kind) {
        let node = with_neighbour(node);
        let all = "(i32.shl (memory.size) (i32.const 16))";
        let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";
        let fill = format!("(memory.fill (i32.const 0) (i32.const 1) {all})");
        never_answers(&node, &storm(kind, grow, &fill));
        let copy = format!("(memory.copy (i32.const 0) (i32.const 1) (i32.sub {all} (i32.const 1)))");
        never_answers(&node, &storm(kind, grow, &copy));
    }

    fn calling_the_node_without_end_holds_nobody_up(node, kind) {
        let node = with_neighbour(node);
        let grow = "(drop (memory.grow (i32.const 40)))";
        let mib = "(i32.const 1024) (i32.const 1048576)";
        never_answers(&node, &storm(kind, "", "(drop (call $now))"));
        never_answers(&node, &storm(kind, grow, &format!("(call $log {mib})")));
        let tell = |to: &str| format!("(drop (call $tell {to} (i32.const 64) (i32.const 4) {mib}))");
        never_answers(&node, &storm(kind, grow, &tell("(i32.const 80) (i32.const 5)")));
        never_answers(&node, &storm(kind, grow, &tell("(i32.const 1024) (i32.const 524288)")));
        let timer = format!("(drop (call $send_after (i64.const 60000) (i32.const 64) (i32.const 4) {mib}))");
        never_answers(&node, &storm(kind, grow, &timer));
    }
}

/// A core module whose parts each do what they are given.
fn core(initialize: &str, init: &str, alloc: &str, act: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (memory (export "memory") 1)
        (func (export "_initialize") {initialize})
        (func (export "init") (param i32 i32) {init})
        (func (export "alloc") (param i32) (result i32) {alloc} (i32.const 1024))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) {act}))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// The same for a component. Its handler drops a resource of its own, whose destructor does `destroy`.
fn component(start: &str, realloc: &str, post_return: &str, destroy: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
        (core module $destructor (func (export "destroy") (param i32) {destroy}))
        (core instance $destructor (instantiate $destructor))
        (type $thing (resource (rep i32) (dtor (core func $destructor "destroy"))))
        (core func $new (canon resource.new $thing))
        (core func $drop (canon resource.drop $thing))
        (core module $guest
            (import "thing" "new" (func $new (param i32) (result i32)))
            (import "thing" "drop" (func $drop (param i32)))
            (memory (export "memory") 1)
            (func $start {start})
            (start $start)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc} (i32.const 1024))
            (func (export "act") (param i32 i32) (call $drop (call $new (i32.const 1))))
            (func (export "post-return") {post_return}))
        (core instance $guest (instantiate $guest
            (with "thing" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
        (alias core export $guest "memory" (core memory $memory))
        (alias core export $guest "realloc" (core func $realloc))
        (alias core export $guest "post-return" (core func $post-return))
        (func (export "handle-request") (param "payload" (list u8))
            (canon lift (core func $guest "act") (memory $memory) (realloc $realloc)
                (post-return $post-return))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_start_without_end_holds_nobody_up() {
    let node = with_neighbour(node());
    let start = wat::parse_str(format!(
        r#"(module (func $start {FOREVER}) (start $start) (memory (export "memory") 1)
           (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#
    ));
    never_starts(&node, &start.unwrap());
    never_starts(&node, &core(FOREVER, "", "", ""));
    never_starts(&node, &core("", FOREVER, "", ""));
    never_starts(&node, &component(FOREVER, "", "", ""));
    assert_eq!(node.total_applications(), 1);
}

#[test]
fn what_the_node_calls_beside_a_handler_may_not_last_forever_either() {
    let node = with_neighbour(node());
    never_answers(&node, &core("", "", FOREVER, ""));
    never_answers(&node, &component("", FOREVER, "", ""));
    never_answers(&node, &component("", "", FOREVER, ""));
    never_answers(&node, &component("", "", "", FOREVER));
}

#[test]
fn what_the_node_calls_beside_a_handler_may_trap() {
    let node = with_neighbour(node());
    let traps = |wasm: &[u8]| {
        node.deploy("storm", wasm).is_deployed();
        let answer = node.ask("storm", b"go");
        answer.is_refused(502, "ABORTED", &["unreachable"]);
        assert_eq!(node.ask("neighbour", b"fine").body_payload(), "fine");
        assert_eq!(node.undeploy("storm").status, 200);
    };
    traps(&core("", "", "unreachable", ""));
    traps(&component("", "unreachable", "", ""));
    traps(&component("", "", "unreachable", ""));
    traps(&component("", "", "", "unreachable"));
}

/// Saying goodbye is the guest's too: its undeploy ends, and others answer meanwhile.
#[test]
fn a_shutdown_without_end_holds_nobody_up() {
    let node = with_neighbour(node());
    for hook in ["pre_suspend", "snapshot_state", "shutdown"] {
        let wasm = wat::parse_str(format!(
            r#"(module (memory (export "memory") 1) (func (export "{hook}") {FOREVER})
               (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#
        ));
        let wasm = wasm.unwrap();
        others_answer(|time| {
            form(&node, &wasm, time).send().is_deployed();
            // An undeploy asks for no state.
            let (answer, meanwhile) = with_others(&node, || match hook {
                "shutdown" => node.undeploy("storm"),
                _ => node.wish("storm", "stop"),
            });
            assert_eq!(answer.status, 200, "{answer:?}");
            if hook != "shutdown" {
                assert_eq!(node.undeploy("storm").status, 200);
            }
            meanwhile
        });
    }
}
