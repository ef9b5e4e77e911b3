//! What an onlooker sees of applications and their actors.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Applications;
use super::backoff::is_forgiven;
use super::record::Record;
use super::spec::{ApplicationType, Spec};
use super::table::{Deployed, Failed, Slot, State, Table, Undone};
use crate::actor::{ChildSpec, NodeView, Restart, View, Worker};
use crate::id::{self, ActorId, ApplicationName, ChildId, Digest, NodeId, Scope, Version};
use crate::refusal::{Kind, Refusal};
use crate::wasm;

pub use crate::actor::NodeState as ActorState;

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
    /// Of one that failed lately.
    pub revival: Option<Revival>,
    pub digest: Digest,
    pub kind: wasm::Kind,
    pub deployed_at: SystemTime,
    /// The version before, to which a rollback goes.
    pub previous: Option<(Version, Digest)>,
    pub on_probation: bool,
    /// The version that failed in its probation, since which this one is back.
    pub undone: Option<Undone>,
    /// Zero for one that does not run.
    pub uptime: Duration,
    pub actors: Vec<ActorOverview>,
    /// Supervisors that its config, or its module, asks for.
    pub supervisors: usize,
    /// As it runs, or ran when it failed.
    pub tree: Option<View>,
}

/// How often an application failed lately, and when the node starts it again.
#[derive(Clone, Debug)]
pub struct Revival {
    /// Failures of this version since the node began or it last ran for [`REVIVAL_FORGIVEN_AFTER`](crate::limits::REVIVAL_FORGIVEN_AFTER).
    pub failures: u32,
    pub last_error: String,
    /// `None` while it is being started or runs.
    pub next_try_at: Option<SystemTime>,
}

#[derive(Clone, Debug)]
pub struct ActorOverview {
    pub id: String,
    pub actor_type: String,
    pub state: ActorState,
    pub restarts: u32,
    pub mailbox_depth: usize,
    /// How long it has had its message in hand, where that is long.
    pub busy: Option<Duration>,
    pub messages_handled: u64,
    pub messages_failed: u64,
    pub memory_bytes: u64,
    pub last_error: Option<String>,
    /// The ids of those above it, from the root down.
    pub supervisors: Vec<String>,
    /// Who spawned it.
    pub parent: Option<String>,
    pub labels: BTreeMap<String, String>,
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

    /// Why the actors of an application do not answer, if it is there and has such actors.
    pub fn why_silent(&self, tenant: &Scope, namespace: &str, actor_type: &str) -> Option<Refusal> {
        let slots = self.table.lock();
        let (name, slot) = slots.iter().find(|(name, slot)| match slot.deployed() {
            Some(deployed) => {
                let spec = &deployed.record.spec;
                let meant = &***name == namespace || &*spec.namespace == namespace;
                let runs = spec.kind == ApplicationType::Active;
                runs && spec.tenant == *tenant && meant && has_type(&deployed.record, actor_type)
            }
            None => &***name == actor_type && &***name == namespace,
        })?;
        Some(self.silence_of(name, slot, actor_type))
    }

    /// Why there is no actor at this address, with or without `@NODE`, where an application's tree has one.
    pub fn why_absent(&self, address: &str) -> Option<Refusal> {
        let local = id::local(address, self.actors.node())?;
        let (name, child) = local.split_once('/').unwrap_or((local, local));
        let slots = self.table.lock();
        let (name, slot) = slots.get_key_value(&ApplicationName::parse(name).ok()?)?;
        let runs = |it: &Deployed| {
            let active = it.record.spec.kind == ApplicationType::Active;
            active && has_type(&it.record, child)
        };
        let known = slot.deployed().is_none_or(runs);
        let why = || self.silence_of(name, slot, child).as_kind(Kind::NotFound);
        known.then(why)
    }

    /// Why an actor of an application does not answer, and what brings it back.
    fn silence_of(&self, name: &ApplicationName, slot: &Slot, child: &str) -> Refusal {
        let Slot::Deployed(deployed) = slot else {
            return slot.refuses(name).as_kind(Kind::Unavailable);
        };
        let start = format!("POST /api/v1/applications/{name}:start");
        let text = match (deployed.status(), &deployed.state) {
            (
                _,
                State::Failed(Failed {
                    reason,
                    retry: None,
                    ..
                }),
            ) => {
                format!("application {name} has failed: {reason}, and a deploy replaces it")
            }
            (Status::Failed, _) => format!(
                "application {name} has failed: {}; it is tried again by itself, {start} tries at once, and a deploy replaces it",
                deployed.reason().unwrap_or_default()
            ),
            (_, State::Stopped) => format!("application {name} is stopped; {start} starts it"),
            (_, State::Running(_)) => {
                let actor = address_of(&deployed.record, child, self.actors.node());
                match is_temporary(&deployed.record, child) {
                    true => format!(
                        "actor {actor} is temporary, or its supervisor is, and has ended; POST /api/v1/applications/{name}:stop and then {start} bring it back"
                    ),
                    false => format!("actor {actor} is stopped; {start} starts it"),
                }
            }
            _ => return slot.refuses(name).as_kind(Kind::Unavailable),
        };
        Refusal::new(Kind::Unavailable, text)
    }

    /// How many applications are in each status.
    pub fn count_by_status(&self) -> [(Status, usize); 5] {
        let slots = self.table.lock();
        Status::ALL.map(|status| {
            let alike = slots.values().filter(|slot| slot.status() == status);
            (status, alike.count())
        })
    }

    /// How many supervisors all that run have.
    pub fn supervisors(&self) -> usize {
        let slots = self.table.lock();
        let deployed = slots.values().filter_map(Slot::deployed);
        let running = deployed.filter(|it| it.status() == Status::Running);
        running.map(|it| supervisors_of(&it.record)).sum()
    }

    /// The names of those that have failed.
    pub fn failed(&self) -> Vec<ApplicationName> {
        let slots = self.table.lock();
        let failed = slots
            .iter()
            .filter(|(_, slot)| slot.status() == Status::Failed);
        failed.map(|(name, _)| name.clone()).collect()
    }

    /// Why each of those has.
    pub fn failures(&self) -> Vec<(ApplicationName, String)> {
        let slots = self.table.lock();
        let reason = |(name, slot): (&ApplicationName, &Slot)| {
            Some((name.clone(), slot.deployed()?.reason()?))
        };
        slots.iter().filter_map(reason).collect()
    }

    fn revival(&self, deployed: &Deployed) -> Option<Revival> {
        let clock = self.actors.clock();
        let next_try_at = match &deployed.state {
            State::Failed(Failed { retry, .. }) => {
                let wait = |at: Instant| at.saturating_duration_since(clock.now());
                retry.as_ref().map(|retry| clock.wall() + wait(retry.at))
            }
            State::Starting(_) => None,
            State::Running(running) if !is_forgiven(clock.now() - running.since) => None,
            State::Running(_) | State::Stopping | State::Stopped => return None,
        };
        Some(Revival {
            failures: deployed.backoff.failures,
            last_error: deployed.backoff.last_error.clone()?,
            next_try_at,
        })
    }

    fn overview(&self, deployed: &Deployed) -> Overview {
        let (uptime, tree) = match &deployed.state {
            State::Running(running) => (
                self.actors.clock().now() - running.since,
                running.active.tree.as_ref().map(|tree| tree.view()),
            ),
            State::Failed(failed) => (Duration::ZERO, failed.tree.clone()),
            State::Stopped | State::Starting(_) | State::Stopping => (Duration::ZERO, None),
        };
        let record = &deployed.record;
        let previous = record.previous.as_ref();
        Overview {
            spec: record.spec.clone(),
            status: deployed.status(),
            reason: deployed.reason(),
            revival: self.revival(deployed),
            digest: record.digest,
            kind: record.kind,
            deployed_at: record.deployed_at,
            previous: previous.map(|it| (it.spec.version.clone(), it.digest)),
            on_probation: record.on_probation,
            undone: deployed.undone.clone(),
            uptime,
            actors: tree.as_ref().map(ActorOverview::all).unwrap_or_default(),
            supervisors: supervisors_of(record),
            tree,
        }
    }
}

/// One without a tree has a supervisor too, but not one that anybody asked for.
fn supervisors_of(record: &Record) -> usize {
    if record.spec.supervisor.is_none() && record.own_tree.is_none() {
        return 0;
    }
    let tree = record.tree();
    let children = tree.children().into_iter();
    1 + children.filter(|child| child.supervisor.is_some()).count()
}

fn has_type(record: &Record, actor_type: &str) -> bool {
    restart_of(record, actor_type).is_some()
}

fn is_temporary(record: &Record, actor_type: &str) -> bool {
    restart_of(record, actor_type) == Some(Restart::Temporary)
}

/// When the worker of this id in the tree is started again; `None` where there is none.
fn restart_of(record: &Record, actor_type: &str) -> Option<Restart> {
    restart_among(&record.tree().root().children, actor_type)
}

fn restart_among(children: &[ChildSpec], id: &str) -> Option<Restart> {
    children.iter().find_map(|child| match &child.supervisor {
        None => (&*child.id == id).then_some(child.restart),
        // What is under a temporary supervisor goes with it.
        Some(below) => restart_among(&below.children, id).map(|own| match child.restart {
            Restart::Temporary => Restart::Temporary,
            _ => own,
        }),
    })
}

fn address_of(record: &Record, actor_type: &str, node: &NodeId) -> String {
    let spec = &record.spec;
    let id = ChildId::parse(actor_type).map(|id| {
        let scopes = (&spec.tenant, &spec.namespace);
        ActorId::child(scopes, &spec.name, &id, None, node).to_string()
    });
    id.unwrap_or_else(|_| actor_type.to_owned())
}

impl Overview {
    /// Those that its config, or its module, asks for, where it runs.
    pub fn supervisors_running(&self) -> usize {
        match self.status {
            Status::Running => self.supervisors,
            _ => 0,
        }
    }

    pub fn actors_running(&self) -> usize {
        let running = |actor: &&ActorOverview| actor.state == ActorState::Running;
        self.actors.iter().filter(running).count()
    }
}

impl ActorOverview {
    pub(super) fn all(tree: &View) -> Vec<Self> {
        let (mut all, mut above) = (Vec::new(), Vec::new());
        Self::collect(tree, &mut above, &mut all);
        all
    }

    fn collect(view: &View, above: &mut Vec<String>, all: &mut Vec<Self>) {
        match &view.node {
            NodeView::Worker(worker) => all.push(Self::of(view, worker, above)),
            NodeView::Supervisor { children, .. } => {
                above.push(view.id.to_string());
                for child in children {
                    Self::collect(child, above, all);
                }
                above.pop();
            }
        }
    }

    fn of(view: &View, worker: &Worker, above: &[String]) -> Self {
        Self {
            id: worker.actor.to_string(),
            actor_type: worker.actor.actor_type().to_string(),
            state: view.standing,
            restarts: view.restarts,
            mailbox_depth: worker.mailbox_depth,
            busy: worker.busy,
            messages_handled: worker.messages_handled,
            messages_failed: worker.messages_failed,
            memory_bytes: worker.memory_bytes,
            last_error: worker.last_error.clone(),
            supervisors: above.to_vec(),
            parent: worker.parent.as_deref().map(str::to_owned),
            labels: worker.labels.clone(),
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
