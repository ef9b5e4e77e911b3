//! How long a failed application waits before it is started again; decided purely.

use std::time::Duration;

use crate::limits;

/// The failures of one application that still count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How many they are.
    pub fn failures(self) -> u32 {
        self.failures
    }

    /// The wait after one more failure of an application that had run for `ran`: `first`, then twice as long each time.
    pub fn after(self, ran: Duration, first: Duration) -> (Self, Duration) {
        let before = match is_forgiven(ran) {
            true => 0,
            false => self.failures,
        };
        let doubled = first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
        let failures = before.saturating_add(1);
        (
            Self { failures },
            doubled.min(limits::REVIVAL_DELAY_MAX.max(first)),
        )
    }
}

/// Whether one that has run for so long begins anew.
pub fn is_forgiven(ran: Duration) -> bool {
    ran >= limits::REVIVAL_FORGIVEN_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_five_minutes_and_ten_good_minutes_forgive() {
        let check = |ran_s: &[u64], expected_s: &[u64]| {
            let mut backoff = Backoff::default();
            let waits = ran_s.iter().map(|&ran| {
                let (next, wait) = backoff.after(Duration::from_secs(ran), Duration::from_secs(1));
                backoff = next;
                wait.as_secs()
            });
            assert_eq!(waits.collect::<Vec<_>>(), expected_s, "after {ran_s:?}");
        };
        check(&[0; 11], &[1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        check(&[0, 599, 0], &[1, 2, 4]);
        check(&[0, 0, 600, 0], &[1, 2, 1, 2]);
        check(
            &[0; 40],
            &[vec![1, 2, 4, 8, 16, 32, 64, 128, 256], vec![300; 31]].concat(),
        );
    }
}
