//! The wish to stop, and the wait for those who must finish first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::Handle;
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
        tokio::spawn(self.in_flight(work))
    }

    /// The same for work that is mostly awaited to its end: it becomes a task only when nobody awaits it any more.
    pub fn outlast<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Lasting<T> {
        Lasting(Some(Box::pin(self.in_flight(work))))
    }

    /// The work, in flight until it is done or dropped.
    fn in_flight<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let permit = self.in_flight.subscribe();
        async move {
            let _permit = permit;
            work.await
        }
    }

    /// Resolves once nothing is in flight.
    pub async fn finished(&self) {
        self.in_flight.closed().await;
    }
}

/// Work that outlasts whoever awaits it; `None` once it is done.
pub struct Lasting<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Future for Lasting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let work = self.0.as_mut().expect("it is polled until it is done");
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Lasting<T> {
    fn drop(&mut self) {
        // What has panicked cannot go on.
        if let (Some(work), Ok(runtime), false) =
            (self.0.take(), Handle::try_current(), thread::panicking())
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_goes_on_without_whoever_awaited_it() {
        let shutdown = Shutdown::default();
        let (go, going) = oneshot::channel::<()>();
        let (done, outcome) = oneshot::channel();
        let mut work = Box::pin(shutdown.outlast(async move {
            going.await.unwrap();
            done.send(7).unwrap();
        }));
        tokio::select! {
            biased;
            () = &mut work => unreachable!("it waits for a word"),
            () = std::future::ready(()) => {}
        }
        drop(work);
        go.send(()).unwrap();
        assert_eq!(outcome.await, Ok(7));
        shutdown.finished().await;
    }

    #[tokio::test]
    async fn work_that_is_awaited_answers_and_leaves_nothing() {
        let shutdown = Shutdown::default();
        assert_eq!(shutdown.outlast(async { 7 }).await, 7);
        shutdown.finished().await;
    }
}
