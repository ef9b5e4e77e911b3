//! The journal of an actor: what it persists comes back after a crash, a kill and an upgrade, once and in order.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::crash::Dice;
use crate::harness::{Node, node};
use crate::keeper::{Told, told};

/// A core module whose state is a text. A message is a letter that says what to do, and what to do it with; the answer is
/// a status, 0 as `p` and each other one as far from it, then what there is to tell.
const LEDGER: &str = r#"(module
    (import "plexspaces" "journal_persist" (func $persist (param i32 i32 i32 i32) (result i64)))
    (import "plexspaces" "journal_persist_batch" (func $batch (param i32 i32) (result i64)))
    (import "plexspaces" "journal_checkpoint" (func $checkpoint (result i64)))
    (import "plexspaces" "journal_sequence" (func $sequence (result i64)))
    (import "plexspaces" "journal_checkpoint_sequence" (func $kept (result i64)))
    (import "plexspaces" "journal_is_replaying" (func $replaying (result i32)))
    (import "plexspaces" "journal_cache_side_effect" (func $effect (param i32 i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "journal_read" (func $read (param i64 i64 i32 i32) (result i32)))
    (import "plexspaces" "journal_compact" (func $compact (param i64) (result i32)))
    (import "plexspaces" "spawn" (func $spawn (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 8)
    (data (i32.const 16) "add")
    (data (i32.const 32) "key")
    (data (i32.const 48) "other")
    (global $len (mut i32) (i32.const 0))
    (global $at_start (mut i32) (i32.const 0))
    (func $append (param $from i32) (param $bytes i32)
        (memory.copy (i32.add (i32.const 4096) (global.get $len)) (local.get $from) (local.get $bytes))
        (global.set $len (i32.add (global.get $len) (local.get $bytes))))
    (func (export "init") (param $state i32) (param $bytes i32) (result i32)
        (call $append (local.get $state) (local.get $bytes))
        (global.set $at_start
            (i32.wrap_i64 (call $persist (i32.const 16) (i32.const 3) (i32.const 16) (i32.const 3))))
        (i32.const 0))
    (func (export "snapshot_state") (result i64) SNAPSHOT
        (i64.or (i64.shl (i64.extend_i32_u (global.get $len)) (i64.const 32)) (i64.const 4096)))
    (func $letter (param $n i64)
        (if (i64.gt_s (local.get $n) (i64.const 9)) (then (local.set $n (i64.const 9))))
        (i32.store8 (i32.const 131072) (i32.add (i32.const 112) (i32.wrap_i64 (local.get $n)))))
    (func $reply (param $n i64) (param $from i32) (param $bytes i32) (result i64)
        (call $letter (local.get $n))
        (memory.copy (i32.const 131073) (local.get $from) (local.get $bytes))
        (i64.or (i64.shl (i64.extend_i32_u (i32.add (i32.const 1) (local.get $bytes))) (i64.const 32))
            (i64.const 131072)))
    (func $text (param $n i64) (result i64)
        (call $reply (local.get $n) (i32.const 4096) (global.get $len)))
    (func $answer (param $n i64) (result i64)
        (call $reply (local.get $n) (i32.load (i32.const 512)) (i32.load (i32.const 516))))
    (func (export "handle_event") (param $from i32) (param $from_len i32) (param $type i32) (param $type_len i32)
        (param $at i32) (param $bytes i32)
        (if (i32.ne (call $replaying) (i32.const 1)) (then (unreachable)))
        (if (i32.ne (local.get $type_len) (i32.const 3)) (then (unreachable)))
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 63)) (then
            (call $letter (call $persist (i32.const 16) (i32.const 3) (i32.const 16) (i32.const 3)))
            (call $append (i32.const 131072) (i32.const 1))
            (return)))
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 36)) (then
            (drop (call $effect (i32.const 32) (i32.const 3) (i32.const 48) (i32.const 5) (i32.const 512)))
            (call $append (i32.load (i32.const 512)) (i32.load (i32.const 516)))
            (return)))
        (call $append (local.get $at) (local.get $bytes)))
    (func (export "handle_request") (param $from i32) (param $from_len i32) (param $type i32) (param $type_len i32)
        (param $at i32) (param $bytes i32) (result i64)
        (local $op i32) (local $n i64)
        (if (call $replaying) (then (unreachable)))
        (i64.store (i32.const 512) (i64.const 0))
        (local.set $op (i32.load8_u (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
        ;; a: persist and apply; !: persist and break
        (if (i32.or (i32.eq (local.get $op) (i32.const 97)) (i32.eq (local.get $op) (i32.const 33))) (then
            (local.set $n (call $persist (i32.const 16) (i32.const 3) (local.get $at) (local.get $bytes)))
            (if (i32.eq (local.get $op) (i32.const 33)) (then (unreachable)))
            (if (i64.gt_s (local.get $n) (i64.const 0)) (then (call $append (local.get $at) (local.get $bytes))))
            (return (call $text (local.get $n)))))
        (if (i32.eq (local.get $op) (i32.const 98)) (then
            (return (call $text (call $batch (local.get $at) (local.get $bytes))))))
        (if (i32.eq (local.get $op) (i32.const 99)) (then (return (call $text (call $checkpoint)))))
        (if (i32.eq (local.get $op) (i32.const 67)) (then
            (return (call $text (i64.extend_i32_s (call $compact (call $checkpoint)))))))
        (if (i32.eq (local.get $op) (i32.const 107)) (then (return (call $text (i64.extend_i32_s
            (call $compact (i64.sub (i64.load8_u (local.get $at)) (i64.const 48))))))))
        (if (i32.eq (local.get $op) (i32.const 115)) (then (return (call $text (call $sequence)))))
        (if (i32.eq (local.get $op) (i32.const 83)) (then (return (call $text (call $kept)))))
        (if (i32.eq (local.get $op) (i32.const 105)) (then
            (return (call $text (i64.extend_i32_s (global.get $at_start))))))
        (if (i32.eq (local.get $op) (i32.const 116)) (then (return (call $text (i64.const 0)))))
        (if (i32.eq (local.get $op) (i32.const 114)) (then
            (local.set $n (i64.extend_i32_s (call $read (i64.const 1) (i64.const 0) (i32.const 0) (i32.const 512))))
            (return (call $answer (local.get $n)))))
        (if (i32.eq (local.get $op) (i32.const 50)) (then
            (local.set $n (i64.extend_i32_s (call $read (i64.const 2) (i64.const 4) (i32.const 1) (i32.const 512))))
            (return (call $answer (local.get $n)))))
        (if (i32.eq (local.get $op) (i32.const 101)) (then
            (local.set $n (i64.extend_i32_s (call $effect
                (i32.const 32) (i32.const 3) (local.get $at) (local.get $bytes) (i32.const 512))))
            (return (call $answer (local.get $n)))))
        (if (i32.eq (local.get $op) (i32.const 110)) (then
            (local.set $n (i64.extend_i32_s (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (local.get $at) (local.get $bytes) (i32.const 512))))
            (return (call $answer (local.get $n)))))
        (if (i32.eq (local.get $op) (i32.const 119)) (then
            (call $append (local.get $at) (local.get $bytes))
            (return (call $text (i64.const 0)))))
        (unreachable)))"#;

pub fn ledger() -> Vec<u8> {
    wat::parse_str(LEDGER.replace("SNAPSHOT", "")).unwrap_or_else(|error| panic!("{error}"))
}

/// One of the version after, which does the same.
fn later_ledger() -> Vec<u8> {
    wat::parse_str(LEDGER.replace("SNAPSHOT", "(nop)")).unwrap()
}

/// One that cannot tell its state.
fn mute_ledger() -> Vec<u8> {
    wat::parse_str(
        LEDGER
            .replace("(export \"snapshot_state\")", "")
            .replace("SNAPSHOT", ""),
    )
    .unwrap()
}

pub fn tell(node: &Node, order: &str) -> Told {
    told(&node.ask_by_id("ledger", order.as_bytes()))
}

fn ok(status: i32, text: &str) -> Told {
    (status, text.to_owned())
}

/// It breaks, and is back with the next message.
fn breaks(node: &Node, order: &str) {
    assert_eq!(node.ask_by_id("ledger", order.as_bytes()).status, 502);
}

#[test]
fn entries_are_numbered_from_one_and_read_as_they_were_written() {
    let node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    assert_eq!((tell(&node, "s").0, tell(&node, "S").0), (0, 0));
    assert_eq!(tell(&node, "r"), ok(0, "[]"));
    assert_eq!(tell(&node, "aone"), ok(1, "one"));
    let batch = r#"b[{"type":"add","payload":"two"},{"type":"é","payload":"/wA=","payload_encoding":"base64"}]"#;
    assert_eq!(tell(&node, batch).0, 3, "the last one's number");
    assert_eq!(tell(&node, "b[]").0, 3, "nothing at all is written");
    assert_eq!(tell(&node, r#"b[{"type":"add","payload":"x"},{"type":"add","payload":"!","payload_encoding":"base64"}]"#).0, -5);
    assert_eq!(tell(&node, "bno").0, -5);
    assert_eq!(tell(&node, "s").0, 3, "all of a batch or none");
    let (count, read) = tell(&node, "r");
    let read: Value = serde_json::from_str(&read).unwrap();
    let entry = |n: usize| {
        let entry = &read[n];
        assert!(entry["timestamp"].as_u64().unwrap() > 1_600_000_000_000);
        format!(
            "{} {} {} {}",
            entry["sequence"], entry["type"], entry["payload"], entry["payload_encoding"]
        )
    };
    assert_eq!(count, 3);
    assert_eq!(entry(0), r#"1 "add" "one" "utf8""#);
    assert_eq!(entry(1), r#"2 "add" "two" "utf8""#);
    assert_eq!(entry(2), r#"3 "é" "/wA=" "base64""#);
    let (count, some) = tell(&node, "2");
    assert!(count == 1 && some.contains(r#""sequence":2"#), "{some}");
}

#[test]
fn after_a_crash_the_entries_are_replayed_in_their_order() {
    let node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    tell(&node, "aone.");
    tell(&node, "wvolatile.");
    breaks(&node, "!two.");
    assert_eq!(tell(&node, "t"), ok(0, "one.two."));
    node.log_says("replayed 2 entries");
    assert_eq!(tell(&node, "athree."), ok(3, "one.two.three."));
    breaks(&node, "x");
    assert_eq!(tell(&node, "t"), ok(0, "one.two.three."));
}

#[test]
fn a_life_begins_with_the_last_checkpoint_and_what_came_after_it() {
    let node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    tell(&node, "aone.");
    tell(&node, "wvolatile.");
    assert_eq!(tell(&node, "k1").0, -5, "no checkpoint holds it");
    assert_eq!((tell(&node, "c").0, tell(&node, "S").0), (1, 1));
    tell(&node, "atwo.");
    breaks(&node, "x");
    assert_eq!(tell(&node, "t"), ok(0, "one.volatile.two."));
    node.log_says("replayed 1 entries");
    assert_eq!(
        tell(&node, "k2").0,
        -5,
        "the checkpoint holds one entry only"
    );
    assert_eq!(
        tell(&node, "C").0,
        0,
        "checkpoint and compact in one message"
    );
    assert_eq!(
        (tell(&node, "r"), tell(&node, "s").0, tell(&node, "S").0),
        (ok(0, "[]"), 2, 2)
    );
    tell(&node, "athree.");
    breaks(&node, "x");
    assert_eq!(tell(&node, "t"), ok(0, "one.volatile.two.three."));
}

#[test]
fn a_killed_node_comes_back_with_all_of_it() {
    let mut node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    tell(&node, "aone.");
    node = Node::again(node.kill());
    assert_eq!(tell(&node, "atwo."), ok(2, "one.two."));
    tell(&node, "c");
    tell(&node, "athree.");
    node = Node::again(node.kill());
    assert_eq!(tell(&node, "t"), ok(0, "one.two.three."));
    assert_eq!((tell(&node, "s").0, tell(&node, "S").0), (3, 2));
}

#[test]
fn a_stop_in_order_and_an_upgrade_replay_nothing() {
    let mut node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    tell(&node, "aone.");
    tell(&node, "c");
    tell(&node, "atwo.");
    tell(&node, "wkept.");
    node = Node::again(node.stop());
    assert_eq!(
        tell(&node, "t"),
        ok(0, "one.two.kept."),
        "the state at the stop is younger"
    );
    tell(&node, "athree.");
    let form = node.form("ledger", &later_ledger()).without("version");
    form.field("version", "2.0.0").send().is_deployed();
    assert_eq!(tell(&node, "t"), ok(0, "one.two.kept.three."));
    assert_eq!(node.log_count("replayed"), 0);
    assert_eq!(tell(&node, "afour.").0, 4);
    breaks(&node, "x");
    assert_eq!(tell(&node, "t"), ok(0, "one.two.kept.three.four."));
}

#[test]
fn a_version_that_fails_takes_its_entries_with_it() {
    let mut node = Node::unforgiving();
    node.deploy("ledger", &ledger()).is_deployed();
    tell(&node, "aone.");
    let form = node.form("ledger", &later_ledger()).without("version");
    form.field("version", "2.0.0").send().is_deployed();
    tell(&node, "atwo.");
    tell(&node, "c");
    while node.log_count("has failed in its probation") == 0 {
        node.ask_by_id("ledger", b"x");
    }
    node.waits_for("the version before", || {
        node.ask_by_id("ledger", b"t").status == 200
    });
    assert_eq!(tell(&node, "t"), ok(0, "one."));
    assert_eq!(
        tell(&node, "athree."),
        ok(3, "one.three."),
        "numbers are not given twice"
    );
    node = Node::again(node.kill());
    assert_eq!(tell(&node, "t"), ok(0, "one.three."));
}

#[test]
fn a_journal_goes_with_its_application() {
    let mut node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    tell(&node, "aone.");
    tell(&node, "c");
    assert_eq!(node.undeploy("ledger").status, 200);
    node.deploy("ledger", &ledger()).is_deployed();
    assert_eq!((tell(&node, "s"), tell(&node, "S").0), (ok(0, ""), 0));
    tell(&node, "atwo.");
    node = Node::again(node.kill());
    assert_eq!(tell(&node, "t"), ok(0, "two."));
}

#[test]
fn a_spawned_actor_goes_on_with_the_journal_of_its_id_unless_that_is_made_up() {
    let mut node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    let spawn = |node: &Node| {
        let (_, unnamed) = tell(node, "n");
        let (_, named) = tell(node, r#"n{"actor_id":"mine"}"#);
        [unnamed, named]
    };
    let child =
        |node: &Node, address: &str, order: &str| told(&node.ask_by_id(address, order.as_bytes()));
    let before = spawn(&node);
    for address in &before {
        assert_eq!(child(&node, address, "aone."), ok(1, "one."), "{address}");
    }
    node = Node::again(node.kill());
    let [unnamed, named] = spawn(&node);
    assert_eq!(
        [&unnamed, &named],
        [&before[0], &before[1]],
        "the same names"
    );
    assert_eq!(
        child(&node, &unnamed, "s"),
        ok(0, ""),
        "of whoever had the name"
    );
    assert_eq!(child(&node, &named, "s"), ok(1, "one."));
    assert_eq!(child(&node, &unnamed, "atwo."), ok(1, "two."));
}

#[test]
fn a_life_that_starts_or_is_replayed_adds_nothing_to_the_journal() {
    let node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    assert_eq!(tell(&node, "i").0, -6, "not-permitted in init");
    tell(&node, "a?");
    breaks(&node, "x");
    assert_eq!(
        tell(&node, "t"),
        ok(0, "j"),
        "not-permitted in a replay: 'p' - 6"
    );
    assert_eq!(tell(&node, "s").0, 1);
}

#[test]
fn a_side_effect_happens_once_whatever_a_replay_computes() {
    let node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    assert_eq!(tell(&node, "efirst."), ok(0, "first."));
    assert_eq!(tell(&node, "esecond."), ok(0, "first."));
    assert_eq!(tell(&node, "s").0, 0, "it is no entry");
    tell(&node, "a$");
    breaks(&node, "x");
    assert_eq!(tell(&node, "t"), ok(0, "first."));
    tell(&node, "C");
    assert_eq!(
        tell(&node, "ethird."),
        ok(0, "third."),
        "it went with its entries"
    );
}

#[test]
fn a_guest_that_cannot_tell_its_state_has_its_whole_journal_replayed() {
    let mut node = node();
    node.deploy("ledger", &mute_ledger()).is_deployed();
    assert_eq!(tell(&node, "aone.").0, 1);
    assert_eq!(
        tell(&node, "c").0,
        -6,
        "not-permitted: there is no snapshot_state"
    );
    tell(&node, "atwo.");
    node = Node::again(node.stop());
    assert_eq!(tell(&node, "t"), ok(0, "one.two."));
    let form = node.form("ledger", &ledger()).without("version");
    form.field("version", "2.0.0").send().is_deployed();
    assert_eq!(
        tell(&node, "t"),
        ok(0, "one.two."),
        "an upgrade without a state"
    );
}

#[test]
fn a_full_journal_is_replayed_and_refuses_more_until_it_is_compacted() {
    let node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    let event = r#"{"type":"add","payload":""}"#;
    let batch = |count: usize| format!("b[{}]", vec![event; count].join(","));
    for _ in 0..10 {
        assert_eq!(tell(&node, &batch(10_000)).0, 9);
    }
    assert_eq!(tell(&node, &batch(1)).0, -7, "resource-exhausted");
    assert_eq!(tell(&node, "emore").0, -7);
    let began = Instant::now();
    breaks(&node, "x");
    assert_eq!(tell(&node, "t"), ok(0, ""));
    node.log_says("replayed 100000 entries");
    println!("a start with 100,000 entries: {:?}", began.elapsed());
    assert_eq!(tell(&node, "C").0, 0);
    assert_eq!(tell(&node, "aone.").1, "one.");
    assert_eq!(tell(&node, "emore"), ok(0, "more"));
}

#[test]
fn an_answered_entry_survives_a_kill_at_any_moment() {
    let mut node = node();
    node.deploy("ledger", &ledger()).is_deployed();
    let (mut dice, mut expected) = (Dice(20_261_126), String::new());
    let (mut answers, began) = (0, Instant::now());
    let mut moment_us_max = 100_000;
    for kill in 0..8 {
        let (pid, before) = (node.pid(), answers);
        let moment = Duration::from_micros(5_000 + dice.below(moment_us_max));
        let (_done, wait) = mpsc::channel::<()>();
        let killer = thread::spawn(move || {
            // Nobody sends: the wait is the moment.
            let _ = wait.recv_timeout(moment);
            kill_process(pid, Signal::KILL).unwrap();
        });
        let tried = loop {
            let letter = char::from(b'a' + u8::try_from(dice.below(26)).unwrap());
            let order = match dice.below(8) {
                0 => "C".to_owned(),
                _ => format!("a{letter}"),
            };
            let ask = || told(&node.ask_by_id("ledger", order.as_bytes()));
            match panic::catch_unwind(AssertUnwindSafe(ask)) {
                Ok((_, text)) => {
                    answers += 1;
                    expected.push_str(&order[1..]);
                    assert_eq!(text, expected);
                }
                Err(_) => break order[1..].to_owned(),
            }
        };
        killer.join().unwrap();
        // A busy machine needs longer for as much.
        if answers == before {
            moment_us_max *= 2;
        }
        node = Node::again(node.kill());
        let (_, found) = tell(&node, "t");
        let perhaps = format!("{expected}{tried}");
        assert!(
            found == expected || found == perhaps,
            "kill {kill}: {found} is not {expected}"
        );
        expected = found;
    }
    println!(
        "{answers} answers, 8 kills and starts in {:?}",
        began.elapsed()
    );
    assert!(
        answers > 8,
        "the node was killed before it could do anything"
    );
}
