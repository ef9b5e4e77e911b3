//! Process groups: who is in and who hears, then for core modules; `conformance` has the components.

use plexspaces_node::budget::Budget;
use plexspaces_node::coordination::ProcessGroups;
use plexspaces_node::coordination::process_groups::{GroupError, Memberships};
use plexspaces_node::id::{ActorId, ApplicationName, NodeId, Scope};
use plexspaces_node::limits;
use plexspaces_node::place::Place;

use crate::harness::{Node, node};

fn home() -> Place {
    Place::default()
}

fn groups() -> ProcessGroups {
    ProcessGroups::new(Budget::new(usize::MAX))
}

fn member(groups: &ProcessGroups, name: &str) -> Memberships {
    let application = ApplicationName::parse(name).unwrap();
    let node = NodeId::parse("n").unwrap();
    groups.memberships(ActorId::worker(
        &Scope::default(),
        &Scope::default(),
        &application,
        &node,
    ))
}

fn heard(groups: &ProcessGroups, topic: Option<&str>) -> Vec<String> {
    let members = groups.interested(&home(), "g", topic);
    members.iter().map(ActorId::to_string).collect()
}

#[test]
fn each_member_hears_its_topics_once_and_all_hear_what_has_none() {
    let groups = groups();
    let (mut a, mut b) = (member(&groups, "a"), member(&groups, "b"));
    a.join(&home(), "g", vec!["red".into()]).unwrap();
    a.join(&home(), "g", vec!["green".into()]).unwrap();
    b.join(&home(), "g", vec![]).unwrap();
    assert_eq!(heard(&groups, None), ["a@n", "b@n"]);
    assert_eq!(heard(&groups, Some("green")), ["a@n", "b@n"]);
    assert_eq!(heard(&groups, Some("blue")), ["b@n"]);
    a.leave(&home(), "g").unwrap();
    assert_eq!(
        heard(&groups, Some("green")),
        ["b@n"],
        "the last joining is undone first"
    );
    assert_eq!(heard(&groups, Some("red")), ["a@n", "b@n"]);
    a.leave(&home(), "g").unwrap();
    assert_eq!(a.leave(&home(), "g"), Err(GroupError::NotIn("g".into())));
    assert_eq!(heard(&groups, None), ["b@n"]);
}

#[test]
fn membership_ends_with_its_guard_and_a_group_with_its_last_member_unless_it_was_made() {
    let budget = Budget::new(usize::MAX);
    let groups = ProcessGroups::new(budget.clone());
    let mut a = member(&groups, "a");
    a.join(&home(), "g", vec![]).unwrap();
    a.join(&home(), "g", vec![]).unwrap();
    groups.create(&home(), "made").unwrap();
    a.join(&home(), "made", vec![]).unwrap();
    drop(a);
    assert_eq!(groups.list(&home()), ["made".into()]);
    assert!(groups.members(&home(), "made").is_empty());
    groups.delete(&home(), "made").unwrap();
    assert_eq!((groups.list(&home()).len(), budget.taken()), (0, 0));
}

#[test]
fn a_deleted_group_has_no_members_and_the_next_of_its_name_is_another() {
    let groups = groups();
    let (mut a, mut b) = (member(&groups, "a"), member(&groups, "b"));
    a.join(&home(), "g", vec![]).unwrap();
    groups.delete(&home(), "g").unwrap();
    b.join(&home(), "g", vec![]).unwrap();
    assert_eq!(heard(&groups, None), ["b@n"]);
    assert!(a.leave(&home(), "g").is_err());
    drop(a);
    assert_eq!(heard(&groups, None), ["b@n"]);
    let elsewhere = Place {
        tenant: Scope::default(),
        namespace: Scope::parse("namespace", "other").unwrap(),
    };
    assert!(groups.members(&elsewhere, "g").is_empty() && groups.list(&elsewhere).is_empty());
}

#[test]
fn everything_is_bounded() {
    let groups = groups();
    let mut a = member(&groups, "a");
    for n in 0..limits::GROUP_JOINS_MAX {
        a.join(&home(), &(n / 2).to_string(), vec![]).unwrap();
    }
    assert_eq!(
        a.join(&home(), "g", vec![]),
        Err(GroupError::TooManyJoinings)
    );
    for n in groups.list(&home()).len()..limits::GROUPS_MAX {
        groups.create(&home(), &format!("g{n}")).unwrap();
    }
    assert_eq!(groups.create(&home(), "one more"), Err(GroupError::TooMany));
    let mut crowd: Vec<_> = (0..limits::GROUP_MEMBERS_MAX)
        .map(|_| member(&groups, "m"))
        .collect();
    for one in &mut crowd {
        one.join(&home(), "g999", vec![]).unwrap();
    }
    let mut late = member(&groups, "late");
    assert_eq!(
        late.join(&home(), "g999", vec![]),
        Err(GroupError::TooManyMembers)
    );
    drop(crowd.pop());
    late.join(&home(), "g999", vec![]).unwrap();
    let small = ProcessGroups::new(Budget::new(1_000));
    let mut b = member(&small, "b");
    let joined = (0..10)
        .filter(|n| b.join(&home(), &n.to_string(), vec![]).is_ok())
        .count();
    assert_eq!(joined, 1, "a group and a joining take 500 bytes and more");
}

/// Creates (c), deletes (d), joins (j), leaves (l), lists members (m) and groups (g), publishes `hi` without topic (p)
/// and as its topic (t); the payload is the group, for `j` the topics and for `t` the topic. Logs events.
const GUEST: &str = r#"(module
    (import "plexspaces" "log" (func $log (param i32 i32)))
    (import "plexspaces" "group_create" (func $create (param i32 i32) (result i32)))
    (import "plexspaces" "group_delete" (func $delete (param i32 i32) (result i32)))
    (import "plexspaces" "group_join" (func $join (param i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "group_leave" (func $leave (param i32 i32) (result i32)))
    (import "plexspaces" "group_members" (func $members (param i32 i32 i32) (result i32)))
    (import "plexspaces" "group_list" (func $list (param i32) (result i32)))
    (import "plexspaces" "group_publish" (func $publish (param i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    (data (i32.const 128) "ghi")
    (func (export "alloc") (param i32) (result i32) (local i32)
        (local.set 1 (global.get $free))
        (global.set $free (i32.add (global.get $free) (local.get 0)))
        (local.get 1))
    (func $packed (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)) (i64.extend_i32_u (local.get 0))))
    (func $digit (param $number i32) (result i64)
        (if (i32.ge_s (local.get $number) (i32.const 0)) (then
            (i32.store8 (i32.const 64) (i32.add (i32.const 48) (local.get $number)))
            (return (call $packed (i32.const 64) (i32.const 1)))))
        (i32.store8 (i32.const 64) (i32.const 45))
        (i32.store8 (i32.const 65) (i32.sub (i32.const 48) (local.get $number)))
        (call $packed (i32.const 64) (i32.const 2)))
    (func $listed (param $status i32) (result i64)
        (if (i32.lt_s (local.get $status) (i32.const 0)) (then (return (call $digit (local.get $status)))))
        (call $packed (i32.load (i32.const 32)) (i32.load (i32.const 36))))
    (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64) (local $verb i32)
        (local.set $verb (i32.load8_u (local.get 2)))
        (if (i32.eq (local.get $verb) (i32.const 99)) (then
            (return (call $digit (call $create (local.get 4) (local.get 5))))))
        (if (i32.eq (local.get $verb) (i32.const 100)) (then
            (return (call $digit (call $delete (local.get 4) (local.get 5))))))
        (if (i32.eq (local.get $verb) (i32.const 106)) (then
            (return (call $digit (call $join (i32.const 128) (i32.const 1) (local.get 4) (local.get 5))))))
        (if (i32.eq (local.get $verb) (i32.const 108)) (then
            (return (call $digit (call $leave (local.get 4) (local.get 5))))))
        (if (i32.eq (local.get $verb) (i32.const 109)) (then
            (return (call $listed (call $members (local.get 4) (local.get 5) (i32.const 32))))))
        (if (i32.eq (local.get $verb) (i32.const 103)) (then
            (return (call $listed (call $list (i32.const 32))))))
        (if (i32.eq (local.get $verb) (i32.const 112)) (then
            (return (call $digit (call $publish (local.get 4) (local.get 5) (i32.const 0) (i32.const 0)
                (i32.const 129) (i32.const 2))))))
        (if (i32.eq (local.get $verb) (i32.const 116)) (then
            (return (call $digit (call $publish (i32.const 128) (i32.const 1) (local.get 4) (local.get 5)
                (i32.const 129) (i32.const 2))))))
        (unreachable))
    (func (export "handle_event") (param i32 i32 i32 i32 i32 i32)
        (call $log (local.get 0) (local.get 1))
        (call $log (local.get 2) (local.get 3))
        (call $log (local.get 4) (local.get 5))))"#;

fn asked(node: &Node, name: &str, verb: &str, payload: &str) -> String {
    let answer = node.ask_with(name, &[("x-message-type", verb)], payload.as_bytes());
    answer.body_payload()
}

#[test]
fn a_core_module_uses_every_function_and_hears_what_is_published() {
    let node = node();
    let module = wat::parse_str(GUEST).unwrap();
    for name in ["one", "other"] {
        node.deploy(name, &module).is_deployed();
    }
    let check = |name: &str, verb: &str, payload: &str, expected: &str| {
        assert_eq!(
            asked(&node, name, verb, payload),
            expected,
            "{name} {verb} {payload}"
        );
    };
    check("one", "g", "", "[]");
    check("one", "p", "g", "0");
    check("one", "c", "g", "0");
    check("one", "c", "", "-5");
    check("one", "g", "", r#"["g"]"#);
    check("one", "j", "", "0");
    check("other", "j", r#"["red"]"#, "0");
    check("other", "j", "red", "-5");
    check("one", "m", "g", r#"["one@test-node","other@test-node"]"#);
    check("other", "t", "blue", "1");
    let event = node.log_says(r#""topic":"blue""#);
    let expected = r#"one@test-node: {"group":"g","topic":"blue","from":"other@test-node","payload":"hi","payload_encoding":"utf8"}"#;
    assert!(event.contains(expected), "{event}");
    node.log_says("one@test-node: process-groups@test-node");
    node.log_says("one@test-node: group");
    check("one", "t", "red", "2");
    check("one", "p", "g", "2");
    check("other", "l", "g", "0");
    check("other", "l", "g", "-5");
    check("one", "m", "g", r#"["one@test-node"]"#);
    assert_eq!(node.undeploy("one").status, 200);
    check("other", "m", "g", "[]");
    check("other", "d", "g", "0");
    check("other", "d", "g", "-5");
}

#[test]
fn a_member_with_a_full_mailbox_is_not_reached_and_the_log_says_so() {
    let node = node();
    let module = wat::parse_str(GUEST).unwrap();
    node.form("one", &module)
        .config("[limits]\nmax_mailbox = 1")
        .send()
        .is_deployed();
    node.deploy("other", &module).is_deployed();
    assert_eq!(asked(&node, "one", "j", ""), "0");
    // While it handles a publishing to itself, one event fits behind it, and no second.
    node.form("flood", &wat::parse_str(FLOOD).unwrap())
        .send()
        .is_deployed();
    assert_eq!(node.ask("flood", b"").body_payload(), "1");
    node.log_says("one@test-node missed a group event, 1 events so far");
    let said = node.get("/api/v1/applications/one/logs").body;
    assert!(said.contains("missed a group event"), "{said}");
}

/// Publishes ten times in one call, and answers with how often it reached somebody.
const FLOOD: &str = r#"(module
    (import "plexspaces" "group_publish" (func $publish (param i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 128) "g")
    (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64) (local $left i32) (local $reached i32)
        (local.set $left (i32.const 10))
        (loop $more
            (local.set $reached (i32.add (local.get $reached)
                (call $publish (i32.const 128) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 128) (i32.const 1))))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $more (local.get $left)))
        (i32.store8 (i32.const 64) (i32.add (i32.const 48) (local.get $reached)))
        (i64.const 0x100000040)))"#;
