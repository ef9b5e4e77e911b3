//! Modules that are kept by name and version: what actors are spawned of, one by one.
//!
//! There are at most [`limits::MODULES_MAX`]; one more takes the place of the one that was kept longest ago and that
//! nothing runs. A name and version that is kept again with other bytes means those from then on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::Applications;
use crate::id::{Digest, ModuleName, Version};
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::{Artifact, StorageError};
use crate::wasm::{self, GuestLimits};

/// A module that is kept, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    pub name: ModuleName,
    pub version: Version,
    pub digest: Digest,
    pub bytes: u64,
    pub kind: wasm::Kind,
    /// Later ones have a higher one.
    order: u64,
}

/// All of them, and those that must not be forgotten just now.
#[derive(Clone)]
pub(super) struct Modules {
    state: Arc<Mutex<State>>,
    /// Modules are recorded one after the other, so that table and disk never disagree on which came last.
    recording: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<(String, String), Module>,
    held: Vec<Digest>,
}

/// Keeps a module's file from being forgotten while somebody is about to use it.
pub(super) struct Held {
    digest: Digest,
    modules: Modules,
}

impl Modules {
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            recording: Arc::new(Semaphore::new(1)),
        }
    }

    pub fn hold(&self, digest: Digest) -> Held {
        self.state.lock().unwrap().held.push(digest);
        Held {
            digest,
            modules: self.clone(),
        }
    }

    pub fn is_used(&self, digest: Digest) -> bool {
        let state = self.state.lock().unwrap();
        state.held.contains(&digest) || state.kept.values().any(|module| module.digest == digest)
    }

    pub fn digests(&self) -> Vec<Digest> {
        let state = self.state.lock().unwrap();
        state.kept.values().map(|module| module.digest).collect()
    }

    /// By hash, by `name@version`, or by name alone: then the one that was kept last.
    fn find(&self, reference: &str) -> Option<Module> {
        let state = self.state.lock().unwrap();
        let digest = Digest::parse(reference);
        let meant = |module: &&Module| match (digest, reference.split_once('@')) {
            (Some(digest), _) => module.digest == digest,
            (None, Some((name, version))) => &*module.name == name && &*module.version == version,
            (None, None) => &*module.name == reference,
        };
        let found = state.kept.values().filter(meant);
        found.max_by_key(|module| module.order).cloned()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.modules.state.lock().unwrap();
        if let Some(at) = state.held.iter().position(|held| *held == self.digest) {
            state.held.swap_remove(at);
        }
    }
}

impl Module {
    fn key(&self) -> (String, String) {
        (self.name.to_string(), self.version.to_string())
    }
}

impl Applications {
    /// Compiles an uploaded module, and keeps it under its name and version. The same again changes nothing.
    pub async fn keep_module(
        &self,
        name: ModuleName,
        version: Version,
        artifact: Artifact,
    ) -> Result<Module, Refusal> {
        let (digest, bytes) = (artifact.digest, artifact.bytes);
        let held = self.modules.hold(digest);
        let kept = async {
            let limits = GuestLimits::default();
            let program = self.wasm.program(digest, artifact.path(), bytes, &limits);
            let kind = program.await?.kind();
            let module = Module {
                name,
                version,
                digest,
                bytes,
                kind,
                order: 0,
            };
            self.record_module(module, artifact).await
        };
        let kept = kept.await;
        drop(held);
        match kept {
            Ok((module, Some(gone))) => {
                self.forget_unused(gone.digest).await;
                Ok(module)
            }
            Ok((module, None)) => Ok(module),
            Err(refusal) => {
                self.forget_unused(digest).await;
                Err(refusal)
            }
        }
    }

    /// Puts a module on disk, and answers with the one whose place it took.
    async fn record_module(
        &self,
        mut module: Module,
        artifact: Artifact,
    ) -> Result<(Module, Option<Module>), Refusal> {
        let recording = self.modules.recording.acquire().await;
        let _alone = recording.expect("the semaphore is never closed");
        module.order = self.next_module_order();
        let key = module.key();
        let place = self.place_of_module(&key)?;
        if let Some(same) = place
            .as_ref()
            .filter(|it| it.key() == key && it.digest == module.digest)
        {
            return Ok((same.clone(), None));
        }
        self.storage.artifacts.keep(artifact).await?;
        let record = serde_json::to_vec(&module).expect("a module is names and numbers");
        let instead_of = place.as_ref().map(Module::key);
        let modules = &self.storage.modules;
        modules.put(key.clone(), record, instead_of).await?;
        let mut state = self.modules.state.lock().unwrap();
        if let Some(gone) = &place {
            log::info!("module {}@{} makes room", gone.name, gone.version);
            state.kept.remove(&gone.key());
        }
        state.kept.insert(key, module.clone());
        Ok((module, place))
    }

    /// Whose place a module of this key takes, if any's.
    fn place_of_module(&self, key: &(String, String)) -> Result<Option<Module>, Refusal> {
        let kept = self.modules.state.lock().unwrap().kept.clone();
        if let Some(same) = kept.get(key) {
            return Ok(Some(same.clone()));
        }
        if kept.len() < limits::MODULES_MAX {
            return Ok(None);
        }
        let idle = kept
            .into_values()
            .filter(|it| !self.table.is_used(it.digest));
        let oldest = idle.min_by_key(|module| module.order);
        oldest.map(Some).ok_or_else(|| {
            let text = format!(
                "this node keeps {} modules, its most, and runs them all; delete an actor or undeploy an application first",
                limits::MODULES_MAX
            );
            Refusal::new(Kind::Exhausted, text)
        })
    }

    fn next_module_order(&self) -> u64 {
        let state = self.modules.state.lock().unwrap();
        let orders = state.kept.values().map(|module| module.order + 1);
        orders.max().unwrap_or(0)
    }

    /// The module that a caller means: one that is kept, by hash, `name@version` or name, or that of a deployed
    /// application or of the version before it, by hash.
    pub(super) fn module(&self, reference: &str) -> Result<Module, Refusal> {
        let found = self.modules.find(reference);
        let found = found.or_else(|| self.module_of_application(Digest::parse(reference)?));
        found.ok_or_else(|| {
            let shown: String = reference.chars().take(255).collect();
            let text = format!(
                "no module {shown:?} is kept here; name it by its SHA-256 or as name@version, or bring it with DeployModule"
            );
            Refusal::new(Kind::NotFound, text)
        })
    }

    /// A module that a caller means, as if it had just come once more.
    pub async fn known_module(&self, reference: &str) -> Result<Artifact, Refusal> {
        let module = self.module(reference)?;
        let _held = self.modules.hold(module.digest);
        let artifacts = &self.storage.artifacts;
        Ok(artifacts.again(module.digest, module.bytes).await?)
    }

    fn module_of_application(&self, digest: Digest) -> Option<Module> {
        let slots = self.table.lock();
        let mut deployed = slots.values().filter_map(|slot| slot.deployed());
        let version = deployed.find_map(|it| it.record.version_of(digest))?;
        Some(Module {
            name: ModuleName::parse(&version.spec.name).ok()?,
            version: version.spec.version,
            digest,
            bytes: version.bytes,
            kind: version.kind,
            order: 0,
        })
    }

    /// Knows again what was kept before the node started.
    pub(super) async fn restore_modules(&self) -> Result<(), StorageError> {
        for ((name, version), record) in self.storage.modules.all().await? {
            match serde_json::from_slice::<Module>(&record) {
                Ok(module) => {
                    let mut state = self.modules.state.lock().unwrap();
                    state.kept.insert((name, version), module);
                }
                Err(error) => {
                    let trouble = format!(
                        "the record of module {name}@{version} cannot be read ({error}); bring it again with DeployModule"
                    );
                    log::error!("{trouble}");
                    self.troubles.lock().unwrap().push(trouble);
                }
            }
        }
        Ok(())
    }
}
