//! The wish to stop, and the wait for those who must finish first.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Held by everyone who must hear of the stop; cloning is cheap.
#[derive(Clone, Default)]
pub struct Shutdown {
    stopping: Arc<watch::Sender<bool>>,
    /// Each piece of work in flight holds a receiver; when none is left, all is finished.
    in_flight: Arc<watch::Sender<()>>,
}

impl Shutdown {
    /// Asks everyone to stop. There is no way back.
    pub fn begin(&self) {
        self.stopping.send_replace(true);
    }

    pub fn has_begun(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Resolves once the stop has begun.
    pub async fn begun(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Runs `work` to its end as a task that a draining node waits for, whether or not anyone awaits it.
    pub fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let permit = self.in_flight.subscribe();
        tokio::spawn(async move {
            let _permit = permit;
            work.await
        })
    }

    /// Resolves once nothing is in flight.
    pub async fn finished(&self) {
        self.in_flight.closed().await;
    }
}
