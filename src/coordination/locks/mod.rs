//! Locks with leases, which end by release, by expiry, or with the actor that holds them.
//!
//! ```text
//!            acquire                    release · lease over · holder gone
//!  free ───────────────► held, version n ─────────────────────────────────► free
//!                          │ renew: n+1                       └─ somebody waits ─► held by the first, version n+1
//! ```

mod holder;
mod state;

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::limits;
use crate::place::Place;
use state::{Owner, State};

pub use holder::{Acquiring, Holder};

/// The locks of all places.
#[derive(Clone)]
pub struct Locks(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    clock: Clock,
    budget: Budget,
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
