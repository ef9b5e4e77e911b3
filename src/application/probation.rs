//! A new version on trial: one that fails soon is replaced by the one before, from the states at the upgrade.

use log::Level;

use super::Applications;
use super::record::Record;
use super::table::{Change, Deployed, State, Task, Ticket, Undone};
use crate::id::ApplicationName;
use crate::limits;
use crate::refusal::Refusal;
use crate::storage::Left;

impl Applications {
    /// Ends the trial of what is running under this name, if it lasts so long.
    pub(super) fn probation_of(&self, name: &ApplicationName) -> Task {
        let (applications, name) = (self.clone(), name.clone());
        Task::spawn(async move {
            loop {
                tokio::time::sleep(limits::PROBATION).await;
                if applications.settle(&name).await {
                    return;
                }
            }
        })
    }

    /// `false` where it must be tried again.
    async fn settle(&self, name: &ApplicationName) -> bool {
        let proven = self.table.change(name, |deployed| {
            let proven = deployed
                .record
                .on_probation
                .then(|| deployed.record.proven());
            proven.filter(|_| deployed.changing.is_none())
        });
        let Some(proven) = proven.flatten() else {
            return false;
        };
        let deployments = &self.storage.deployments;
        let settled = deployments.settle(name.to_string(), proven.encode());
        if let Err(error) = settled.await {
            log::warn!("application {name} is still on probation: {error}");
            return false;
        }
        let version = proven.spec.version.clone();
        self.table.change(name, |deployed| {
            deployed.record.on_probation = false;
            if let State::Running(running) = &deployed.state
                && let Some(tree) = &running.active.tree
            {
                tree.end_probation();
            }
        });
        let text = format!("version {version} has passed its probation");
        self.says(name, Level::Info, &text);
        true
    }

    /// Replaces a running version that failed on trial. `false` where there is nothing to replace it by.
    pub(super) async fn takes_back(&self, name: &ApplicationName) -> bool {
        let held = self.table.change(name, |deployed| {
            let record = &deployed.record;
            let previous = record.previous.clone().filter(|_| record.on_probation)?;
            let reason = deployed.reason()?;
            let State::Running(running) = &mut deployed.state else {
                return None;
            };
            // It is this very task, which has yet to do its work.
            if let Some(watch) = running.watch.take() {
                watch.detach();
            }
            running.probation = None;
            let change = Change::back(&self.table, deployed, &previous);
            Some((change, deployed.record.clone(), reason))
        });
        let Some((_change, record, reason)) = held.flatten() else {
            return false;
        };
        if let Err(refusal) = self.replace_running(name, &record, &reason).await {
            self.table.change(name, |deployed| {
                deployed.record = back(&record);
                self.fail(name, deployed, refusal.message);
            });
        }
        drop(_change);
        self.forget_unused(record.digest).await;
        true
    }

    async fn replace_running(
        &self,
        name: &ApplicationName,
        failed: &Record,
        reason: &str,
    ) -> Result<(), Refusal> {
        let Back {
            record,
            undone,
            left,
        } = self.taken_back(failed, reason).await;
        self.shows(name, undone);
        let module = self.kept(record.digest, record.bytes);
        let tree = record.own_tree.clone();
        let prepared = self.prepare(&record.spec, &module, tree).await?;
        let seeds = prepared.seeds(&left);
        let workflows = &self.wasm.services().workflows;
        workflows.pause(name, limits::RUN_PAUSE_MAX).await;
        let replacing = self.table.change(name, |deployed| match &deployed.state {
            State::Running(running) => {
                let tree = running.active.tree.as_ref()?;
                Some(tree.replace(prepared.tree(), prepared.bounds(), seeds))
            }
            _ => None,
        });
        let Some(replacing) = replacing.flatten() else {
            return Ok(());
        };
        match replacing.await {
            Some(Err(error)) => Err(prepared.refusal(error)),
            _ => {
                self.table.change(name, |deployed| {
                    deployed.record = record;
                    if let State::Running(running) = &mut deployed.state {
                        running.active.program = prepared.program.clone();
                        let tree = running.active.tree.as_ref();
                        running.active.stage = tree.map(|tree| Box::new(prepared.stage(tree)));
                        running.watch = self.watch(name, &running.active);
                        running.performance = self.perform(name, &running.active);
                    }
                });
                Ok(())
            }
        }
    }

    /// Starts the version before one that does not start.
    pub(super) async fn start_previous(
        &self,
        failed: &Record,
        ticket: &Ticket,
        refusal: Refusal,
    ) -> Result<(), Refusal> {
        let (name, record) = (&failed.spec.name, back(failed));
        let is_ours = self.table.change(name, |deployed| {
            let ours = deployed.is_started_by(ticket);
            if ours {
                deployed.record = record.clone();
            }
            ours
        });
        if is_ours != Some(true) {
            return Err(refusal);
        }
        let back = self.taken_back(failed, &refusal.message).await;
        self.shows(name, back.undone);
        // The version before is on no trial, so this goes no deeper.
        Box::pin(self.start_deployed(&record, ticket)).await
    }

    /// Writes down that the version before is back.
    pub(super) async fn taken_back(&self, failed: &Record, reason: &str) -> Back {
        let (name, record) = (&failed.spec.name, back(failed));
        let text = format!(
            "version {} has failed in its probation: {reason}; version {} takes its place, with the state at the \
             upgrade: what has changed since is lost",
            failed.spec.version, record.spec.version
        );
        self.says(name, Level::Error, &text);
        let undone = Undone {
            version: failed.spec.version.clone(),
            digest: failed.digest,
            at: self.actors.clock().wall(),
            reason: reason.to_owned(),
        };
        let deployments = &self.storage.deployments;
        let taken_back = deployments.take_back(name.to_string(), record.encode());
        let left = taken_back.await.unwrap_or_else(|error| {
            log::error!("application {name}: {error}; its actors begin anew");
            Vec::new()
        });
        Back {
            record,
            undone,
            left,
        }
    }

    fn shows(&self, name: &ApplicationName, undone: Undone) {
        let change = |deployed: &mut Deployed| deployed.undone = Some(undone);
        self.table.change(name, change);
    }
}

/// The version before, in the place of one that failed on trial.
pub(super) struct Back {
    pub record: Record,
    /// A word about the one that failed.
    pub undone: Undone,
    /// The states that its actors begin with.
    pub left: Vec<Left>,
}

/// The record of the version before.
fn back(failed: &Record) -> Record {
    let previous = failed.previous.clone();
    let previous = previous.expect("only what has a version before is on probation");
    failed.at(*previous, None, false)
}
