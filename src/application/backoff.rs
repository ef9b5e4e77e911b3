//! How long a failed application waits before it is started again; decided purely.

use std::time::Duration;

use crate::limits;

/// The failures of one application that still count.
#[derive(Default)]
pub struct Backoff {
    pub failures: u32,
    /// Why it failed last, if it did.
    pub last_error: Option<String>,
}

impl Backoff {
    /// Counts one more failure, of an application that had run for `ran`, and answers with the wait after it: `first`, then
    /// twice as long each time.
    pub fn fails(&mut self, error: String, ran: Duration, first: Duration) -> Duration {
        let before = match is_forgiven(ran) {
            true => 0,
            false => self.failures,
        };
        let doubled = first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
        (self.failures, self.last_error) = (before.saturating_add(1), Some(error));
        doubled.min(limits::REVIVAL_DELAY_MAX.max(first))
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
                let ran = Duration::from_secs(ran);
                let wait = backoff.fails("it broke".into(), ran, Duration::from_secs(1));
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
