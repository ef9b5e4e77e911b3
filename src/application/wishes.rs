//! What operators want of what is deployed: running or stopped, and single actors stopped.

use std::time::Duration;

use log::Level;

use super::record::{Desired, Record};
use super::table::{Running, Slot, State, Table, Ticket};
use super::{Applications, stopped};
use crate::id::{ApplicationName, child_of};
use crate::refusal::{Kind, Refusal};

/// What a start found.
enum Start {
    /// All of it runs.
    Nothing,
    /// It runs, but for some actors.
    Missing(ApplicationName),
    /// It runs, and the disk has yet to know that it is to.
    Unrecorded(ApplicationName, Box<Record>),
    Whole(Box<Standstill>),
}

/// One that does not run, and is to.
struct Standstill {
    name: ApplicationName,
    record: Record,
    ticket: Ticket,
    /// What it was before.
    before: State,
}

impl Applications {
    /// Wants an application running, from now on and after every restart. Of one that runs, those actors are started
    /// that are not there.
    pub async fn start(&self, name: &str) -> Result<(), Refusal> {
        match self.begin_start(name)? {
            Start::Nothing => Ok(()),
            Start::Missing(name) => self.start_missing(&name).await,
            Start::Unrecorded(name, record) => self.record_start(&name, &record).await,
            Start::Whole(standstill) => self.start_whole(*standstill).await,
        }
    }

    async fn start_whole(&self, standstill: Standstill) -> Result<(), Refusal> {
        let Standstill {
            name,
            record,
            ticket,
            before,
        } = standstill;
        let key = name.to_string();
        if let Err(error) = self.storage.deployments.forget_attempts(key).await {
            self.table.change(&name, |deployed| {
                if deployed.is_started_by(&ticket) {
                    self.stands_still_again(&name, deployed, before);
                }
            });
            return Err(error.into());
        }
        drop(before);
        self.start_deployed(&record, &ticket).await?;
        if record.desired == Desired::Stopped {
            self.record_start(&name, &record).await?;
        }
        self.says(&name, Level::Info, "started");
        Ok(())
    }

    async fn start_missing(&self, name: &ApplicationName) -> Result<(), Refusal> {
        let starting = self.table.change(name, |deployed| match &deployed.state {
            State::Running(running) => running.active.tree.as_ref().map(|it| it.start_missing()),
            _ => None,
        });
        if let Some(starting) = starting.flatten() {
            starting.await;
        }
        self.says(name, Level::Info, "its stopped actors are started");
        Ok(())
    }

    async fn record_start(&self, name: &ApplicationName, record: &Record) -> Result<(), Refusal> {
        let recorded = self
            .rewrite(&record.desiring(Desired::Running), vec![])
            .await;
        let halted = self.table.change(name, |deployed| match &recorded {
            Ok(()) => {
                deployed.record.desired = Desired::Running;
                None
            }
            Err(_) => Some(std::mem::replace(&mut deployed.state, State::Stopped)),
        });
        drop(halted);
        recorded
    }

    /// Wants an application stopped, from now on and after every restart; it stays deployed. Its actors stop right to
    /// left, each within its shutdown timeout and all within `grace`, and what they leave is there for the next start.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), Refusal> {
        let Some((name, record, running)) = self.begin_stop(name)? else {
            return Ok(());
        };
        let by = self.actors.clock().now() + grace;
        let left = match running {
            Some(running) => stopped(running, by).await,
            None => Vec::new(),
        };
        let was_to_run = record.desired == Desired::Running;
        if !was_to_run && left.is_empty() {
            self.table
                .change(&name, |deployed| deployed.state = State::Stopped);
            return Ok(());
        }
        let stopped = record.desiring(Desired::Stopped);
        match self.rewrite(&stopped, left.clone()).await {
            Ok(()) => {
                self.table.change(&name, |deployed| {
                    deployed.record = stopped;
                    deployed.state = State::Stopped;
                });
                self.says(&name, Level::Info, "stopped");
                Ok(())
            }
            Err(refusal) if !was_to_run => {
                self.table
                    .change(&name, |deployed| deployed.state = State::Stopped);
                Err(refusal)
            }
            Err(refusal) => {
                // Nothing was promised, so it goes on with the states that its actors have just left.
                let ticket = Ticket::default();
                let starting = State::Starting(ticket.clone());
                self.table
                    .change(&name, |deployed| deployed.state = starting);
                let _ = self.restart_with(&record, &ticket, left).await;
                Err(refusal)
            }
        }
    }

    /// Stops one actor in order, by its address, within `grace`, by default its shutdown timeout; its application goes on
    /// without it until it is started again.
    pub async fn stop_actor(&self, address: &str, grace: Option<Duration>) -> Result<(), Refusal> {
        let by = grace.map(|grace| self.actors.clock().now() + grace);
        let (name, stopping) = {
            let slots = self.table.lock();
            let found = slots.values().filter_map(Slot::deployed).find_map(|it| {
                let State::Running(running) = &it.state else {
                    return None;
                };
                let tree = running.active.tree.as_ref();
                let tree = tree.filter(|tree| tree.has(address))?;
                Some((
                    it.record.spec.name.clone(),
                    tree.stop_one(address.into(), by),
                ))
            });
            drop(slots);
            found.ok_or_else(|| self.no_such_actor(address))?
        };
        if let Some(state) = stopping.await {
            let left = vec![(
                name.to_string(),
                vec![(child_of(address).to_owned(), state)],
            )];
            self.storage.deployments.keep(left).await?;
        }
        self.says(&name, Level::Info, &format!("actor {address} is stopped"));
        Ok(())
    }

    /// Nothing is there to be stopped: what is stopped already says so, and how it is started.
    fn no_such_actor(&self, address: &str) -> Refusal {
        self.why_absent(address)
            .unwrap_or_else(|| unknown_actor(address))
    }

    fn begin_start(&self, name: &str) -> Result<Start, Refusal> {
        let mut slots = self.table.lock();
        let (name, slot) = Table::find(&mut slots, name)?;
        let Slot::Deployed(deployed) = slot else {
            return Err(slot.refuses(&name));
        };
        if deployed.changing.is_some() {
            return Err(slot.refuses(&name));
        }
        match &deployed.state {
            State::Running(Running { active, .. }) => {
                let lacks_some = active.tree.as_ref().is_some_and(|tree| tree.lacks_some());
                let is_recorded = deployed.record.desired == Desired::Running;
                return Ok(match (is_recorded, lacks_some) {
                    (false, _) => Start::Unrecorded(name, Box::new(deployed.record.clone())),
                    (true, true) => Start::Missing(name),
                    (true, false) => Start::Nothing,
                });
            }
            State::Failed(_) | State::Stopped => {}
            State::Starting(_) | State::Stopping => return Err(slot.refuses(&name)),
        }
        let ticket = Ticket::default();
        let starting = State::Starting(ticket.clone());
        Ok(Start::Whole(Box::new(Standstill {
            name,
            record: deployed.record.clone(),
            ticket,
            before: std::mem::replace(&mut deployed.state, starting),
        })))
    }

    /// `None` for one that is stopped already.
    #[allow(clippy::type_complexity)]
    fn begin_stop(
        &self,
        name: &str,
    ) -> Result<Option<(ApplicationName, Record, Option<Running>)>, Refusal> {
        let mut slots = self.table.lock();
        let (name, slot) = Table::find(&mut slots, name)?;
        let Slot::Deployed(deployed) = slot else {
            return Err(slot.refuses(&name));
        };
        if deployed.changing.is_some() {
            return Err(slot.refuses(&name));
        }
        match &deployed.state {
            State::Stopped => return Ok(None),
            State::Stopping => return Err(slot.refuses(&name)),
            State::Starting(ticket) => ticket.revoke(),
            State::Running(_) | State::Failed(_) => {}
        }
        let running = match std::mem::replace(&mut deployed.state, State::Stopping) {
            State::Running(running) => Some(running),
            _ => None,
        };
        Ok(Some((name, deployed.record.clone(), running)))
    }
}

fn unknown_actor(address: &str) -> Refusal {
    let shown: String = address.chars().take(255).collect();
    let text = format!(
        "no actor {shown:?} runs on this node; GET /api/v1/dashboard/actors lists those that do"
    );
    Refusal::new(Kind::NotFound, text)
}
