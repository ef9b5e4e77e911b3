//! What an onlooker sees of applications and their actors.

use std::time::{Duration, SystemTime};

use super::Applications;
use super::spec::Spec;
use super::table::{Deployed, Slot, State, Table};
use crate::actor::Actor;
use crate::id::{ApplicationName, Digest};
use crate::refusal::{Kind, Refusal};
use crate::wasm;

/// An application's state by the names of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing was started: the deploy was a rehearsal.
    Unspecified,
    Starting,
    Running,
    Stopping,
    Stopped,
    Failed,
}

/// What an onlooker sees of one application.
#[derive(Clone, Debug)]
pub struct Overview {
    pub spec: Spec,
    pub status: Status,
    /// Why it has failed.
    pub reason: Option<String>,
    pub digest: Digest,
    pub kind: wasm::Kind,
    pub deployed_at: SystemTime,
    /// Zero for one that does not run.
    pub uptime: Duration,
    pub actors: Vec<ActorOverview>,
}

#[derive(Clone, Debug)]
pub struct ActorOverview {
    pub id: String,
    pub actor_type: String,
    pub state: ActorState,
    pub restarts: u32,
    pub mailbox_depth: usize,
    pub last_error: Option<String>,
}

/// How an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorState {
    Running,
    /// It was stopped alone; its application goes on without it.
    Stopped,
    /// Given up by its supervisor.
    Failed,
}

impl Applications {
    /// Every application, in the order of their names.
    pub fn list(&self) -> Vec<Overview> {
        let slots = self.table.lock();
        let deployed = slots.values().filter_map(Slot::deployed);
        deployed.map(|deployed| self.overview(deployed)).collect()
    }

    pub fn get(&self, name: &str) -> Result<Overview, Refusal> {
        let mut slots = self.table.lock();
        match Table::find(&mut slots, name)? {
            (_, Slot::Deployed(deployed)) => Ok(self.overview(deployed)),
            (name, busy) => Err(busy.refuses(&name)),
        }
    }

    /// The name of the application that a caller means by its name, or else by its `application_id`.
    pub fn named(&self, reference: &str) -> Result<ApplicationName, Refusal> {
        let mut slots = self.table.lock();
        let by_id = slots.iter().find(|(_, slot)| &**slot.id() == reference);
        let by_id = by_id.map(|(name, _)| name.clone());
        match (Table::find(&mut slots, reference), by_id) {
            (Ok((name, _)), _) | (Err(_), Some(name)) => Ok(name),
            (Err(unknown), None) => Err(unknown),
        }
    }

    /// Why the actors of an application do not answer, if it is there and does not run.
    pub fn why_silent(&self, namespace: &str, actor_type: &str) -> Option<Refusal> {
        let slots = self.table.lock();
        let (name, slot) = slots.iter().find(|(name, slot)| {
            let scope = slot.deployed().map(|it| &*it.record.spec.namespace);
            &***name == actor_type && (namespace == actor_type || scope == Some(namespace))
        })?;
        let Slot::Deployed(deployed) = slot else {
            return Some(slot.refuses(name).as_kind(Kind::Unavailable));
        };
        let (text, kind) = match &deployed.state {
            State::Failed(failed) => (
                format!(
                    "application {name} has failed: {}; undeploy it, and deploy one that works",
                    failed.reason
                ),
                Kind::Unavailable,
            ),
            State::Running(running) if running.worker.status().failed => (
                format!(
                    "application {name} has failed: {}; undeploy it, and deploy one that works",
                    running.worker.status().last_error.unwrap_or_default()
                ),
                Kind::Unavailable,
            ),
            State::Stopped => (
                format!(
                    "application {name} is stopped; POST /api/v1/applications/{name}:start starts it"
                ),
                Kind::Unavailable,
            ),
            State::Starting(_) | State::Stopping => {
                return Some(slot.refuses(name).as_kind(Kind::Unavailable));
            }
            State::Running(running) if running.worker.has_ended() => (
                format!(
                    "actor {} is stopped; POST /api/v1/applications/{name}:start starts it",
                    running.worker.id()
                ),
                Kind::Unavailable,
            ),
            State::Running(_) => return None,
        };
        Some(Refusal::new(kind, text))
    }

    /// How many applications are in each status.
    pub fn count_by_status(&self) -> [(Status, usize); 5] {
        let slots = self.table.lock();
        Status::ALL.map(|status| {
            let alike = slots.values().filter(|slot| slot.status() == status);
            (status, alike.count())
        })
    }

    /// The names of those that have failed.
    pub fn failed(&self) -> Vec<ApplicationName> {
        let slots = self.table.lock();
        let failed = slots
            .iter()
            .filter(|(_, slot)| slot.status() == Status::Failed);
        failed.map(|(name, _)| name.clone()).collect()
    }

    fn overview(&self, deployed: &Deployed) -> Overview {
        let (reason, uptime, actors) = match &deployed.state {
            State::Running(running) => {
                let worker = &running.worker;
                let uptime = self.actors.clock().now() - running.since;
                let status = worker.status();
                let reason = status.last_error.filter(|_| status.failed);
                (reason, uptime, vec![ActorOverview::of(worker)])
            }
            State::Failed(failed) => (
                Some(failed.reason.clone()),
                Duration::ZERO,
                failed.actors.clone(),
            ),
            State::Stopped | State::Starting(_) | State::Stopping => {
                (None, Duration::ZERO, Vec::new())
            }
        };
        let record = &deployed.record;
        Overview {
            spec: record.spec.clone(),
            status: deployed.status(),
            reason,
            digest: record.digest,
            kind: record.kind,
            deployed_at: record.deployed_at,
            uptime,
            actors,
        }
    }
}

impl Overview {
    pub fn actors_running(&self) -> usize {
        let running = |actor: &&ActorOverview| actor.state == ActorState::Running;
        self.actors.iter().filter(running).count()
    }
}

impl ActorOverview {
    pub fn of(worker: &Actor) -> Self {
        let status = worker.status();
        Self {
            id: worker.id().to_string(),
            actor_type: worker.id().actor_type().to_owned(),
            state: match status.failed {
                true => ActorState::Failed,
                false if worker.has_ended() => ActorState::Stopped,
                false => ActorState::Running,
            },
            restarts: status.restarts,
            mailbox_depth: worker.mailbox_depth(),
            last_error: status.last_error,
        }
    }
}

impl Status {
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
    ];

    /// The name that the protocol gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "APPLICATION_STATUS_UNSPECIFIED",
            Self::Starting => "APPLICATION_STATUS_STARTING",
            Self::Running => "APPLICATION_STATUS_RUNNING",
            Self::Stopping => "APPLICATION_STATUS_STOPPING",
            Self::Stopped => "APPLICATION_STATUS_STOPPED",
            Self::Failed => "APPLICATION_STATUS_FAILED",
        }
    }

    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Unspecified => "not there",
            Self::Starting => "being started",
            Self::Running => "running",
            Self::Stopping => "being stopped",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}
