//! Applications that fail are started again, later and later, for as long as they are wanted.

use std::time::Duration;

use log::Level;

use super::activation::Active;
use super::record::{Desired, Record};
use super::table::{Deployed, Failed, Retry, Running, State, Task, Ticket};
use super::{Applications, called_off};
use crate::actor::View;
use crate::id::ApplicationName;
use crate::refusal::Refusal;
use crate::services::workflows::Performance;
use crate::storage::Left;

impl Applications {
    /// A running application, watched from now on.
    pub(super) fn running(&self, record: &Record, active: Active) -> Running {
        let name = &record.spec.name;
        let watch = self.watch(name, &active);
        let probation = record.on_probation.then(|| {
            if let Some(tree) = &active.tree {
                tree.begin_probation();
            }
            self.probation_of(name)
        });
        Running {
            performance: self.perform(name, &active),
            active,
            since: self.actors.clock().now(),
            watch,
            probation,
        }
    }

    /// From now on its workflows go on.
    pub(super) fn perform(
        &self,
        name: &ApplicationName,
        active: &Active,
    ) -> Option<Box<Performance>> {
        let stage = active.stage.clone()?;
        Some(Box::new(self.wasm.services().workflows.begin(name, *stage)))
    }

    /// Whichever version runs now, the workflows that were paused for the change go on with it.
    pub(super) fn perform_again(&self, name: &ApplicationName) {
        self.table.change(name, |deployed| {
            if let State::Running(running) = &mut deployed.state {
                running.performance = self.perform(name, &running.active);
            }
        });
    }

    /// Notices when a tree has failed.
    pub(super) fn watch(&self, name: &ApplicationName, active: &Active) -> Option<Task> {
        let failed = active.tree.as_ref()?.failed();
        let (applications, name) = (self.clone(), name.clone());
        Some(Task::spawn(async move {
            failed.await;
            // Nothing may follow: the task may replace itself.
            applications.give_up(&name).await;
        }))
    }

    /// Starts what a ticket stands for. One that is wanted and does not start has failed; one that was stopped stays so.
    pub(super) async fn start_deployed(
        &self,
        record: &Record,
        ticket: &Ticket,
    ) -> Result<(), Refusal> {
        let starting = ticket.unless_revoked(self.reactivate(record));
        let started = starting.await;
        self.end_start(record, ticket, started).await
    }

    /// The same with states that are not on the disk.
    pub(super) async fn restart_with(
        &self,
        record: &Record,
        ticket: &Ticket,
        left: Vec<Left>,
    ) -> Result<(), Refusal> {
        let starting = async {
            let module = self.kept(record.digest, record.bytes);
            let tree = record.own_tree.clone();
            let prepared = self.prepare(&record.spec, &module, tree).await?;
            self.bring_up(&prepared, &left).await
        };
        let started = ticket.unless_revoked(starting).await;
        self.end_start(record, ticket, started).await
    }

    async fn end_start(
        &self,
        record: &Record,
        ticket: &Ticket,
        started: Option<Result<Active, Refusal>>,
    ) -> Result<(), Refusal> {
        let name = &record.spec.name;
        match started {
            None => Err(called_off(name)),
            Some(Ok(active)) => {
                let running = State::Running(self.running(record, active));
                let ended = self.table.end_start(name, ticket, running);
                ended.map_err(|_| called_off(name))
            }
            Some(Err(refusal)) if record.on_probation && record.previous.is_some() => {
                self.start_previous(record, ticket, refusal).await
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
        self.schedule(name, deployed, reason, None, Duration::ZERO);
    }

    /// An attempt to have it run came to nothing before it began: it is as it was.
    pub(super) fn stands_still_again(
        &self,
        name: &ApplicationName,
        deployed: &mut Deployed,
        before: State,
    ) {
        match before {
            State::Failed(Failed {
                reason,
                tree,
                retry: Some(_),
            }) => self.schedule(name, deployed, reason, tree, Duration::ZERO),
            before => deployed.state = before,
        }
    }

    /// The root of a tree has given up, or a version on probation broke.
    async fn give_up(&self, name: &ApplicationName) {
        if self.takes_back(name).await {
            return;
        }
        self.table.change(name, |deployed| {
            let (Some(reason), State::Running(running)) = (deployed.reason(), &deployed.state)
            else {
                return;
            };
            let tree = running.active.tree.as_ref().map(|tree| tree.view());
            let ran = self.actors.clock().now() - running.since;
            self.says(name, Level::Error, &format!("has failed: {reason}"));
            self.schedule(name, deployed, reason, tree, ran);
        });
    }

    pub(super) fn schedule(
        &self,
        name: &ApplicationName,
        deployed: &mut Deployed,
        reason: String,
        tree: Option<View>,
        ran: Duration,
    ) {
        let backoff = &mut deployed.backoff;
        let wait = backoff.fails(reason.clone(), ran, self.restart_delay);
        self.says(name, Level::Warn, &format!("started again in {wait:?}"));
        let at = self.actors.clock().now() + wait;
        let (applications, again) = (self.clone(), name.clone());
        let task = Task::spawn(async move {
            tokio::time::sleep_until(at).await;
            applications.retry(&again).await;
        });
        deployed.state = State::Failed(Failed {
            reason,
            tree,
            retry: Some(Box::new(Retry { at, task })),
        });
    }

    async fn retry(&self, name: &ApplicationName) {
        let began = self.table.change(name, |deployed| {
            let State::Failed(failed) = &mut deployed.state else {
                return None;
            };
            // The state owns this very task, which has yet to do its work.
            if let Some(retry) = failed.retry.take() {
                retry.task.detach();
            }
            let ticket = Ticket::default();
            deployed.state = State::Starting(ticket.clone());
            Some((deployed.record.clone(), ticket))
        });
        if let Some((record, ticket)) = began.flatten() {
            self.actors.metrics().restarts.inc();
            if self.start_deployed(&record, &ticket).await.is_ok() {
                self.says(name, Level::Info, "running again");
            }
        }
    }
}
