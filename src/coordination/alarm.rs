//! One task that waits for the next moment at which a table has something to do; none while there is no such moment.

use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The next moment, if there is one. Dropped, it does not ring.
#[derive(Default)]
pub struct Alarm {
    set: Option<(Instant, JoinHandle<()>)>,
}

impl Alarm {
    /// Rings at `next`; one set for the same moment or earlier stays, and whoever it calls sets it anew.
    pub fn set(&mut self, next: Option<Instant>, ring: impl FnOnce() + Send + 'static) {
        let Some(at) = next else {
            self.stop();
            return;
        };
        if self.set.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        self.stop();
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            ring();
        });
        self.set = Some((at, task));
    }

    /// It has rung, and is to be set anew.
    pub fn rang(&mut self) {
        self.set = None;
    }

    /// It need not ring any more.
    pub fn stop(&mut self) {
        if let Some((_, task)) = self.set.take() {
            task.abort();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.stop();
    }
}
