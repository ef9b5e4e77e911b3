//! Bytes that all of the node shares: whoever keeps some takes a share, and gives it back by dropping it.
//!
//! Each mailbox, body and timer has a bound of its own, and a thousand of each would still fill any machine. So they
//! draw on one number: past it, senders are refused until something was handled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How much may be kept, and how much is; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    max: usize,
    taken: AtomicUsize,
    /// What this one is a part of.
    whole: Option<Budget>,
}

/// Bytes that somebody keeps.
#[derive(Debug)]
pub struct Share {
    bytes: usize,
    budget: Budget,
}

impl Budget {
    /// At most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self::with(max, None)
    }

    /// A budget of its own bound, whose bytes are taken from this one too.
    pub fn part(&self, max: usize) -> Self {
        Self::with(max, Some(self.clone()))
    }

    fn with(max: usize, whole: Option<Self>) -> Self {
        let taken = AtomicUsize::new(0);
        Self(Arc::new(Counter { max, taken, whole }))
    }

    pub fn max(&self) -> usize {
        self.0.max
    }

    pub fn taken(&self) -> usize {
        self.0.taken.load(Relaxed)
    }

    /// A share of so many bytes, if they are there.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        let mut share = self.nothing();
        share.grow(bytes).then_some(share)
    }

    /// A share to begin with, of no bytes.
    pub fn nothing(&self) -> Share {
        Share {
            bytes: 0,
            budget: self.clone(),
        }
    }

    /// A share whether or not the bytes are there, for what exists already and cannot be refused any more: it keeps
    /// others from taking.
    pub fn overdraw(&self, bytes: usize) -> Share {
        let mut budget = Some(self);
        while let Some(Self(counter)) = budget {
            counter.taken.fetch_add(bytes, Relaxed);
            budget = counter.whole.as_ref();
        }
        Share {
            bytes,
            budget: self.clone(),
        }
    }

    fn grow(&self, bytes: usize) -> bool {
        let Counter { max, taken, whole } = &*self.0;
        let fits = |now: usize| now.checked_add(bytes).filter(|then| then <= max);
        if taken.fetch_update(Relaxed, Relaxed, fits).is_err() {
            return false;
        }
        let grown = whole.as_ref().is_none_or(|whole| whole.grow(bytes));
        if !grown {
            taken.fetch_sub(bytes, Relaxed);
        }
        grown
    }

    fn give_back(&self, bytes: usize) {
        let mut budget = Some(self);
        while let Some(Self(counter)) = budget {
            counter.taken.fetch_sub(bytes, Relaxed);
            budget = counter.whole.as_ref();
        }
    }
}

impl Share {
    /// Takes more; `false`, and nothing taken, where so much is not there.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let grown = self.budget.grow(bytes);
        self.bytes += if grown { bytes } else { 0 };
        grown
    }

    /// Takes more whether or not it is there, for what exists already and cannot be refused any more.
    pub fn overdraw(&mut self, bytes: usize) {
        let mut more = self.budget.overdraw(bytes);
        self.bytes += std::mem::take(&mut more.bytes);
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back so many bytes, at most all.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.give_back(bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_no_more_than_all_is_taken() {
        let budget = Budget::new(100);
        let (first, mut second) = (budget.take(60).unwrap(), budget.nothing());
        assert!(budget.take(41).is_none() && second.grow(30) && !second.grow(11));
        assert!(second.grow(10) && budget.taken() == 100);
        let third = budget.overdraw(50);
        drop(first);
        assert!(budget.take(11).is_none() && budget.take(10).is_some());
        drop((second, third));
        assert_eq!(budget.taken(), 0);
        assert!(budget.take(usize::MAX).is_none());
    }

    #[test]
    fn a_part_has_a_bound_of_its_own_and_counts_in_the_whole() {
        let whole = Budget::new(100);
        let part = whole.part(50);
        let mut share = part.take(40).unwrap();
        assert!(part.take(11).is_none() && whole.taken() == 40);
        let rest = whole.take(55).unwrap();
        assert!(part.take(6).is_none() && part.taken() == 40 && whole.taken() == 95);
        share.shrink(30);
        assert_eq!((part.taken(), whole.taken()), (10, 65));
        drop((share, rest, part.overdraw(60)));
        assert_eq!((part.taken(), whole.taken()), (0, 0));
    }
}
