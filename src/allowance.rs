//! So many in a second, and a count of those that came on top: what keeps a flood out of a log.

use std::time::{Duration, Instant};

/// Passes some in each second and counts the rest.
pub struct Allowance {
    per_second: u32,
    since: Instant,
    passed: u32,
    dropped: u64,
}

impl Allowance {
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            since: Instant::now(),
            passed: 0,
            dropped: 0,
        }
    }

    /// Whether one more may pass now; else it is counted.
    pub fn take(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.passed) = (now, 0);
        }
        let may = self.passed < self.per_second;
        match may {
            true => self.passed += 1,
            false => self.dropped += 1,
        }
        may
    }

    /// How many did not pass since this was last asked; `None` if all did.
    pub fn take_dropped(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.dropped)).filter(|&dropped| dropped > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_the_next_second_passes_as_many_again() {
        let mut allowance = Allowance::new(20);
        let began = allowance.since;
        let mut pass = |ms, number: usize| {
            let now = began + Duration::from_millis(ms);
            let passed = (0..number).filter(|_| allowance.take(now)).count();
            (passed, allowance.take_dropped())
        };
        assert_eq!(pass(0, 5), (5, None));
        assert_eq!(pass(1, 1_000), (15, Some(985)));
        assert_eq!(pass(999, 1), (0, Some(1)));
        assert_eq!(pass(1_000, 30), (20, Some(10)));
    }
}
