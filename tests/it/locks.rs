//! Locks: leases and their ends on a paused clock, then for core modules; `conformance` has the components.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{advance, timeout};

use plexspaces_node::budget::Budget;
use plexspaces_node::clock::Clock;
use plexspaces_node::coordination::Locks;
use plexspaces_node::coordination::locks::{Acquiring, Afterwards, Holder, Lease, LockError};
use plexspaces_node::limits;
use plexspaces_node::place::Place;

use crate::harness::{Node, node};

const MINUTE: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

fn locks() -> Locks {
    Locks::new(Clock::system(), Budget::new(usize::MAX))
}

/// An actor that no other test's is.
fn one_more(locks: &Locks) -> Holder {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    locks.holder(format!("actor-{number}@node").into())
}

fn home() -> Place {
    Place::default()
}

fn take(holder: &Holder, lease: Duration) -> Option<Lease> {
    holder.try_acquire(&home(), "k", "h", lease).unwrap()
}

fn wait(holder: &Holder, lease: Duration) -> Acquiring {
    holder.acquire(&home(), "k", "h", lease).unwrap()
}

async fn now(waiting: &mut Acquiring) -> Option<Lease> {
    timeout(Duration::ZERO, waiting).await.ok()
}

fn release(locks: &Locks, lease: &Lease) -> Result<(), LockError> {
    locks.release(&home(), "k", &lease.holder, lease.version, Afterwards::Keep)
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_one_millisecond_is_one_millisecond() {
    let locks = locks();
    let (one, other) = (one_more(&locks), one_more(&locks));
    let lease = take(&one, MS).unwrap();
    assert!(take(&other, MS).is_none());
    advance(MS / 2).await;
    assert!(take(&other, MS).is_none() && locks.look(&home(), "k").unwrap().locked);
    advance(MS / 2).await;
    assert!(!locks.look(&home(), "k").unwrap().locked);
    let renewed = locks.renew(&home(), "k", "h", lease.version, MS);
    assert_eq!(renewed, Err(LockError::NotHeld("k".into())));
    assert!(take(&other, MS).unwrap().version > lease.version);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_order_by_release_expiry_and_death() {
    let locks = locks();
    let holders: Vec<_> = (0..4).map(|_| one_more(&locks)).collect();
    let first = take(&holders[0], MINUTE).unwrap();
    let mut waits: Vec<_> = holders[1..].iter().map(|holder| wait(holder, MS)).collect();
    for waiting in &mut waits {
        assert_eq!(now(waiting).await, None);
    }
    release(&locks, &first).unwrap();
    let second = now(&mut waits[0]).await.unwrap();
    assert!(now(&mut waits[1]).await.is_none() && now(&mut waits[2]).await.is_none());
    // Its lease ends, and nobody needs to ask for the next to get it.
    let third = timeout(MINUTE, &mut waits[1]).await.unwrap();
    let mut holders = holders.into_iter().skip(2);
    drop(holders.next());
    let fourth = now(&mut waits[2]).await.unwrap();
    let versions = [first, second, third, fourth].map(|lease| lease.version);
    assert!(
        versions.is_sorted_by(|one, next| one < next),
        "{versions:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_lasts_from_then_on_and_its_old_version_is_worth_nothing() {
    let locks = locks();
    let (one, other) = (one_more(&locks), one_more(&locks));
    let lease = take(&one, 10 * MS).unwrap();
    advance(6 * MS).await;
    let renewed = locks
        .renew(&home(), "k", "h", lease.version, 10 * MS)
        .unwrap();
    assert!(renewed.version > lease.version);
    advance(6 * MS).await;
    assert!(take(&other, MS).is_none());
    assert!(release(&locks, &lease).is_err() && take(&other, MS).is_none());
    let stranger = locks.release(&home(), "k", "x", renewed.version, Afterwards::Keep);
    assert!(stranger.is_err());
    release(&locks, &renewed).unwrap();
    assert!(take(&other, MS).is_some());
}

#[tokio::test(start_paused = true)]
async fn one_who_stops_waiting_or_is_gone_is_passed_over() {
    let locks = locks();
    let (one, two, three) = (one_more(&locks), one_more(&locks), one_more(&locks));
    let lease = take(&one, MINUTE).unwrap();
    let (mut gone, mut unseen, mut served) =
        (wait(&two, MINUTE), wait(&two, MINUTE), wait(&three, MINUTE));
    assert!(
        now(&mut gone).await.is_none()
            && now(&mut unseen).await.is_none()
            && now(&mut served).await.is_none()
    );
    drop(gone);
    release(&locks, &lease).unwrap();
    // Given to it, and never fetched.
    drop(unseen);
    assert!(now(&mut served).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lock_never_was_and_free_ones_make_room() {
    let budget = Budget::new(usize::MAX);
    let locks = Locks::new(Clock::system(), budget.clone());
    let holder = one_more(&locks);
    let lease = take(&holder, MINUTE).unwrap();
    let forgotten = locks.release(&home(), "k", "h", lease.version, Afterwards::Forget);
    assert_eq!(
        (forgotten, locks.look(&home(), "k"), budget.taken()),
        (Ok(()), None, 0)
    );
    let acquire = |n: usize| holder.try_acquire(&home(), &n.to_string(), "h", MINUTE);
    for n in 0..limits::LOCKS_MAX {
        assert!(acquire(n).unwrap().is_some());
    }
    assert_eq!(acquire(limits::LOCKS_MAX), Err(LockError::TooMany));
    let one = locks.look(&home(), "7").unwrap();
    locks
        .release(&home(), "7", "h", one.version, Afterwards::Keep)
        .unwrap();
    assert!(acquire(limits::LOCKS_MAX).unwrap().is_some());
    assert_eq!(locks.look(&home(), "7"), None);
    drop(holder);
    assert!(!locks.look(&home(), "8").unwrap().locked);
}

#[tokio::test(start_paused = true)]
async fn so_many_wait_for_one_lock_and_no_more() {
    let locks = locks();
    let (one, others) = (one_more(&locks), one_more(&locks));
    take(&one, MINUTE).unwrap();
    let waits: Vec<_> = (0..limits::LOCK_WAITERS_MAX)
        .map(|_| wait(&others, MINUTE))
        .collect();
    let one_more = others.acquire(&home(), "k", "h", MINUTE);
    assert_eq!(one_more.err(), Some(LockError::TooManyWaiting));
    drop(waits);
    assert!(others.acquire(&home(), "k", "h", MINUTE).is_ok());
}

/// Acquires `k` (a), tries it as another holder (t), renews (r) and releases (d) what it acquired last, looks (l);
/// traps on anything else.
const GUEST: &str = r#"(module
    (import "plexspaces" "lock_acquire" (func $acquire (param i32 i32 i32 i32 i64 i32) (result i32)))
    (import "plexspaces" "lock_try_acquire" (func $try (param i32 i32 i32 i32 i64 i32) (result i32)))
    (import "plexspaces" "lock_renew" (func $renew (param i32 i32 i32 i32 i32 i32 i64 i32) (result i32)))
    (import "plexspaces" "lock_release" (func $release (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "plexspaces" "lock_look" (func $look (param i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 65536))
    (data (i32.const 128) "kme")
    (func (export "alloc") (param i32) (result i32) (local i32)
        (local.set 1 (global.get $free))
        (global.set $free (i32.add (global.get $free) (local.get 0)))
        (local.get 1))
    (func $packed (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.extend_i32_u (local.get 1)) (i64.const 32)) (i64.extend_i32_u (local.get 0))))
    (func $answer (param $status i32) (param $found i32) (result i64)
        (if (i32.eq (local.get $status) (local.get $found)) (then
            (return (call $packed (i32.load (i32.const 32)) (i32.load (i32.const 36))))))
        (i32.store8 (i32.const 64) (i32.sub (i32.const 48) (local.get $status)))
        (call $packed (i32.const 64) (i32.const 1)))
    ;; The payload is the version, where one is needed.
    (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64) (local $verb i32)
        (local.set $verb (i32.load8_u (local.get 2)))
        (if (i32.eq (local.get $verb) (i32.const 97)) (then
            (return (call $answer (call $acquire (i32.const 128) (i32.const 1) (i32.const 129) (i32.const 2)
                (i64.const 60000) (i32.const 32)) (i32.const 0)))))
        (if (i32.eq (local.get $verb) (i32.const 116)) (then
            (return (call $answer (call $try (i32.const 128) (i32.const 1) (i32.const 0) (i32.const 0)
                (i64.const 60000) (i32.const 32)) (i32.const 1)))))
        (if (i32.eq (local.get $verb) (i32.const 114)) (then
            (return (call $answer (call $renew (i32.const 128) (i32.const 1) (i32.const 129) (i32.const 2)
                (local.get 4) (local.get 5) (i64.const 60000) (i32.const 32)) (i32.const 0)))))
        (if (i32.eq (local.get $verb) (i32.const 100)) (then
            (return (call $answer (call $release (i32.const 128) (i32.const 1) (i32.const 129) (i32.const 2)
                (local.get 4) (local.get 5) (i32.const 1)) (i32.const 1)))))
        (if (i32.eq (local.get $verb) (i32.const 108)) (then
            (return (call $answer (call $look (i32.const 128) (i32.const 1) (i32.const 32)) (i32.const 1)))))
        (unreachable)))"#;

fn asked(node: &Node, name: &str, verb: &str, payload: &str) -> Value {
    let answer = node.ask_with(name, &[("x-message-type", verb)], payload.as_bytes());
    answer.payload()
}

#[test]
fn a_core_module_uses_every_function() {
    let node = node();
    let module = wat::parse_str(GUEST).unwrap();
    for name in ["one", "other"] {
        node.deploy(name, &module).is_deployed();
    }
    assert_eq!(asked(&node, "one", "l", ""), 0);
    let lock = asked(&node, "one", "a", "");
    assert_eq!(
        (&lock["lock_key"], &lock["holder_id"], &lock["locked"]),
        (&"k".into(), &"me".into(), &true.into())
    );
    let lease = lock["expires_at"].as_u64().unwrap() - lock["last_heartbeat"].as_u64().unwrap();
    assert_eq!(lease, 60_000);
    assert_eq!(asked(&node, "other", "t", ""), 0, "held");
    assert_eq!(asked(&node, "one", "r", "first"), 5, "no version");
    let renewed = asked(&node, "one", "r", lock["version"].as_str().unwrap());
    assert!(renewed["version"].as_str() > lock["version"].as_str());
    assert_eq!(asked(&node, "one", "l", ""), renewed);
    assert_eq!(
        asked(&node, "one", "d", lock["version"].as_str().unwrap()),
        5,
        "an old version"
    );
    assert_eq!(
        asked(&node, "one", "d", renewed["version"].as_str().unwrap()),
        0
    );
    let taken = asked(&node, "other", "t", "");
    assert_eq!(
        taken["holder_id"], "other@test-node",
        "who names no holder is it"
    );
}

#[test]
fn a_lock_is_free_once_its_holder_broke_or_is_undeployed() {
    let node = node();
    let module = wat::parse_str(GUEST).unwrap();
    for name in ["one", "other"] {
        node.deploy(name, &module).is_deployed();
    }
    assert_eq!(asked(&node, "one", "a", "")["locked"], true);
    assert_eq!(asked(&node, "other", "t", ""), 0);
    assert_eq!(
        node.ask_with("one", &[("x-message-type", "x")], b"").status,
        502
    );
    while asked(&node, "other", "t", "") == 0 {}
    assert_eq!(node.undeploy("other").status, 200);
    assert_eq!(asked(&node, "one", "a", "")["holder_id"], "me");
}
