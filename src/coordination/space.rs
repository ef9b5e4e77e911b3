//! One place's tuples, who waits for them and who hears of them, shelf by shelf: a shelf holds those of one length.

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;

use tokio::time::Instant;

use super::interest::{Interest, Key, Numbers};
use super::pattern::Pattern;
use super::tuple::Tuple;
use super::tuplespace::{Notice, Stats, TupleError, Wish};
use crate::budget::{Budget, Share};
use crate::id::ActorId;
use crate::limits;

/// What is kept in one place. Numbers tell everything in it apart, and grow with time.
pub struct Space {
    shelves: HashMap<usize, Shelf>,
    share: Share,
    stats: Stats,
}

#[derive(Default)]
struct Shelf {
    /// In the order in which they were written.
    tuples: BTreeMap<u64, Kept>,
    by_first: HashMap<Key, Numbers>,
    takers: Interest<Waiter>,
    readers: Interest<Waiter>,
    subscribers: Interest<Subscriber>,
}

/// A tuple with its number, the key of its first field, and its end if it has one.
#[derive(Clone)]
pub struct Kept {
    pub number: u64,
    pub tuple: Tuple,
    pub key: Option<Key>,
    pub until: Option<Instant>,
    /// Somebody is taking it: readers see it until that is on disk, no other taker does.
    pub claimed: bool,
}

impl Kept {
    /// What a reader gets.
    pub fn copy(tuple: Tuple) -> Self {
        Self {
            number: 0,
            tuple,
            key: None,
            until: None,
            claimed: false,
        }
    }

    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

struct Waiter {
    waker: Option<Waker>,
    weight: usize,
}

struct Subscriber {
    actor: ActorId,
    weight: usize,
}

/// Where what waiters get lies until they fetch it, and those to be woken for it.
#[derive(Default)]
pub struct Desk {
    pub served: HashMap<u64, Kept>,
    pub to_wake: Vec<Waker>,
}

impl Space {
    pub fn new(budget: &Budget) -> Self {
        Self {
            shelves: HashMap::new(),
            share: budget.nothing(),
            stats: Stats::default(),
        }
    }

    /// Nothing is kept, and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.shelves.is_empty() && self.stats.tuples == 0
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Adds a tuple: to everybody who waits to read such a one, then to the first who waits to take it, else to the
    /// shelf.
    pub fn write(&mut self, kept: Kept, desk: &mut Desk) -> Result<(), TupleError> {
        self.admit(kept.tuple.weight())?;
        self.offer(kept, desk);
        Ok(())
    }

    /// Counts a tuple as kept that will be offered.
    pub fn admit(&mut self, weight: usize) -> Result<(), TupleError> {
        if self.stats.tuples >= limits::TUPLES_MAX {
            return Err(TupleError::TooMany);
        }
        self.admit_instead(weight)
    }

    /// The same for one that will take the place of another.
    pub fn admit_instead(&mut self, weight: usize) -> Result<(), TupleError> {
        self.grow(weight)?;
        self.stats.tuples += 1;
        Ok(())
    }

    /// The same for one that was kept before the node was started, whatever there is room for.
    pub fn admit_again(&mut self, weight: usize) {
        self.share.overdraw(weight);
        self.stats.bytes += weight;
        self.stats.tuples += 1;
    }

    /// Puts a tuple in another's place, and answers with the other.
    pub fn replace(
        &mut self,
        old: u64,
        arity: usize,
        kept: Kept,
        desk: &mut Desk,
    ) -> Result<Option<Kept>, TupleError> {
        self.admit_instead(kept.tuple.weight())?;
        let old = self.remove(old, arity);
        self.offer(kept, desk);
        Ok(old)
    }

    /// Puts a tuple before those who wait, where its taker did not live to fetch it.
    pub fn offer(&mut self, kept: Kept, desk: &mut Desk) {
        let shelf = self.shelves.entry(kept.tuple.arity()).or_default();
        let mut weight = 0;
        let readers = shelf.readers.matching(&kept.tuple, kept.key);
        let readers: Vec<_> = readers.map(|(reader, key, _)| (reader, key)).collect();
        for (reader, key) in readers {
            weight += serve(&mut shelf.readers, reader, key, &kept, desk);
            self.stats.waiting -= 1;
        }
        let taker = shelf.takers.matching(&kept.tuple, kept.key).next();
        match taker.map(|(taker, key, _)| (taker, key)) {
            Some((taker, key)) => {
                weight += serve(&mut shelf.takers, taker, key, &kept, desk);
                self.stats.waiting -= 1;
            }
            None => shelf.put(kept),
        }
        self.shrink(weight);
    }

    /// Puts a tuple that a taker has before readers, until it is taken for good or back.
    pub fn claim_served(&mut self, kept: Kept) {
        let shelf = self.shelves.entry(kept.tuple.arity()).or_default();
        shelf.put(Kept {
            claimed: true,
            ..kept
        });
    }

    /// Keeps other takers from a tuple. Whether it was there, and nobody else's.
    pub fn claim(&mut self, number: u64, arity: usize) -> bool {
        let shelf = self.shelves.get_mut(&arity);
        let kept = shelf.and_then(|shelf| shelf.tuples.get_mut(&number));
        kept.is_some_and(|kept| !std::mem::replace(&mut kept.claimed, true))
    }

    /// Takes a tuple that nobody claims off its shelf.
    pub fn end(&mut self, number: u64, arity: usize) -> Option<Kept> {
        let kept = self.shelves.get(&arity)?.tuples.get(&number)?;
        if kept.claimed {
            return None;
        }
        self.remove(number, arity)
    }

    /// Who is to hear of a tuple that was written.
    pub fn notices(&self, kept: &Kept) -> Vec<Notice> {
        let Some(shelf) = self.shelves.get(&kept.tuple.arity()) else {
            return Vec::new();
        };
        let matching = shelf.subscribers.matching(&kept.tuple, kept.key);
        let notice = |(subscription, _, subscriber): (u64, _, &Subscriber)| Notice {
            subscription,
            subscriber: subscriber.actor.clone(),
        };
        matching.map(notice).collect()
    }

    /// The tuples that match, oldest first; `key` is that of the pattern's first field, where that is an exact one.
    pub fn matching<'a>(
        &'a self,
        pattern: &'a Pattern,
        key: Option<Key>,
    ) -> impl Iterator<Item = (u64, &'a Tuple)> {
        let matching = self.matching_kept(pattern, key);
        matching.map(|kept| (kept.number, &kept.tuple))
    }

    /// Those of them that may be taken.
    pub fn free<'a>(
        &'a self,
        pattern: &'a Pattern,
        key: Option<Key>,
    ) -> impl Iterator<Item = (u64, &'a Tuple)> {
        let free = self
            .matching_kept(pattern, key)
            .filter(|kept| !kept.claimed);
        free.map(|kept| (kept.number, &kept.tuple))
    }

    fn matching_kept<'a>(
        &'a self,
        pattern: &'a Pattern,
        key: Option<Key>,
    ) -> impl Iterator<Item = &'a Kept> {
        let shelf = self.shelves.get(&pattern.arity());
        let keyed = shelf.filter(|_| key.is_some()).into_iter();
        let keyed = keyed.flat_map(move |shelf| {
            let numbers = key.and_then(|key| shelf.by_first.get(&key));
            let numbers = numbers.into_iter().flat_map(Numbers::iter);
            numbers.map(|number| &shelf.tuples[&number])
        });
        let all = shelf.filter(|_| key.is_none()).into_iter();
        let all = all.flat_map(|shelf| shelf.tuples.values());
        keyed.chain(all).filter(|kept| pattern.matches(&kept.tuple))
    }

    /// Takes a tuple off its shelf.
    pub fn remove(&mut self, number: u64, arity: usize) -> Option<Kept> {
        let kept = self.reserve(number, arity)?;
        self.forget(&kept);
        Some(kept)
    }

    /// The same, for somebody who will fetch it: until then it counts as kept.
    pub fn reserve(&mut self, number: u64, arity: usize) -> Option<Kept> {
        let shelf = self.shelves.get_mut(&arity)?;
        let kept = shelf.tuples.remove(&number)?;
        if let Some(key) = kept.key
            && let Some(numbers) = shelf.by_first.get_mut(&key)
            && numbers.remove(number)
        {
            shelf.by_first.remove(&key);
        }
        Some(kept)
    }

    /// The tuple is kept no longer: it was fetched, or has ended.
    pub fn forget(&mut self, kept: &Kept) {
        self.stats.tuples -= 1;
        self.shrink(kept.tuple.weight());
        self.tidy(kept.tuple.arity());
    }

    pub fn wait(
        &mut self,
        number: u64,
        key: Option<Key>,
        pattern: Pattern,
        wish: Wish,
    ) -> Result<(), TupleError> {
        if self.stats.waiting >= limits::TUPLE_WAITERS_MAX {
            return Err(TupleError::TooManyWaiting);
        }
        let weight = weight_of(&pattern);
        self.grow(weight)?;
        self.stats.waiting += 1;
        let shelf = self.shelves.entry(pattern.arity()).or_default();
        let waiter = Waiter {
            waker: None,
            weight,
        };
        shelf.waiting(wish).insert(number, key, pattern, waiter);
        Ok(())
    }

    /// Whom to wake once there is something.
    pub fn wake_by(&mut self, number: u64, arity: usize, wish: Wish, waker: &Waker) {
        let shelf = self.shelves.get_mut(&arity);
        if let Some(waiter) = shelf.and_then(|shelf| shelf.waiting(wish).party(number)) {
            waiter.waker = Some(waker.clone());
        }
    }

    pub fn wait_no_more(&mut self, number: u64, key: Option<Key>, arity: usize, wish: Wish) {
        let shelf = self.shelves.get_mut(&arity);
        let waiter = shelf.and_then(|shelf| shelf.waiting(wish).remove(number, key));
        if let Some(waiter) = waiter {
            self.stats.waiting -= 1;
            self.shrink(waiter.weight);
            self.tidy(arity);
        }
    }

    pub fn subscribe(
        &mut self,
        number: u64,
        key: Option<Key>,
        pattern: Pattern,
        actor: ActorId,
    ) -> Result<(), TupleError> {
        if self.stats.subscriptions >= limits::TUPLE_SUBSCRIPTIONS_MAX {
            return Err(TupleError::TooManySubscriptions);
        }
        let weight = weight_of(&pattern);
        self.grow(weight)?;
        self.stats.subscriptions += 1;
        let shelf = self.shelves.entry(pattern.arity()).or_default();
        let subscriber = Subscriber { actor, weight };
        shelf.subscribers.insert(number, key, pattern, subscriber);
        Ok(())
    }

    pub fn unsubscribe(&mut self, number: u64, key: Option<Key>, arity: usize) {
        let shelf = self.shelves.get_mut(&arity);
        let subscriber = shelf.and_then(|shelf| shelf.subscribers.remove(number, key));
        if let Some(subscriber) = subscriber {
            self.stats.subscriptions -= 1;
            self.shrink(subscriber.weight);
            self.tidy(arity);
        }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), TupleError> {
        if !self.share.grow(bytes) {
            return Err(TupleError::NoRoom);
        }
        self.stats.bytes += bytes;
        Ok(())
    }

    fn shrink(&mut self, bytes: usize) {
        self.share.shrink(bytes);
        self.stats.bytes -= bytes;
    }

    /// Forgets a shelf on which nothing lies and for which nobody waits.
    fn tidy(&mut self, arity: usize) {
        if self.shelves.get(&arity).is_some_and(Shelf::is_empty) {
            self.shelves.remove(&arity);
        }
    }
}

impl Shelf {
    fn put(&mut self, kept: Kept) {
        if let Some(key) = kept.key {
            self.by_first.entry(key).or_default().insert(kept.number);
        }
        self.tuples.insert(kept.number, kept);
    }

    fn is_empty(&self) -> bool {
        self.tuples.is_empty()
            && self.takers.is_empty()
            && self.readers.is_empty()
            && self.subscribers.is_empty()
    }

    fn waiting(&mut self, wish: Wish) -> &mut Interest<Waiter> {
        match wish {
            Wish::Read => &mut self.readers,
            Wish::Take => &mut self.takers,
        }
    }
}

/// Lays the tuple on the desk for one who waits no longer, and gives what the waiting weighed.
fn serve(
    waiting: &mut Interest<Waiter>,
    number: u64,
    key: Option<Key>,
    kept: &Kept,
    desk: &mut Desk,
) -> usize {
    let Some(waiter) = waiting.remove(number, key) else {
        return 0;
    };
    desk.served.insert(number, kept.clone());
    desk.to_wake.extend(waiter.waker);
    waiter.weight
}

fn weight_of(pattern: &Pattern) -> usize {
    const BOOKKEEPING: usize = 192;
    BOOKKEEPING + pattern.bytes()
}
