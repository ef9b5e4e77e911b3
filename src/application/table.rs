//! Which application is where: one slot a name, and who may change it to what.
//!
//! ```text
//!             deploy                        deploy ends well
//! (nothing) ─────────► deploying ──────────────────────────────► running
//!                          │ any refusal, or undeploy               │  ▲
//!                          └──► (nothing)             restarts used │  │ starting ◄── after a while, or :start
//!                                                                up ▼  │    │
//!        :stop from any of the right-hand side ──► stopped        failed ◄──┘ it does not start
//!        undeploy, likewise ──► leaving ──► (nothing)
//! ```
//!
//! Slow work never holds the lock: it holds a [`Ticket`], and whoever takes the slot away from it revokes that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ActorOverview;
use super::backoff::Backoff;
use super::overview::Status;
use super::record::Record;
use super::spec::Spec;
use crate::actor::Actor;
use crate::id::{ApplicationId, ApplicationName, Digest};
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// All slots, by name.
#[derive(Clone, Default)]
pub struct Table {
    slots: Arc<Mutex<BTreeMap<ApplicationName, Slot>>>,
}

pub enum Slot {
    /// Reserved by a deploy that has not ended.
    Deploying {
        id: ApplicationId,
        digest: Digest,
        /// `None` once the deploy is being recorded: then it cannot be called off any more.
        ticket: Option<Ticket>,
    },
    Deployed(Box<Deployed>),
    /// Being undeployed; the module is still in use.
    Leaving {
        id: ApplicationId,
        digest: Digest,
    },
}

pub struct Deployed {
    pub record: Record,
    pub state: State,
    pub backoff: Backoff,
}

/// What becomes of a deployed application.
pub enum State {
    Stopped,
    Starting(Ticket),
    Running(Running),
    Stopping,
    Failed(Failed),
}

pub struct Running {
    pub worker: Actor,
    pub since: Instant,
    /// Notices when the worker is given up.
    pub _watch: Task,
}

pub struct Failed {
    pub reason: String,
    /// As they were when they were given up.
    pub actors: Vec<ActorOverview>,
    /// Starts the application again; `None` if only an operator can.
    pub retry: Option<Task>,
}

/// The right to decide what becomes of a slot, until it is revoked.
#[derive(Clone, Default)]
pub struct Ticket(Arc<Notify>);

impl Ticket {
    /// Ends the work that is done for it.
    pub fn revoke(&self) {
        // `notify_one` keeps until somebody waits.
        self.0.notify_one();
    }

    /// Does `work` unless the ticket is revoked before it ends.
    pub async fn unless_revoked<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.notified() => None,
            done = work => Some(done),
        }
    }

    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A task that ends with its owner.
pub struct Task(Option<JoinHandle<()>>);

impl Task {
    pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(tokio::spawn(work)))
    }

    /// Lets the task end by itself; for a task that is about to replace itself.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Table {
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<ApplicationName, Slot>> {
        self.slots.lock().unwrap()
    }

    /// Takes the name for a deploy, or says why it cannot be had. `None` means that just this is running already.
    pub fn reserve(&self, spec: &Spec, digest: Digest) -> Result<Option<Reservation>, Refusal> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(&spec.name) {
            return slot.accepts(spec, digest).map(|()| None);
        }
        let same_id = |(_, slot): &(&ApplicationName, &Slot)| *slot.id() == spec.application_id;
        if let Some((other, _)) = slots.iter().find(same_id) {
            let text = format!(
                "application_id {:?} belongs to application {other}; choose another id, or undeploy that one",
                &*spec.application_id
            );
            return Err(Refusal::new(Kind::AlreadyExists, text));
        }
        if slots.len() >= limits::APPLICATIONS_MAX {
            let text = format!(
                "this node has {} applications, its most; undeploy one first",
                slots.len()
            );
            return Err(Refusal::new(Kind::Exhausted, text));
        }
        let ticket = Ticket::default();
        let slot = Slot::Deploying {
            id: spec.application_id.clone(),
            digest,
            ticket: Some(ticket.clone()),
        };
        slots.insert(spec.name.clone(), slot);
        Ok(Some(Reservation {
            name: spec.name.clone(),
            ticket,
            table: self.clone(),
        }))
    }

    /// The full name and the slot of a name as a caller wrote it.
    pub fn find<'a>(
        slots: &'a mut BTreeMap<ApplicationName, Slot>,
        name: &str,
    ) -> Result<(ApplicationName, &'a mut Slot), Refusal> {
        match ApplicationName::parse(name) {
            Ok(parsed) if slots.contains_key(&parsed) => {
                let slot = slots.get_mut(&parsed).expect("it was just there");
                Ok((parsed, slot))
            }
            _ => Err(unknown(slots, name)),
        }
    }

    /// Changes what is deployed under a name, if it still is.
    pub fn change<T>(
        &self,
        name: &ApplicationName,
        change: impl FnOnce(&mut Deployed) -> T,
    ) -> Option<T> {
        match self.lock().get_mut(name) {
            Some(Slot::Deployed(deployed)) => Some(change(deployed)),
            _ => None,
        }
    }

    /// Sets the state that a start ended in, unless its ticket was revoked meanwhile; then it comes back.
    pub fn end_start(
        &self,
        name: &ApplicationName,
        ticket: &Ticket,
        state: State,
    ) -> Result<(), State> {
        match self.lock().get_mut(name) {
            Some(Slot::Deployed(deployed)) if deployed.is_started_by(ticket) => {
                deployed.state = state;
                Ok(())
            }
            _ => Err(state),
        }
    }

    /// A place after all that are deployed.
    pub fn next_order(&self) -> u64 {
        let slots = self.lock();
        let deployed = slots.values().filter_map(Slot::deployed);
        deployed.map(|it| it.record.order + 1).max().unwrap_or(0)
    }

    pub fn is_used(&self, digest: Digest) -> bool {
        self.lock().values().any(|slot| slot.digest() == digest)
    }
}

impl Slot {
    pub fn id(&self) -> &ApplicationId {
        match self {
            Self::Deploying { id, .. } | Self::Leaving { id, .. } => id,
            Self::Deployed(deployed) => &deployed.record.spec.application_id,
        }
    }

    pub fn digest(&self) -> Digest {
        match self {
            Self::Deploying { digest, .. } | Self::Leaving { digest, .. } => *digest,
            Self::Deployed(deployed) => deployed.record.digest,
        }
    }

    pub fn deployed(&self) -> Option<&Deployed> {
        match self {
            Self::Deployed(deployed) => Some(deployed),
            _ => None,
        }
    }

    pub fn status(&self) -> Status {
        match self {
            Self::Deploying { .. } => Status::Starting,
            Self::Deployed(deployed) => deployed.status(),
            Self::Leaving { .. } => Status::Stopping,
        }
    }

    /// The answer to whoever must wait for what is under way.
    pub fn refuses(&self, name: &ApplicationName) -> Refusal {
        let doing = match self {
            Self::Deploying { .. } => "being deployed",
            Self::Leaving { .. } => "being undeployed",
            Self::Deployed(deployed) => deployed.status().in_words(),
        };
        let text = format!("application {name} is {doing}; try again in a moment");
        Refusal::new(Kind::FailedPrecondition, text)
    }

    /// Whether a deploy of this name asks for just what is running.
    fn accepts(&self, spec: &Spec, digest: Digest) -> Result<(), Refusal> {
        let name = &spec.name;
        let Self::Deployed(deployed) = self else {
            return Err(self.refuses(name).as_kind(Kind::AlreadyExists));
        };
        let Deployed { record, state, .. } = &**deployed;
        let same = record.spec == *spec && record.digest == digest;
        let text = match state {
            _ if !same => format!(
                "application {name} has version {} already; undeploy it first, upgrades in place are not provided yet",
                record.spec.version
            ),
            State::Running(running) if !running.worker.status().failed => return Ok(()),
            State::Running(_) => {
                format!("application {name} has failed; undeploy it first, then deploy again")
            }
            State::Failed(failed) => format!(
                "application {name} has failed: {}; undeploy it first, then deploy again",
                failed.reason
            ),
            State::Stopped => format!(
                "application {name} is deployed and stopped; POST /api/v1/applications/{name}:start starts it"
            ),
            State::Starting(_) | State::Stopping => {
                return Err(self.refuses(name).as_kind(Kind::AlreadyExists));
            }
        };
        Err(Refusal::new(Kind::AlreadyExists, text))
    }
}

impl Deployed {
    /// Whether its state is still this start's to decide.
    pub fn is_started_by(&self, ticket: &Ticket) -> bool {
        matches!(&self.state, State::Starting(own) if own.is(ticket))
    }

    pub fn status(&self) -> Status {
        match &self.state {
            State::Stopped => Status::Stopped,
            State::Starting(_) => Status::Starting,
            State::Running(running) if running.worker.status().failed => Status::Failed,
            State::Running(_) => Status::Running,
            State::Stopping => Status::Stopping,
            State::Failed(_) => Status::Failed,
        }
    }
}

/// A name held for a deploy. Dropped unfilled, even by a panic, it is free again.
pub struct Reservation {
    name: ApplicationName,
    pub ticket: Ticket,
    table: Table,
}

impl Reservation {
    /// From here on the deploy cannot be called off. False if it has been.
    pub fn is_final(&self) -> bool {
        match self.table.lock().get_mut(&self.name) {
            Some(Slot::Deploying { ticket, .. }) if self.owns(ticket) => {
                *ticket = None;
                true
            }
            _ => false,
        }
    }

    /// Puts what was deployed in the place of the reservation, which is final.
    pub fn fill(self, deployed: Deployed) {
        let name = self.name.clone();
        let slot = Slot::Deployed(Box::new(deployed));
        self.table.lock().insert(name, slot);
    }

    fn owns(&self, ticket: &Option<Ticket>) -> bool {
        ticket.as_ref().is_some_and(|own| own.is(&self.ticket))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut slots = self.table.lock();
        // A final one has no ticket; nobody but its owner takes it away.
        if let Some(Slot::Deploying { ticket, .. }) = slots.get(&self.name)
            && (ticket.is_none() || self.owns(ticket))
        {
            slots.remove(&self.name);
        }
    }
}

fn unknown(slots: &BTreeMap<ApplicationName, Slot>, name: &str) -> Refusal {
    let by_id = slots.iter().find(|(_, slot)| &**slot.id() == name);
    let hint = match by_id {
        Some((real, _)) => format!("; that is the application_id of {real}: use the name {real}"),
        None => "; GET /api/v1/applications lists those deployed".into(),
    };
    let shown: String = name.chars().take(128).collect();
    Refusal::new(
        Kind::NotFound,
        format!("no application named {shown:?}{hint}"),
    )
}
