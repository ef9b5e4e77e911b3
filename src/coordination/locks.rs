//! Locks with leases, which end by release, by expiry, or with the actor that holds them.
//!
//! ```text
//!            acquire                    release · lease over · holder gone
//!  free ───────────────► held, version n ─────────────────────────────────► free
//!                          │ renew: n+1                       └─ somebody waits ─► held by the first, version n+1
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use crate::budget::{Budget, Share};
use crate::clock::Clock;
use crate::limits;
use crate::place::Place;

/// The locks of all places.
#[derive(Clone)]
pub struct Locks(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    clock: Clock,
    budget: Budget,
}

type Name = (Place, Arc<str>);

#[derive(Default)]
struct State {
    places: HashMap<Place, HashMap<Arc<str>, Record>>,
    /// The ends of all leases, each with its version.
    ends: BTreeMap<(Instant, u64), Name>,
    /// What is held, by the life of an actor that acquired it.
    held: HashMap<u64, BTreeSet<u64>>,
    by_version: HashMap<u64, Name>,
    /// What waiters were given and have not fetched.
    granted: HashMap<u64, Lease>,
    last_version: u64,
    last_number: u64,
    alarm: Alarm,
    to_wake: Vec<Waker>,
}

/// One life of an actor.
#[derive(Clone)]
struct Owner {
    number: u64,
    actor: Arc<str>,
}

struct Record {
    lease: Lease,
    /// When it ends, and whose it is; `None` while the lock is free.
    hold: Option<(Instant, Owner)>,
    waiting: VecDeque<Waiter>,
    _share: Share,
}

struct Waiter {
    number: u64,
    owner: Owner,
    holder: Arc<str>,
    duration: Duration,
    waker: Option<Waker>,
    _share: Share,
}

/// A lock as it was at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub key: Arc<str>,
    /// The last holder, where nobody holds it now.
    pub holder: Arc<str>,
    /// Larger than that of every lease before it.
    pub version: u64,
    pub locked: bool,
    /// Milliseconds since 1970 by the wall clock; the lease itself ends by the monotonic one.
    pub expires_at_ms: u64,
    pub heartbeat_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    #[error(
        "a lock's key and holder have at most {} characters, a key at least one",
        limits::SERVICE_NAME_CHARS_MAX
    )]
    Name,
    #[error("a lease lasts 1 ms to {} days", limits::TTL_MAX.as_secs() / 86_400)]
    Duration,
    #[error("there is no lock {0:?}")]
    Unknown(String),
    #[error(
        "lock {0:?} is not held by this holder with this version: its lease has ended, or another's has begun"
    )]
    NotHeld(String),
    #[error(
        "this namespace holds {} locks, its most; release some",
        limits::LOCKS_MAX
    )]
    TooMany,
    #[error(
        "{} wait for this lock already; try again later",
        limits::LOCK_WAITERS_MAX
    )]
    TooManyWaiting,
    #[error("locks have no more room on this node; release some, or try again later")]
    NoRoom,
}

impl Locks {
    /// No locks. Versions begin at the wall clock's time, so that they grow from one run of the node to the next for
    /// as long as the clock is right.
    pub fn new(clock: Clock, budget: Budget) -> Self {
        let state = State {
            last_version: clock.wall_ms() << 20,
            ..State::default()
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            clock,
            budget,
        }))
    }

    /// Nothing held yet, for one life of the actor at this address.
    pub fn holder(&self, actor: Arc<str>) -> Holder {
        let number = self.with(|_, state, _| state.next_number());
        Holder {
            locks: self.clone(),
            owner: Owner { number, actor },
        }
    }

    /// A lock's state; `None` where it never was, or was deleted.
    pub fn look(&self, place: &Place, key: &str) -> Option<Lease> {
        self.with(|_, state, _| {
            let record = state.places.get(place)?.get(key)?;
            Some(record.lease.clone())
        })
    }

    /// Gives a held lock a new lease from now on, and a new version.
    pub fn renew(
        &self,
        place: &Place,
        key: &str,
        holder: &str,
        version: u64,
        duration: Duration,
    ) -> Result<Lease, LockError> {
        check(key, holder, duration)?;
        self.with(|inner, state, now| {
            let owner = state.holding(place, key, holder, version)?;
            state.let_go(place, key);
            Ok(state.grant(inner, place, key, (owner, holder.into(), duration), now))
        })
    }

    /// Gives a lock up: the first who waits has it then. One for which nobody waits may be forgotten with it.
    pub fn release(
        &self,
        place: &Place,
        key: &str,
        holder: &str,
        version: u64,
        afterwards: Afterwards,
    ) -> Result<(), LockError> {
        self.with(|inner, state, now| {
            state.holding(place, key, holder, version)?;
            state.let_go(place, key);
            state.pass_on(inner, place, key, now);
            if afterwards == Afterwards::Forget {
                state.forget(place, key);
            }
            Ok(())
        })
    }

    /// One step: leases that are over have passed on before it, and who is to be woken is woken after it.
    fn with<T>(&self, step: impl FnOnce(&Inner, &mut State, Instant) -> T) -> T {
        let mut state = self.0.state.lock().unwrap();
        let now = Instant::now();
        state.end_due(&self.0, now);
        let answer = step(&self.0, &mut state, now);
        let next = state.ends.first_key_value().map(|(&(at, _), _)| at);
        let weak = Arc::downgrade(&self.0);
        state.alarm.set(next, move || ring(&weak));
        let to_wake = std::mem::take(&mut state.to_wake);
        drop(state);
        for waker in to_wake {
            waker.wake();
        }
        answer
    }
}

/// What stays of a lock that was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// Its last state.
    Keep,
    Forget,
}

/// A lease is over.
fn ring(locks: &Weak<Inner>) {
    if let Some(inner) = locks.upgrade() {
        Locks(inner).with(|_, state, _| state.alarm.rang());
    }
}

fn check(key: &str, holder: &str, duration: Duration) -> Result<(), LockError> {
    let max = limits::SERVICE_NAME_CHARS_MAX;
    if key.is_empty() || key.chars().count() > max || holder.chars().count() > max {
        return Err(LockError::Name);
    }
    if duration.is_zero() || duration > limits::TTL_MAX {
        return Err(LockError::Duration);
    }
    Ok(())
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn record(&mut self, place: &Place, key: &str) -> Option<&mut Record> {
        self.places.get_mut(place)?.get_mut(key)
    }

    /// Makes sure that there is a record of this lock. Those of free ones make room where there are too many.
    fn make(&mut self, inner: &Inner, place: &Place, key: &str) -> Result<(), LockError> {
        const BOOKKEEPING: usize = 512;
        let locks = self.places.entry(place.clone()).or_default();
        if locks.contains_key(key) {
            return Ok(());
        }
        if locks.len() >= limits::LOCKS_MAX {
            locks.retain(|_, record| record.hold.is_some());
        }
        let share = inner.budget.take(BOOKKEEPING + key.len());
        let made = match share {
            _ if locks.len() >= limits::LOCKS_MAX => Err(LockError::TooMany),
            None => Err(LockError::NoRoom),
            Some(share) => {
                let key: Arc<str> = key.into();
                locks.insert(key.clone(), Record::new(key, share));
                Ok(())
            }
        };
        if locks.is_empty() {
            self.places.remove(place);
        }
        made
    }

    /// The life that holds the lock under this holder and version.
    fn holding(
        &mut self,
        place: &Place,
        key: &str,
        holder: &str,
        version: u64,
    ) -> Result<Owner, LockError> {
        let shown = || key.chars().take(64).collect();
        let record = self.record(place, key);
        let record = record.ok_or_else(|| LockError::Unknown(shown()))?;
        let lease = &record.lease;
        match &record.hold {
            Some((_, owner)) if lease.version == version && *lease.holder == *holder => {
                Ok(owner.clone())
            }
            _ => Err(LockError::NotHeld(shown())),
        }
    }

    /// Ends the lease of a lock that is held. Nobody has it then.
    fn let_go(&mut self, place: &Place, key: &str) {
        let Some(record) = self.record(place, key) else {
            return;
        };
        let Some((until, owner)) = record.hold.take() else {
            return;
        };
        record.lease.locked = false;
        let version = record.lease.version;
        self.ends.remove(&(until, version));
        self.by_version.remove(&version);
        if let Some(held) = self.held.get_mut(&owner.number) {
            held.remove(&version);
            if held.is_empty() {
                self.held.remove(&owner.number);
            }
        }
    }

    /// Gives a free lock a holder.
    fn grant(
        &mut self,
        inner: &Inner,
        place: &Place,
        key: &str,
        (owner, holder, duration): (Owner, Arc<str>, Duration),
        now: Instant,
    ) -> Lease {
        self.last_version += 1;
        let (version, until) = (self.last_version, now + duration);
        let heartbeat_ms = inner.clock.wall_ms();
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let record = self.record(place, key).expect("the lock has a record");
        let number = owner.number;
        record.hold = Some((until, owner));
        let lease = Lease {
            key: record.lease.key.clone(),
            holder,
            version,
            locked: true,
            expires_at_ms: heartbeat_ms.saturating_add(millis),
            heartbeat_ms,
        };
        record.lease = lease.clone();
        let name = (place.clone(), lease.key.clone());
        self.ends.insert((until, version), name.clone());
        self.by_version.insert(version, name);
        self.held.entry(number).or_default().insert(version);
        lease
    }

    /// Lets a lease last at least so long from now on.
    fn lengthen(&mut self, inner: &Inner, name: Name, duration: Duration, now: Instant) -> Lease {
        let (place, key) = &name;
        let wall_ms = inner.clock.wall_ms();
        let record = self.record(place, key).expect("the lock is held");
        let hold = record.hold.as_mut().expect("the lock is held");
        let before = hold.0;
        hold.0 = before.max(now + duration);
        let lasts = u64::try_from((hold.0 - now).as_millis()).unwrap_or(u64::MAX);
        record.lease.expires_at_ms = wall_ms.saturating_add(lasts);
        record.lease.heartbeat_ms = wall_ms;
        let (until, lease) = (hold.0, record.lease.clone());
        self.ends.remove(&(before, lease.version));
        self.ends.insert((until, lease.version), name);
        lease
    }

    /// Gives a free lock to the first who waits for it, if anybody does.
    fn pass_on(&mut self, inner: &Inner, place: &Place, key: &str, now: Instant) {
        let record = self.record(place, key);
        let Some(next) = record.and_then(|record| record.waiting.pop_front()) else {
            return;
        };
        let wanted = (next.owner, next.holder, next.duration);
        let lease = self.grant(inner, place, key, wanted, now);
        self.granted.insert(next.number, lease);
        self.to_wake.extend(next.waker);
    }

    /// Forgets a lock that is free.
    fn forget(&mut self, place: &Place, key: &str) {
        if let Some(locks) = self.places.get_mut(place)
            && locks.get(key).is_some_and(|record| record.hold.is_none())
        {
            locks.remove(key);
            if locks.is_empty() {
                self.places.remove(place);
            }
        }
    }

    fn end_due(&mut self, inner: &Inner, now: Instant) {
        while let Some((&(until, _), (place, key))) = self.ends.first_key_value()
            && until <= now
        {
            let (place, key) = (place.clone(), key.clone());
            self.let_go(&place, &key);
            // The next lease begins when this one ended, or rather when that is noticed.
            self.pass_on(inner, &place, &key, now);
        }
    }

    /// Makes what one life holds another's.
    fn hand_over(&mut self, from: &Owner, to: &Owner) {
        for version in self.held.remove(&from.number).unwrap_or_default() {
            let named = self.by_version.get(&version).cloned();
            let record = named.and_then(|(place, key)| self.record(&place, &key));
            if let Some((_, owner)) = record.and_then(|record| record.hold.as_mut()) {
                *owner = to.clone();
            }
            self.held.entry(to.number).or_default().insert(version);
        }
    }

    fn release_version(&mut self, inner: &Inner, version: u64, now: Instant) {
        if let Some((place, key)) = self.by_version.get(&version).cloned() {
            self.let_go(&place, &key);
            self.pass_on(inner, &place, &key, now);
        }
    }
}

impl Record {
    fn new(key: Arc<str>, share: Share) -> Self {
        let lease = Lease {
            key,
            holder: "".into(),
            version: 0,
            locked: false,
            expires_at_ms: 0,
            heartbeat_ms: 0,
        };
        Self {
            lease,
            hold: None,
            waiting: VecDeque::new(),
            _share: share,
        }
    }
}

/// What one life of an actor holds. Dropped, all of it is released.
pub struct Holder {
    locks: Locks,
    owner: Owner,
}

impl Holder {
    /// Takes what an earlier instance of the same actor holds.
    pub fn absorb(&self, earlier: &mut Self) {
        let (from, to) = (&earlier.owner, &self.owner);
        self.locks.with(|_, state, _| state.hand_over(from, to));
    }

    /// The lock, if it is free, or held already by this actor under the same holder: then it gets a new lease. Where an
    /// earlier instance of this actor holds it, which only waits for its end, the lease and its version stay what they
    /// are and last longer: the lock goes along if this one takes its place, and stays where it is if not.
    pub fn try_acquire(
        &self,
        place: &Place,
        key: &str,
        holder: &str,
        duration: Duration,
    ) -> Result<Option<Lease>, LockError> {
        check(key, holder, duration)?;
        self.locks.with(|inner, state, now| {
            state.make(inner, place, key)?;
            let record = state.record(place, key).expect("it was just made");
            if let Some((_, owner)) = &record.hold {
                if owner.actor != self.owner.actor || *record.lease.holder != *holder {
                    return Ok(None);
                }
                if owner.number != self.owner.number {
                    let name = (place.clone(), record.lease.key.clone());
                    return Ok(Some(state.lengthen(inner, name, duration, now)));
                }
            }
            state.let_go(place, key);
            let wanted = (self.owner.clone(), holder.into(), duration);
            Ok(Some(state.grant(inner, place, key, wanted, now)))
        })
    }

    /// Waits for the lock, in the order in which others wait. Dropped, the wait has no effect.
    pub fn acquire(
        &self,
        place: &Place,
        key: &str,
        holder: &str,
        duration: Duration,
    ) -> Result<Acquiring, LockError> {
        let now_free = self.try_acquire(place, key, holder, duration)?;
        let number = self.locks.with(|inner, state, _| {
            let number = state.next_number();
            if let Some(lease) = now_free {
                state.granted.insert(number, lease);
                return Ok(number);
            }
            let record = state.record(place, key);
            let record = record.ok_or_else(|| LockError::Unknown(key.into()))?;
            if record.waiting.len() >= limits::LOCK_WAITERS_MAX {
                return Err(LockError::TooManyWaiting);
            }
            const BOOKKEEPING: usize = 128;
            let share = inner.budget.take(BOOKKEEPING + holder.len());
            record.waiting.push_back(Waiter {
                number,
                owner: self.owner.clone(),
                holder: holder.into(),
                duration,
                waker: None,
                _share: share.ok_or(LockError::NoRoom)?,
            });
            Ok(number)
        })?;
        Ok(Acquiring {
            locks: self.locks.clone(),
            place: place.clone(),
            key: key.into(),
            number,
            fetched: false,
        })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.locks.with(|inner, state, now| {
            let held = state
                .held
                .get(&self.owner.number)
                .cloned()
                .unwrap_or_default();
            for version in held {
                state.release_version(inner, version, now);
            }
        });
    }
}

/// The wait of one who wants a lock.
pub struct Acquiring {
    locks: Locks,
    place: Place,
    key: Arc<str>,
    number: u64,
    fetched: bool,
}

impl Future for Acquiring {
    type Output = Lease;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Lease> {
        let this = &mut *self;
        this.locks.with(|_, state, _| {
            if let Some(lease) = state.granted.remove(&this.number) {
                this.fetched = true;
                return Poll::Ready(lease);
            }
            let record = state.record(&this.place, &this.key);
            let mut waiting = record.into_iter().flat_map(|record| &mut record.waiting);
            if let Some(waiter) = waiting.find(|waiter| waiter.number == this.number) {
                waiter.waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
    }
}

impl Drop for Acquiring {
    fn drop(&mut self) {
        if self.fetched {
            return;
        }
        self.locks.with(|inner, state, now| {
            if let Some(lease) = state.granted.remove(&self.number) {
                state.release_version(inner, lease.version, now);
            } else if let Some(record) = state.record(&self.place, &self.key) {
                record.waiting.retain(|waiter| waiter.number != self.number);
            }
        });
    }
}
