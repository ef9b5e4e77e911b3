//! One guest in one store, alive from start to trap or shutdown: what an actor is made of.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::{PoolConcurrencyLimitError, Store};

use super::exports::Intent;
use super::host::Guest;
use super::host::logging::GuestLog;
use super::program::{Form, Program};
use super::slices::{Meter, OutOfTime, Slices};
use super::{GuestLimits, component, core_abi, wasi};
use crate::actor::{Behavior, Fault, Handled, Start};
use crate::id::ActorId;
use crate::message::{Envelope, Failure};

/// All that is needed to start an actor of a program, again and again.
pub struct Starter {
    pub program: Arc<Program>,
    pub actor: ActorId,
    pub limits: GuestLimits,
    /// The guest's environment, by name.
    pub env: Vec<(String, String)>,
    /// What `init` gets.
    pub initial_state: Bytes,
}

/// A running guest. After a trap its store is dropped with it: nothing of it is used again.
pub struct Instance {
    store: Store<Guest>,
    functions: Functions,
    meter: Arc<Meter>,
    slices: Slices,
}

enum Functions {
    Component(Box<component::Bound>),
    Core(Box<core_abi::Bound>),
}

impl Start for Starter {
    type Behavior = Instance;

    async fn start(&self) -> Result<Instance, Fault> {
        let mut store = self.store();
        let slices = self.program.slices.clone();
        let meter = Arc::new(Meter::default());
        let (deadline_slices, deadline_meter) = (slices.clone(), meter.clone());
        store.epoch_deadline_callback(move |_| deadline_slices.at_deadline(&deadline_meter));
        let starting = async {
            let mut functions = match &self.program.form {
                Form::Component(linked) => {
                    Functions::Component(Box::new(linked.start(&mut store).await?))
                }
                Form::Core(linked) => Functions::Core(Box::new(linked.start(&mut store).await?)),
            };
            let state = self.initial_state.clone();
            let init = match &mut functions {
                Functions::Component(bound) => bound.init(&mut store, state).await?,
                Functions::Core(bound) => bound.init(&mut store, state).await?,
            };
            Ok((functions, init))
        };
        let started = slices
            .run(&meter, self.limits.execution_time_max, starting)
            .await;
        match started {
            Ok((functions, Ok(()))) => Ok(Instance {
                store,
                functions,
                meter,
                slices,
            }),
            Ok((_, Err(text))) => Err(Fault::Broken(format!("init failed: {text}"))),
            Err(error) => Err(fault("starting", &store, &error)),
        }
    }
}

impl Starter {
    fn store(&self) -> Store<Guest> {
        let log = GuestLog::new(self.actor.clone());
        let world = wasi::world(&self.env, &log);
        let guest = Guest::new(
            self.actor.clone(),
            self.program.actors.clone(),
            log,
            self.limits,
            world,
        );
        let mut store = Store::new(&self.program.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        // Lists from the guest take memory here before anyone looks at them (a million strings over one region).
        store.set_hostcall_fuel(self.limits.message_bytes_max.saturating_mul(2));
        store.set_epoch_deadline(1);
        store
    }
}

impl Behavior for Instance {
    async fn handle(&mut self, envelope: Envelope) -> Result<Handled, Fault> {
        let Envelope { message, reply } = envelope;
        let intent = if reply.is_some() {
            Intent::Ask
        } else {
            Intent::Tell
        };
        let guest = self.store.data_mut();
        guest.asker = reply;
        guest.log.take_stderr_tail();
        let allowed = guest.limits.execution_time_max;
        let call = async {
            match &mut self.functions {
                Functions::Component(bound) => {
                    bound.handle(&mut self.store, intent, &message).await
                }
                Functions::Core(bound) => bound.handle(&mut self.store, intent, &message).await,
            }
        };
        let (answer, fault) = match self.slices.run(&self.meter, allowed, call).await {
            Some(Ok(Ok(payload))) => (self.checked(payload), None),
            Some(Ok(Err(text))) => (Err(Failure::Refused(text)), None),
            Some(Err(error)) => {
                let fault = fault("handling a message", &self.store, &error);
                (Err(Failure::Trapped(fault.to_string())), Some(fault))
            }
            None => (
                Err(Failure::Unhandled(self.no_handler(&message.message_type))),
                None,
            ),
        };
        let handled = answer.as_ref().map_or(Handled::Badly, |_| Handled::Well);
        match (self.store.data_mut().asker.take(), &answer) {
            (Some(asker), _) => asker.send(answer),
            (None, Err(failure)) if fault.is_none() => {
                log::warn!(
                    "{} failed a message from {}: {failure}",
                    self.actor(),
                    message.from
                );
            }
            (None, _) => {}
        }
        fault.map_or(Ok(handled), Err)
    }

    /// Asks for the state while there is still someone to ask, then says goodbye.
    async fn terminate(mut self) {
        let allowed = self.store.data().limits.execution_time_max;
        let (store, functions) = (&mut self.store, &self.functions);
        let actor = store.data().actor.clone();
        let last_words = async {
            let snapshot = match functions {
                Functions::Component(bound) => bound.snapshot(store).await,
                Functions::Core(bound) => bound.snapshot(store).await,
            };
            match snapshot.transpose()? {
                Some(Ok(state)) => log::info!("{actor} left a snapshot of {} bytes", state.len()),
                Some(Err(text)) => log::warn!("{actor} has no snapshot: {text}"),
                None => {}
            }
            match functions {
                Functions::Component(bound) => bound.shutdown(store).await,
                Functions::Core(bound) => bound.shutdown(store).await,
            }
        };
        match self.slices.run(&self.meter, allowed, last_words).await {
            Ok(Ok(())) => {}
            Ok(Err(text)) => log::warn!("{actor} ended with an error: {text}"),
            Err(error) => drop(fault("stopping", &self.store, &error)),
        }
    }
}

impl Instance {
    fn actor(&self) -> &ActorId {
        &self.store.data().actor
    }

    fn checked(&self, payload: Bytes) -> Result<Bytes, Failure> {
        let max = self.store.data().limits.message_bytes_max;
        if payload.len() > max {
            let text = format!(
                "the reply has {} bytes, this actor's limit is {max}",
                payload.len()
            );
            return Err(Failure::Refused(text));
        }
        Ok(payload)
    }

    fn no_handler(&self, message_type: &str) -> String {
        format!(
            "{} has no handler for messages of type {message_type:?}",
            self.actor()
        )
    }
}

/// A call that broke the guest: the backtrace goes to the log, one clear text to whoever waits.
fn fault(doing: &str, store: &Store<Guest>, error: &wasmtime::Error) -> Fault {
    let guest = store.data();
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::NoRoom(format!(
            "no free slot for another actor on this node: {error}"
        ));
    }
    let cause = match error.downcast_ref::<OutOfTime>() {
        Some(out_of_time) => out_of_time.to_string(),
        None => error.root_cause().to_string(),
    };
    let tail = guest.log.take_stderr_tail();
    log::error!("{} trapped while {doing}: {error:#}", guest.actor);
    match tail.trim_end() {
        "" => Fault::Broken(cause),
        tail => Fault::Broken(format!(
            "{cause}; its last words on standard error: {}",
            tail.replace('\n', " | ")
        )),
    }
}
