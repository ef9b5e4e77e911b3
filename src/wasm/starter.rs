//! From a program to a running actor, the first time and after each fault.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::Store;

use super::command::Command;
use super::host::logging::GuestLog;
use super::host::{Commitments, Guest};
use super::instance::Instance;
use super::program::{Form, Program};
use super::sight::Sight;
use super::slices::Meter;
use super::snapshot::Snapshot;
use super::wasi::World;
use super::{Capabilities, GuestLimits, exchange};
use crate::actor::{Behavior, Fault, Handled, Start, Timers};
use crate::id::ActorId;
use crate::limits;
use crate::message::Envelope;

/// All that is needed to start an actor of a program, again and again.
#[derive(Clone)]
pub struct Starter {
    pub program: Arc<Program>,
    pub actor: ActorId,
    pub limits: GuestLimits,
    pub capabilities: Capabilities,
    /// The guest's environment, by name.
    pub env: Vec<(String, String)>,
    pub birth: Birth,
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

    async fn start(&self) -> Result<Life, Fault> {
        Ok(match &self.program.form {
            Form::Command(_) => Life::Command(Box::new(Command::new(self.clone()))),
            Form::Component(_) | Form::Core(_) => {
                Life::Instance(Box::new(Instance::start(self).await?))
            }
        })
    }
}

impl Behavior for Life {
    async fn handle(&mut self, envelope: Envelope) -> Result<Handled, Fault> {
        match self {
            Self::Instance(instance) => instance.handle(envelope).await,
            Self::Command(command) => Ok(command.run(envelope).await),
        }
    }

    async fn terminate(self) -> Option<Bytes> {
        match self {
            Self::Instance(instance) => instance.terminate().await.encode(),
            Self::Command(_) => None,
        }
    }
}

impl Starter {
    /// Where the guest's lines go.
    pub(super) fn log(&self) -> GuestLog {
        let logs = self.program.services.actors.logs().clone();
        GuestLog::new(self.actor.clone(), logs, self.capabilities)
    }

    /// What the guest may see of the world.
    pub(super) fn sight(&self) -> Sight<'_> {
        Sight {
            actor: &self.actor,
            env: &self.env,
            capabilities: self.capabilities,
        }
    }

    /// What an actor begins with.
    pub(super) fn commitments(&self) -> Commitments {
        let address = self.actor.address().clone();
        Commitments {
            conversation: Default::default(),
            timers: Timers::new(self.program.services.actors.clone(), address),
            holdings: self.program.services.holdings(&self.actor),
        }
    }

    /// A store for one instance, whose calls are metered by `meter`.
    pub(super) fn store(
        &self,
        log: GuestLog,
        world: World,
        commitments: Commitments,
        meter: &Arc<Meter>,
    ) -> Store<Guest> {
        let guest = Guest::new(
            self.actor.clone(),
            self.program.services.clone(),
            log,
            self.limits,
            self.capabilities,
            world,
            commitments,
        );
        let mut store = Store::new(&self.program.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        // Lists from the guest take memory here before anyone looks at them (a million strings over one region).
        let most = exchange::passed_bytes_max(&self.limits).max(limits::GUEST_TRANSFER_BYTES_MIN);
        store.set_hostcall_fuel(most);
        let (slices, meter) = (self.program.slices.clone(), meter.clone());
        store.epoch_deadline_callback(move |_| slices.at_deadline(&meter));
        store.set_epoch_deadline(1);
        store
    }
}
