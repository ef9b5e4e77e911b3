//! What is under way between a durable namespace and the disk: each guard, dropped, leaves what was there before.

use std::time::Duration;

use tokio::time::Instant;

use super::durable::stored;
use super::pattern::Pattern;
use super::space::Kept;
use super::tuple::Tuple;
use super::tuplespace::{Notice, State, TupleError, TupleSpaces};
use crate::limits;
use crate::place::Place;
use crate::storage::TupleAt;

impl TupleSpaces {
    /// One step on whatever thread, after which those who wait for what others claim look again.
    fn on_any_thread<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let log = self.0.log.get();
        let _entered = log.map(|log| log.runtime.enter());
        let done = self.with(step);
        if let Some(log) = log {
            log.changed.notify_waiters();
        }
        done
    }
}

/// Room for a tuple that is on its way to the disk.
pub struct Room {
    spaces: TupleSpaces,
    place: Place,
    kept: Option<Kept>,
}

impl Room {
    pub fn take(
        spaces: &TupleSpaces,
        place: &Place,
        tuple: Tuple,
        ttl: Option<Duration>,
    ) -> Result<Self, TupleError> {
        if ttl.is_some_and(|ttl| ttl.is_zero() || ttl > limits::TTL_MAX) {
            return Err(TupleError::Ttl);
        }
        let until = ttl.map(|ttl| Instant::now() + ttl);
        Self::with(spaces, place, tuple, until, false)
    }

    /// Room for one that is to take the place of another.
    pub fn instead(spaces: &TupleSpaces, place: &Place, tuple: Tuple) -> Result<Self, TupleError> {
        Self::with(spaces, place, tuple, None, true)
    }

    fn with(
        spaces: &TupleSpaces,
        place: &Place,
        tuple: Tuple,
        until: Option<Instant>,
        instead: bool,
    ) -> Result<Self, TupleError> {
        spaces.with(|state| {
            let kept = spaces.kept(state, tuple, until);
            let space = spaces.space(&mut state.spaces, place);
            let admitted = match instead {
                true => space.admit_instead(kept.tuple.weight()),
                false => space.admit(kept.tuple.weight()),
            };
            state.tidy(place);
            admitted.map(|()| Self {
                spaces: spaces.clone(),
                place: place.clone(),
                kept: Some(kept),
            })
        })
    }

    pub fn at(&self) -> TupleAt {
        TupleAt {
            place: self.place.clone(),
            number: self.kept().number,
        }
    }

    pub fn tuple(&self) -> &Tuple {
        &self.kept().tuple
    }

    fn kept(&self) -> &Kept {
        self.kept
            .as_ref()
            .expect("it is there until it is published")
    }

    /// It is on disk: from here on others see it.
    pub fn publish(self) -> (Tuple, Vec<Notice>) {
        self.spaces.clone().on_any_thread(|state| self.shown(state))
    }

    fn shown(mut self, state: &mut State) -> (Tuple, Vec<Notice>) {
        let kept = self.kept.take().expect("it is published once");
        let tuple = kept.tuple.clone();
        let space = state.spaces.get_mut(&self.place);
        let space = space.expect("a space in which something counts stays");
        let notices = space.notices(&kept);
        if let Some(until) = kept.until {
            let lies = (self.place.clone(), tuple.arity());
            state.ends.insert((until, kept.number), lies);
        }
        space.offer(kept, &mut state.desk);
        (tuple, notices)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        self.spaces.on_any_thread(|state| {
            if let Some(space) = state.spaces.get_mut(&self.place) {
                space.forget(&kept);
            }
            state.tidy(&self.place);
        });
    }
}

/// Tuples that one taker claims: they are on their shelf and on disk.
pub struct Claim {
    spaces: TupleSpaces,
    place: Place,
    /// Number and length of each.
    claimed: Vec<(u64, usize)>,
}

impl Claim {
    /// Claims tuples that match and are nobody's, oldest first, up to the limit and to what one answer holds.
    pub fn of(
        spaces: &TupleSpaces,
        place: &Place,
        pattern: &Pattern,
        limit: Option<usize>,
    ) -> Option<Self> {
        let key = spaces.key(pattern.first());
        spaces.with(|state| {
            let space = state.spaces.get_mut(place)?;
            let (mut claimed, mut bytes) = (Vec::new(), 0);
            for (number, tuple) in space.free(pattern, key).take(limit.unwrap_or(usize::MAX)) {
                claimed.push((number, tuple.arity()));
                bytes += tuple.bytes();
                if bytes > limits::TUPLES_READ_BYTES_MAX - limits::TUPLE_BYTES_MAX {
                    break;
                }
            }
            claimed.retain(|&(number, arity)| space.claim(number, arity));
            (!claimed.is_empty()).then(|| Self {
                spaces: spaces.clone(),
                place: place.clone(),
                claimed,
            })
        })
    }

    /// Claims what was laid down for one who waited.
    pub(super) fn served(
        spaces: &TupleSpaces,
        state: &mut State,
        place: &Place,
        kept: Kept,
    ) -> Self {
        let claimed = vec![(kept.number, kept.tuple.arity())];
        if let Some(space) = state.spaces.get_mut(place) {
            space.claim_served(kept);
        }
        Self {
            spaces: spaces.clone(),
            place: place.clone(),
            claimed,
        }
    }

    pub fn spaces(&self) -> &TupleSpaces {
        &self.spaces
    }

    pub fn places(&self) -> Vec<TupleAt> {
        let at = |&(number, _): &(u64, usize)| TupleAt {
            place: self.place.clone(),
            number,
        };
        self.claimed.iter().map(at).collect()
    }

    /// Their rows are gone: they are off their shelf.
    pub fn erased(self) -> Taken {
        let spaces = self.spaces.clone();
        spaces.on_any_thread(|state| self.taken(state))
    }

    /// Their rows are gone and another's is there: nobody sees both, or neither.
    pub fn give_way_to(self, room: Room) -> (Tuple, Vec<Notice>) {
        let spaces = self.spaces.clone();
        spaces.on_any_thread(|state| {
            let taken = self.taken(state);
            let shown = room.shown(state);
            taken.are_gone(state);
            shown
        })
    }

    fn taken(mut self, state: &mut State) -> Taken {
        let mut taken = Vec::new();
        for (number, arity) in std::mem::take(&mut self.claimed) {
            let space = state.spaces.get_mut(&self.place);
            if let Some(kept) = space.and_then(|space| space.reserve(number, arity)) {
                state.does_not_end(&kept);
                taken.push(kept);
            }
        }
        Taken {
            spaces: self.spaces.clone(),
            place: self.place.clone(),
            taken,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.claimed.is_empty() {
            return;
        }
        let claimed = std::mem::take(&mut self.claimed);
        self.spaces.on_any_thread(|state| {
            for (number, arity) in claimed {
                let space = state.spaces.get_mut(&self.place);
                if let Some(kept) = space.and_then(|space| space.reserve(number, arity)) {
                    go_back(state, &self.place, kept);
                }
            }
            state.tidy(&self.place);
        });
    }
}

/// Puts a tuple before those who wait, else in its old place.
fn go_back(state: &mut State, place: &Place, kept: Kept) {
    let Some(space) = state.spaces.get_mut(place) else {
        return;
    };
    if kept.is_over(Instant::now()) {
        state.over.push(TupleAt {
            place: place.clone(),
            number: kept.number,
        });
        return space.forget(&kept);
    }
    let kept = Kept {
        claimed: false,
        ..kept
    };
    if let Some(until) = kept.until {
        let lies = (place.clone(), kept.tuple.arity());
        state.ends.insert((until, kept.number), lies);
    }
    space.offer(kept, &mut state.desk);
}

/// Tuples that are off their shelf and off the disk, and not yet with who took them. Dropped, they go back to both.
pub struct Taken {
    spaces: TupleSpaces,
    place: Place,
    taken: Vec<Kept>,
}

impl Taken {
    /// They are with who took them.
    pub fn tuples(mut self) -> Vec<Tuple> {
        let tuples = self.taken.iter().map(|kept| kept.tuple.clone()).collect();
        let taken = std::mem::take(&mut self.taken);
        self.spaces
            .on_any_thread(|state| forget(state, &self.place, &taken));
        tuples
    }

    fn are_gone(mut self, state: &mut State) {
        let taken = std::mem::take(&mut self.taken);
        forget(state, &self.place, &taken);
    }
}

fn forget(state: &mut State, place: &Place, taken: &[Kept]) {
    if let Some(space) = state.spaces.get_mut(place) {
        taken.iter().for_each(|kept| space.forget(kept));
    }
    state.tidy(place);
}

impl Drop for Taken {
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken.is_empty() {
            return;
        }
        let (spaces, place) = (self.spaces.clone(), self.place.clone());
        let Some(log) = self.spaces.0.log.get() else {
            return;
        };
        let row = |kept: &Kept| {
            let left = |until: Instant| until.saturating_duration_since(Instant::now());
            let expires_ms = log.rows.expiry(kept.until.map(left));
            let at = TupleAt {
                place: place.clone(),
                number: kept.number,
            };
            (at, stored(&kept.tuple, expires_ms))
        };
        let rows = taken.iter().map(row).collect();
        // Nobody was told that they were taken.
        let returning = Returning {
            spaces,
            place: place.clone(),
            taken,
        };
        log.rows.insist(rows, move |_| drop(returning));
    }
}

/// Tuples that go back to their shelf when this is dropped.
struct Returning {
    spaces: TupleSpaces,
    place: Place,
    taken: Vec<Kept>,
}

impl Drop for Returning {
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        self.spaces.on_any_thread(|state| {
            for kept in taken {
                go_back(state, &self.place, kept);
            }
            state.tidy(&self.place);
        });
    }
}
