//! The subscriptions of an actor: which tuples it hears of, from their making to its end.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use super::interest::Key;
use super::pattern::Pattern;
use super::tuplespace::{TupleError, TupleSpaces, check};
use crate::id::ActorId;
use crate::limits;
use crate::place::Place;

/// Where a subscription is, and for which tuples.
pub(super) struct Open {
    place: Place,
    key: Option<Key>,
    arity: usize,
    /// Of the whole pattern: equal for equal ones.
    likeness: u64,
}

/// The subscriptions of one life of an actor. Dropped, they end.
pub struct Subscriptions {
    pub(super) spaces: TupleSpaces,
    pub(super) actor: ActorId,
    pub(super) open: BTreeMap<u64, Open>,
}

impl Subscriptions {
    /// From now on the actor is to hear of every tuple written that matches.
    pub fn subscribe(&mut self, place: &Place, pattern: Pattern) -> Result<u64, TupleError> {
        check(pattern.arity(), pattern.bytes())?;
        if self.open.len() >= limits::SUBSCRIPTIONS_MAX {
            return Err(TupleError::TooManySubscriptions);
        }
        let (key, arity) = (self.spaces.key(pattern.first()), pattern.arity());
        let likeness = self.spaces.0.hasher.hash_one(&pattern);
        let number = self.spaces.with(|state| {
            let number = state.next_number();
            let space = self.spaces.space(&mut state.spaces, place);
            let subscribed = space.subscribe(number, key, pattern, self.actor.clone());
            state.tidy(place);
            subscribed.map(|()| number)
        })?;
        let place = place.clone();
        let open = Open {
            place,
            key,
            arity,
            likeness,
        };
        self.open.insert(number, open);
        Ok(number)
    }

    /// Whether there was such a subscription.
    pub fn unsubscribe(&mut self, number: u64) -> bool {
        let Some(open) = self.open.remove(&number) else {
            return false;
        };
        self.spaces.with(|state| {
            if let Some(space) = state.spaces.get_mut(&open.place) {
                space.unsubscribe(number, open.key, open.arity);
            }
            state.tidy(&open.place);
        });
        true
    }

    /// Takes those of an earlier instance of the same actor. Each that this one has made anew ends its like there.
    pub fn absorb(&mut self, earlier: &mut Self) {
        for anew in self.open.values() {
            let mut theirs = earlier.open.iter();
            let like = theirs.find(|(_, it)| it.is_like(anew));
            if let Some(number) = like.map(|(&number, _)| number) {
                earlier.unsubscribe(number);
            }
        }
        self.open.append(&mut earlier.open);
    }
}

impl Open {
    fn is_like(&self, other: &Self) -> bool {
        self.likeness == other.likeness && self.place == other.place
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        let open: Vec<u64> = self.open.keys().copied().collect();
        for number in open {
            self.unsubscribe(number);
        }
    }
}
