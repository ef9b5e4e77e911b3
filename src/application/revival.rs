//! Applications that fail are started again, later and later, for as long as they are wanted.

use std::time::Duration;

use bytes::Bytes;
use log::Level;

use super::record::{Desired, Record};
use super::table::{Deployed, Failed, Running, State, Task, Ticket};
use super::{ActorOverview, Applications, called_off};
use crate::actor::Actor;
use crate::id::ApplicationName;
use crate::refusal::Refusal;

impl Applications {
    /// A running application, watched from now on.
    pub(super) fn running(&self, name: &ApplicationName, worker: Actor) -> Running {
        let (applications, name, given_up) = (self.clone(), name.clone(), worker.given_up());
        let watch = Task::spawn(async move {
            given_up.await;
            // Nothing may follow: the task has just replaced itself.
            applications.give_up(&name);
        });
        Running {
            worker,
            since: self.actors.clock().now(),
            _watch: watch,
        }
    }

    /// Starts what a ticket stands for. One that is wanted and does not start has failed; one that was stopped stays so.
    pub(super) async fn start_deployed(
        &self,
        record: &Record,
        ticket: &Ticket,
        left: Option<Bytes>,
    ) -> Result<(), Refusal> {
        let name = &record.spec.name;
        let starting = ticket.unless_revoked(self.reactivate(record, left));
        match starting.await {
            None => Err(called_off(name)),
            Some(Ok(worker)) => {
                let running = State::Running(self.running(name, worker));
                let ended = self.table.end_start(name, ticket, running);
                ended.map_err(|_| called_off(name))
            }
            Some(Err(refusal)) => {
                self.table.change(name, |deployed| {
                    if !deployed.is_started_by(ticket) {
                        return;
                    }
                    match deployed.record.desired {
                        Desired::Stopped => deployed.state = State::Stopped,
                        Desired::Running => self.fail(name, deployed, refusal.message.clone()),
                    }
                });
                Err(refusal)
            }
        }
    }

    /// What could not be started has failed, and is started again after a while.
    pub(super) fn fail(&self, name: &ApplicationName, deployed: &mut Deployed, reason: String) {
        self.says(name, Level::Error, &format!("does not start: {reason}"));
        self.schedule(name, deployed, reason, vec![], Duration::ZERO);
    }

    /// The worker has used up its restarts.
    fn give_up(&self, name: &ApplicationName) {
        self.table.change(name, |deployed| {
            let State::Running(running) = &deployed.state else {
                return;
            };
            let status = running.worker.status();
            if status.failed {
                let actors = vec![ActorOverview::of(&running.worker)];
                let ran = self.actors.clock().now() - running.since;
                let reason = status.last_error.unwrap_or_default();
                self.schedule(name, deployed, reason, actors, ran);
            }
        });
    }

    fn schedule(
        &self,
        name: &ApplicationName,
        deployed: &mut Deployed,
        reason: String,
        actors: Vec<ActorOverview>,
        ran: Duration,
    ) {
        let (backoff, wait) = deployed.backoff.after(ran, self.restart_delay);
        self.says(name, Level::Warn, &format!("started again in {wait:?}"));
        deployed.backoff = backoff;
        let (applications, again) = (self.clone(), name.clone());
        let retry = Task::spawn(async move {
            tokio::time::sleep(wait).await;
            applications.retry(&again).await;
        });
        deployed.state = State::Failed(Failed {
            reason,
            actors,
            retry: Some(retry),
        });
    }

    async fn retry(&self, name: &ApplicationName) {
        let began = self.table.change(name, |deployed| {
            let State::Failed(failed) = &mut deployed.state else {
                return None;
            };
            // The state owns this very task, which has yet to do its work.
            if let Some(task) = failed.retry.take() {
                task.detach();
            }
            let ticket = Ticket::default();
            deployed.state = State::Starting(ticket.clone());
            Some((deployed.record.clone(), ticket))
        });
        if let Some((record, ticket)) = began.flatten() {
            self.actors.metrics().restarts.inc();
            if self.start_deployed(&record, &ticket, None).await.is_ok() {
                self.says(name, Level::Info, "running again");
            }
        }
    }
}
