//! What operators deploy: applications by name, from the upload to the undeploy, over restarts of the node.
//!
//! A deploy activates, then records, then answers: what is acknowledged is on disk, and what fails at any step before
//! that undoes all of it. A change of what is wanted (`start`, `stop`, `undeploy`) is on disk before it is answered too.

mod activation;
mod backoff;
mod backup;
mod dependencies;
mod deploy;
mod listing;
mod modules;
mod overview;
mod probation;
mod record;
mod restore;
mod revival;
mod spawned;
pub mod spec;
mod supervisor;
mod table;
mod turns;
mod upgrade;
mod uploads;
mod wishes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use log::Level;
use tokio::sync::Semaphore;

use crate::actor::{Actors, Farewell};
use crate::id::{ApplicationName, Digest};
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::{Left, Logs, Storage, Upload};
use crate::wasm::{Pool, Wasm};
use modules::Modules;
use record::Record;
use spec::{Config, Spec};
use table::{Running, Slot, State, Table};
use turns::Turns;
use uploads::Uploads;

pub use backup::{Backup, BrokenOff, RestoreError, restore};
pub use modules::Module;
pub use overview::{ActorOverview, ActorState, Overview, Revival, Status};
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

    /// A place among those that stream, for what is no deploy.
    pub fn begin_stream(&self) -> Result<Streaming, Refusal> {
        self.uploads.begin()
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
        troubles.extend(self.storage.wellness.says());
        troubles
    }

    /// Stops every application, all at the same time, and keeps what their actors leave for the next start of the node.
    pub async fn close(&self) {
        let by = self.actors.clock().now() + limits::TREE_CLOSE_MAX;
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
            .map(|(name, running)| (name, tokio::spawn(stopped(running, by))))
            .collect();
        let mut left = Vec::new();
        for (name, stopping) in stopping {
            let states = stopping.await.unwrap_or_default();
            if !states.is_empty() {
                left.push((name.to_string(), states));
            }
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

    /// Writes a record in the place of the one that is there, and what its actors left.
    async fn rewrite(&self, record: &Record, left: Vec<Left>) -> Result<(), Refusal> {
        let (name, bytes) = (record.spec.name.to_string(), record.encode());
        Ok(self.storage.deployments.change(name, bytes, left).await?)
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

/// Stops an application; what its actors left comes with their ids in it.
async fn stopped(running: Running, by: tokio::time::Instant) -> Vec<Left> {
    if let Some(performance) = &running.performance {
        performance.pause(by).await;
    }
    match running.active.tree {
        Some(tree) => tree.stop(by, Farewell::Snapshot).await,
        None => Vec::new(),
    }
}

fn called_off(name: &ApplicationName) -> Refusal {
    let text = format!("application {name} was stopped or undeployed while it was starting");
    Refusal::new(Kind::FailedPrecondition, text)
}
