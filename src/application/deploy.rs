//! A deploy, its rehearsal, and the undeploy.

use std::time::Duration;

use log::Level;
use tokio::sync::oneshot;

use super::activation::{Active, Binary, Prepared};
use super::overview::Status;
use super::record::{Desired, Record, Version};
use super::spec::Spec;
use super::table::{Claim, Deployed, Reservation, Running, Slot, State, Table};
use super::{Applications, called_off};
use crate::actor::Farewell;
use crate::id::{ApplicationId, ApplicationName};
use crate::limits;
use crate::metrics::Code;
use crate::refusal::{Kind, Refusal};
use crate::storage::Artifact;

impl Applications {
    /// Deploys an uploaded module under its spec's name. The same version, module and spec again changes nothing; what
    /// runs under the name is upgraded to anything else.
    pub async fn deploy(&self, spec: Spec, artifact: Artifact) -> Result<Status, Refusal> {
        self.deploy_as(Course::Upgrade, spec, artifact).await
    }

    /// The same under a name that nothing else has.
    pub(super) async fn deploy_as(
        &self,
        course: Course,
        spec: Spec,
        artifact: Artifact,
    ) -> Result<Status, Refusal> {
        let deployed = self.claim_and_deploy(course, spec, artifact.into()).await;
        let metrics = self.actors.metrics();
        metrics.deploys.count(Code::of(&deployed));
        deployed
    }

    async fn claim_and_deploy(
        &self,
        course: Course,
        spec: Spec,
        module: Binary,
    ) -> Result<Status, Refusal> {
        let digest = module.digest;
        let (name, version) = (spec.name.clone(), spec.version.clone());
        let deployed = match self.table.claim(&spec, digest)? {
            Claim::Same => return Ok(Status::Running),
            Claim::New(reservation) => self.deploy_new(&spec, module, reservation).await,
            Claim::Another(change) if course == Course::Upgrade => {
                self.upgrade(spec, module, None, change).await
            }
            Claim::Another(_) => {
                let text = format!("application {name} is there already; choose another name");
                return Err(Refusal::new(Kind::AlreadyExists, text));
            }
        };
        match deployed {
            Ok(()) => {
                let text = format!("version {version} is running");
                self.says(&name, Level::Info, &text);
                Ok(Status::Running)
            }
            Err(refusal) => {
                self.forget_unused(digest).await;
                Err(refusal)
            }
        }
    }

    async fn deploy_new(
        &self,
        spec: &Spec,
        module: Binary,
        reservation: Reservation,
    ) -> Result<(), Refusal> {
        let name = &spec.name;
        let workflows = &self.wasm.services().workflows;
        // Nobody's that was called so before.
        self.storage.journals.forget(name).await?;
        workflows.forget(name).await?;
        let arrival = workflows.expect(name);
        match self.activate_and_keep(spec, module, &reservation).await {
            Ok((record, active)) => {
                reservation.fill(Deployed {
                    state: State::Running(self.running(&record, active)),
                    record,
                    backoff: Default::default(),
                    changing: None,
                    undone: None,
                });
                Ok(())
            }
            Err(refusal) => {
                // From here on no run begins.
                drop(arrival);
                self.forget_what_it_began(name).await;
                self.storage.logs.remove(name).await;
                Err(refusal)
            }
        }
    }

    async fn activate_and_keep(
        &self,
        spec: &Spec,
        module: Binary,
        reservation: &Reservation,
    ) -> Result<(Record, Active), Refusal> {
        let activating = self.activate(spec, &module);
        let activated = reservation.ticket.unless_revoked(activating).await;
        let (version, active) = activated.unwrap_or_else(|| Err(called_off(&spec.name)))?;
        let kept = match reservation.is_final() {
            true => self.keep(version, module).await,
            false => Err(called_off(&spec.name)),
        };
        match kept {
            Ok(record) => Ok((record, active)),
            Err(refusal) => {
                self.take_down(active).await;
                Err(refusal)
            }
        }
    }

    /// The rows that actors made which are gone, of an application without a record.
    async fn forget_what_it_began(&self, name: &ApplicationName) {
        if let Err(error) = self.wasm.services().workflows.forget(name).await {
            log::warn!("workflows of application {name} stay until the node starts again: {error}");
        }
        if let Err(error) = self.storage.journals.forget(name).await {
            log::warn!("journals of application {name} stay until the node starts again: {error}");
        }
    }

    /// Starts what was just uploaded.
    async fn activate(&self, spec: &Spec, module: &Binary) -> Result<(Version, Active), Refusal> {
        self.needs(spec)?;
        let prepared = self.prepare(spec, module, None).await?;
        let version = prepared.version(module, self.actors.clock().wall());
        let active = self.bring_up(&prepared, &[]).await?;
        Ok((version, active))
    }

    pub(super) async fn take_down(&self, active: Active) {
        if let Some(tree) = active.tree {
            let by = self.actors.clock().now() + limits::SHUTDOWN_GRACE;
            tree.stop(by, Farewell::Plain).await;
        }
    }

    /// Keeps the module, then the record that refers to it.
    async fn keep(&self, version: Version, module: Binary) -> Result<Record, Refusal> {
        let record = Record {
            spec: version.spec,
            digest: version.digest,
            bytes: version.bytes,
            kind: version.kind,
            deployed_at: version.deployed_at,
            order: self.table.next_order(),
            desired: Desired::Running,
            own_tree: version.own_tree,
            previous: None,
            on_probation: false,
        };
        if let Some(artifact) = module.artifact {
            self.storage.artifacts.keep(artifact).await?;
        }
        let (name, bytes) = (record.spec.name.to_string(), record.encode());
        self.storage.deployments.put(name, bytes).await?;
        Ok(record)
    }

    /// Does everything that a deploy does but start and keep the application: what it refuses, a deploy would refuse.
    pub async fn rehearse(&self, spec: Spec, artifact: Artifact) -> Result<Status, Refusal> {
        let digest = artifact.digest;
        let claim = self.table.claim(&spec, digest)?;
        let module = Binary::from(artifact);
        let preparing = async {
            self.needs(&spec)?;
            self.prepare(&spec, &module, None).await
        };
        let prepared: Result<Prepared, Refusal> = match &claim {
            Claim::Same => return Ok(Status::Running),
            Claim::New(reservation) => {
                let prepared = reservation.ticket.unless_revoked(preparing).await;
                prepared.unwrap_or_else(|| Err(called_off(&spec.name)))
            }
            Claim::Another(change) => match self.may_replace(&spec, change) {
                Ok(()) => preparing.await,
                Err(refusal) => Err(refusal),
            },
        };
        match prepared {
            Ok(_) => Ok(Status::Unspecified),
            Err(refusal) => {
                drop(claim);
                self.forget_unused(digest).await;
                Err(refusal)
            }
        }
    }

    /// Removes an application and what it brought, after `grace` for its actors. Answers with its id. One that is
    /// still being deployed is called off, and what it has begun is undone before this answers.
    pub async fn undeploy(&self, name: &str, grace: Duration) -> Result<ApplicationId, Refusal> {
        let undeployed = self.take_and_remove(name, grace).await;
        let metrics = self.actors.metrics();
        metrics.undeploys.count(Code::of(&undeployed));
        undeployed
    }

    async fn take_and_remove(&self, name: &str, grace: Duration) -> Result<ApplicationId, Refusal> {
        let (name, taken) = self.take(name)?;
        let deployed = match taken {
            Taken::CalledOff(id, ended) => {
                // Nobody sends: it ends with its owner.
                let _ = ended.await;
                return Ok(id);
            }
            Taken::Deployed(deployed) => deployed,
        };
        let (id, digests) = (
            deployed.record.spec.application_id.clone(),
            deployed.record.digests(),
        );
        // Off the disk first: what was acknowledged must not come back, and what fails here goes on as it was.
        if let Err(error) = self.storage.deployments.remove(name.to_string()).await {
            self.put_back(&name, deployed);
            return Err(error.into());
        }
        // From here on no run begins. Those at work end at once: there is nothing left for them to go on with.
        if let Err(error) = self.wasm.services().workflows.forget(&name).await {
            log::warn!("workflows of application {name} stay until the node starts again: {error}");
        }
        if let State::Running(Running { active, .. }) = deployed.state
            && let Some(tree) = active.tree
        {
            let by = self.actors.clock().now() + grace;
            tree.stop(by, Farewell::Plain).await;
        }
        // What its actors persisted while they were being stopped.
        if let Err(error) = self.storage.journals.forget(&name).await {
            log::warn!("journals of application {name} stay until the node starts again: {error}");
        }
        self.table.lock().remove(&name);
        for digest in digests {
            if !self.is_used(digest) {
                self.storage.artifacts.remove(digest).await;
            }
        }
        self.storage.logs.remove(&name).await;
        log::info!("application {name} is undeployed");
        Ok(id)
    }

    fn take(&self, name: &str) -> Result<(ApplicationName, Taken), Refusal> {
        let mut slots = self.table.lock();
        let (name, slot) = Table::find(&mut slots, name)?;
        match slot {
            Slot::Deploying {
                ticket: Some(ticket),
                ..
            } => {
                ticket.revoke();
                let leaving = slot.leaving();
                let Slot::Deploying { id, ended, .. } = std::mem::replace(slot, leaving) else {
                    unreachable!("it was just matched")
                };
                Ok((name, Taken::CalledOff(id, ended)))
            }
            Slot::Deployed(deployed)
                if !matches!(deployed.state, State::Stopping) && deployed.changing.is_none() =>
            {
                drop(slots);
                self.is_not_needed(&name)?;
                self.take_deployed(name)
            }
            busy => Err(busy.refuses(&name)),
        }
    }

    fn take_deployed(&self, name: ApplicationName) -> Result<(ApplicationName, Taken), Refusal> {
        let mut slots = self.table.lock();
        let (name, slot) = Table::find(&mut slots, &name)?;
        if !matches!(slot, Slot::Deployed(_)) {
            return Err(slot.refuses(&name));
        }
        let leaving = slot.leaving();
        let Slot::Deployed(deployed) = std::mem::replace(slot, leaving) else {
            unreachable!("it was just matched")
        };
        if let State::Starting(ticket) = &deployed.state {
            ticket.revoke();
        }
        Ok((name, Taken::Deployed(deployed)))
    }

    fn put_back(&self, name: &ApplicationName, mut deployed: Box<Deployed>) {
        if let State::Starting(_) = deployed.state {
            self.fail(name, &mut deployed, "its start was called off".into());
        }
        let slot = Slot::Deployed(deployed);
        self.table.lock().insert(name.clone(), slot);
    }
}

/// What becomes of another version under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Upgrade,
    Refuse,
}

/// What an undeploy found.
enum Taken {
    /// A deploy that had not ended; it has once nobody can send any more.
    CalledOff(ApplicationId, oneshot::Receiver<()>),
    Deployed(Box<Deployed>),
}
