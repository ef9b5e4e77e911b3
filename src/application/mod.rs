//! What operators deploy: applications by name, from the upload to the undeploy.
//!
//! ```text
//!  (deploy) ── name reserved ──► activating ── actor runs, module kept ──► active ──► stopping ──► gone
//!                                    │ any refusal                           │ restarts used up
//!                                    └──► gone, nothing left                 └──► active, status FAILED
//! ```
//!
//! A deploy answers once its actor runs and its module is kept; whatever fails before that undoes all of it.

mod activation;
pub mod spec;
mod turns;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::actor::{Actor, Actors, Fault};
use crate::id::{ApplicationId, ApplicationName, Digest};
use crate::limits;
use crate::metrics::Code;
use crate::refusal::{Kind, Refusal};
use crate::storage::{Artifact, Storage, Upload};
use crate::wasm::{self, Pool, ProgramError, Wasm};
use spec::Spec;
use turns::Turns;

pub use turns::Turn;

/// All applications of this node.
#[derive(Clone)]
pub struct Applications {
    storage: Storage,
    actors: Actors,
    wasm: Wasm,
    turns: Turns,
    table: Arc<Mutex<BTreeMap<ApplicationName, Slot>>>,
}

/// A name in use, and how far along its application is.
enum Slot {
    /// Reserved by a deploy that has not ended.
    Activating {
        id: ApplicationId,
        digest: Digest,
    },
    Active(Box<Application>),
    /// Its actors are being stopped; the module is still theirs.
    Stopping {
        id: ApplicationId,
        digest: Digest,
    },
}

struct Application {
    spec: Spec,
    digest: Digest,
    kind: wasm::Kind,
    deployed_at: SystemTime,
    started: Instant,
    worker: Actor,
}

/// An application's state by the names of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing was started: the deploy was a rehearsal.
    Unspecified,
    Starting,
    Running,
    Stopping,
    Failed,
}

/// What an onlooker sees of one application.
#[derive(Clone, Debug)]
pub struct Overview {
    pub spec: Spec,
    pub status: Status,
    pub digest: Digest,
    pub kind: wasm::Kind,
    pub deployed_at: SystemTime,
    pub uptime: Duration,
    pub actors: Vec<ActorOverview>,
}

#[derive(Clone, Debug)]
pub struct ActorOverview {
    pub id: String,
    pub actor_type: String,
    pub running: bool,
    pub restarts: u32,
    pub mailbox_depth: usize,
    pub last_error: Option<String>,
}

impl Applications {
    pub fn new(storage: Storage, actors: Actors, wasm: Wasm) -> Self {
        Self {
            storage,
            actors,
            wasm,
            turns: Turns::new(),
            table: Arc::default(),
        }
    }

    /// A deploy's right to be under way, to be asked for before its module is read and held to its end.
    pub fn turn(&self) -> Result<Turn, Refusal> {
        self.turns.take()
    }

    /// The spec overlaid with the text of a configuration. Read on the file worker: a large one takes long to parse.
    pub async fn configured(&self, spec: Spec, config: String) -> Result<Spec, Refusal> {
        let files = &self.storage.files;
        files.run(move || spec.with_config(&config)).await
    }

    /// Opens an upload for a module on its way in.
    pub async fn upload(&self) -> Result<Upload, Refusal> {
        Ok(self.storage.artifacts.upload().await?)
    }

    /// Deploys an uploaded module under its spec's name. The same version, module and spec again changes nothing.
    pub async fn deploy(&self, spec: Spec, artifact: Artifact) -> Result<Status, Refusal> {
        let deployed = self.reserve_and_activate(spec, artifact).await;
        let metrics = self.actors.metrics();
        metrics.deploys.count(Code::of(&deployed));
        deployed
    }

    async fn reserve_and_activate(
        &self,
        spec: Spec,
        artifact: Artifact,
    ) -> Result<Status, Refusal> {
        let Some(reservation) = self.reserve(&spec, artifact.digest)? else {
            return Ok(Status::Running);
        };
        let digest = artifact.digest;
        match self.activate(spec, artifact).await {
            Ok(application) => {
                log::info!(
                    "application {} {} is running",
                    application.spec.name,
                    application.spec.version
                );
                reservation.fill(application);
                Ok(Status::Running)
            }
            Err(refusal) => {
                reservation.release();
                self.forget_unused(digest).await;
                Err(refusal)
            }
        }
    }

    /// Does everything that a deploy does but start and keep the application: what it refuses, a deploy would refuse.
    pub async fn rehearse(&self, spec: Spec, artifact: Artifact) -> Result<Status, Refusal> {
        let Some(reservation) = self.reserve(&spec, artifact.digest)? else {
            return Ok(Status::Running);
        };
        let digest = artifact.digest;
        let program = self
            .wasm
            .program(digest, artifact.path(), artifact.bytes, &spec.limits);
        if let Err(error) = program.await {
            reservation.release();
            self.forget_unused(digest).await;
            return Err(error.into());
        }
        Ok(Status::Unspecified)
    }

    /// Stops an application and removes what it brought. Answers with its id.
    pub async fn undeploy(&self, name: &str) -> Result<ApplicationId, Refusal> {
        let undeployed = self.take_and_stop(name).await;
        let metrics = self.actors.metrics();
        metrics.undeploys.count(Code::of(&undeployed));
        undeployed
    }

    async fn take_and_stop(&self, name: &str) -> Result<ApplicationId, Refusal> {
        let (name, application) = self.take(name)?;
        let (id, digest) = (application.spec.application_id.clone(), application.digest);
        application.worker.stop(limits::SHUTDOWN_GRACE).await;
        self.table.lock().unwrap().remove(&name);
        if !self.is_used(digest) {
            self.storage.artifacts.remove(digest).await;
        }
        log::info!("application {name} is undeployed");
        Ok(id)
    }

    /// Every application, in the order of their names.
    pub fn list(&self) -> Vec<Overview> {
        let table = self.table.lock().unwrap();
        table
            .values()
            .filter_map(Slot::active)
            .map(|application| self.overview(application))
            .collect()
    }

    /// Why the actors of an application do not answer: the error that made it fail, if it has.
    pub fn failure(&self, namespace: &str, actor_type: &str) -> Option<String> {
        let meant = |overview: &Overview| {
            [&*overview.spec.namespace, &*overview.spec.name].contains(&namespace)
                && overview.status == Status::Failed
                && overview
                    .actors
                    .iter()
                    .any(|actor| actor.actor_type == actor_type)
        };
        let failed = self.list().into_iter().find(meant)?;
        let error = failed
            .actors
            .into_iter()
            .find_map(|actor| actor.last_error)?;
        Some(format!(
            "application {} has failed: {error}; undeploy it, and deploy one that works",
            failed.spec.name
        ))
    }

    pub fn get(&self, name: &str) -> Result<Overview, Refusal> {
        let table = self.table.lock().unwrap();
        match table.iter().find(|(known, _)| &***known == name) {
            Some((_, Slot::Active(application))) => Ok(self.overview(application)),
            Some((name, busy)) => Err(busy.refuses(name)),
            None => Err(unknown(&table, name)),
        }
    }

    /// How many applications are in each status.
    pub fn count_by_status(&self) -> [(Status, usize); 4] {
        let table = self.table.lock().unwrap();
        Status::ALL.map(|status| {
            let alike = table.values().filter(|slot| slot.status() == status);
            (status, alike.count())
        })
    }

    /// The names of those whose actors were given up.
    pub fn failed(&self) -> Vec<ApplicationName> {
        let table = self.table.lock().unwrap();
        let failed = table
            .iter()
            .filter(|(_, slot)| slot.status() == Status::Failed);
        failed.map(|(name, _)| name.clone()).collect()
    }

    /// Where guests lie.
    pub fn pools(&self) -> Vec<Pool> {
        self.wasm.pools()
    }

    /// Bytes that the data directory may still take; `None` where the system does not tell.
    pub async fn disk_free(&self) -> Option<u64> {
        self.storage.free_bytes().await
    }

    /// Stops every application, all at the same time, so that one grace is enough for them all.
    pub async fn close(&self) {
        let mut active: Vec<_> = std::mem::take(&mut *self.table.lock().unwrap())
            .into_values()
            .filter_map(|slot| match slot {
                Slot::Active(application) => Some(application),
                _ => None,
            })
            .collect();
        let stop = |application: Box<Application>| application.worker.stop(limits::SHUTDOWN_GRACE);
        let stopping: Vec<_> = active.drain(..).map(|it| tokio::spawn(stop(it))).collect();
        for stopped in stopping {
            let _ = stopped.await;
        }
    }

    /// Takes the name, or says why it cannot be had. `None` means that just this is running already.
    fn reserve(&self, spec: &Spec, digest: Digest) -> Result<Option<Reservation>, Refusal> {
        let mut table = self.table.lock().unwrap();
        if let Some(slot) = table.get(&spec.name) {
            return slot.accepts(spec, digest).map(|()| None);
        }
        let same_id = |(_, slot): &(&ApplicationName, &Slot)| *slot.id() == spec.application_id;
        if let Some((other, _)) = table.iter().find(same_id) {
            let text = format!(
                "application_id {:?} belongs to application {other}; choose another id, or undeploy that one",
                &*spec.application_id
            );
            return Err(Refusal::new(Kind::AlreadyExists, text));
        }
        if table.len() >= limits::APPLICATIONS_MAX {
            let text = format!(
                "this node runs {} applications, its most; undeploy one first",
                table.len()
            );
            return Err(Refusal::new(Kind::Exhausted, text));
        }
        table.insert(
            spec.name.clone(),
            Slot::Activating {
                id: spec.application_id.clone(),
                digest,
            },
        );
        Ok(Some(Reservation {
            name: spec.name.clone(),
            table: self.table.clone(),
        }))
    }

    /// Takes an active application out of service; its name stays taken until it has stopped.
    fn take(&self, name: &str) -> Result<(ApplicationName, Box<Application>), Refusal> {
        let mut table = self.table.lock().unwrap();
        let Some(name) = table.keys().find(|known| &***known == name).cloned() else {
            return Err(unknown(&table, name));
        };
        let slot = table.get_mut(&name).expect("its key was just found");
        let stopping = Slot::Stopping {
            id: slot.id().clone(),
            digest: slot.digest(),
        };
        match std::mem::replace(slot, stopping) {
            Slot::Active(application) => Ok((name, application)),
            busy => {
                let refusal = busy.refuses(&name);
                *slot = busy;
                Err(refusal)
            }
        }
    }

    fn is_used(&self, digest: Digest) -> bool {
        self.table
            .lock()
            .unwrap()
            .values()
            .any(|slot| slot.digest() == digest)
    }

    async fn forget_unused(&self, digest: Digest) {
        if !self.is_used(digest) {
            self.wasm.forget(digest);
            self.storage.artifacts.remove(digest).await;
        }
    }

    fn overview(&self, application: &Application) -> Overview {
        let worker = application.worker.status();
        let id = application.worker.id();
        Overview {
            spec: application.spec.clone(),
            status: application.status(),
            digest: application.digest,
            kind: application.kind,
            deployed_at: application.deployed_at,
            uptime: self.actors.clock().now() - application.started,
            actors: vec![ActorOverview {
                id: id.to_string(),
                actor_type: id.actor_type().to_owned(),
                running: !worker.failed,
                restarts: worker.restarts,
                mailbox_depth: application.worker.mailbox_depth(),
                last_error: worker.last_error,
            }],
        }
    }
}

impl Application {
    fn status(&self) -> Status {
        if self.worker.status().failed {
            Status::Failed
        } else {
            Status::Running
        }
    }
}

impl Slot {
    fn id(&self) -> &ApplicationId {
        match self {
            Self::Activating { id, .. } | Self::Stopping { id, .. } => id,
            Self::Active(application) => &application.spec.application_id,
        }
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Activating { digest, .. } | Self::Stopping { digest, .. } => *digest,
            Self::Active(application) => application.digest,
        }
    }

    fn active(&self) -> Option<&Application> {
        match self {
            Self::Active(application) => Some(application),
            _ => None,
        }
    }

    fn status(&self) -> Status {
        match self {
            Self::Activating { .. } => Status::Starting,
            Self::Active(application) => application.status(),
            Self::Stopping { .. } => Status::Stopping,
        }
    }

    /// The answer to whoever needs the application to be active.
    fn refuses(&self, name: &ApplicationName) -> Refusal {
        let text = format!(
            "application {name} is {}; try again in a moment",
            self.status().in_words()
        );
        Refusal::new(Kind::FailedPrecondition, text)
    }

    /// Whether a deploy of this name asks for just what is running.
    fn accepts(&self, spec: &Spec, digest: Digest) -> Result<(), Refusal> {
        let name = &spec.name;
        let text = match self {
            Self::Active(running) if running.spec == *spec && running.digest == digest => {
                match running.worker.status().last_error {
                    Some(error) if running.worker.status().failed => {
                        format!(
                            "application {name} has failed: {error}; undeploy it first, then deploy again"
                        )
                    }
                    _ => return Ok(()),
                }
            }
            Self::Active(running) => format!(
                "application {name} is running version {}; undeploy it first, upgrades in place are not provided yet",
                running.spec.version
            ),
            busy => format!(
                "application {name} is {}; try again in a moment",
                busy.status().in_words()
            ),
        };
        Err(Refusal::new(Kind::AlreadyExists, text))
    }
}

impl Status {
    pub const ALL: [Self; 4] = [Self::Starting, Self::Running, Self::Stopping, Self::Failed];

    /// The name that the protocol gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "APPLICATION_STATUS_UNSPECIFIED",
            Self::Starting => "APPLICATION_STATUS_STARTING",
            Self::Running => "APPLICATION_STATUS_RUNNING",
            Self::Stopping => "APPLICATION_STATUS_STOPPING",
            Self::Failed => "APPLICATION_STATUS_FAILED",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Unspecified => "not there",
            Self::Starting => "being deployed",
            Self::Running => "running",
            Self::Stopping => "being undeployed",
            Self::Failed => "failed",
        }
    }
}

/// A name held for a deploy. Dropped unfilled, even by a panic, it is free again.
struct Reservation {
    name: ApplicationName,
    table: Arc<Mutex<BTreeMap<ApplicationName, Slot>>>,
}

impl Reservation {
    fn fill(self, application: Application) {
        self.table
            .lock()
            .unwrap()
            .insert(self.name.clone(), Slot::Active(Box::new(application)));
    }

    fn release(self) {}
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap();
        if matches!(table.get(&self.name), Some(Slot::Activating { .. })) {
            table.remove(&self.name);
        }
    }
}

fn unknown(table: &BTreeMap<ApplicationName, Slot>, name: &str) -> Refusal {
    let by_id = table.iter().find(|(_, slot)| &**slot.id() == name);
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

impl From<ProgramError> for Refusal {
    fn from(error: ProgramError) -> Self {
        let kind = match error {
            ProgramError::Refused(_) => Kind::Unprocessable,
            ProgramError::NoMemory(_) => Kind::Exhausted,
            ProgramError::Internal(_) => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken(text) => Self::new(
                Kind::Unprocessable,
                format!("the module does not start: {text}"),
            ),
            Fault::NoRoom(text) => {
                Self::new(Kind::Exhausted, format!("{text}; undeploy something first"))
            }
        }
    }
}
