//! Tests of keys and queues under many tasks at once, held against what one task alone would have seen.
//!
//! `PLEXSPACES_TEST_HISTORIES` says how many, `PLEXSPACES_TEST_SEED` where the dice begin; a failure prints the seed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::env;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::backends::InMemoryBackend;
use tokio::task::JoinSet;

use super::committer::Committer;
use super::due::Due;
use super::keyvalue::{KeyValue, KeyValueError};
use super::letters::Return;
use super::queues::{Delivery, Parcel, QueueError, QueueName, Queues, Settings};
use super::steady::Steady;
use super::store::tests::on;
use super::watches::Happened;
use crate::id::ApplicationName;
use crate::limits;
use crate::place::Place;

/// A store in memory, with its rooms, at the store's time 1,000,000.
struct Rooms {
    keyvalue: KeyValue,
    queues: Queues,
    due: Due,
}

fn rooms() -> Rooms {
    let store = on(InMemoryBackend::new).unwrap();
    let due = Due::new(Steady::begin(1_000_000, 0));
    let committer = Committer::start(store).unwrap();
    Rooms {
        keyvalue: KeyValue::new(committer.clone(), due.clone()),
        queues: Queues::new(committer, due.clone(), Vec::new()),
        due,
    }
}

fn owner() -> ApplicationName {
    ApplicationName::parse("app").unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::parse(Place::default(), name).unwrap()
}

fn parcel(text: &str) -> Parcel {
    Parcel {
        message_type: "note".into(),
        payload: text.to_owned().into(),
        ..Parcel::default()
    }
}

fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.payload).unwrap()
}

/// A xorshift generator: the same seed throws the same dice.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn number(name: &str, or: u64) -> u64 {
    env::var(name).map_or(or, |text| text.parse().unwrap())
}

// ── keys ────────────────────────────────────────────────────────────────────

#[derive(Clone, Copy, Debug)]
enum Op {
    Get,
    Delete,
    Increment(i64),
    Swap(Option<i64>, i64),
}

/// What an operation answered: a number or none, and for a swap whether it was done.
type Told = (Option<i64>, bool);

#[derive(Clone, Copy, Debug)]
struct Event {
    op: Op,
    told: Told,
    began: usize,
    ended: usize,
}

fn alone(state: Option<i64>, op: Op) -> (Option<i64>, Told) {
    match op {
        Op::Get => (state, (state, true)),
        Op::Delete => (None, (None, true)),
        Op::Increment(delta) => {
            let sum = Some(state.unwrap_or(0) + delta);
            (sum, (sum, true))
        }
        Op::Swap(expected, new) if expected == state => (Some(new), (None, true)),
        Op::Swap(..) => (state, (None, false)),
    }
}

/// Whether one order of the operations, in which none comes before one that had ended when it began, explains all answers.
fn is_linear(history: &[Event]) -> bool {
    fn search(
        history: &[Event],
        done: u32,
        state: Option<i64>,
        seen: &mut HashSet<(u32, Option<i64>)>,
    ) -> bool {
        if done.count_ones() as usize == history.len() {
            return true;
        }
        if !seen.insert((done, state)) {
            return false;
        }
        let open = || (0..history.len()).filter(|at| done & (1 << at) == 0);
        let first_end = open().map(|at| history[at].ended).min().unwrap();
        let next: Vec<_> = open().filter(|&at| history[at].began < first_end).collect();
        next.into_iter().any(|at| {
            let (after, told) = alone(state, history[at].op);
            told == history[at].told && search(history, done | (1 << at), after, seen)
        })
    }
    search(history, 0, None, &mut HashSet::new())
}

async fn perform(keyvalue: &KeyValue, key: &str, op: Op) -> Told {
    let (place, owner) = (Place::default(), owner());
    let bytes = |number: i64| number.to_string().into();
    match op {
        Op::Get => {
            let value = keyvalue.get(&place, key).await.unwrap();
            let number = |value: bytes::Bytes| String::from_utf8(value.into()).unwrap();
            (value.map(|value| number(value).parse().unwrap()), true)
        }
        Op::Delete => {
            keyvalue.delete(&place, &owner, key).await.unwrap();
            (None, true)
        }
        Op::Increment(delta) => {
            let sum = keyvalue.increment(&place, &owner, key, delta).await;
            (Some(sum.unwrap()), true)
        }
        Op::Swap(expected, new) => {
            let expected = expected.map(bytes);
            let swapped = keyvalue.compare_and_swap(&place, &owner, key, expected, bytes(new));
            (None, swapped.await.unwrap())
        }
    }
}

/// Three tasks with four operations each on one key.
async fn history(keyvalue: KeyValue, key: String, mut dice: Dice) -> Vec<Event> {
    let clock = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let mut throw = || match dice.below(8) {
            0 => Op::Get,
            1 => Op::Delete,
            2..5 => Op::Increment(dice.below(3) as i64 + 1),
            _ => {
                let expected = dice.below(5) as i64;
                Op::Swap(
                    (expected != 0).then_some(expected),
                    dice.below(4) as i64 + 1,
                )
            }
        };
        let ops = [throw(), throw(), throw(), throw()];
        let (keyvalue, key, clock) = (keyvalue.clone(), key.clone(), clock.clone());
        tasks.spawn(async move {
            let mut events = Vec::new();
            for op in ops {
                let began = clock.fetch_add(1, SeqCst);
                let told = perform(&keyvalue, &key, op).await;
                let ended = clock.fetch_add(1, SeqCst);
                events.push(Event {
                    op,
                    told,
                    began,
                    ended,
                });
            }
            events
        });
    }
    tasks.join_all().await.concat()
}

#[tokio::test]
async fn keys_change_as_if_one_after_the_other() {
    let (count, seed) = (
        number("PLEXSPACES_TEST_HISTORIES", 10_000),
        number("PLEXSPACES_TEST_SEED", 20_261_125),
    );
    let keyvalue = rooms().keyvalue;
    let (mut overlaps, mut numbers) = (0_u64, 0..count);
    while !numbers.is_empty() {
        let mut running = JoinSet::new();
        for number in numbers.by_ref().take(100) {
            let dice = Dice(seed.wrapping_mul(2 * number + 1) | 1);
            let history = history(keyvalue.clone(), format!("key-{number}"), dice);
            running.spawn(async move { (number, history.await) });
        }
        while let Some(ran) = running.join_next().await {
            let (number, history) = ran.unwrap();
            assert!(
                is_linear(&history),
                "history {number} of seed {seed}: {history:#?}"
            );
            let overlap = |a: &Event, b: &Event| a.began < b.began && b.began < a.ended;
            let pairs = history
                .iter()
                .map(|a| history.iter().filter(|b| overlap(a, b)).count());
            overlaps += pairs.sum::<usize>() as u64;
        }
    }
    println!("{count} histories of seed {seed}, {overlaps} pairs of operations at the same time");
    assert!(overlaps > count, "nothing happened at the same time");
}

#[test]
fn the_model_refuses_what_cannot_have_been() {
    let event = |op, told, began, ended| Event {
        op,
        told,
        began,
        ended,
    };
    let one = event(Op::Increment(1), (Some(1), true), 0, 1);
    let again = event(Op::Increment(1), (Some(1), true), 2, 3);
    let stale = event(Op::Get, (None, true), 2, 3);
    let beside = event(Op::Get, (None, true), 0, 3);
    assert!(is_linear(&[one, beside]));
    assert!(!is_linear(&[one, again]), "a lost increment");
    assert!(!is_linear(&[one, stale]), "a stale read");
}

#[tokio::test]
async fn a_key_is_absent_from_the_moment_it_expires() {
    tokio::time::pause();
    let Rooms { keyvalue, due, .. } = rooms();
    let (place, owner) = (Place::default(), owner());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let watch = keyvalue.watch(&place, "k", move |it| hear.lock().unwrap().push(it));
    let ttl = Some(Duration::from_millis(1_000));
    keyvalue
        .put(&place, &owner, "k", "1".into(), ttl)
        .await
        .unwrap();
    assert_eq!(keyvalue.increment(&place, &owner, "k", 1).await.unwrap(), 2);
    tokio::time::advance(Duration::from_millis(999)).await;
    assert_eq!(keyvalue.get(&place, "k").await.unwrap().unwrap(), "2");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(keyvalue.get(&place, "k").await.unwrap(), None);
    assert_eq!(keyvalue.list(&place, "", None, 100).await.unwrap(), [""; 0]);
    due.wait().await;
    assert_eq!(
        keyvalue.sweep().await.unwrap(),
        None,
        "nothing more expires"
    );
    assert_eq!(keyvalue.increment(&place, &owner, "k", 1).await.unwrap(), 1);
    keyvalue.delete(&place, &owner, "k").await.unwrap();
    keyvalue.delete(&place, &owner, "k").await.unwrap();
    drop(watch);
    keyvalue
        .put(&place, &owner, "k", "1".into(), None)
        .await
        .unwrap();
    let all = [
        Happened::Put,
        Happened::Put,
        Happened::Expired,
        Happened::Put,
        Happened::Deleted,
    ];
    assert_eq!(*heard.lock().unwrap(), all);
}

#[tokio::test]
async fn a_put_drops_an_earlier_time_to_live() {
    tokio::time::pause();
    let Rooms { keyvalue, .. } = rooms();
    let (place, owner) = (Place::default(), owner());
    let ttl = Some(Duration::from_millis(5));
    keyvalue
        .put(&place, &owner, "k", "1".into(), ttl)
        .await
        .unwrap();
    keyvalue
        .put(&place, &owner, "k", "2".into(), None)
        .await
        .unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(keyvalue.sweep().await.unwrap(), None);
    assert_eq!(keyvalue.get(&place, "k").await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn only_decimal_numbers_within_their_range_are_incremented() {
    let Rooms { keyvalue, .. } = rooms();
    let (place, owner) = (Place::default(), owner());
    let put = |value: &'static str| keyvalue.put(&place, &owner, "k", value.into(), None);
    for bad in ["", "one", "1.5", " 1", "9223372036854775808"] {
        put(bad).await.unwrap();
        let refused = keyvalue.increment(&place, &owner, "k", 1).await;
        assert!(
            matches!(refused, Err(KeyValueError::NotANumber(_))),
            "{bad:?}"
        );
    }
    put("9223372036854775807").await.unwrap();
    let refused = keyvalue.increment(&place, &owner, "k", 1).await;
    assert!(matches!(refused, Err(KeyValueError::Overflow(_))));
    let value = keyvalue.get(&place, "k").await.unwrap().unwrap();
    assert_eq!(value, "9223372036854775807", "a refusal changed it");
    let sum = keyvalue.increment(&place, &owner, "k", i64::MIN).await;
    assert_eq!(sum.unwrap(), -1);
}

#[tokio::test]
async fn keys_are_listed_by_prefix_within_one_place() {
    let Rooms { keyvalue, .. } = rooms();
    let (home, owner) = (Place::default(), owner());
    let away = home.named("", "away").unwrap();
    for (place, key) in [
        (&home, "a"),
        (&home, "b1"),
        (&home, "b2"),
        (&home, "c"),
        (&away, "b3"),
    ] {
        keyvalue
            .put(place, &owner, key, "x".into(), None)
            .await
            .unwrap();
    }
    let list =
        |prefix: &'static str, limit, bytes_max| keyvalue.list(&home, prefix, limit, bytes_max);
    assert_eq!(list("b", None, 1_000).await.unwrap(), ["b1", "b2"]);
    assert_eq!(list("", Some(3), 1_000).await.unwrap(), ["a", "b1", "b2"]);
    assert_eq!(list("d", None, 1_000).await.unwrap(), [""; 0]);
    assert!(matches!(
        list("", None, 10).await,
        Err(KeyValueError::TooMany { .. })
    ));
    assert!(matches!(
        keyvalue.get(&home, "").await,
        Err(KeyValueError::Key(0))
    ));
    let long = "k".repeat(limits::KEY_BYTES_MAX + 1);
    assert!(matches!(
        keyvalue.get(&home, &long).await,
        Err(KeyValueError::Key(_))
    ));
}

#[tokio::test]
async fn an_application_keeps_so_much_and_what_it_removes_makes_room() {
    let Rooms { keyvalue, .. } = rooms();
    let (place, owner, other) = (
        Place::default(),
        owner(),
        ApplicationName::parse("b").unwrap(),
    );
    let big = bytes::Bytes::from(vec![0; 8 * limits::MIB]);
    let put = |owner, key: String, value| {
        let (keyvalue, place) = (keyvalue.clone(), &place);
        async move { keyvalue.put(place, owner, &key, value, None).await }
    };
    for n in 0..7 {
        put(&owner, format!("k{n}"), big.clone()).await.unwrap();
    }
    let eighth = put(&owner, "k7".into(), big.clone()).await;
    let error = eighth.unwrap_err();
    assert!(matches!(error, KeyValueError::Spent(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("as many keys as it may (100000, or 64 MiB)")
    );
    put(&other, "k7".into(), big.clone()).await.unwrap();
    // Who overwrites a key takes it over.
    put(&other, "k0".into(), "small".into()).await.unwrap();
    put(&owner, "k8".into(), big.clone()).await.unwrap();
    put(&owner, "k9".into(), big.clone()).await.unwrap_err();
    keyvalue.delete(&place, &other, "k1").await.unwrap();
    put(&owner, "k9".into(), big).await.unwrap();
}

// ── queues ──────────────────────────────────────────────────────────────────

async fn send(queues: &Queues, name: &str, text: &str) -> String {
    queues
        .send(&queue(name), &owner(), parcel(text))
        .await
        .unwrap()
}

async fn receive(queues: &Queues, name: &str) -> Option<Delivery> {
    let received = queues.receive(&queue(name)).await.unwrap();
    received.map(|mut delivery| {
        delivery.lease.arrived();
        delivery
    })
}

#[tokio::test]
async fn messages_come_in_order_and_go_when_acknowledged() {
    let Rooms { queues, .. } = rooms();
    assert!(receive(&queues, "q").await.is_none());
    let id = send(&queues, "q", "one").await;
    send(&queues, "q", "two").await;
    assert_eq!(queues.depth(&queue("q")).await.unwrap(), 2);
    let mut one = receive(&queues, "q").await.unwrap();
    assert_eq!((text(&one), one.deliveries, one.lease.id()), ("one", 1, id));
    let two = receive(&queues, "q").await.unwrap();
    assert_eq!(queues.depth(&queue("q")).await.unwrap(), 0);
    queues.acknowledge(&mut one.lease).await.unwrap();
    // A receiver that ends without an answer gives back what it had.
    drop((one, two));
    let two = receive(&queues, "q").await.unwrap();
    assert_eq!((text(&two), two.deliveries), ("two", 2));
    drop(two);
    assert_eq!(receive(&queues, "q").await.unwrap().deliveries, 3);
}

#[tokio::test]
async fn what_was_given_back_keeps_its_place() {
    let Rooms { queues, .. } = rooms();
    for text in ["one", "two", "three"] {
        send(&queues, "q", text).await;
    }
    let mut one = receive(&queues, "q").await.unwrap();
    queues
        .give_back(&mut one.lease, Return::Delivered)
        .await
        .unwrap();
    for expected in ["one", "two", "three"] {
        let mut delivery = receive(&queues, "q").await.unwrap();
        assert_eq!(text(&delivery), expected);
        queues.acknowledge(&mut delivery.lease).await.unwrap();
    }
}

#[tokio::test]
async fn receivers_that_wait_are_served_in_order_and_one_that_left_takes_nothing() {
    let Rooms { queues, .. } = rooms();
    let waiting = |n: usize| {
        let queues = queues.clone();
        async move {
            let mut delivery = queues.wait(&queue("q")).await.unwrap();
            delivery.lease.arrived();
            queues.acknowledge(&mut delivery.lease).await.unwrap();
            (n, text(&delivery).to_owned(), delivery.deliveries)
        }
    };
    let mut tasks = Vec::new();
    for n in 0..4 {
        tasks.push(tokio::spawn(waiting(n)));
        // Each stands in line once its own change is answered; a look comes after it.
        while queues.standing(&queue("q")) <= n {
            tokio::task::yield_now().await;
        }
    }
    tasks[1].abort();
    assert!((&mut tasks[1]).await.unwrap_err().is_cancelled());
    for text in ["a", "b", "c"] {
        send(&queues, "q", text).await;
    }
    let mut served = Vec::new();
    for n in [0, 2, 3] {
        served.push((&mut tasks[n]).await.unwrap());
    }
    let expected = [(0, "a", 1), (2, "b", 1), (3, "c", 1)];
    assert_eq!(
        served,
        expected.map(|(n, text, times)| (n, text.to_owned(), times))
    );
}

#[tokio::test]
async fn a_rejected_message_is_among_the_dead_letters() {
    let Rooms { queues, .. } = rooms();
    send(&queues, "q", "bad").await;
    let mut bad = receive(&queues, "q").await.unwrap();
    queues
        .give_back(&mut bad.lease, Return::Rejected)
        .await
        .unwrap();
    drop(bad);
    assert!(receive(&queues, "q").await.is_none());
    let mut dead = receive(&queues, "q.dlq").await.unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!((text(&dead), dead.deliveries), ("bad", 1));
    assert_eq!(
        dead.headers,
        [
            header("dead-letter-queue", "q"),
            header("dead-letter-deliveries", "1")
        ]
    );
    // A dead letter that is rejected is gone.
    queues
        .give_back(&mut dead.lease, Return::Rejected)
        .await
        .unwrap();
    assert!(receive(&queues, "q.dlq").await.is_none());
    assert!(receive(&queues, "q.dlq.dlq").await.is_none());
}

#[tokio::test]
async fn a_message_that_nobody_can_handle_ends_among_the_dead_letters() {
    let Rooms { queues, .. } = rooms();
    send(&queues, "q", "poison").await;
    for times in 1..=limits::DELIVERIES_MAX {
        let delivery = receive(&queues, "q").await.unwrap();
        assert_eq!(delivery.deliveries, times);
    }
    assert!(receive(&queues, "q").await.is_none());
    let dead = receive(&queues, "q.dlq").await.unwrap();
    assert_eq!(dead.headers[1].1, limits::DELIVERIES_MAX.to_string());
}

#[tokio::test]
async fn delay_and_time_to_live_are_kept_to_the_millisecond() {
    tokio::time::pause();
    let Rooms { queues, due, .. } = rooms();
    let millis = Duration::from_millis;
    let late = Parcel {
        delay: millis(100),
        ..parcel("late")
    };
    let brief = Parcel {
        ttl: millis(100),
        ..parcel("brief")
    };
    for parcel in [late, brief, parcel("always")] {
        queues.send(&queue("q"), &owner(), parcel).await.unwrap();
    }
    due.wait().await;
    assert_eq!(queues.sweep().await.unwrap(), None);
    assert_eq!(
        queues.depth(&queue("q")).await.unwrap(),
        2,
        "brief is gone, late is there"
    );
    for expected in ["late", "always"] {
        let mut delivery = receive(&queues, "q").await.unwrap();
        assert_eq!(text(&delivery), expected);
        queues.acknowledge(&mut delivery.lease).await.unwrap();
    }
    // The queue's own limit, for a message that is on loan when its time is over.
    let settings = Settings {
        messages_max: 0,
        ttl_ms: 50,
    };
    queues
        .create(&queue("q"), &owner(), settings)
        .await
        .unwrap();
    send(&queues, "q", "lent").await;
    let lent = receive(&queues, "q").await.unwrap();
    tokio::time::advance(millis(50)).await;
    drop(lent);
    assert!(receive(&queues, "q").await.is_none());
}

#[tokio::test]
async fn a_held_back_message_wakes_who_waits_for_it() {
    tokio::time::pause();
    let Rooms { queues, due, .. } = rooms();
    let late = Parcel {
        delay: Duration::from_millis(100),
        ..parcel("late")
    };
    queues.send(&queue("q"), &owner(), late).await.unwrap();
    let waits = {
        let queues = queues.clone();
        tokio::spawn(async move {
            queues
                .wait(&queue("q"))
                .await
                .map(|it| text(&it).to_owned())
        })
    };
    while queues.standing(&queue("q")) == 0 {
        tokio::task::yield_now().await;
    }
    due.wait().await;
    queues.sweep().await.unwrap();
    assert_eq!(waits.await.unwrap().unwrap(), "late");
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let Rooms { queues, .. } = rooms();
    let settings = Settings {
        messages_max: 2,
        ttl_ms: 0,
    };
    queues
        .create(&queue("q"), &owner(), settings)
        .await
        .unwrap();
    send(&queues, "q", "one").await;
    send(&queues, "q", "two").await;
    // On loan it still takes a place.
    let mut one = receive(&queues, "q").await.unwrap();
    let refused = queues.send(&queue("q"), &owner(), parcel("three")).await;
    assert!(matches!(refused, Err(QueueError::Full { max: 2, .. })));
    queues.acknowledge(&mut one.lease).await.unwrap();
    send(&queues, "q", "three").await;
    let headers = vec![("x".into(), "y".into()); limits::QUEUE_HEADERS_MAX + 1];
    let wordy = Parcel {
        headers,
        ..parcel("")
    };
    let refused = queues.send(&queue("other"), &owner(), wordy).await;
    assert!(matches!(refused, Err(QueueError::Headers)));
}

#[tokio::test]
async fn a_deleted_queue_leaves_nothing_and_begins_anew() {
    let Rooms { queues, .. } = rooms();
    for n in 0..limits::SWEEP_ITEMS_MAX + 10 {
        send(&queues, "q", &n.to_string()).await;
    }
    let mut lent = receive(&queues, "q").await.unwrap();
    queues.delete(&queue("q")).await.unwrap();
    queues.delete(&queue("q")).await.unwrap();
    assert_eq!(queues.depth(&queue("q")).await.unwrap(), 0);
    send(&queues, "q", "new").await;
    assert!(
        queues.sweep().await.unwrap().is_some(),
        "one sweep is not enough"
    );
    assert_eq!(queues.sweep().await.unwrap(), None);
    let gone = queues.acknowledge(&mut lent.lease).await;
    assert!(matches!(gone, Err(QueueError::Gone(_))));
    assert_eq!(text(&receive(&queues, "q").await.unwrap()), "new");
    assert_eq!(queues.kept().await, 1, "what was deleted is still counted");
}

/// Senders, and receivers that acknowledge, reject, forget, or leave while they wait: each message is acknowledged once, and
/// as long as nothing came back those of one sender were in order.
#[tokio::test]
async fn no_message_is_lost_or_acknowledged_twice() {
    let seed = number("PLEXSPACES_TEST_SEED", 20_261_125);
    for round in 0..20 {
        let mut dice = Dice(seed.wrapping_mul(2 * round + 1) | 1);
        let Rooms { queues, .. } = rooms();
        let acknowledged = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
        let mut tasks = JoinSet::new();
        for sender in 0..3 {
            let queues = queues.clone();
            tasks.spawn(async move {
                for n in 0..40 {
                    send(&queues, "q", &format!("{sender}-{n}")).await;
                }
            });
        }
        for _ in 0..5 {
            let (queues, acknowledged) = (queues.clone(), acknowledged.clone());
            let mut dice = Dice(dice.below(u64::MAX) | 1);
            tasks.spawn(async move {
                while acknowledged.lock().unwrap().len() < 120 {
                    let name = queue("q");
                    let waits = queues.wait(&name);
                    let yields = dice.below(30);
                    let leaves_early = dice.below(3) == 0;
                    let all_done = || acknowledged.lock().unwrap().len() == 120;
                    let leaves = async {
                        for _ in 0..yields {
                            tokio::task::yield_now().await;
                        }
                        while !leaves_early && !all_done() {
                            tokio::task::yield_now().await;
                        }
                    };
                    let delivery = tokio::select! {
                        delivery = waits => delivery.unwrap(),
                        () = leaves => {
                            // What it left behind is applied before the next of it comes.
                            queues.depth(&name).await.unwrap();
                            continue;
                        }
                    };
                    let mut delivery = delivery;
                    delivery.lease.arrived();
                    match dice.below(10) {
                        0 => queues
                            .give_back(&mut delivery.lease, Return::Delivered)
                            .await
                            .unwrap(),
                        1 => drop(delivery),
                        _ => {
                            let text = text(&delivery).to_owned();
                            queues.acknowledge(&mut delivery.lease).await.unwrap();
                            *acknowledged.lock().unwrap().entry(text).or_default() += 1;
                        }
                    }
                }
            });
        }
        tasks.join_all().await;
        let acknowledged = acknowledged.lock().unwrap();
        let twice: BTreeSet<_> = acknowledged.iter().filter(|it| *it.1 != 1).collect();
        assert!(twice.is_empty(), "round {round} of seed {seed}: {twice:?}");
        assert_eq!(queues.kept().await, 0, "round {round} of seed {seed}");
    }
}
