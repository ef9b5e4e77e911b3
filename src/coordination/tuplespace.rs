//! Tuples that actors write, read, take and wait for: Linda's operations, each in one step.
//!
//! ```text
//! write ──► readers who wait ──► the first taker who waits ──► the shelf ──► read, take
//!                                    │ gone before it fetched
//!                                    └──► as if it were written, in its old place
//! ```

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use super::durable::Log;
use super::interest::Key;
use super::pattern::Pattern;
use super::space::{Desk, Kept, Space};
use super::subscriptions::Subscriptions;
use super::tuple::{Field, Tuple};
use super::waiting::Waiting;
use crate::budget::Budget;
use crate::id::ActorId;
use crate::limits;
use crate::place::Place;
use crate::storage::TupleAt;

/// The tuple spaces of all places.
#[derive(Clone)]
pub struct TupleSpaces(pub(super) Arc<Inner>);

pub(super) struct Inner {
    state: Mutex<State>,
    /// Where tuples of durable namespaces are written, once that is known.
    pub(super) log: OnceLock<Log>,
    /// Shared by all places.
    budget: Budget,
    place_bytes_max: usize,
    /// Of a seed that nobody knows, so that no guest can choose fields that share a key.
    pub(super) hasher: RandomState,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) spaces: HashMap<Place, Space>,
    /// When tuples end, with their numbers, and where they lie.
    pub(super) ends: BTreeMap<(Instant, u64), (Place, usize)>,
    pub(super) desk: Desk,
    pub(super) last_number: u64,
    /// Tuples of durable namespaces whose time is over and whose rows are still there.
    pub(super) over: Vec<TupleAt>,
    alarm: Alarm,
}

/// What a waiter wants of the tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Read,
    Take,
}

/// Who is to be told of a tuple.
#[derive(Clone, Debug)]
pub struct Notice {
    pub subscription: u64,
    pub subscriber: ActorId,
}

/// What lies in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tuples, those included that a taker has not fetched yet.
    pub tuples: usize,
    /// What they and the patterns of those who wait take of the budget.
    pub bytes: usize,
    pub waiting: usize,
    pub subscriptions: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TupleError {
    #[error("a tuple or pattern has at most {} fields", limits::TUPLE_FIELDS_MAX)]
    TooManyFields,
    #[error("a tuple or pattern has at most {} bytes", limits::TUPLE_BYTES_MAX)]
    TooLong,
    #[error("a tuple lives for 1 ms to {} days", limits::TTL_MAX.as_secs() / 86_400)]
    Ttl,
    #[error(
        "this namespace has {} tuples, its most; take some first",
        limits::TUPLES_MAX
    )]
    TooMany,
    #[error(
        "tuples have no more room in this namespace or on this node; take some first, or write smaller ones"
    )]
    NoRoom,
    #[error(
        "{} readers and takers wait in this namespace already; try again later",
        limits::TUPLE_WAITERS_MAX
    )]
    TooManyWaiting,
    #[error("there are as many subscriptions as there may be; end some first")]
    TooManySubscriptions,
    #[error(
        "the matching tuples have more than {} bytes together; give a limit, or a narrower pattern",
        limits::TUPLES_READ_BYTES_MAX
    )]
    TooMuch,
}

impl TupleSpaces {
    /// No tuples. All of them may take what `budget` has, those of one place `place_bytes_max` of it.
    pub fn new(budget: Budget, place_bytes_max: usize) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            log: OnceLock::new(),
            budget,
            place_bytes_max,
            hasher: RandomState::new(),
        }))
    }

    /// Adds a tuple, which ends after `ttl` where one is given. Answers with those who subscribed to such tuples.
    pub fn write(
        &self,
        place: &Place,
        tuple: Tuple,
        ttl: Option<Duration>,
    ) -> Result<Vec<Notice>, TupleError> {
        check(tuple.arity(), tuple.bytes())?;
        if ttl.is_some_and(|ttl| ttl.is_zero() || ttl > limits::TTL_MAX) {
            return Err(TupleError::Ttl);
        }
        let until = ttl.map(|ttl| Instant::now() + ttl);
        let arity = tuple.arity();
        self.with(|state| {
            let kept = self.kept(state, tuple, until);
            let number = kept.number;
            let space = self.space(&mut state.spaces, place);
            let notices = space.notices(&kept);
            let written = space.write(kept, &mut state.desk);
            if let (Ok(()), Some(until)) = (written, until) {
                state.ends.insert((until, number), (place.clone(), arity));
            }
            state.tidy(place);
            written.map(|()| notices)
        })
    }

    /// The oldest tuple that matches, if there is one now.
    pub fn read(&self, place: &Place, pattern: &Pattern) -> Option<Tuple> {
        let key = self.key(pattern.first());
        self.with(|state| {
            let space = state.spaces.get(place)?;
            let (_, tuple) = space.matching(pattern, key).next()?;
            Some(tuple.clone())
        })
    }

    /// Tuples that match, oldest first, at most `limit` of them where one is given.
    pub fn read_all(
        &self,
        place: &Place,
        pattern: &Pattern,
        limit: Option<usize>,
    ) -> Result<Vec<Tuple>, TupleError> {
        let key = self.key(pattern.first());
        self.with(|state| {
            let (mut found, mut bytes) = (Vec::new(), 0);
            let spaces = state.spaces.get(place).into_iter();
            let matching = spaces.flat_map(|space| space.matching(pattern, key));
            for (_, tuple) in matching.take(limit.unwrap_or(usize::MAX)) {
                bytes += tuple.bytes();
                if bytes > limits::TUPLES_READ_BYTES_MAX {
                    return Err(TupleError::TooMuch);
                }
                found.push(tuple.clone());
            }
            Ok(found)
        })
    }

    /// Removes the oldest tuple that matches, if there is one now.
    pub fn take(&self, place: &Place, pattern: &Pattern) -> Option<Tuple> {
        let key = self.key(pattern.first());
        self.with(|state| {
            let space = state.spaces.get_mut(place)?;
            let (number, _) = space.free(pattern, key).next()?;
            let kept = space.remove(number, pattern.arity())?;
            state.does_not_end(&kept);
            state.tidy(place);
            Some(kept.tuple)
        })
    }

    /// Removes tuples that match, oldest first, at most `limit` of them where one is given, and no more than a reader
    /// would get; what is left is for the next call.
    pub fn take_all(&self, place: &Place, pattern: &Pattern, limit: Option<usize>) -> Vec<Tuple> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while limit.is_none_or(|limit| taken.len() < limit) {
            let Some(tuple) = self.take(place, pattern) else {
                break;
            };
            bytes += tuple.bytes();
            taken.push(tuple);
            if bytes > limits::TUPLES_READ_BYTES_MAX - limits::TUPLE_BYTES_MAX {
                break;
            }
        }
        taken
    }

    pub fn count(&self, place: &Place, pattern: &Pattern) -> usize {
        let key = self.key(pattern.first());
        self.with(|state| {
            let space = state.spaces.get(place);
            space.map_or(0, |space| space.matching(pattern, key).count())
        })
    }

    /// Replaces a tuple that matches and equals `expected` by `new`, in one step. `None` where there is none, else
    /// those who subscribed to tuples like the new one.
    pub fn swap(
        &self,
        place: &Place,
        pattern: &Pattern,
        expected: &Tuple,
        new: Tuple,
    ) -> Result<Option<Vec<Notice>>, TupleError> {
        check(new.arity(), new.bytes())?;
        if !pattern.matches(expected) {
            return Ok(None);
        }
        let exactly = Pattern::exactly(expected);
        let key = self.key(exactly.first());
        self.with(|state| {
            let kept = self.kept(state, new, None);
            let Some(space) = state.spaces.get_mut(place) else {
                return Ok(None);
            };
            let Some((old, _)) = space.matching(&exactly, key).next() else {
                return Ok(None);
            };
            let notices = space.notices(&kept);
            let replaced = space.replace(old, exactly.arity(), kept, &mut state.desk)?;
            if let Some(old) = replaced {
                state.does_not_end(&old);
            }
            Ok(Some(notices))
        })
    }

    /// Waits for a tuple that matches, as if one were read or taken the moment it is there. Waiters are served in the
    /// order in which they came. Dropped, the wait has no effect: a tuple meant for it goes to the next.
    pub fn wait(&self, place: &Place, pattern: Pattern, wish: Wish) -> Result<Waiting, TupleError> {
        check(pattern.arity(), pattern.bytes())?;
        let key = self.key(pattern.first());
        let arity = pattern.arity();
        self.with(|state| {
            let number = state.next_number();
            let space = self.space(&mut state.spaces, place);
            let found = match wish {
                Wish::Take => space.free(&pattern, key).next(),
                Wish::Read => space.matching(&pattern, key).next(),
            };
            let waits = match found.map(|(found, tuple)| (found, tuple.clone())) {
                None => space.wait(number, key, pattern, wish),
                Some((found, tuple)) => {
                    let kept = match wish {
                        Wish::Take => space.reserve(found, arity),
                        Wish::Read => Some(Kept::copy(tuple)),
                    };
                    state.desk.served.extend(kept.map(|kept| (number, kept)));
                    Ok(())
                }
            };
            state.tidy(place);
            waits.map(|()| Waiting {
                spaces: self.clone(),
                place: place.clone(),
                wish,
                number,
                key,
                arity,
                fetched: false,
            })
        })
    }

    /// No subscriptions yet, for one life of an actor.
    pub fn subscriptions(&self, actor: ActorId) -> Subscriptions {
        Subscriptions {
            spaces: self.clone(),
            actor,
            open: BTreeMap::new(),
        }
    }

    /// What lies in this place now.
    pub fn stats(&self, place: &Place) -> Stats {
        self.with(|state| {
            state
                .spaces
                .get(place)
                .map_or_else(Stats::default, Space::stats)
        })
    }

    /// What lies in all places together.
    pub fn total(&self) -> Stats {
        self.with(|state| {
            let mut total = Stats::default();
            for stats in state.spaces.values().map(Space::stats) {
                total.tuples += stats.tuples;
                total.bytes += stats.bytes;
                total.waiting += stats.waiting;
                total.subscriptions += stats.subscriptions;
            }
            total
        })
    }

    pub(super) fn key(&self, first: Option<&Field>) -> Option<Key> {
        first.map(|field| self.0.hasher.hash_one(field))
    }

    pub(super) fn kept(&self, state: &mut State, tuple: Tuple, until: Option<Instant>) -> Kept {
        Kept {
            number: state.next_number(),
            key: self.key(tuple.fields().first()),
            tuple,
            until,
            claimed: false,
        }
    }

    pub(super) fn space<'a>(
        &self,
        spaces: &'a mut HashMap<Place, Space>,
        place: &Place,
    ) -> &'a mut Space {
        let Inner {
            budget,
            place_bytes_max,
            ..
        } = &*self.0;
        let entry = spaces.entry(place.clone());
        entry.or_insert_with(|| Space::new(&budget.part(*place_bytes_max)))
    }

    /// One step: tuples whose time is over are gone before it, and who is to be woken is woken after it.
    pub(super) fn with<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.state.lock().unwrap();
        state.end_due(Instant::now(), self.0.log.get());
        let answer = step(&mut state);
        let next = state.ends.first_key_value().map(|(&(at, _), _)| at);
        let weak = Arc::downgrade(&self.0);
        state.alarm.set(next, move || ring(&weak));
        let to_wake = std::mem::take(&mut state.desk.to_wake);
        let over = std::mem::take(&mut state.over);
        drop(state);
        if !over.is_empty() {
            self.forget_over(over);
        }
        for waker in to_wake {
            waker.wake();
        }
        answer
    }
}

/// A tuple's time is over.
fn ring(spaces: &Weak<Inner>) {
    if let Some(inner) = spaces.upgrade() {
        TupleSpaces(inner).with(|state| state.alarm.rang());
    }
}

pub(super) fn check(arity: usize, bytes: usize) -> Result<(), TupleError> {
    if arity > limits::TUPLE_FIELDS_MAX {
        Err(TupleError::TooManyFields)
    } else if bytes > limits::TUPLE_BYTES_MAX {
        Err(TupleError::TooLong)
    } else {
        Ok(())
    }
}

impl State {
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn end_due(&mut self, now: Instant, log: Option<&Log>) {
        while let Some(first) = self.ends.first_entry()
            && first.key().0 <= now
        {
            let ((_, number), (place, arity)) = first.remove_entry();
            // One that a taker has yet to fetch is the taker's.
            let space = self.spaces.get_mut(&place);
            let ended = space.and_then(|space| space.end(number, arity));
            self.tidy(&place);
            if ended.is_some() && log.is_some_and(|log| log.keeps(&place)) {
                self.over.push(TupleAt { place, number });
            }
        }
    }

    pub(super) fn does_not_end(&mut self, kept: &Kept) {
        if let Some(until) = kept.until {
            self.ends.remove(&(until, kept.number));
        }
    }

    /// Forgets a space in which nothing is.
    pub(super) fn tidy(&mut self, place: &Place) {
        if self.spaces.get(place).is_some_and(Space::is_empty) {
            self.spaces.remove(place);
        }
    }
}
