//! Another version of what is deployed: an upgrade, or the way back. Whatever fails, the old one goes on.

use std::sync::Arc;

use bytes::Bytes;
use log::Level;

use super::Applications;
use super::activation::{Binary, Prepared};
use super::record::{Record, Version};
use super::spec::{ApplicationType, Spec};
use super::table::{Change, Slot, State, Ticket};
use crate::actor::{Ready, Renew, TreeSpec, UpgradeError};
use crate::id::ChildId;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::Left;
use crate::wasm::Starter;

impl Applications {
    /// Goes back to the version before; from there the same leads forward again.
    pub async fn rollback(&self, name: &str) -> Result<(), Refusal> {
        let (change, previous) = self.table.claim_previous(name)?;
        let (name, version) = (change.name.clone(), previous.spec.version.clone());
        let module = self.kept(previous.digest, previous.bytes);
        self.upgrade(previous.spec, module, previous.own_tree, change)
            .await?;
        self.says(
            &name,
            Level::Info,
            &format!("rolled back to version {version}"),
        );
        Ok(())
    }

    /// Puts another version in the place of the one under this name.
    pub(super) async fn upgrade(
        &self,
        spec: Spec,
        module: Binary,
        known_tree: Option<TreeSpec>,
        change: Change,
    ) -> Result<(), Refusal> {
        let old = self.record_of(&change)?;
        stays_in_its_place(&spec, &old.spec)?;
        self.needs(&spec)?;
        let prepared = self.prepare(&spec, &module, known_tree).await?;
        let prepared = Arc::new(prepared);
        let version = prepared.version(&module, self.actors.clock().wall());
        let changed = spec.changed_from(&old.spec);
        let workflows = &self.wasm.services().workflows;
        workflows.pause(&change.name, limits::RUN_PAUSE_MAX).await;
        let upgraded = self
            .put_in_place(&change, &prepared, old, version, module)
            .await;
        let told = match &upgraded {
            Err(refusal) => Some((Level::Error, format!("is not taken: {}", refusal.message))),
            Ok(()) if changed.is_empty() => None,
            Ok(()) => Some((Level::Info, format!("changes {}", changed.join(", ")))),
        };
        if let Some((level, text)) = told {
            let text = format!("version {} {text}", spec.version);
            self.says(&change.name, level, &text);
        }
        upgraded
    }

    async fn put_in_place(
        &self,
        change: &Change,
        prepared: &Arc<Prepared>,
        old: Record,
        version: Version,
        module: Binary,
    ) -> Result<(), Refusal> {
        match self.beside(change, prepared) {
            Some(starting) => {
                let swapping = async {
                    let ready = starting.await.map_err(|error| refusal(prepared, error))?;
                    self.swap(change, prepared, old, version, module, ready)
                        .await
                };
                let swapped = swapping.await;
                self.perform_again(&change.name);
                swapped
            }
            None => {
                let taken_over = self.take_over(change, prepared, old, version, module);
                let taken_over = taken_over.await;
                if taken_over.is_err() {
                    self.perform_again(&change.name);
                }
                taken_over
            }
        }
    }

    /// Refuses, before anything is done, a version that cannot take the place of the one under this name.
    pub(super) fn may_replace(&self, spec: &Spec, change: &Change) -> Result<(), Refusal> {
        stays_in_its_place(spec, &self.record_of(change)?.spec)
    }

    fn record_of(&self, change: &Change) -> Result<Record, Refusal> {
        let record = self.table.change(&change.name, |it| it.record.clone());
        record.ok_or_else(|| super::called_off(&change.name))
    }

    /// Starts a version beside the one that runs. `None` where none does.
    fn beside(
        &self,
        change: &Change,
        prepared: &Arc<Prepared>,
    ) -> Option<impl Future<Output = Result<Ready, UpgradeError>> + Send + use<>> {
        let new = prepared.clone();
        let renew: Renew<Starter> =
            Box::new(move |id: &ChildId, left: Option<Bytes>, old| match old {
                Some(old) => new.successor(old, left),
                None => new.seed(id, left),
            });
        let slots = self.table.lock();
        let deployed = slots.get(&change.name).and_then(Slot::deployed)?;
        let State::Running(running) = &deployed.state else {
            return None;
        };
        let runs = deployed.reason().is_none() && prepared.is_active();
        let tree = running.active.tree.as_ref().filter(|_| runs)?;
        Some(tree.prepare(prepared.tree(), prepared.bounds(), renew))
    }

    async fn swap(
        &self,
        change: &Change,
        prepared: &Prepared,
        old: Record,
        version: Version,
        module: Binary,
        ready: Ready,
    ) -> Result<(), Refusal> {
        let record = old.at(version, Some(old.version()), true);
        self.keep_version(&record, module, ready.left.clone())
            .await?;
        // Known before it runs: it may fail at once.
        self.table.change(&change.name, |deployed| {
            deployed.becomes(record);
            if let State::Running(running) = &mut deployed.state {
                running.active.program = prepared.program.clone();
                let tree = running.active.tree.as_ref();
                running.active.stage = tree.map(|tree| Box::new(prepared.stage(tree)));
                running.probation = Some(self.probation_of(&change.name));
            }
        });
        ready.commit().await;
        self.forget_older(&old).await;
        Ok(())
    }

    /// Starts a version in the place of one that does not run: it was stopped, has failed, or runs no actors.
    async fn take_over(
        &self,
        change: &Change,
        prepared: &Prepared,
        old: Record,
        version: Version,
        module: Binary,
    ) -> Result<(), Refusal> {
        let ticket = Ticket::default();
        let before = self.table.change(&change.name, |deployed| {
            let starting = State::Starting(ticket.clone());
            std::mem::replace(&mut deployed.state, starting)
        });
        let before = before.ok_or_else(|| super::called_off(&change.name))?;
        let on_trial = !matches!(before, State::Failed(_));
        let record = old.at(version, Some(old.version()), on_trial);
        match self.begin_anew(prepared, &record, module).await {
            Ok(active) => {
                self.table.change(&change.name, |deployed| {
                    deployed.state = State::Running(self.running(&record, active));
                    deployed.becomes(record);
                });
                drop(before);
                self.forget_older(&old).await;
                Ok(())
            }
            Err(refusal) => {
                self.table.change(&change.name, |deployed| {
                    self.stands_still_again(&change.name, deployed, before);
                });
                Err(refusal)
            }
        }
    }

    async fn begin_anew(
        &self,
        prepared: &Prepared,
        record: &Record,
        module: Binary,
    ) -> Result<super::activation::Active, Refusal> {
        let name = record.spec.name.to_string();
        let left = self.storage.deployments.all_left(name).await?;
        let active = self.bring_up(prepared, &left).await?;
        match self.keep_version(record, module, left).await {
            Ok(()) => Ok(active),
            Err(refusal) => {
                self.take_down(active).await;
                Err(refusal)
            }
        }
    }

    async fn keep_version(
        &self,
        record: &Record,
        module: Binary,
        left: Vec<Left>,
    ) -> Result<(), Refusal> {
        if let Some(artifact) = module.artifact {
            self.storage.artifacts.keep(artifact).await?;
        }
        let name = record.spec.name.to_string();
        let deployments = &self.storage.deployments;
        Ok(deployments.put_upgrade(name, record.encode(), left).await?)
    }

    /// Of three versions the oldest goes.
    async fn forget_older(&self, old: &Record) {
        if let Some(older) = &old.previous {
            self.forget_unused(older.digest).await;
        }
    }
}

/// Most who would move an application have forgotten its config.
fn stays_in_its_place(new: &Spec, old: &Spec) -> Result<(), Refusal> {
    if (&new.tenant, &new.namespace) == (&old.tenant, &old.namespace) {
        return Ok(());
    }
    let place = |spec: &Spec| format!("tenant {}, namespace {}", spec.tenant, spec.namespace);
    let text = format!(
        "application {name} is in {}, and this deploy says {}: an upgrade moves nobody, so say the same tenant and \
         namespace in its config (--config FILE, or the form's field config); to move it, undeploy it first, which \
         forgets what its actors left",
        place(old),
        place(new),
        name = old.name,
    );
    Err(Refusal::new(Kind::FailedPrecondition, text))
}

impl Prepared {
    fn is_active(&self) -> bool {
        self.spec().kind == ApplicationType::Active
    }
}

fn refusal(prepared: &Prepared, error: UpgradeError) -> Refusal {
    let kind = match &error {
        UpgradeError::NotStarted(error) => return prepared.refusal(error.clone()),
        UpgradeError::Late(_) => Kind::FailedPrecondition,
        UpgradeError::NoSnapshot { .. } | UpgradeError::Broke { .. } => Kind::Unprocessable,
        UpgradeError::Disturbed => Kind::Unavailable,
    };
    let name = &prepared.spec().name;
    let next = match &error {
        UpgradeError::Late(_) => format!(
            "; try again when it has: GET /api/v1/applications/{name} shows whether it is busy"
        ),
        UpgradeError::Broke { .. } => format!(
            "; to upgrade without its state, `plexspaces application stop {name}`, then deploy"
        ),
        _ => String::new(),
    };
    Refusal::new(
        kind,
        format!("not upgraded, the old version goes on: {error}{next}"),
    )
}
