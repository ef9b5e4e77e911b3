//! What one guest leaves in its slot of the pool, the next one does not find.

use tempfile::TempDir;

use crate::guests::guest;
use crate::harness::Node;
use plexspaces_node::wasm::Kind;

/// Slots for large guests on a node of the profile `tiny`.
const SLOTS: usize = 4;

/// On (w)rite fills its memory, table and global with what nobody else should see, on (t)rap does that and traps; on
/// (r)ead answers with a digit: 0, or which of them was not empty. What lies low is the dress's own.
const KEEPER: &str = r#"
    (data (i32.const 64) "done")
    (table $table 4000 funcref)
    (elem declare func $act)
    (global $secret (mut i64) (i64.const 0))
    (func $grow
        (if (i32.lt_u (memory.size) (i32.const 64)) (then
            (drop (memory.grow (i32.sub (i32.const 64) (memory.size)))))))
    (func $write
        (memory.fill (i32.const 8192) (i32.const 0xaa) (i32.const 57344))
        (memory.fill (i32.const 1048576) (i32.const 0xaa) (i32.const 3145728))
        (table.fill $table (i32.const 0) (ref.func $act) (i32.const 4000))
        (global.set $secret (i64.const 42)))
    (func $blank (param $from i32) (param $to i32) (result i32)
        (loop $next
            (if (i64.ne (i64.load (local.get $from)) (i64.const 0)) (then (return (i32.const 0))))
            (local.set $from (i32.add (local.get $from) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $from) (local.get $to))))
        (i32.const 1))
    (func $null (result i32) (local $index i32)
        (loop $next
            (if (i32.eqz (ref.is_null (table.get $table (local.get $index)))) (then (return (i32.const 0))))
            (local.set $index (i32.add (local.get $index) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $index) (i32.const 4000))))
        (i32.const 1))
    (func $read (result i32)
        (if (i32.eqz (call $blank (i32.const 8192) (i32.const 65536))) (then (return (i32.const 49))))
        (if (i32.eqz (call $blank (i32.const 1048576) (i32.const 4194304))) (then (return (i32.const 50))))
        (if (i32.eqz (call $null)) (then (return (i32.const 51))))
        (if (i64.ne (global.get $secret) (i64.const 0)) (then (return (i32.const 52))))
        (i32.const 48))
    (func $act (param i32 i32 i32 i32 i32 i32) (result i64)
        (call $grow)
        (if (i32.eq (i32.load8_u (local.get 4)) (i32.const 114)) (then
            (i32.store8 (i32.const 64) (call $read))
            (return (call $packed (i32.const 64) (i32.const 1)))))
        (call $write)
        (if (i32.eq (i32.load8_u (local.get 4)) (i32.const 116)) (then (unreachable)))
        (call $packed (i32.const 64) (i32.const 4)))"#;

fn names() -> [String; SLOTS] {
    std::array::from_fn(|slot| format!("keeper-{slot}"))
}

fn tiny() -> Node {
    Node::start(TempDir::new().unwrap(), &["--profile", "tiny"])
}

/// Fills every slot with guests of this module.
fn fill(node: &Node, wasm: &[u8]) {
    let large = "[limits]\nmax_memory_bytes = 134217728";
    let deploy = |name: &str| node.form(name, wasm).config(large).send();
    for name in names() {
        deploy(&name).is_deployed();
    }
    // There is no other slot into which the next ones could evade.
    deploy("one-more").is_refused(429, "RESOURCE_EXHAUSTED", &["no room"]);
}

fn empty(node: &Node) {
    for name in names() {
        assert_eq!(node.undeploy(&name).status, 200);
    }
}

fn all_read(node: &Node) -> [String; SLOTS] {
    names().map(|name| node.ask(&name, b"read").body_payload())
}

const NOTHING: [&str; SLOTS] = ["0"; SLOTS];

fn a_slot_is_empty_when_the_next_guest_gets_it(kind: Kind) {
    let keeper = guest(kind, KEEPER);
    // The pool gives a slot to the same module more readily than to another; both get them.
    let other = guest(kind, &format!("{KEEPER} (global $other i32 (i32.const 1))"));
    let node = tiny();
    for next in [&keeper, &other] {
        fill(&node, &keeper);
        for name in names() {
            assert_eq!(node.ask(&name, b"write").body_payload(), "done");
            assert_ne!(node.ask(&name, b"read").body_payload(), "0");
        }
        empty(&node);
        fill(&node, next);
        assert_eq!(all_read(&node), NOTHING);
        empty(&node);
    }
}

fn a_slot_is_empty_when_a_guest_that_trapped_comes_back(kind: Kind) {
    let node = tiny();
    fill(&node, &guest(kind, KEEPER));
    for name in names() {
        node.ask(&name, b"trap").is_refused(502, "ABORTED", &[]);
    }
    assert_eq!(all_read(&node), NOTHING);
}

#[test]
fn a_slot_is_empty_when_the_next_guest_gets_it_core() {
    a_slot_is_empty_when_the_next_guest_gets_it(Kind::Core);
}

#[test]
fn a_slot_is_empty_when_the_next_guest_gets_it_component() {
    a_slot_is_empty_when_the_next_guest_gets_it(Kind::Component);
}

#[test]
fn a_slot_is_empty_when_a_guest_that_trapped_comes_back_core() {
    a_slot_is_empty_when_a_guest_that_trapped_comes_back(Kind::Core);
}

#[test]
fn a_slot_is_empty_when_a_guest_that_trapped_comes_back_component() {
    a_slot_is_empty_when_a_guest_that_trapped_comes_back(Kind::Component);
}
