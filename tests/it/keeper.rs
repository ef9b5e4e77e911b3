//! A core module that does what it is told with keys, queues and topics, and whoever tells it.

use std::panic::{self, AssertUnwindSafe};

use crate::harness::{Answer, Node};

/// A message is one letter that says what to do, a number as eight bytes, the lengths of three texts as four bytes each,
/// and the texts. The answer is the status, 0 as `p` and each other one as far from it, and what there is to tell.
const KEEPER: &str = r#"(module
    (import "plexspaces" "log" (func $log (param i32 i32)))
    (import "plexspaces" "keyvalue_get" (func $get (param i32 i32 i32) (result i32)))
    (import "plexspaces" "keyvalue_put" (func $put (param i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "keyvalue_put_with_ttl" (func $put_with_ttl (param i32 i32 i32 i32 i64) (result i32)))
    (import "plexspaces" "keyvalue_delete" (func $delete (param i32 i32) (result i32)))
    (import "plexspaces" "keyvalue_exists" (func $exists (param i32 i32) (result i32)))
    (import "plexspaces" "keyvalue_list_keys" (func $list (param i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "keyvalue_compare_and_swap" (func $swap (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "keyvalue_increment" (func $increment (param i32 i32 i64 i32) (result i32)))
    (import "plexspaces" "keyvalue_watch" (func $watch (param i32 i32) (result i64)))
    (import "plexspaces" "keyvalue_unwatch" (func $unwatch (param i64) (result i32)))
    (import "plexspaces" "send_to_queue" (func $send (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "send_to_queue_with_options"
        (func $send_with_options (param i32 i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "plexspaces" "receive_from_queue" (func $receive (param i32 i32 TIMEOUT) (result i32)))
    (import "plexspaces" "received_id" (func $received_id (param i32) (result i32)))
    (import "plexspaces" "received_type" (func $received_type (param i32) (result i32)))
    (import "plexspaces" "received_headers" (func $received_headers (param i32) (result i32)))
    (import "plexspaces" "received_sent_at" (func $received_sent_at (result i64)))
    (import "plexspaces" "received_deliveries" (func $received_deliveries (result i32)))
    (import "plexspaces" "ack" (func $ack (param i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "nack" (func $nack (param i32 i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "publish_to_topic" (func $publish (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "subscribe_to_topic" (func $subscribe (param i32 i32 i32 i32) (result i64)))
    (import "plexspaces" "unsubscribe_from_topic" (func $unsubscribe (param i64) (result i32)))
    (import "plexspaces" "create_queue" (func $create (param i32 i32 i32 i64) (result i32)))
    (import "plexspaces" "delete_queue" (func $delete_queue (param i32 i32) (result i32)))
    (import "plexspaces" "queue_depth" (func $depth (param i32 i32) (result i64)))
    (memory (export "memory") 40)
    ;; the headers of what is sent with options: colour, red
    (data (i32.const 128) "\06\00\00\00colour\03\00\00\00red")
    (data (i32.const 160) "waiting")
    (global $free (mut i32) (i32.const 1310720))
    ;; Starts over at each message: 20 pages for the answers, the rest for the host's buffer.
    (func (export "alloc") (param $size i32) (result i32)
        (if (i32.gt_u (local.get $size) (i32.const 1200000)) (then (return (i32.const 0))))
        (if (i32.eqz (global.get $begun)) (then (return (i32.const 65536))))
        (global.set $free (i32.add (global.get $free) (local.get $size)))
        (i32.sub (global.get $free) (local.get $size)))
    (global $begun (mut i32) (i32.const 0))
    (func $letter (param $status i32) (i32.store8 (i32.const 1024) (i32.add (i32.const 112) (local.get $status))))
    (func $reply (param $len i32) (result i64)
        (i64.or (i64.shl (i64.extend_i32_u (local.get $len)) (i64.const 32)) (i64.const 1024)))
    ;; the status, and behind it the bytes whose pointer and length lie at 512
    (func $with_bytes (param $status i32) (result i64)
        (call $letter (local.get $status))
        (memory.copy (i32.const 1025) (i32.load (i32.const 512)) (i32.load (i32.const 516)))
        (call $reply (i32.add (i32.const 1) (i32.load (i32.const 516)))))
    (func $alone (param $status i32) (result i64)
        (call $letter (local.get $status)) (call $reply (i32.const 1)))
    (func $number (param $status i32) (param $n i32) (result i64)
        (call $letter (local.get $status))
        (i32.store8 (i32.const 1025) (i32.add (i32.const 48) (local.get $n)))
        (call $reply (i32.const 2)))
    (func (export "handle_event") (param i32 i32 i32 i32 i32 i32) (result i64)
        (call $log (local.get 4) (local.get 5)) (i64.const 0))
    (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
        (local $op i32) (local $n i64) (local $a i32) (local $al i32) (local $b i32) (local $bl i32) (local $c i32) (local $cl i32)
        (local $status i32)
        (global.set $begun (i32.const 1))
        (global.set $free (i32.const 1310720))
        (i64.store (i32.const 512) (i64.const 0))
        (local.set $op (i32.load8_u (local.get 4)))
        (local.set $n (i64.load offset=1 (local.get 4)))
        (local.set $al (i32.load offset=9 (local.get 4)))
        (local.set $bl (i32.load offset=13 (local.get 4)))
        (local.set $cl (i32.load offset=17 (local.get 4)))
        (local.set $a (i32.add (local.get 4) (i32.const 21)))
        (local.set $b (i32.add (local.get $a) (local.get $al)))
        (local.set $c (i32.add (local.get $b) (local.get $bl)))
        (if (i32.eq (local.get $op) (i32.const 33)) (then (unreachable)))
        (if (i32.eq (local.get $op) (i32.const 103)) (then (return (call $with_bytes
            (call $get (local.get $a) (local.get $al) (i32.const 512))))))
        (if (i32.eq (local.get $op) (i32.const 112)) (then (return (call $alone
            (call $put (local.get $a) (local.get $al) (local.get $b) (local.get $bl))))))
        (if (i32.eq (local.get $op) (i32.const 116)) (then (return (call $alone
            (call $put_with_ttl (local.get $a) (local.get $al) (local.get $b) (local.get $bl) (local.get $n))))))
        (if (i32.eq (local.get $op) (i32.const 100)) (then (return (call $alone
            (call $delete (local.get $a) (local.get $al))))))
        (if (i32.eq (local.get $op) (i32.const 101)) (then (return (call $alone
            (call $exists (local.get $a) (local.get $al))))))
        (if (i32.eq (local.get $op) (i32.const 108)) (then (return (call $with_bytes
            (call $list (local.get $a) (local.get $al) (i32.wrap_i64 (local.get $n)) (i32.const 512))))))
        (if (i32.eq (local.get $op) (i32.const 99)) (then (return (call $alone
            (call $swap (local.get $a) (local.get $al) (local.get $b) (local.get $bl) (local.get $c) (local.get $cl))))))
        (if (i32.eq (local.get $op) (i32.const 67)) (then (return (call $alone
            (call $swap (local.get $a) (local.get $al) (i32.const 0) (i32.const -1) (local.get $c) (local.get $cl))))))
        (if (i32.eq (local.get $op) (i32.const 105)) (then
            (local.set $status (call $increment (local.get $a) (local.get $al) (local.get $n) (i32.const 512)))
            (return (call $number (local.get $status) (i32.load (i32.const 512))))))
        (if (i32.eq (local.get $op) (i32.const 119)) (then (return (call $alone
            (i32.wrap_i64 (call $watch (local.get $a) (local.get $al)))))))
        (if (i32.eq (local.get $op) (i32.const 117)) (then (return (call $alone (call $unwatch (local.get $n))))))
        (if (i32.eq (local.get $op) (i32.const 115)) (then (return (call $alone
            (call $send (local.get $a) (local.get $al) (local.get $b) (local.get $bl) (local.get $c) (local.get $cl))))))
        (if (i32.eq (local.get $op) (i32.const 111)) (then (return (call $alone
            (call $send_with_options (local.get $a) (local.get $al) (local.get $b) (local.get $bl)
                (local.get $c) (local.get $cl)
                (i64.and (local.get $n) (i64.const 0xffffffff)) (i64.shr_u (local.get $n) (i64.const 32))
                (i32.const 128) (i32.const 17))))))
        (if (i32.eq (local.get $op) (i32.const 114)) (then
            (if (i64.gt_s (local.get $n) (i64.const 1000)) (then (call $log (i32.const 160) (i32.const 7))))
            (local.set $status (call $receive (local.get $a) (local.get $al) WAIT))
            (if (i32.le_s (local.get $status) (i32.const 0)) (then (return (call $alone (local.get $status)))))
            (if (i64.lt_u (call $received_sent_at) (i64.const 1600000000000)) (then (unreachable)))
            (call $letter (i32.const 1))
            (i32.store8 (i32.const 1025) (i32.add (i32.const 48) (call $received_deliveries)))
            (memory.copy (i32.const 1026) (i32.add (local.get $status) (i32.const 4)) (i32.load (local.get $status)))
            (return (call $reply (i32.add (i32.const 2) (i32.load (local.get $status)))))))
        (if (i32.eq (local.get $op) (i32.const 109)) (then (return (call $with_bytes
            (call $received_type (i32.const 512))))))
        (if (i32.eq (local.get $op) (i32.const 77)) (then (return (call $with_bytes
            (call $received_headers (i32.const 512))))))
        (if (i32.eq (local.get $op) (i32.const 107)) (then
            (drop (call $received_id (i32.const 512)))
            (return (call $alone (call $ack (local.get $a) (local.get $al)
                (i32.load (i32.const 512)) (i32.load (i32.const 516)))))))
        (if (i32.eq (local.get $op) (i32.const 110)) (then
            (drop (call $received_id (i32.const 512)))
            (return (call $alone (call $nack (local.get $a) (local.get $al)
                (i32.load (i32.const 512)) (i32.load (i32.const 516)) (i32.wrap_i64 (local.get $n)))))))
        (if (i32.eq (local.get $op) (i32.const 80)) (then (return (call $alone
            (call $publish (local.get $a) (local.get $al) (local.get $b) (local.get $bl) (local.get $c) (local.get $cl))))))
        (if (i32.eq (local.get $op) (i32.const 83)) (then (return (call $alone (i32.wrap_i64
            (call $subscribe (local.get $a) (local.get $al) (local.get $b) (local.get $bl)))))))
        (if (i32.eq (local.get $op) (i32.const 85)) (then (return (call $alone (call $unsubscribe (local.get $n))))))
        (if (i32.eq (local.get $op) (i32.const 113)) (then (return (call $alone
            (call $create (local.get $a) (local.get $al) (i32.wrap_i64 (local.get $n)) (i64.const 0))))))
        (if (i32.eq (local.get $op) (i32.const 120)) (then (return (call $alone
            (call $delete_queue (local.get $a) (local.get $al))))))
        (if (i32.eq (local.get $op) (i32.const 104)) (then (return (call $number (i32.const 0)
            (i32.wrap_i64 (call $depth (local.get $a) (local.get $al)))))))
        (unreachable)))"#;

/// The keeper, with its timeouts as `i64` or, as the oldest modules have them, `i32`.
pub fn keeper() -> Vec<u8> {
    with_timeout("i64", "(local.get $n)")
}

pub fn keeper_of_short_timeouts() -> Vec<u8> {
    with_timeout("i32", "(i32.wrap_i64 (local.get $n))")
}

fn with_timeout(ty: &str, wait: &str) -> Vec<u8> {
    let text = KEEPER.replace("TIMEOUT", ty).replace("WAIT", wait);
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// A message that tells the keeper what to do.
pub fn order(op: char, n: i64, texts: [&str; 3]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(op).unwrap()];
    bytes.extend(n.to_le_bytes());
    for text in texts {
        bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    }
    texts.iter().for_each(|text| bytes.extend(text.bytes()));
    bytes
}

/// Whoever talks to one keeper.
#[derive(Clone, Copy)]
pub struct Keeper<'n> {
    pub node: &'n Node,
    pub name: &'n str,
}

/// The status of a call and what it answered beside that.
pub type Told = (i32, String);

impl<'n> Keeper<'n> {
    pub fn deploy(node: &'n Node, name: &'n str, config: &str) -> Self {
        node.form(name, &keeper())
            .config(config)
            .send()
            .is_deployed();
        Self { node, name }
    }

    pub fn tell(&self, op: char, n: i64, texts: [&str; 3]) -> Told {
        told(&self.node.ask_by_id(self.name, &order(op, n, texts)))
    }

    /// The same where the node may be gone meanwhile: then no answer comes.
    pub fn try_to(&self, op: char, n: i64, texts: [&str; 3]) -> Option<Told> {
        let order = order(op, n, texts);
        // The harness panics where no answer comes.
        let ask = || self.node.ask_by_id(self.name, &order);
        let answer = panic::catch_unwind(AssertUnwindSafe(ask)).ok()?;
        Some(told(&answer))
    }

    /// An order with one text and no number.
    pub fn one(&self, op: char, text: &str) -> Told {
        self.tell(op, 0, [text, "", ""])
    }

    pub fn put(&self, key: &str, value: &str) -> i32 {
        self.tell('p', 0, [key, value, ""]).0
    }

    pub fn send(&self, queue: &str, payload: &str) -> i32 {
        self.tell('s', 0, [queue, "note", payload]).0
    }

    /// How often it was delivered and what it says, or `None`.
    pub fn receive(&self, queue: &str, timeout_ms: i64) -> Option<(u32, String)> {
        received(self.tell('r', timeout_ms, [queue, "", ""]))
    }

    pub fn ack(&self, queue: &str) -> i32 {
        self.one('k', queue).0
    }
}

/// How often a message was delivered and what it says, where there was one.
pub fn received((status, told): Told) -> Option<(u32, String)> {
    assert!(status == 0 || status == 1, "{status} {told}");
    let mut chars = told.chars();
    let deliveries = chars.next()? as u32 - '0' as u32;
    Some((deliveries, chars.collect()))
}

pub fn told(answer: &Answer) -> Told {
    let text = answer.body_payload();
    let mut chars = text.chars();
    let status = chars
        .next()
        .unwrap_or_else(|| panic!("an empty answer: {answer:?}"));
    (status as i32 - 'p' as i32, chars.collect())
}
