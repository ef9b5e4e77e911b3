//! What an actor holds of locks, and how it waits for one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::state::{Owner, Waiter};
use super::{Lease, LockError, Locks, check};
use crate::limits;
use crate::place::Place;

/// What one life of an actor holds. Dropped, all of it is released.
pub struct Holder {
    pub(super) locks: Locks,
    pub(super) owner: Owner,
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
    pub(super) locks: Locks,
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
