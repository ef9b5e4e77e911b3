//! The tuple space: its promises on a paused clock, then over HTTP and for core modules; `conformance` has the components.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{advance, timeout};

use plexspaces_node::budget::Budget;
use plexspaces_node::coordination::tuplespace::{Stats, TupleError, TupleSpaces, Wish};
use plexspaces_node::coordination::waiting::Waiting;
use plexspaces_node::coordination::{Field, Pattern, Tuple, read_pattern, read_tuple};
use plexspaces_node::id::{ActorId, ApplicationName, NodeId, Scope};
use plexspaces_node::limits;
use plexspaces_node::place::Place;
use plexspaces_node::wasm::Kind;

use crate::harness::{Answer, Node, node};

fn spaces() -> TupleSpaces {
    TupleSpaces::new(Budget::new(usize::MAX), usize::MAX)
}

fn place(namespace: &str) -> Place {
    Place {
        tenant: Scope::default(),
        namespace: Scope::parse("namespace", namespace).unwrap(),
    }
}

fn home() -> Place {
    Place::default()
}

fn tuple(json: &str) -> Tuple {
    read_tuple(json.as_bytes()).unwrap()
}

fn pattern(json: &str) -> Pattern {
    read_pattern(json.as_bytes()).unwrap()
}

fn write(spaces: &TupleSpaces, json: &str) {
    spaces.write(&home(), tuple(json), None).unwrap();
}

fn taker(spaces: &TupleSpaces, json: &str) -> Waiting {
    spaces.wait(&home(), pattern(json), Wish::Take).unwrap()
}

/// What a waiter has, if it has something.
async fn now(waiting: &mut Waiting) -> Option<Tuple> {
    timeout(Duration::ZERO, waiting).await.ok()
}

const ANY: &str = r#"[{"any":true}]"#;

#[tokio::test(start_paused = true)]
async fn takers_are_served_in_the_order_they_came_and_each_tuple_goes_to_one() {
    let spaces = spaces();
    let mut takers: Vec<_> = (0..100)
        .map(|n| taker(&spaces, if n % 2 == 0 { ANY } else { "[7]" }))
        .collect();
    for n in 0..100 {
        for early in &mut takers {
            assert_eq!(now(early).await, None, "before tuple {n}");
        }
        write(&spaces, "[7]");
        for later in takers.iter_mut().skip(1) {
            assert_eq!(now(later).await, None, "out of turn at tuple {n}");
        }
        assert_eq!(now(&mut takers.remove(0)).await, Some(tuple("[7]")), "{n}");
    }
    assert_eq!(spaces.stats(&home()), Stats::default());
}

#[tokio::test(start_paused = true)]
async fn a_taker_that_is_gone_takes_nothing_and_loses_nothing() {
    let spaces = spaces();
    let (mut first, mut second) = (taker(&spaces, ANY), taker(&spaces, ANY));
    assert!(now(&mut first).await.is_none() && now(&mut second).await.is_none());
    // The first is given it, and is gone before it could fetch it.
    write(&spaces, "[1]");
    drop(first);
    assert_eq!(now(&mut second).await, Some(tuple("[1]")));
    let third = taker(&spaces, ANY);
    drop(third);
    write(&spaces, "[2]");
    write(&spaces, "[3]");
    drop(taker(&spaces, ANY));
    assert_eq!(
        spaces.take(&home(), &pattern(ANY)),
        Some(tuple("[2]")),
        "in its old place"
    );
}

#[tokio::test(start_paused = true)]
async fn readers_get_a_copy_before_a_taker_has_it() {
    let spaces = spaces();
    let mut taken = taker(&spaces, ANY);
    let mut readers: Vec<_> = (0..3)
        .map(|_| spaces.wait(&home(), pattern(ANY), Wish::Read).unwrap())
        .collect();
    write(&spaces, "[1]");
    for reader in &mut readers {
        assert_eq!(now(reader).await, Some(tuple("[1]")));
    }
    assert_eq!(now(&mut taken).await, Some(tuple("[1]")));
    assert_eq!(spaces.stats(&home()), Stats::default());
}

#[tokio::test(start_paused = true)]
async fn a_tuple_ends_to_the_millisecond_and_takes_its_bytes_with_it() {
    let budget = Budget::new(1_000_000);
    let spaces = TupleSpaces::new(budget.clone(), usize::MAX);
    let ttl = |ms| Some(Duration::from_millis(ms));
    spaces.write(&home(), tuple("[1]"), ttl(5)).unwrap();
    spaces.write(&home(), tuple("[2]"), ttl(2)).unwrap();
    spaces.write(&home(), tuple("[3]"), ttl(10)).unwrap();
    advance(Duration::from_millis(1)).await;
    assert_eq!(spaces.count(&home(), &pattern(ANY)), 3);
    advance(Duration::from_millis(1)).await;
    assert_eq!(spaces.read(&home(), &pattern("[2]")), None);
    assert_eq!(spaces.count(&home(), &pattern(ANY)), 2);
    assert_eq!(spaces.take(&home(), &pattern("[3]")), Some(tuple("[3]")));
    let mut waiting = taker(&spaces, "[9]");
    assert_eq!(now(&mut waiting).await, None);
    drop(waiting);
    // Nobody asks, and still the bytes come back.
    assert!(budget.taken() > 0);
    tokio::time::sleep(Duration::from_millis(4)).await;
    assert_eq!(budget.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tuple_that_its_taker_left_behind_ends_when_it_was_to() {
    let spaces = spaces();
    let waiting = taker(&spaces, ANY);
    spaces
        .write(&home(), tuple("[1]"), Some(Duration::from_millis(5)))
        .unwrap();
    advance(Duration::from_millis(5)).await;
    drop(waiting);
    assert_eq!(spaces.stats(&home()), Stats::default());
    let waiting = taker(&spaces, ANY);
    spaces
        .write(&home(), tuple("[2]"), Some(Duration::from_millis(5)))
        .unwrap();
    drop(waiting);
    assert_eq!(spaces.count(&home(), &pattern(ANY)), 1);
    advance(Duration::from_millis(5)).await;
    assert_eq!(spaces.stats(&home()), Stats::default());
}

#[tokio::test(start_paused = true)]
async fn one_place_is_not_seen_from_another() {
    let spaces = spaces();
    write(&spaces, "[1]");
    let mut waiting = spaces
        .wait(&place("other"), pattern(ANY), Wish::Take)
        .unwrap();
    assert_eq!(spaces.read(&place("other"), &pattern(ANY)), None);
    write(&spaces, "[2]");
    assert_eq!(now(&mut waiting).await, None);
    let other_tenant = Place {
        tenant: Scope::parse("tenant", "other").unwrap(),
        namespace: Scope::default(),
    };
    assert_eq!(spaces.count(&other_tenant, &pattern(ANY)), 0);
}

#[tokio::test(start_paused = true)]
async fn only_those_who_subscribed_to_such_tuples_are_named_and_only_until_they_end_it() {
    let spaces = spaces();
    let name = ApplicationName::parse("listener").unwrap();
    let node = NodeId::parse("n").unwrap();
    let actor = ActorId::worker(&Scope::default(), &Scope::default(), &name, &node);
    let mut subscriptions = spaces.subscriptions(actor);
    let one = subscriptions.subscribe(&home(), pattern("[1]")).unwrap();
    let any = subscriptions.subscribe(&home(), pattern(ANY)).unwrap();
    let pair = subscriptions
        .subscribe(&home(), pattern(r#"[1,{"any":true}]"#))
        .unwrap();
    let told = |json: &str| -> Vec<u64> {
        let notices = spaces.write(&home(), tuple(json), None).unwrap();
        notices.iter().map(|notice| notice.subscription).collect()
    };
    assert_eq!(told("[1]"), [one, any]);
    assert_eq!(told("[2]"), [any]);
    assert_eq!(told("[1,2]"), [pair]);
    assert!(subscriptions.unsubscribe(any) && !subscriptions.unsubscribe(any));
    assert!(told("[2]").is_empty());
    let swapped = spaces
        .swap(&home(), &pattern(ANY), &tuple("[2]"), tuple("[1]"))
        .unwrap();
    assert_eq!(swapped.unwrap().len(), 1);
    drop(subscriptions);
    assert!(told("[1]").is_empty());
    assert_eq!(spaces.stats(&home()).subscriptions, 0);
}

#[tokio::test(start_paused = true)]
async fn everything_is_bounded() {
    let budget = Budget::new(100_000);
    let spaces = TupleSpaces::new(budget.part(50_000), 25_000);
    let fill = |place: &Place| {
        let mut written = 0;
        while spaces.write(place, tuple(r#"["a tuple"]"#), None).is_ok() {
            written += 1;
        }
        written
    };
    let one = fill(&place("one"));
    assert!(one > 50, "{one} tuples of 25,000 bytes");
    assert_eq!(fill(&place("one")), 0, "a place takes its part");
    assert_eq!(fill(&place("two")), one);
    assert_eq!(fill(&place("three")), 0, "all places take theirs");
    assert!(budget.take(50_000).is_some(), "and leave the rest");
    let refused = spaces.wait(&place("one"), pattern("[1]"), Wish::Take);
    assert_eq!(refused.err(), Some(TupleError::NoRoom));
    let long = Tuple::new([Field::from("x".repeat(limits::TUPLE_BYTES_MAX).as_str())]);
    assert_eq!(
        spaces.write(&home(), long, None).unwrap_err(),
        TupleError::TooLong
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_has_so_many_tuples_and_subscriptions_and_no_more() {
    let spaces = spaces();
    for _ in 0..limits::TUPLES_MAX {
        write(&spaces, "[1]");
    }
    let one_more = spaces.write(&home(), tuple("[1]"), None);
    assert_eq!(one_more.unwrap_err(), TupleError::TooMany);
    let swapped = spaces.swap(&home(), &pattern(ANY), &tuple("[1]"), tuple("[2]"));
    assert!(swapped.unwrap().is_some(), "one for another fits");
    spaces.write(&place("other"), tuple("[1]"), None).unwrap();
    let name = ApplicationName::parse("listener").unwrap();
    let node = NodeId::parse("n").unwrap();
    let actor = ActorId::worker(&Scope::default(), &Scope::default(), &name, &node);
    let mut all: Vec<_> = (0..4)
        .map(|_| spaces.subscriptions(actor.clone()))
        .collect();
    let made = all
        .iter_mut()
        .map(|one| std::iter::from_fn(|| one.subscribe(&home(), pattern(ANY)).ok()).count());
    let made: Vec<usize> = made.collect();
    assert_eq!(
        made,
        [256, 256, 256, limits::TUPLE_SUBSCRIPTIONS_MAX - 3 * 256]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_to_read_is_taken_in_parts() {
    let spaces = spaces();
    let large = Tuple::new([Field::Bytes(vec![0; limits::TUPLE_BYTES_MAX / 2].into())]);
    for _ in 0..10 {
        spaces.write(&home(), large.clone(), None).unwrap();
    }
    assert_eq!(
        spaces.read_all(&home(), &pattern(ANY), None),
        Err(TupleError::TooMuch)
    );
    assert_eq!(
        spaces
            .read_all(&home(), &pattern(ANY), Some(3))
            .unwrap()
            .len(),
        3
    );
    let parts = [(); 3].map(|()| spaces.take_all(&home(), &pattern(ANY), None).len());
    assert_eq!(parts.iter().sum::<usize>(), 10, "{parts:?}");
}

// ── over HTTP ───────────────────────────────────────────────────────────────

pub fn post(node: &Node, verb: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/tuplespace/{verb}");
    node.request("POST", &path, &[], body.to_string().as_bytes())
}

fn encoded(pattern: &str) -> String {
    form_urlencoded::byte_serialize(pattern.as_bytes()).collect()
}

/// Waits until so many wait in the namespace `default`.
fn waiting_become(node: &Node, count: u64) {
    while node.get("/api/v1/tuplespace/stats").json()["waiting"] != count {
        thread::yield_now();
    }
}

#[test]
fn fleet_tools_write_read_count_and_take() {
    fleet_tools_work(&node());
}

#[test]
fn a_number_beyond_64_bits_with_a_sign_is_a_float_however_far() {
    let node = node();
    for number in [
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
    ] {
        let body = format!(r#"{{"tuple":[{number}]}}"#);
        let path = "/api/v1/tuplespace/tuples";
        let written = node.request("POST", path, &[], body.as_bytes());
        assert_eq!(written.status, 200, "{written:?}");
    }
    let int = json!({"pattern": [{"type": "int"}]});
    assert_eq!(post(&node, "count", &int).json()["count"], 0);
    let float = json!({"pattern": [{"type": "float"}]});
    assert_eq!(post(&node, "count", &float).json()["count"], 3);
}

pub fn fleet_tools_work(node: &Node) {
    let any = json!(["order", {"any": true}]);
    for number in 1..=3 {
        let written = post(node, "tuples", &json!({"tuple": ["order", number]}));
        assert_eq!(
            (written.status, written.json()),
            (200, json!({"success": true}))
        );
    }
    let read = |body: Value| post(node, "read", &body).json();
    assert_eq!(
        read(json!({"pattern": any})),
        json!({"success": true, "tuples": [["order", 1]]})
    );
    assert_eq!(
        read(json!({"pattern": any, "limit": 0}))["tuples"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let query = format!("pattern={}", encoded(&any.to_string()));
    let listed = node
        .get(&format!("/api/v1/tuplespace/tuples?{query}&limit=2"))
        .json();
    assert_eq!(listed["tuples"], json!([["order", 1], ["order", 2]]));
    assert_eq!(
        node.get(&format!("/api/v1/tuplespace/count?{query}"))
            .json()["count"],
        3
    );
    assert_eq!(
        post(node, "count", &json!({"pattern": any})).json()["count"],
        3
    );
    let elsewhere = json!({"pattern": any, "namespace": "other"});
    assert_eq!(post(node, "count", &elsewhere).json()["count"], 0);
    let taken = |body: Value| post(node, "take", &body).json()["tuples"].clone();
    assert_eq!(taken(json!({"pattern": any})), json!([["order", 1]]));
    assert_eq!(
        taken(json!({"pattern": any, "limit": 5})),
        json!([["order", 2], ["order", 3]])
    );
    assert_eq!(taken(json!({"pattern": any})), json!([]));
    assert_eq!(taken(json!({"pattern": any, "timeout_ms": 1})), json!([]));
    let stats = node.get("/api/v1/tuplespace/stats").json();
    assert_eq!(
        (&stats["tuple_count"], &stats["memory_bytes"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn a_take_over_http_waits_and_one_that_left_takes_nothing() {
    takers_over_http_wait(&node());
}

pub fn takers_over_http_wait(node: &Node) {
    let wanted = json!({"pattern": ["job", {"type": "int"}], "timeout_ms": 60_000});
    thread::scope(|scope| {
        let first = scope.spawn(|| post(node, "take", &wanted).json());
        waiting_become(node, 1);
        // Others come and leave, the second after something that the node has not read yet.
        let address = node.http.to_string();
        let body = wanted.to_string();
        let head = format!(
            "POST /api/v1/tuplespace/take HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        for more in ["", "\r\n"] {
            let mut leaving = std::net::TcpStream::connect(&address).unwrap();
            let mut say = |text: &str| std::io::Write::write_all(&mut leaving, text.as_bytes());
            say(&(head.clone() + &body)).unwrap();
            waiting_become(node, 2);
            say(more).unwrap();
            drop(leaving);
            waiting_become(node, 1);
        }
        post(node, "tuples", &json!({"tuple": ["job", 1]}));
        assert_eq!(first.join().unwrap()["tuples"], json!([["job", 1]]));
        post(node, "tuples", &json!({"tuple": ["job", 2]}));
        assert_eq!(
            post(node, "take", &wanted).json()["tuples"],
            json!([["job", 2]])
        );
    });
}

#[test]
fn what_cannot_be_read_is_refused_with_what_to_write() {
    let node = node();
    let check = |verb: &str, body: &str, words: &[&str]| {
        let path = format!("/api/v1/tuplespace/{verb}");
        let answer = node.request("POST", &path, &[], body.as_bytes());
        answer.is_refused(400, "INVALID_ARGUMENT", words);
    };
    check(
        "tuples",
        "",
        &["ends too early", r#"{"tuple":["order",1]}"#],
    );
    check("tuples", "{}", &[r#"the key "tuple" is missing"#]);
    check("tuples", r#"{"tuple":1}"#, &["array", r#"["order",1]"#]);
    for (path, body) in [
        ("tuples", r#"["acme","shop",["order",1],1]"#),
        ("take", r#" [null,null,["order"],1,1]"#),
        ("read", "[]"),
        ("count", "[[1]]"),
    ] {
        check(path, body, &["the body is an array; send an object: {"]);
    }
    check("tuples", r#"{"tuple":[[1]]}"#, &["field 0"]);
    check("tuples", r#"{"tuple":[],"more":1}"#, &["more"]);
    let twice = r#"{"tuple":["a"],"tuple":["b"]}"#;
    check("tuples", twice, &[r#"the key "tuple" stands there twice"#]);
    let within = r#"{"tuple":[{"int":1,"int":2}]}"#;
    check("tuples", within, &[r#"the key "int" stands there twice"#]);
    let within = r#"{"pattern":[{"any":true,"any":true}]}"#;
    check("take", within, &[r#"the key "any" stands there twice"#]);
    let huge = r#"{"pattern":["a"],"limit":4294967296}"#;
    check("read", huge, &["limit is a number", "whole number"]);
    check("tuples", r#"{"tuple":[],"ttl_ms":0}"#, &["1 ms"]);
    check(
        "tuples",
        r#"{"tuple":[],"namespace":"../x"}"#,
        &["namespace"],
    );
    check(
        "read",
        r#"{"pattern":[{"predicate":"ten"}]}"#,
        &["predicate"],
    );
    check("take", r#"{"pattern":[],"timeout_ms":600001}"#, &["600000"]);
    check("count", r#"{"pattern":[],"tenant":"/"}"#, &["tenant"]);
    let get = |path: &str| node.get(&format!("/api/v1/tuplespace/{path}"));
    get("tuples").is_refused(400, "INVALID_ARGUMENT", &["pattern"]);
    let twice = encoded(r#"[{"int":1,"int":1}]"#);
    get(&format!("count?pattern={twice}")).is_refused(400, "INVALID_ARGUMENT", &["twice"]);
    get("count?pattern=x").is_refused(400, "INVALID_ARGUMENT", &["JSON"]);
    get("tuples?pattern=[]&limit=x").is_refused(400, "INVALID_ARGUMENT", &["limit"]);
    assert_eq!(get("take").status, 405);
    let long = format!(
        r#"{{"tuple":["{}"]}}"#,
        "x".repeat(limits::MESSAGE_BYTES_MAX)
    );
    let answer = node.request("POST", "/api/v1/tuplespace/tuples", &[], long.as_bytes());
    answer.is_refused(413, "RESOURCE_EXHAUSTED", &["Payload too large"]);
}

// ── core modules ────────────────────────────────────────────────────────────

/// Does with its payload what its message's type says, one letter; a status other than 0 and 1 is the answer.
pub fn core_guest() -> Vec<u8> {
    wat::parse_str(
        r#"(module
        (import "plexspaces" "log" (func $log (param i32 i32)))
        (import "plexspaces" "tuple_write" (func $write (param i32 i32) (result i32)))
        (import "plexspaces" "tuple_write_with_ttl" (func $write_ttl (param i32 i32 i64) (result i32)))
        (import "plexspaces" "tuple_read" (func $read (param i32 i32 i32) (result i32)))
        (import "plexspaces" "tuple_read_blocking" (func $read_wait (param i32 i32 i64 i32) (result i32)))
        (import "plexspaces" "tuple_read_all" (func $all (param i32 i32 i32 i32) (result i32)))
        (import "plexspaces" "tuple_take" (func $take (param i32 i32 i32) (result i32)))
        (import "plexspaces" "tuple_take_blocking" (func $take_wait (param i32 i32 i64 i32) (result i32)))
        (import "plexspaces" "tuple_count" (func $count (param i32 i32) (result i64)))
        (import "plexspaces" "tuple_subscribe" (func $subscribe (param i32 i32) (result i64)))
        (import "plexspaces" "tuple_unsubscribe" (func $unsubscribe (param i64) (result i32)))
        (import "plexspaces" "tuple_compare_and_swap"
            (func $swap (param i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (global $free (mut i32) (i32.const 65536))
        (global $subscription (mut i64) (i64.const 0))
        (data (i32.const 128) "[\"s\",{\"any\":true}][\"s\",1][\"s\",2]")
        (func (export "alloc") (param i32) (result i32) (local i32)
            (local.set 1 (global.get $free))
            (global.set $free (i32.add (global.get $free) (local.get 0)))
            (local.get 1))
        (func $packed (param i32 i32) (result i64)
            (i64.or (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)) (i64.extend_i32_u (local.get 0))))
        ;; A digit, after a minus where it is below 0.
        (func $digit (param $number i32) (result i64)
            (if (i32.ge_s (local.get $number) (i32.const 0)) (then
                (i32.store8 (i32.const 64) (i32.add (i32.const 48) (local.get $number)))
                (return (call $packed (i32.const 64) (i32.const 1)))))
            (i32.store8 (i32.const 64) (i32.const 45))
            (i32.store8 (i32.const 65) (i32.sub (i32.const 48) (local.get $number)))
            (call $packed (i32.const 64) (i32.const 2)))
        (func $found (param $status i32) (result i64)
            (if (i32.le_s (local.get $status) (i32.const 0)) (then (return (call $digit (local.get $status)))))
            (call $packed (i32.load (i32.const 32)) (i32.load (i32.const 36))))
        (func $is (param i32 i32) (result i32) (i32.eq (local.get 0) (local.get 1)))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
            (local $verb i32) (local $p i32) (local $n i32)
            (local.set $verb (i32.load8_u (local.get 2)))
            (local.set $p (local.get 4))
            (local.set $n (local.get 5))
            (if (call $is (local.get $verb) (i32.const 119 (; w ;))) (then
                (return (call $digit (call $write (local.get $p) (local.get $n))))))
            (if (call $is (local.get $verb) (i32.const 87 (; W ;))) (then
                (return (call $digit (call $write_ttl (local.get $p) (local.get $n) (i64.const 1))))))
            (if (call $is (local.get $verb) (i32.const 114 (; r ;))) (then
                (return (call $found (call $read (local.get $p) (local.get $n) (i32.const 32))))))
            (if (call $is (local.get $verb) (i32.const 82 (; R ;))) (then
                (return (call $found (call $read_wait (local.get $p) (local.get $n) (i64.const 1) (i32.const 32))))))
            (if (call $is (local.get $verb) (i32.const 97 (; a ;))) (then
                (return (call $found (call $all (local.get $p) (local.get $n) (i32.const 2) (i32.const 32))))))
            (if (call $is (local.get $verb) (i32.const 116 (; t ;))) (then
                (return (call $found (call $take (local.get $p) (local.get $n) (i32.const 32))))))
            (if (call $is (local.get $verb) (i32.const 84 (; T ;))) (then
                (return (call $found (call $take_wait (local.get $p) (local.get $n) (i64.const 0) (i32.const 32))))))
            (if (call $is (local.get $verb) (i32.const 99 (; c ;))) (then
                (return (call $digit (i32.wrap_i64 (call $count (local.get $p) (local.get $n)))))))
            (if (call $is (local.get $verb) (i32.const 115 (; s ;))) (then
                (global.set $subscription (call $subscribe (local.get $p) (local.get $n)))
                (return (call $digit (i32.wrap_i64 (i64.extend_i32_s (i64.lt_s (global.get $subscription) (i64.const 0))))))))
            (if (call $is (local.get $verb) (i32.const 117 (; u ;))) (then
                (return (call $digit (call $unsubscribe (global.get $subscription))))))
            (if (call $is (local.get $verb) (i32.const 120 (; x ;))) (then
                (return (call $digit (call $swap (i32.const 128) (i32.const 18)
                    (i32.const 146) (i32.const 7) (i32.const 153) (i32.const 7))))))
            (unreachable))
        (func (export "handle_event") (param i32 i32 i32 i32 i32 i32)
            (call $log (local.get 2) (local.get 3))
            (call $log (local.get 4) (local.get 5))))"#,
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

pub fn asked(node: &Node, name: &str, verb: &str, payload: &str) -> String {
    let answer = node.ask_with(name, &[("x-message-type", verb)], payload.as_bytes());
    answer.body_payload()
}

#[test]
fn a_core_module_uses_every_function() {
    every_function_works(&node());
}

pub fn every_function_works(node: &Node) {
    node.deploy("core", &core_guest()).is_deployed();
    let check = |verb: &str, payload: &str, expected: &str| {
        assert_eq!(
            asked(node, "core", verb, payload),
            expected,
            "{verb} {payload}"
        );
    };
    let any = r#"["a",{"any":true}]"#;
    check("t", any, "0");
    check("w", r#"["a",1]"#, "0");
    check("w", r#"["a",2.5]"#, "0");
    check("r", any, r#"["a",1]"#);
    check("R", any, r#"["a",1]"#);
    check("a", any, r#"[["a",1],["a",2.5]]"#);
    check("c", any, "2");
    check("t", any, r#"["a",1]"#);
    check("T", any, r#"["a",2.5]"#);
    check("R", any, "0");
    check("x", "", "0");
    check("w", r#"["s",1]"#, "0");
    check("x", "", "1");
    check("x", "", "0");
    check("t", r#"["s",2]"#, r#"["s",2]"#);
    for verb in ["w", "W", "r", "R", "a", "t", "T", "c"] {
        check(verb, "no JSON", "-5");
    }
    assert_eq!(asked(node, "core", "s", "no JSON"), "1");
    check("s", any, "0");
    check("w", r#"["a",3]"#, "0");
    node.log_says("core@test-node: tuple");
    let event = node.log_says(r#""tuple":["a",3]"#);
    assert!(event.contains(r#""subscription":"#), "{event}");
    check("u", "", "0");
    check("u", "", "-5");
    check("w", r#"["a",4]"#, "0");
    assert_eq!(
        node.log_count(r#""tuple":["#),
        1,
        "nothing after it was ended"
    );
    // A life of 1 ms.
    check("W", r#"["short",1]"#, "0");
    while asked(node, "core", "c", r#"["short",1]"#) != "0" {}
}

#[test]
fn a_waiting_guest_gets_what_another_writes_and_ends_its_wait_when_it_is_stopped() {
    waiting_guests_work(&node());
}

pub fn waiting_guests_work(node: &Node) {
    node.deploy("taker", &core_guest()).is_deployed();
    node.deploy("writer", &core_guest()).is_deployed();
    let wait = || {
        node.ask_with(
            "taker",
            &[("x-message-type", "T"), ("x-timeout-ms", "60000")],
            br#"["x",{"any":true}]"#,
        )
    };
    thread::scope(|scope| {
        let waiting = scope.spawn(wait);
        waiting_become(node, 1);
        assert_eq!(asked(node, "writer", "w", r#"["x",1]"#), "0");
        assert_eq!(waiting.join().unwrap().body_payload(), r#"["x",1]"#);
        let waiting = scope.spawn(wait);
        waiting_become(node, 1);
        assert_eq!(node.undeploy("taker").status, 200);
        assert_eq!(waiting.join().unwrap().body_payload(), "-4", "timeout");
    });
    assert_eq!(node.log_count("did not stop within"), 0);
    waiting_become(node, 0);
    // What is written now is nobody's.
    assert_eq!(asked(node, "writer", "w", r#"["x",2]"#), "0");
    assert_eq!(asked(node, "writer", "c", r#"["x",2]"#), "1");
}

#[test]
fn without_allow_tuplespace_every_function_is_refused() {
    let node = node();
    let config = "[capabilities]\nallow_logging = true";
    node.form("core", &core_guest())
        .config(config)
        .send()
        .is_deployed();
    for verb in ["w", "W", "r", "R", "a", "t", "T", "c"] {
        assert_eq!(asked(&node, "core", verb, "[1]"), "-6", "{verb}");
    }
    assert_eq!(asked(&node, "core", "s", "[1]"), "1");
    assert_eq!(asked(&node, "core", "x", ""), "-6");
}

#[test]
fn a_flood_of_tuples_fills_its_namespace_and_leaves_the_messages_alone() {
    let node = Node::configured("profile = 'tiny'");
    node.deploy(
        "echo",
        &crate::guests::guest(Kind::Core, crate::guests::ECHO),
    )
    .is_deployed();
    let body = json!({"tuple": [{"bytes": "A".repeat(400_000)}]});
    let mut written = 0;
    let refused = loop {
        let answer = post(&node, "tuples", &body);
        if answer.status != 200 {
            break answer;
        }
        written += 1;
    };
    refused.is_refused(
        429,
        "RESOURCE_EXHAUSTED",
        &["no more room in this namespace"],
    );
    // A quarter of 16 MiB, in pieces of 300,000 bytes.
    assert_eq!(written, 13);
    assert_eq!(
        node.ask("echo", &[b'x'; 500_000]).body_payload().len(),
        500_000
    );
    let other = json!({"tuple": [1], "namespace": "other"});
    assert_eq!(post(&node, "tuples", &other).status, 200);
}
