//! The store's own time, by which what it keeps expires: it goes on where it stopped, and never goes back.
//!
//! While the node runs it follows the monotonic clock, so a wall clock that jumps moves nothing. Over a restart it
//! follows the wall clock, unless that is behind what was noted: then the time that the node was off does not count.

use std::time::Duration;

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use tokio::time::Instant;

/// The store's time at one of its last changes.
pub const NOTED: TableDefinition<(), u64> = TableDefinition::new("time");
/// How far the note may lag behind.
const NOTE_EVERY_MS: u64 = 1_000;
/// The longest that anybody sleeps at once; the runtime's clock has an end.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Copy, Debug)]
pub struct Steady {
    begun_ms: u64,
    begun: Instant,
}

impl Steady {
    /// Begins at what the wall clock says, or at what was noted if that is later.
    pub fn begin(wall_ms: u64, noted_ms: u64) -> Self {
        Self {
            begun_ms: wall_ms.max(noted_ms),
            begun: Instant::now(),
        }
    }

    /// Milliseconds since 1970, as far as the node knows.
    pub fn now_ms(&self) -> u64 {
        let running = self.begun.elapsed().as_millis();
        self.begun_ms
            .saturating_add(u64::try_from(running).unwrap_or(u64::MAX))
    }

    /// The moment to wake up for `at_ms`, or to look again.
    pub fn instant(&self, at_ms: u64) -> Instant {
        let wait = Duration::from_millis(at_ms.saturating_sub(self.now_ms()));
        Instant::now() + wait.min(SLEEP_MAX)
    }
}

/// Notes the time beside a change that goes by it.
pub fn note(transaction: &WriteTransaction, now_ms: u64) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(NOTED)?;
    let noted = table.get(())?.map_or(0, |noted| noted.value());
    if now_ms >= noted.saturating_add(NOTE_EVERY_MS) {
        table.insert((), now_ms)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_from_the_later_of_clock_and_note() {
        let check = |wall_ms, noted_ms, expected| {
            assert_eq!(Steady::begin(wall_ms, noted_ms).now_ms(), expected);
        };
        check(5_000, 0, 5_000);
        // A board without a battery begins in 1970 at each boot.
        check(0, 5_000, 5_000);
        let steady = Steady::begin(u64::MAX - 1, 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(steady.now_ms(), u64::MAX);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(steady.now_ms(), u64::MAX);
        assert!(steady.instant(0) <= Instant::now());
    }
}
