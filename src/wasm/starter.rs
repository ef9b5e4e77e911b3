//! From a program to a running actor, the first time and after each fault.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use wasmtime::Store;

use super::command::Command;
use super::host::logging::GuestLog;
use super::host::{Commitments, Guest};
use super::instance::Instance;
use super::program::{Form, Program};
use super::sight::Sight;
use super::slices::{Meter, Pace, SLICE_BEATS};
use super::snapshot::Snapshot;
use super::wasi::World;
use super::{Capabilities, GuestLimits, exchange};
use crate::actor::{Behavior, Bounds, Fault, Handled, Place, Start, Timers, Unsnapped};
use crate::id::{ActorId, ApplicationName, ChildId};
use crate::limits;
use crate::message::Envelope;
use crate::services::workflows::Run;

/// All that is needed to start an actor of a program, again and again. Cloning is cheap.
#[derive(Clone)]
pub struct Starter {
    pub program: Arc<Program>,
    pub birth: Birth,
    /// Its first life is to begin without the journal of whoever had its name before.
    pub afresh: Arc<AtomicBool>,
    /// The run of a workflow that it carries out, where it does.
    pub run: Option<Arc<Run>>,
    pub setting: Arc<Setting>,
}

/// What an actor of a type is made of.
pub(super) struct Breed {
    pub program: Arc<Program>,
    /// What `init` gets where the caller gives nothing.
    pub birth: Bytes,
    pub actor_type: Option<ChildId>,
    pub stem: ChildId,
}

/// What all actors of one version of an application have in common.
pub struct Setting {
    pub application: ApplicationName,
    pub limits: GuestLimits,
    pub capabilities: Capabilities,
    /// The guest's environment, by name.
    pub env: Vec<(String, String)>,
    pub bounds: Bounds,
    /// The application's own module.
    pub module: Arc<Program>,
    /// The modules of the libraries it depends on, by name.
    pub libraries: BTreeMap<ApplicationName, Arc<Program>>,
    /// What `init` gets in each worker of its tree, by the worker's id.
    pub births: BTreeMap<ChildId, Bytes>,
}

impl Setting {
    /// What is started by this name: the application's own module, a worker of its tree, or a library.
    pub(super) fn breed(&self, name: &str) -> Option<Breed> {
        if name == &*self.application {
            return Some(Breed {
                program: self.module.clone(),
                birth: self.births.get(name).cloned().unwrap_or_default(),
                actor_type: None,
                stem: ChildId::of_application(&self.application),
            });
        }
        if let Some((id, birth)) = self.births.get_key_value(name) {
            return Some(Breed {
                program: self.module.clone(),
                birth: birth.clone(),
                actor_type: Some(id.clone()),
                stem: id.clone(),
            });
        }
        let (name, program) = self.libraries.get_key_value(name)?;
        let stem = ChildId::of_application(name);
        Some(Breed {
            program: program.clone(),
            birth: Bytes::new(),
            actor_type: Some(stem.clone()),
            stem,
        })
    }
}

/// What `init` gets, after a fault again.
#[derive(Clone)]
pub enum Birth {
    /// The deploy's initial state; empty where it brought none.
    New(Bytes),
    /// What an earlier life of the actor left.
    Resumed(Snapshot),
}

/// A running guest, of either way of living.
pub enum Life {
    /// One instance for all messages.
    Instance(Box<Instance>),
    /// One instance for each.
    Command(Box<Command>),
}

impl Start for Starter {
    type Behavior = Life;

    async fn start(&self, place: &Place<Self>) -> Result<Life, Fault> {
        Ok(match &self.program.form {
            Form::Command(_) => Life::Command(Box::new(Command::new(self.clone(), place.clone()))),
            Form::Component(_) | Form::Core(_) => {
                Life::Instance(Box::new(Instance::start(self, place).await?))
            }
        })
    }

    fn resume(&mut self, left: Bytes) {
        if let Some(snapshot) = Snapshot::decode(left) {
            self.birth = Birth::Resumed(snapshot);
        }
    }
}

impl Behavior for Life {
    type Estate = Commitments;

    fn begins(&self) {
        if let Self::Instance(instance) = self {
            instance.shows_memory();
        }
    }

    /// The work is in memory of its own, which the next message of whichever actor uses again: an actor at rest keeps
    /// none of it.
    fn handle(
        &mut self,
        envelope: Envelope,
    ) -> impl Future<Output = Result<Handled, Fault>> + Send {
        let work: Pin<Box<dyn Future<Output = _> + Send + '_>> = match self {
            Self::Instance(instance) => Box::pin(instance.handle(envelope)),
            Self::Command(command) => Box::pin(async { Ok(command.run(envelope).await) }),
        };
        work
    }

    async fn snapshot(&mut self) -> Result<Option<Bytes>, Unsnapped> {
        match self {
            Self::Instance(instance) => Ok(instance.snapshot().await?.encode()),
            Self::Command(_) => Ok(None),
        }
    }

    async fn terminate(self) {
        if let Self::Instance(instance) = self {
            instance.terminate().await;
        }
    }

    fn traps_exits(&self) -> bool {
        match self {
            Self::Instance(instance) => instance.hears_notices(),
            Self::Command(_) => true,
        }
    }

    fn bequeath(self) -> Commitments {
        match self {
            Self::Instance(instance) => instance.into_commitments(),
            Self::Command(command) => command.into_commitments(),
        }
    }

    fn inherit(&mut self, estate: Commitments) {
        match self {
            Self::Instance(instance) => instance.inherit(estate),
            Self::Command(command) => command.inherit(estate),
        }
    }
}

impl Starter {
    /// The tree that the module wants, as it says it, if it says one. Asked of an instance that is used for nothing else.
    pub async fn tree(&self, actor: ActorId) -> Result<Option<Bytes>, Fault> {
        match self.program.has_tree() {
            true => Instance::tree(self, &Place::outside(actor)).await.map(Some),
            false => Ok(None),
        }
    }

    /// Where the guest's lines go.
    pub(super) fn log(&self, actor: &ActorId) -> GuestLog {
        let logs = self.program.services.actors.logs().clone();
        GuestLog::new(actor.clone(), logs, self.setting.capabilities)
    }

    /// What the guest may see of the world.
    pub(super) fn sight<'a>(&'a self, actor: &'a ActorId) -> Sight<'a> {
        Sight {
            actor,
            env: &self.setting.env,
            capabilities: self.setting.capabilities,
        }
    }

    /// What an actor begins with.
    pub(super) fn commitments(&self, place: &Place<Self>) -> Commitments {
        let (services, address) = (&self.program.services, place.actor.address().clone());
        Commitments {
            conversation: Default::default(),
            timers: Timers::new(services.actors.clone(), address, place.timers.clone()),
            holdings: services.holdings(&place.actor),
        }
    }

    /// What the calls of one guest, measured by `meter`, are driven with.
    pub(super) fn pace(&self, meter: &Arc<Meter>) -> Pace {
        let allowed = self.setting.limits.execution_time_max;
        self.program.slices.pace(meter, allowed)
    }

    /// A store for one instance, whose calls are metered by `meter`.
    pub(super) fn store(
        &self,
        place: &Place<Self>,
        log: GuestLog,
        world: Option<Box<World>>,
        commitments: Commitments,
        meter: &Arc<Meter>,
    ) -> Store<Guest> {
        let guest = Guest::new(self.clone(), place.clone(), log, world, commitments);
        let mut store = Store::new(&self.program.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        // Lists from the guest take memory here before anyone looks at them (a million strings over one region).
        let most =
            exchange::passed_bytes_max(&self.setting.limits).max(limits::GUEST_TRANSFER_BYTES_MIN);
        store.set_hostcall_fuel(most);
        let (slices, meter) = (self.program.slices.clone(), meter.clone());
        store.epoch_deadline_callback(move |_| slices.at_deadline(&meter));
        store.set_epoch_deadline(SLICE_BEATS);
        store
    }
}
