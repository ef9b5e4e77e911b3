//! What time it is: a monotonic clock for waits, a wall clock for people; tests bring their own.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use tokio::time::Instant;

/// Both clocks of the node.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Clock {
    pub fn system() -> Self {
        Self::with_wall(SystemTime::now)
    }

    /// A clock whose wall time is told by `wall`; its monotonic time is the runtime's.
    pub fn with_wall(wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            wall: Arc::new(wall),
        }
    }

    /// For deadlines and waits. A test's paused runtime pauses it too.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// For people and records. It may jump in either direction; nothing waits or expires by it. What it says lies
    /// between 1970 and 9999: a board without a battery says odd things until somebody sets its clock.
    pub fn wall(&self) -> SystemTime {
        (self.wall)().clamp(UNIX_EPOCH, *YEAR_9999)
    }

    /// The wall clock in milliseconds since 1970; 0 before that.
    pub fn wall_ms(&self) -> u64 {
        let since_1970 = self
            .wall()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The last moment that RFC 3339 can write, but for a day.
static YEAR_9999: LazyLock<SystemTime> =
    LazyLock::new(|| UNIX_EPOCH + Duration::from_secs(253_402_214_400));

/// A moment as RFC 3339 in UTC with milliseconds, such as `2026-11-23T05:38:00.000Z`. One that cannot be written so is
/// shown as the nearest that can.
pub fn rfc3339(moment: SystemTime) -> String {
    let moment = moment.clamp(UNIX_EPOCH, *YEAR_9999);
    humantime::format_rfc3339_millis(moment).to_string()
}

/// A length of time as people write it: `"30s"`, `"1m 30s"`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let seconds: Option<f64> = match text.chars().all(is_number) {
            true => text.parse().ok(),
            false => None,
        };
        let parsed = match seconds {
            Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            None => humantime::parse_duration(text).ok(),
        };
        parsed.map(Self).ok_or_else(|| {
            format!("{text:?} is no length of time, such as \"30s\", and no number of seconds")
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time, such as \"30s\", or a number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Span, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Span, E> {
        let span = Duration::try_from_secs_f64(seconds).map(Span);
        span.map_err(|_| E::custom(format!("{seconds} is no number of seconds")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_is_so_wrong_that_it_cannot_be_written_down() {
        let check = |wall: SystemTime, ms: u64, text: &str| {
            let clock = Clock::with_wall(move || wall);
            assert_eq!((clock.wall_ms(), &*rfc3339(clock.wall())), (ms, text));
            // What is stored is read back.
            let stored = serde_json::to_string(&clock.wall()).unwrap();
            let read: SystemTime = serde_json::from_str(&stored).unwrap();
            assert_eq!(read, clock.wall());
        };
        let year = Duration::from_secs(365 * 24 * 3600);
        check(UNIX_EPOCH, 0, "1970-01-01T00:00:00.000Z");
        check(UNIX_EPOCH - year, 0, "1970-01-01T00:00:00.000Z");
        check(
            UNIX_EPOCH + 9_000 * year,
            253_402_214_400_000,
            "9999-12-31T00:00:00.000Z",
        );
    }
}
