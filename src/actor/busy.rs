//! Since when an actor has its message in hand: written once a message, read by onlookers alone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// When the last message began, in milliseconds since this was made, and above that how many were done before it, by
/// its last bits. The message is in hand for as long as that many are done, so its end writes nothing here.
#[derive(Debug)]
pub struct Busy {
    made: Instant,
    began: AtomicU64,
}

/// Bits of the milliseconds: 34 years.
const MS_BITS: u32 = 40;
/// In place of a moment, where no message has begun in this life.
const IDLE: u64 = (1 << MS_BITS) - 1;

impl Default for Busy {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            began: AtomicU64::new(IDLE),
        }
    }
}

impl Busy {
    /// A message is taken in hand at `now`, after `done` others.
    pub fn begins(&self, now: Instant, done: u64) {
        let ms = now.saturating_duration_since(self.made).as_millis() as u64;
        self.began
            .store(done << MS_BITS | ms.min(IDLE - 1), Relaxed);
    }

    /// A life begins, with nothing in hand.
    pub fn rests(&self) {
        self.began.store(IDLE, Relaxed);
    }

    /// How long the message in hand has been there at `now`, when `done` are done; `None` for none, or for not longer
    /// than anybody would care.
    pub fn since(&self, now: Instant, done: u64) -> Option<Duration> {
        let began = self.began.load(Relaxed);
        let ms = began & IDLE;
        if ms == IDLE || began >> MS_BITS != done << MS_BITS >> MS_BITS {
            return None;
        }
        let since = now.saturating_duration_since(self.made + Duration::from_millis(ms));
        (since > limits::BUSY_AFTER).then_some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_in_hand_until_one_more_is_done() {
        let busy = Busy::default();
        let second = |n: u64| busy.made + Duration::from_secs(n);
        assert_eq!(busy.since(second(9), 0), None);
        for done in [0, 5, (1 << 24) - 1, 1 << 24, u64::MAX - 1] {
            busy.begins(second(1), done);
            assert_eq!(busy.since(second(2), done), None);
            assert_eq!(busy.since(second(4), done), Some(Duration::from_secs(3)));
            assert_eq!(busy.since(second(4), done + 1), None, "{done}");
            busy.rests();
            assert_eq!(busy.since(second(4), done), None, "{done}");
        }
    }
}
