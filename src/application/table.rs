//! Which application is where: one slot a name, and who may change it to what.
//!
//! ```text
//!             deploy                        deploy ends well
//! (nothing) ─────────► deploying ──────────────────────────────► running
//!                          │ any refusal; undeploy: leaving         │  ▲
//!                          └──► (nothing)             restarts used │  │ starting ◄── after a while, or :start
//!                                                                up ▼  │    │
//!        :stop from any of the right-hand side ──► stopped        failed ◄──┘ it does not start
//!        undeploy, likewise ──► leaving ──► (nothing)
//! ```
//!
//! Another version under the same name is held by a [`Change`]: the slot stays as it is until that has ended.
//!
//! Slow work never holds the lock: it holds a [`Ticket`], and whoever takes the slot away from it revokes that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::activation::Active;
use super::backoff::Backoff;
use super::overview::Status;
use super::record::{Record, Version};
use super::spec::Spec;
use crate::actor::{Standing, View};
use crate::id::{ApplicationId, ApplicationName, Digest};
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::services::workflows::Performance;

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
        dependencies: Vec<ApplicationName>,
        /// `None` once the deploy is being recorded: then it cannot be called off any more.
        ticket: Option<Ticket>,
        /// Closed once the deploy has ended and is undone.
        ended: oneshot::Receiver<()>,
    },
    Deployed(Box<Deployed>),
    /// Being undeployed, or a deploy that was called off; the module is still in use.
    Leaving {
        id: ApplicationId,
        digests: Vec<Digest>,
    },
}

pub struct Deployed {
    pub record: Record,
    pub state: State,
    pub backoff: Backoff,
    pub changing: Option<NewVersion>,
    /// What this version took the place of, until another is deployed or the node ends.
    pub undone: Option<Undone>,
}

/// A version that failed in its probation.
#[derive(Clone, Debug)]
pub struct Undone {
    pub version: crate::id::Version,
    pub digest: Digest,
    pub at: SystemTime,
    pub reason: String,
}

/// What a version that is about to take another's place must find.
pub struct NewVersion {
    pub digest: Digest,
    pub dependencies: Vec<ApplicationName>,
}

/// What a deploy may do.
pub enum Claim {
    /// Just this is running already.
    Same,
    New(Reservation),
    Another(Change),
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
    pub active: Active,
    pub since: Instant,
    /// Notices when its tree has failed.
    pub watch: Option<Task>,
    /// Ends the probation of a new version.
    pub probation: Option<Task>,
    /// Its workflows go on for as long as this is here.
    pub performance: Option<Box<Performance>>,
}

pub struct Failed {
    pub reason: String,
    /// As it was when it was given up.
    pub tree: Option<View>,
    /// `None` if only an operator can start it again.
    pub retry: Option<Box<Retry>>,
}

/// A start of a failed application that is to come.
pub struct Retry {
    pub at: Instant,
    pub task: Task,
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

    /// Takes the name for a deploy, or says why it cannot be had.
    pub fn claim(&self, spec: &Spec, digest: Digest) -> Result<Claim, Refusal> {
        let mut slots = self.lock();
        let accepted = match slots.get(&spec.name) {
            Some(slot) => Some(slot.accepts(spec, digest)?),
            None => None,
        };
        if matches!(accepted, Some(Accepted::Same)) {
            return Ok(Claim::Same);
        }
        let same_id = |(name, slot): &(&ApplicationName, &Slot)| {
            *slot.id() == spec.application_id && **name != spec.name
        };
        if let Some((other, _)) = slots.iter().find(same_id) {
            let text = format!(
                "application_id {:?} belongs to application {other}; choose another id, or undeploy that one",
                &*spec.application_id
            );
            return Err(Refusal::new(Kind::AlreadyExists, text));
        }
        if let Some(Slot::Deployed(deployed)) = slots.get_mut(&spec.name) {
            return Ok(Claim::Another(Change::of(self, deployed, spec, digest)));
        }
        if slots.len() >= limits::APPLICATIONS_MAX {
            let text = format!(
                "this node has {} applications, its most; undeploy one first",
                slots.len()
            );
            return Err(Refusal::new(Kind::Exhausted, text));
        }
        let ticket = Ticket::default();
        let (ends, ended) = oneshot::channel();
        let slot = Slot::Deploying {
            id: spec.application_id.clone(),
            digest,
            dependencies: spec.dependencies.clone(),
            ticket: Some(ticket.clone()),
            ended,
        };
        slots.insert(spec.name.clone(), slot);
        Ok(Claim::New(Reservation {
            name: spec.name.clone(),
            ticket,
            filled: false,
            table: self.clone(),
            _ends: ends,
        }))
    }

    /// Holds what is deployed under a name for a change to the version before it. `None` where there is none.
    pub fn claim_previous(&self, name: &str) -> Result<(Change, Version), Refusal> {
        let mut slots = self.lock();
        let (name, slot) = Self::find(&mut slots, name)?;
        let Slot::Deployed(deployed) = slot else {
            return Err(slot.refuses(&name));
        };
        let busy = matches!(deployed.state, State::Starting(_) | State::Stopping);
        if busy || deployed.changing.is_some() {
            return Err(slot.refuses(&name));
        }
        let Some(previous) = deployed.record.previous.clone() else {
            let text = format!("application {name} has no version before this one");
            return Err(Refusal::new(Kind::FailedPrecondition, text));
        };
        let change = Change::of(self, deployed, &previous.spec, previous.digest);
        Ok((change, *previous))
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
        let slots = self.lock();
        slots.values().any(|slot| slot.digests().contains(&digest))
    }
}

impl Slot {
    pub fn id(&self) -> &ApplicationId {
        match self {
            Self::Deploying { id, .. } | Self::Leaving { id, .. } => id,
            Self::Deployed(deployed) => &deployed.record.spec.application_id,
        }
    }

    /// The modules that must not be forgotten.
    pub fn digests(&self) -> Vec<Digest> {
        match self {
            Self::Deploying { digest, .. } => vec![*digest],
            Self::Leaving { digests, .. } => digests.clone(),
            Self::Deployed(deployed) => {
                let mut digests = deployed.record.digests();
                digests.extend(deployed.changing.as_ref().map(|new| new.digest));
                digests
            }
        }
    }

    pub fn deployed(&self) -> Option<&Deployed> {
        match self {
            Self::Deployed(deployed) => Some(deployed),
            _ => None,
        }
    }

    /// What stands here until all of this is gone.
    pub fn leaving(&self) -> Self {
        Self::Leaving {
            id: self.id().clone(),
            digests: self.digests(),
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
            Self::Deployed(deployed) if deployed.changing.is_some() => "being upgraded",
            Self::Deployed(deployed) => deployed.status().in_words(),
        };
        let text = format!("application {name} is {doing}; try again in a moment");
        Refusal::new(Kind::FailedPrecondition, text)
    }

    /// Whether a deploy of this name asks for just what is running, or may take its place.
    fn accepts(&self, spec: &Spec, digest: Digest) -> Result<Accepted, Refusal> {
        let name = &spec.name;
        let busy = || Err(self.refuses(name).as_kind(Kind::AlreadyExists));
        let Self::Deployed(deployed) = self else {
            return busy();
        };
        let Deployed { record, state, .. } = &**deployed;
        if deployed.changing.is_some() || matches!(state, State::Starting(_) | State::Stopping) {
            return busy();
        }
        if record.spec != *spec || record.digest != digest {
            return Ok(Accepted::Other);
        }
        let text = match (deployed.status(), state) {
            (Status::Running, _) => return Ok(Accepted::Same),
            (_, State::Stopped) => format!(
                "application {name} is deployed and stopped; POST /api/v1/applications/{name}:start starts it"
            ),
            _ => format!(
                "application {name} has failed: {}; deploy another version, or undeploy it first, then deploy again",
                deployed.reason().unwrap_or_default()
            ),
        };
        Err(Refusal::new(Kind::AlreadyExists, text))
    }
}

/// What a deploy of a name that is there may do.
enum Accepted {
    Same,
    Other,
}

impl Deployed {
    /// Whether its state is still this start's to decide.
    pub fn is_started_by(&self, ticket: &Ticket) -> bool {
        matches!(&self.state, State::Starting(own) if own.is(ticket))
    }

    /// Another version takes its place, of which nothing bad is known yet.
    pub fn becomes(&mut self, record: Record) {
        (self.record, self.undone) = (record, None);
        self.backoff = Backoff::default();
    }

    /// Why it has failed, if it has.
    pub fn reason(&self) -> Option<String> {
        match &self.state {
            State::Failed(failed) => Some(failed.reason.clone()),
            State::Running(running) => match running.active.standing() {
                Standing::Failed(reason) => Some(reason),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn status(&self) -> Status {
        match &self.state {
            State::Stopped => Status::Stopped,
            State::Starting(_) => Status::Starting,
            State::Running(running) => match running.active.standing() {
                Standing::Running => Status::Running,
                Standing::Failed(_) => Status::Failed,
                Standing::Stopped => Status::Stopped,
            },
            State::Stopping => Status::Stopping,
            State::Failed(_) => Status::Failed,
        }
    }
}

/// A name held for a deploy, also once that was called off. Dropped unfilled, even by a panic, it is free again.
pub struct Reservation {
    name: ApplicationName,
    pub ticket: Ticket,
    filled: bool,
    table: Table,
    /// Dropped after the name is free.
    _ends: oneshot::Sender<()>,
}

impl Reservation {
    /// From here on the deploy cannot be called off. False if it has been.
    pub fn is_final(&self) -> bool {
        match self.table.lock().get_mut(&self.name) {
            Some(Slot::Deploying { ticket, .. }) => ticket.take().is_some(),
            _ => false,
        }
    }

    /// Puts what was deployed in the place of the reservation, which is final.
    pub fn fill(mut self, deployed: Deployed) {
        self.filled = true;
        let slot = Slot::Deployed(Box::new(deployed));
        self.table.lock().insert(self.name.clone(), slot);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.filled {
            self.table.lock().remove(&self.name);
        }
    }
}

/// A name held for another version. Dropped, it is free for others again, with whatever is there then.
pub struct Change {
    pub name: ApplicationName,
    table: Table,
}

impl Change {
    fn of(table: &Table, deployed: &mut Deployed, spec: &Spec, digest: Digest) -> Self {
        deployed.changing = Some(NewVersion {
            digest,
            dependencies: spec.dependencies.clone(),
        });
        Self {
            name: deployed.record.spec.name.clone(),
            table: table.clone(),
        }
    }

    /// The same for what the node itself changes.
    pub fn back(table: &Table, deployed: &mut Deployed, version: &Version) -> Self {
        Self::of(table, deployed, &version.spec, version.digest)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.table
            .change(&self.name, |deployed| deployed.changing = None);
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
