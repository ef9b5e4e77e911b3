//! What operators deploy: applications by name, from the upload to the undeploy, over restarts of the node.
//!
//! A deploy activates, then records, then answers: what is acknowledged is on disk, and what fails at any step before
//! that undoes all of it. A change of what is wanted (`start`, `stop`, `undeploy`) is on disk before it is answered too.

mod activation;
mod backoff;
mod backup;
mod modules;
mod overview;
mod record;
mod restore;
mod revival;
mod spawned;
pub mod spec;
mod table;
mod turns;
mod uploads;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use log::Level;
use tokio::sync::Semaphore;

use crate::actor::Actors;
use crate::id::{ApplicationId, ApplicationName, Digest};
use crate::limits;
use crate::metrics::Code;
use crate::refusal::{Kind, Refusal};
use crate::storage::{Artifact, Left, Logs, Storage, Upload};
use crate::wasm::{Pool, Wasm};
use modules::Modules;
use record::{Desired, Record};
use spec::{Config, Spec};
use table::{Deployed, Reservation, Running, Slot, State, Table, Ticket};
use turns::Turns;
use uploads::Uploads;

pub use backup::{Backup, RestoreError, restore};
pub use modules::Module;
pub use overview::{ActorOverview, ActorState, Overview, Status};
pub use spawned::Spawn;
pub use turns::Turn;
pub use uploads::Streaming;

/// All applications of this node.
#[derive(Clone)]
pub struct Applications {
    storage: Storage,
    actors: Actors,
    wasm: Wasm,
    table: Table,
    modules: Modules,
    turns: Turns,
    uploads: Uploads,
    /// How long a failed application waits before its first new start.
    restart_delay: Duration,
    backups: Arc<Semaphore>,
    /// What could not be restored, in words for an operator.
    troubles: Arc<Mutex<Vec<String>>>,
}

impl Applications {
    pub fn new(storage: Storage, actors: Actors, wasm: Wasm, restart_delay: Duration) -> Self {
        Self {
            storage,
            actors,
            wasm,
            table: Table::default(),
            modules: Modules::new(),
            turns: Turns::new(),
            uploads: Uploads::default(),
            restart_delay,
            backups: Arc::new(Semaphore::new(1)),
            troubles: Arc::default(),
        }
    }

    /// A deploy's right to be under way, to be asked for before its module is read and held to its end, and a place
    /// among those that stream. That is free again once the module is here: who waits for the compiler keeps nobody
    /// from sending.
    pub fn begin_upload(&self) -> Result<(Turn, Streaming), Refusal> {
        Ok((self.turns.take()?, self.uploads.begin()?))
    }

    /// How many modules are on their way in.
    pub fn uploading(&self) -> usize {
        self.uploads.count()
    }

    /// The spec overlaid with a configuration. Read on the file worker: a large one takes long to parse.
    pub async fn configured(&self, spec: Spec, config: Config) -> Result<Spec, Refusal> {
        let files = &self.storage.files;
        files.run(move || spec.with_config(config)).await
    }

    /// Opens an upload for a module on its way in.
    pub async fn upload(&self) -> Result<Upload, Refusal> {
        Ok(self.storage.artifacts.upload().await?)
    }

    /// Deploys an uploaded module under its spec's name. The same version, module and spec again changes nothing.
    pub async fn deploy(&self, spec: Spec, artifact: Artifact) -> Result<Status, Refusal> {
        let deployed = self.reserve_and_deploy(spec, artifact).await;
        let metrics = self.actors.metrics();
        metrics.deploys.count(Code::of(&deployed));
        deployed
    }

    async fn reserve_and_deploy(&self, spec: Spec, artifact: Artifact) -> Result<Status, Refusal> {
        let Some(reservation) = self.table.reserve(&spec, artifact.digest)? else {
            return Ok(Status::Running);
        };
        let digest = artifact.digest;
        match self
            .activate_and_record(&spec, artifact, &reservation)
            .await
        {
            Ok(deployed) => {
                let text = format!("version {} is running", spec.version);
                self.says(&spec.name, Level::Info, &text);
                reservation.fill(deployed);
                Ok(Status::Running)
            }
            Err(refusal) => {
                drop(reservation);
                self.forget_unused(digest).await;
                Err(refusal)
            }
        }
    }

    async fn activate_and_record(
        &self,
        spec: &Spec,
        artifact: Artifact,
        reservation: &Reservation,
    ) -> Result<Deployed, Refusal> {
        let activating = self.activate(spec, &artifact);
        let activated = reservation.ticket.unless_revoked(activating).await;
        let (kind, worker) = activated.unwrap_or_else(|| Err(called_off(&spec.name)))?;
        let kept = match reservation.is_final() {
            true => self.keep(spec, artifact, kind).await,
            false => Err(called_off(&spec.name)),
        };
        match kept {
            Ok(record) => Ok(Deployed {
                state: State::Running(self.running(&spec.name, worker)),
                record,
                backoff: Default::default(),
            }),
            Err(refusal) => {
                worker.stop(limits::SHUTDOWN_GRACE).await;
                Err(refusal)
            }
        }
    }

    /// Does everything that a deploy does but start and keep the application: what it refuses, a deploy would refuse.
    pub async fn rehearse(&self, spec: Spec, artifact: Artifact) -> Result<Status, Refusal> {
        let Some(reservation) = self.table.reserve(&spec, artifact.digest)? else {
            return Ok(Status::Running);
        };
        let digest = artifact.digest;
        let program = self
            .wasm
            .program(digest, artifact.path(), artifact.bytes, &spec.limits);
        let program = reservation.ticket.unless_revoked(program).await;
        let refusal = match program {
            Some(Ok(_)) => return Ok(Status::Unspecified),
            Some(Err(error)) => error.into(),
            None => called_off(&spec.name),
        };
        drop(reservation);
        self.forget_unused(digest).await;
        Err(refusal)
    }

    /// Removes an application and what it brought, after `grace` for its actors. Answers with its id. One that is
    /// still being deployed is called off.
    pub async fn undeploy(&self, name: &str, grace: Duration) -> Result<ApplicationId, Refusal> {
        let undeployed = self.take_and_remove(name, grace).await;
        let metrics = self.actors.metrics();
        metrics.undeploys.count(Code::of(&undeployed));
        undeployed
    }

    async fn take_and_remove(&self, name: &str, grace: Duration) -> Result<ApplicationId, Refusal> {
        let (name, taken) = self.take(name)?;
        let deployed = match taken {
            Taken::CalledOff(id) => return Ok(id),
            Taken::Deployed(deployed) => deployed,
        };
        let (id, digest) = (
            deployed.record.spec.application_id.clone(),
            deployed.record.digest,
        );
        // Off the disk first: what was acknowledged must not come back, and what fails here goes on as it was.
        if let Err(error) = self.storage.deployments.remove(name.to_string()).await {
            self.put_back(&name, deployed);
            return Err(error.into());
        }
        if let State::Running(Running { worker, .. }) = deployed.state {
            worker.stop(grace).await;
        }
        self.table.lock().remove(&name);
        if !self.is_used(digest) {
            self.storage.artifacts.remove(digest).await;
        }
        self.storage.logs.remove(&name).await;
        log::info!("application {name} is undeployed");
        Ok(id)
    }

    /// Wants an application running, from now on and after every restart. One that runs already is left alone.
    pub async fn start(&self, name: &str) -> Result<(), Refusal> {
        let Some((name, record, ticket)) = self.begin_start(name)? else {
            return Ok(());
        };
        let key = name.to_string();
        self.storage.deployments.forget_attempts(key).await?;
        self.start_deployed(&record, &ticket, None).await?;
        if record.desired == Desired::Stopped {
            self.record_start(&name, &record).await?;
        }
        self.says(&name, Level::Info, "started");
        Ok(())
    }

    async fn record_start(&self, name: &ApplicationName, record: &Record) -> Result<(), Refusal> {
        let recorded = self.write(&record.desiring(Desired::Running), vec![]).await;
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

    /// Wants an application stopped, from now on and after every restart; it stays deployed. Its actors get `grace`
    /// for their last words, and what they leave is there for the next start.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), Refusal> {
        let Some((name, record, running)) = self.begin_stop(name)? else {
            return Ok(());
        };
        let left = match running {
            Some(running) => stopped(running, grace).await,
            None => None,
        };
        let stopped = record.desiring(Desired::Stopped);
        let state = left.clone().into_iter().collect();
        match self.write(&stopped, state).await {
            Ok(()) => {
                self.table.change(&name, |deployed| {
                    deployed.record = stopped;
                    deployed.state = State::Stopped;
                });
                self.says(&name, Level::Info, "stopped");
                Ok(())
            }
            Err(refusal) => {
                // Nothing was promised, so it goes on with the state that it has just left.
                let ticket = Ticket::default();
                let starting = State::Starting(ticket.clone());
                self.table
                    .change(&name, |deployed| deployed.state = starting);
                let left = left.map(|(_, state)| state);
                let _ = self.start_deployed(&record, &ticket, left).await;
                Err(refusal)
            }
        }
    }

    /// Stops one actor in order, by its address; its application goes on without it until it is started again.
    pub async fn stop_actor(&self, address: &str, grace: Duration) -> Result<(), Refusal> {
        let stopping = {
            let slots = self.table.lock();
            let deployed = slots.values().filter_map(Slot::deployed);
            let mut running = deployed.filter_map(|it| match &it.state {
                State::Running(running) => Some((&it.record.spec.name, &running.worker)),
                _ => None,
            });
            let found = running
                .find(|(_, it)| &**it.id().address() == address && !it.has_ended())
                .map(|(name, worker)| (name.clone(), worker.stopping(grace)));
            found.ok_or_else(|| unknown_actor(address))?
        };
        let (name, stopping) = stopping;
        if let Some(state) = stopping.await {
            let left = vec![(name.to_string(), vec![(address.to_owned(), state)])];
            self.storage.deployments.keep(left).await?;
        }
        self.says(&name, Level::Info, &format!("actor {address} is stopped"));
        Ok(())
    }

    /// The log of an application that is deployed.
    pub fn log(&self, name: &str) -> Result<Log, Refusal> {
        let mut slots = self.table.lock();
        let (name, _) = Table::find(&mut slots, name)?;
        Ok(Log {
            name,
            logs: self.storage.logs.clone(),
        })
    }

    /// Writes a line about an application into its log and the node's.
    fn says(&self, name: &ApplicationName, level: Level, text: &str) {
        log::log!(level, "application {name}: {text}");
        self.storage.logs.say(name, level, None, text);
    }

    /// Where guests lie.
    pub fn pools(&self) -> Vec<Pool> {
        self.wasm.pools()
    }

    /// Bytes that the data directory may still take; `None` where the system does not tell.
    pub async fn disk_free(&self) -> Option<u64> {
        self.storage.free_bytes().await
    }

    /// What of the data directory is not as it was left, in words for an operator.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = self.troubles.lock().unwrap().clone();
        troubles.extend(self.storage.quarantine.says());
        troubles
    }

    /// Stops every application, all at the same time, so that one grace is enough for them all, and keeps what their
    /// actors leave for the next start of the node.
    pub async fn close(&self) {
        let slots = std::mem::take(&mut *self.table.lock());
        let stopping: Vec<_> = slots
            .into_iter()
            .filter_map(|(name, slot)| match slot {
                Slot::Deployed(deployed) => match deployed.state {
                    State::Running(running) => Some((name, running)),
                    _ => None,
                },
                _ => None,
            })
            .map(|(name, running)| (name, tokio::spawn(stopped(running, limits::SHUTDOWN_GRACE))))
            .collect();
        let mut left = Vec::new();
        for (name, stopping) in stopping {
            let state = stopping.await.ok().flatten();
            left.extend(state.map(|state| (name.to_string(), vec![state])));
        }
        if !left.is_empty()
            && let Err(error) = self.storage.deployments.keep(left).await
        {
            log::error!("what the actors left is lost: {error}");
        }
        self.storage.logs.close().await;
        self.storage.starts.clear().await;
        self.storage.close().await;
    }

    fn take(&self, name: &str) -> Result<(ApplicationName, Taken), Refusal> {
        let mut slots = self.table.lock();
        let (name, slot) = Table::find(&mut slots, name)?;
        match slot {
            Slot::Deploying {
                id,
                ticket: Some(ticket),
                ..
            } => {
                ticket.revoke();
                let id = id.clone();
                slots.remove(&name);
                Ok((name, Taken::CalledOff(id)))
            }
            Slot::Deployed(deployed) if !matches!(deployed.state, State::Stopping) => {
                let leaving = Slot::Leaving {
                    id: deployed.record.spec.application_id.clone(),
                    digest: deployed.record.digest,
                };
                let Slot::Deployed(deployed) = std::mem::replace(slot, leaving) else {
                    unreachable!("it was just matched")
                };
                if let State::Starting(ticket) = &deployed.state {
                    ticket.revoke();
                }
                Ok((name, Taken::Deployed(deployed)))
            }
            busy => Err(busy.refuses(&name)),
        }
    }

    fn put_back(&self, name: &ApplicationName, mut deployed: Box<Deployed>) {
        if let State::Starting(_) = deployed.state {
            self.fail(name, &mut deployed, "its start was called off".into());
        }
        let slot = Slot::Deployed(deployed);
        self.table.lock().insert(name.clone(), slot);
    }

    /// `None` for one that runs already.
    #[allow(clippy::type_complexity)]
    fn begin_start(
        &self,
        name: &str,
    ) -> Result<Option<(ApplicationName, Record, Ticket)>, Refusal> {
        let mut slots = self.table.lock();
        let (name, slot) = Table::find(&mut slots, name)?;
        let Slot::Deployed(deployed) = slot else {
            return Err(slot.refuses(&name));
        };
        match &deployed.state {
            State::Running(running) if !running.worker.has_ended() => return Ok(None),
            State::Running(_) | State::Failed(_) | State::Stopped => {}
            State::Starting(_) | State::Stopping => return Err(slot.refuses(&name)),
        }
        let ticket = Ticket::default();
        deployed.state = State::Starting(ticket.clone());
        Ok(Some((name, deployed.record.clone(), ticket)))
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

    /// Keeps the module, then the record that refers to it.
    async fn keep(
        &self,
        spec: &Spec,
        artifact: Artifact,
        kind: crate::wasm::Kind,
    ) -> Result<Record, Refusal> {
        let record = Record {
            spec: spec.clone(),
            digest: artifact.digest,
            bytes: artifact.bytes,
            kind,
            deployed_at: self.actors.clock().wall(),
            order: self.table.next_order(),
            desired: Desired::Running,
        };
        self.storage.artifacts.keep(artifact).await?;
        self.write(&record, vec![]).await?;
        Ok(record)
    }

    async fn write(&self, record: &Record, left: Vec<Left>) -> Result<(), Refusal> {
        let (name, bytes) = (record.spec.name.to_string(), record.encode());
        Ok(self.storage.deployments.put(name, bytes, left).await?)
    }

    fn is_used(&self, digest: Digest) -> bool {
        self.table.is_used(digest) || self.modules.is_used(digest)
    }

    async fn forget_unused(&self, digest: Digest) {
        if !self.is_used(digest) {
            self.wasm.forget(digest);
            self.storage.artifacts.remove(digest).await;
        }
    }
}

/// One application's log.
pub struct Log {
    pub name: ApplicationName,
    pub logs: Logs,
}

/// What an undeploy found.
enum Taken {
    /// A deploy that had not ended.
    CalledOff(ApplicationId),
    Deployed(Box<Deployed>),
}

/// Stops the actor of an application; what it left comes with its address.
async fn stopped(running: Running, grace: Duration) -> Option<(String, Bytes)> {
    let address = running.worker.id().to_string();
    let state = running.worker.stop(grace).await?;
    Some((address, state))
}

fn unknown_actor(address: &str) -> Refusal {
    let shown: String = address.chars().take(255).collect();
    let text = format!(
        "no actor {shown:?} runs on this node; GET /api/v1/dashboard/actors lists those that do"
    );
    Refusal::new(Kind::NotFound, text)
}

fn called_off(name: &ApplicationName) -> Refusal {
    let text = format!("application {name} was stopped or undeployed while it was starting");
    Refusal::new(Kind::FailedPrecondition, text)
}
