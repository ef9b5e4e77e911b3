//! The slots that guests lie in, when there are no more of them.

use crate::guests::{CAT, ECHO, for_both_kinds, guest};
use crate::harness::Node;
use plexspaces_node::wasm::Kind;

/// A node that has four slots for guests of this config, and these are all that such guests get.
const LARGE: &str = "[limits]\nmax_memory_bytes = 134217728\nmax_table_elements = 20000\n";
const SLOTS: usize = 4;

fn tiny() -> Node {
    Node::configured("profile = 'tiny'\n[applications]\nrestart_delay = '1h'")
}

fn deployed(node: &Node, name: &str, wasm: &[u8]) {
    node.form(name, wasm).config(LARGE).send().is_deployed();
}

/// Waits until so many slots of the large class hold a guest's memory.
fn slots_taken(node: &Node, expected: usize) {
    let figure = format!("plexspaces_pool_memories{{class=\"large\"}} {expected}");
    while !node.get("/metrics").body.contains(&figure) {}
}

#[test]
fn a_message_that_finds_no_slot_free_is_told_to_come_back_and_its_actor_is_not_to_blame() {
    let node = tiny();
    let spins = guest(Kind::Command, "(loop $forever (br $forever))");
    deployed(&node, "cat", &guest(Kind::Command, CAT));
    let spinners = ["one", "two", "three", "four"];
    for name in spinners {
        deployed(&node, name, &spins);
        let told = node.ask_with(name, &[("prefer", "respond-async")], b"");
        assert_eq!(told.status, 202);
    }
    slots_taken(&node, SLOTS);
    for _ in 0..10 {
        let full = node.ask("cat", b"1");
        full.is_refused(429, "RESOURCE_EXHAUSTED", &["no room"]);
        assert_eq!(full.header("retry-after"), Some("1"));
    }
    let shown = node.get("/api/v1/applications/cat").json();
    assert_eq!(shown["actors"][0]["restarts"], 0);
    assert_eq!(shown["status"], "APPLICATION_STATUS_RUNNING");
    assert_eq!(node.undeploy("two").status, 200);
    assert_eq!(node.ask("cat", b"1").payload()["payload"], 1);
}

for_both_kinds! {
    fn an_actor_that_finds_no_slot_free_is_refused_and_leaves_nothing(_node, kind) {
        let node = tiny();
        let echo = guest(kind, ECHO);
        for name in ["one", "two", "three", "four"] {
            deployed(&node, name, &echo);
        }
        for _ in 0..3 {
            let full = node.form("five", &echo).config(LARGE).send();
            full.is_refused(429, "RESOURCE_EXHAUSTED", &["no room", "undeploy something first"]);
        }
        assert_eq!(node.total_applications(), SLOTS as u64);
        assert_eq!(node.ask("four", b"1").body_payload(), "1");
        assert_eq!(node.undeploy("one").status, 200);
        deployed(&node, "five", &echo);
        assert_eq!(node.ask("five", b"1").body_payload(), "1");
    }
}

for_both_kinds! {
    fn an_upgrade_without_room_for_both_versions_is_refused_and_the_old_one_goes_on(_node, kind) {
        let node = Node::configured("actors_max = 3");
        let echo = guest(kind, ECHO);
        let two = "[[supervisor.children]]\nid = \"left\"\n[[supervisor.children]]\nid = \"right\"\n";
        let deploy = |version: &str| node.form("pair", &echo).field("version", version).config(two).send();
        deploy("1.0.0").is_deployed();
        for _ in 0..3 {
            deploy("2.0.0").is_refused(429, "RESOURCE_EXHAUSTED", &["no room", "undeploy something first"]);
            let ask = |id: &str| node.request("POST", &format!("/api/v1/actors/pair/{id}"), &[], b"1");
            assert_eq!((ask("left").status, ask("right").status), (200, 200));
        }
        let shown = node.get("/api/v1/applications/pair").json();
        assert_eq!(shown["version"], "1.0.0");
        // What the refused ones had taken is free again.
        node.deploy("single", &echo).is_deployed();
    }
}

#[test]
fn actors_that_spawn_without_end_leave_room_for_deploys_and_restarts() {
    let node = tiny();
    let tough = guest(Kind::Core, ECHO);
    node.deploy("tough", &tough).is_deployed();
    // It goes on for as long as it is let.
    let breeder = r#"(module
        (import "plexspaces" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "alloc") (param i32) (result i32) (i32.const 1024))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (local $status i32)
            (loop $more
                (local.set $status (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 64)))
                (br_if $more (i32.eqz (local.get $status))))
            (if (i32.ne (local.get $status) (i32.const -7)) (then (unreachable)))))"#;
    node.deploy("breeder", &wat::parse_str(breeder).unwrap())
        .is_deployed();
    for _ in 0..3 {
        assert_eq!(node.ask("breeder", b"").status, 200);
    }
    let seen = node.get("/api/v1/applications/breeder").json();
    assert_eq!(seen["metrics"]["actor_count"], 51, "{}", seen["metrics"]);
    node.deploy("another", &tough).is_deployed();
    assert_eq!(node.ask("another", b"1").body_payload(), "1");
}
