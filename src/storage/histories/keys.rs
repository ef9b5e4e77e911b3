//! Keys: each change is whole, and they come in one order.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Dice, Rooms, number, owner, rooms};
use crate::id::ApplicationName;
use crate::limits;
use crate::place::Place;
use crate::storage::keyvalue::{KeyValue, KeyValueError};
use crate::storage::watches::Happened;

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
