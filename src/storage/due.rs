//! When the next of what is kept for a time, or held back, is due: nothing wakes up while nothing is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::steady::Steady;

/// The earliest moment at which there is something to do.
#[derive(Clone)]
pub struct Due {
    pub steady: Steady,
    next_ms: Arc<Mutex<Option<u64>>>,
    changed: Arc<Notify>,
}

impl Due {
    pub fn new(steady: Steady) -> Self {
        Self {
            steady,
            next_ms: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// There is something to do at this moment, by the store's time.
    pub fn at(&self, moment_ms: u64) {
        let mut next_ms = self.next_ms.lock().unwrap();
        if next_ms.is_none_or(|next_ms| moment_ms < next_ms) {
            *next_ms = Some(moment_ms);
            self.changed.notify_one();
        }
    }

    /// There is something to do after a while.
    pub fn after(&self, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.at(self.steady.now_ms().saturating_add(wait_ms));
    }

    /// Waits until something is due, and forgets it.
    pub async fn wait(&self) {
        loop {
            match self.take() {
                Ok(()) => return,
                Err(None) => self.changed.notified().await,
                Err(Some(at_ms)) => tokio::select! {
                    () = tokio::time::sleep_until(self.steady.instant(at_ms)) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    fn take(&self) -> Result<(), Option<u64>> {
        let mut next_ms = self.next_ms.lock().unwrap();
        let due = next_ms.take_if(|next_ms| *next_ms <= self.steady.now_ms());
        due.map(drop).ok_or(*next_ms)
    }
}
