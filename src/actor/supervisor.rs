//! Who watches over an actor: whether to restart is decided purely, then carried out.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use log::Level;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Actors;
use super::behavior::{Behavior, Fault, Start};
use super::cell::{self, Exit};
use super::directory::Listing;
use super::mailbox::Mailbox;
use super::within;
use crate::clock::Clock;
use crate::id::ActorId;
use crate::limits;
use crate::metrics::{During, Metrics};
use crate::storage::Logs;

/// What an onlooker sees of an actor.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub restarts: u32,
    pub last_error: Option<String>,
    /// Given up: it broke more often than its supervisor allows.
    pub failed: bool,
    /// The state that it left when it was stopped in order.
    pub left: Option<Bytes>,
}

/// The owner's handle on a running actor. Dropped, it ends the actor at once.
pub struct Actor {
    id: ActorId,
    mailbox: Arc<Mailbox>,
    stop: watch::Sender<bool>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Actor {
    pub fn id(&self) -> &ActorId {
        &self.id
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Whether its life is over, by whatever end.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    pub fn mailbox_depth(&self) -> usize {
        self.mailbox.depth()
    }

    /// Waits until the actor is given up. Owned: the wait may outlive the handle, and then never ends.
    pub fn given_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut status = self.status.clone();
        async move {
            if status.wait_for(|status| status.failed).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Lets the actor finish its message and say its last words within `grace`, then ends it. Answers with the
    /// state that it left, if it left one in time.
    pub async fn stop(self, grace: Duration) -> Option<Bytes> {
        self.stopping(grace).await
    }

    /// The same for one whose handle stays where it is.
    pub fn stopping(&self, grace: Duration) -> impl Future<Output = Option<Bytes>> + Send + use<> {
        self.stop.send_replace(true);
        self.mailbox.interrupt();
        let (id, mut status, task) = (
            self.id.clone(),
            self.status.clone(),
            self.task.abort_handle(),
        );
        async move {
            // The task owns the other end, and drops it when it ends.
            let ended = async { while status.changed().await.is_ok() {} };
            if within(grace, ended).await.is_none() {
                log::warn!("actor {id} did not stop within {grace:?}; it is ended");
                task.abort();
                return None;
            }
            status.borrow().left.clone()
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.task.abort();
        self.mailbox.close();
    }
}

/// Keeps `behavior` alive as a task of its own, and starts it anew after a fault for as long as its restarts last.
pub(super) fn supervise<S: Start>(
    id: ActorId,
    mailbox: Arc<Mailbox>,
    listing: Listing,
    start: S,
    behavior: S::Behavior,
    actors: &Actors,
) -> Actor {
    let (stop, mut stop_wished) = watch::channel(false);
    let (status, seen) = watch::channel(Status::default());
    let watched = Watched {
        id: id.clone(),
        mailbox: mailbox.clone(),
        status,
        clock: actors.clock.clone(),
        metrics: actors.metrics.clone(),
        logs: actors.logs.clone(),
    };
    let task = tokio::spawn(async move {
        // The actor leaves the directory when its task ends, however that comes about.
        let _listing = listing;
        let left = watched.keep_alive(start, behavior, &mut stop_wished).await;
        watched.mailbox.close();
        watched.status.send_modify(|status| status.left = left);
    });
    Actor {
        id,
        mailbox,
        stop,
        status: seen,
        task,
    }
}

/// A start that waits for something that never comes is a fault like another.
pub(super) async fn start_in_time<S: Start>(
    start: &S,
    metrics: &Metrics,
) -> Result<S::Behavior, Fault> {
    let late = || {
        Fault::Broken(format!(
            "it did not start within {:?}",
            limits::START_TIME_MAX
        ))
    };
    let started = within(limits::START_TIME_MAX, start.start())
        .await
        .ok_or_else(late);
    started
        .flatten()
        .inspect_err(|_| metrics.faults.count(During::Start))
}

struct Watched {
    id: ActorId,
    mailbox: Arc<Mailbox>,
    status: watch::Sender<Status>,
    clock: Clock,
    metrics: Arc<Metrics>,
    logs: Logs,
}

impl Watched {
    async fn keep_alive<S: Start>(
        &self,
        start: S,
        first: S::Behavior,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<Bytes> {
        let mut recent = Recent::default();
        let mut next = Ok(first);
        loop {
            let fault = match next {
                Ok(mut behavior) => {
                    match cell::live(&mut behavior, &self.mailbox, stop, &self.metrics).await {
                        Exit::Stopped => return behavior.terminate().await,
                        Exit::Fault(fault) => {
                            self.metrics.faults.count(During::Message);
                            fault
                        }
                    }
                }
                Err(fault) => fault,
            };
            match recent.decide(self.clock.now()) {
                Verdict::Restart => self.restarts_after(&fault),
                Verdict::GiveUp => {
                    self.fails_with(&fault);
                    return None;
                }
            }
            next = start_in_time(&start, &self.metrics).await;
        }
    }

    fn says(&self, level: Level, text: &str) {
        let id = &self.id;
        self.logs
            .say(id.application(), level, Some(id.address()), text);
    }

    fn restarts_after(&self, fault: &Fault) {
        log::warn!("actor {} is restarted: {fault}", self.id);
        self.says(Level::Warn, &format!("restarted: {fault}"));
        self.metrics.restarts.inc();
        self.status.send_modify(|status| {
            status.restarts += 1;
            status.last_error = Some(fault.to_string());
        });
    }

    fn fails_with(&self, fault: &Fault) {
        let (max, window) = (limits::RESTARTS_MAX, limits::RESTART_WINDOW);
        log::error!(
            "actor {} has failed: more than {max} restarts within {window:?}, the last one: {fault}",
            self.id
        );
        let text = format!("given up after more than {max} restarts within {window:?}: {fault}");
        self.says(Level::Error, &text);
        self.metrics.given_up.inc();
        self.status.send_modify(|status| {
            status.failed = true;
            status.last_error = Some(fault.to_string());
        });
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Restart,
    GiveUp,
}

/// The restarts that still count against the intensity, as Erlang/OTP's supervisor counts them.
#[derive(Default)]
struct Recent(VecDeque<Instant>);

impl Recent {
    fn decide(&mut self, now: Instant) -> Verdict {
        self.0
            .retain(|&at| now.duration_since(at) <= limits::RESTART_WINDOW);
        self.0.push_back(now);
        if self.0.len() > limits::RESTARTS_MAX {
            Verdict::GiveUp
        } else {
            Verdict::Restart
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_restart_within_the_window_gives_up() {
        let start = Instant::now();
        let check = |offsets_ms: &[u64], expected: Verdict| {
            let mut recent = Recent::default();
            let verdicts = offsets_ms
                .iter()
                .map(|&ms| recent.decide(start + Duration::from_millis(ms)));
            assert_eq!(verdicts.last(), Some(expected), "after {offsets_ms:?}");
        };
        check(&[0], Verdict::Restart);
        check(&[0, 1, 2], Verdict::Restart);
        check(&[0, 1, 2, 3], Verdict::GiveUp);
        check(&[0, 1, 2, 5_000], Verdict::GiveUp);
        check(&[0, 1, 2, 5_001], Verdict::Restart);
        check(&[0, 5_001, 10_002, 15_003], Verdict::Restart);
    }
}
