//! What time it is: a monotonic clock for waits, a wall clock for people; tests bring their own.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    /// For people and records. It may jump in either direction.
    pub fn wall(&self) -> SystemTime {
        (self.wall)()
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

/// A moment as RFC 3339 in UTC with milliseconds, such as `2026-11-23T05:38:00.000Z`.
pub fn rfc3339(moment: SystemTime) -> String {
    humantime::format_rfc3339_millis(moment).to_string()
}
