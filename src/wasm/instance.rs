//! One guest in one store, alive from start to trap or shutdown: what most actors are made of.

use std::sync::Arc;

use bytes::Bytes;
use log::Level;
use wasmtime::Store;

use super::called::{Arguments, Called, GuestError};
use super::exports::{Handler, Hook, Intent};
use super::fault::fault;
use super::host::Guest;
use super::program::Form;
use super::slices::{Meter, Slices};
use super::snapshot::Snapshot;
use super::starter::{Birth, Starter};
use super::wasi::World;
use super::{component, core_abi};
use crate::actor::{Fault, Handled};
use crate::id::ActorId;
use crate::message::{Envelope, Failure, Message, Nature};

/// A running guest. After a trap its store is dropped with it: nothing of it is used again.
pub struct Instance {
    store: Store<Guest>,
    functions: Functions,
    /// What the node keeps for a guest whose only handler is a transition.
    state: Arc<str>,
    meter: Arc<Meter>,
    slices: Slices,
}

impl Instance {
    /// Instantiates, then calls `init` and `post-init`; an error of either is a fault.
    pub async fn start(starter: &Starter) -> Result<Self, Fault> {
        let log = starter.log();
        let world = World::of_actor(&starter.sight(), &log);
        let meter = Arc::new(Meter::default());
        let mut store = starter.store(log, world, starter.commitments(), &meter);
        let slices = starter.program.slices.clone();
        let starting = begin(&mut store, starter);
        let started = slices
            .run(&meter, starter.limits.execution_time_max, starting)
            .await;
        store.data().world.flush();
        match started {
            Ok(Ok((functions, state))) => Ok(Self {
                store,
                functions,
                state,
                meter,
                slices,
            }),
            Ok(Err(text)) => Err(Fault::Broken(text)),
            Err(error) => Err(fault("starting", &store, &error)),
        }
    }

    /// Handles one message and answers it, unless the guest has done so or will later.
    pub async fn handle(&mut self, envelope: Envelope) -> Result<Handled, Fault> {
        let intent = intent_of(&envelope);
        let guest = self.store.data_mut();
        guest.log.take_stderr_tail();
        let message = guest.conversation.begin(envelope).clone();
        let (slices, meter) = (self.slices.clone(), self.meter.clone());
        let allowed = guest.limits.execution_time_max;
        let called = slices.run(&meter, allowed, self.pass(intent, &message));
        let (answer, fault) = match called.await {
            Some(Ok(Ok(payload))) => (self.checked(payload), None),
            Some(Ok(Err(GuestError::Failed(text)))) => (Err(Failure::Refused(text)), None),
            Some(Ok(Err(GuestError::NotImplemented(text)))) => {
                (Err(Failure::NotImplemented(text)), None)
            }
            Some(Err(error)) => match fault("handling a message", &self.store, &error) {
                // The guest was not even entered, so it is as whole as before.
                Fault::NoRoom(text) => (Err(Failure::NoRoom(text)), None),
                Fault::Broken(text) => {
                    let failure = Failure::Trapped(text.clone());
                    (Err(failure), Some(Fault::Broken(text)))
                }
            },
            None => (
                Err(Failure::Unhandled(self.no_handler(&message.message_type))),
                None,
            ),
        };
        if fault.is_none() {
            self.store.data().world.flush();
        }
        let handled = answer.as_ref().map_or(Handled::Badly, |_| Handled::Well);
        let conversation = &mut self.store.data_mut().conversation;
        let asker = match fault {
            Some(_) => conversation.broken(),
            None => conversation.end(),
        };
        match (asker, &answer) {
            (Some(asker), _) => asker.send(answer),
            (None, Err(failure)) if fault.is_none() => {
                let actor = self.actor();
                log::warn!("{actor} failed a message from {}: {failure}", message.from);
                let text = format!("failed a message from {}: {failure}", message.from);
                self.store.data().log.keep(Level::Warn, &text);
            }
            (None, _) => {}
        }
        fault.map_or(Ok(handled), Err)
    }

    /// Asks for the state while there is still someone to ask, then says goodbye.
    pub async fn terminate(mut self) -> Snapshot {
        let allowed = self.store.data().limits.execution_time_max;
        let (slices, meter) = (self.slices.clone(), self.meter.clone());
        let mut left = Snapshot::default();
        let ended = slices
            .run(&meter, allowed, self.last_words(&mut left))
            .await;
        self.store.data().world.flush();
        let actor = self.actor();
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("{actor} ended with an error: {}", error.into_text()),
            Err(error) => drop(fault("stopping", &self.store, &error)),
        }
        left
    }

    /// Tries the handlers in their order until one does not pass the message over. `None` where there is none.
    async fn pass(&mut self, intent: Intent, message: &Message) -> Option<Called<Bytes>> {
        let mut passed_over = None;
        for handler in self.functions.route(intent, &message.message_type) {
            let called = self.call(handler, message).await;
            if !matches!(called, Ok(Err(GuestError::NotImplemented(_)))) {
                return Some(called);
            }
            passed_over = Some(called);
        }
        passed_over
    }

    async fn call(&mut self, handler: Handler, message: &Message) -> Called<Bytes> {
        let arguments = Arguments {
            state: self.state.clone(),
            from: message.from.clone(),
            message_type: message.message_type.clone(),
            payload: message.payload.clone(),
        };
        let store = &mut self.store;
        let called = self.functions.handle(store, handler, arguments).await;
        if let (Handler::Transition, Ok(Ok(state))) = (handler, &called)
            && self.checked(state.clone()).is_ok()
        {
            self.state = String::from_utf8_lossy(state).into();
        }
        called
    }

    /// Fills `left` as soon as there is something: what comes after may fail.
    async fn last_words(&mut self, left: &mut Snapshot) -> Called<()> {
        let (store, functions) = (&mut self.store, &self.functions);
        let actor = store.data().actor.clone();
        if let Some(Err(error)) = functions.hook(store, Hook::PreSuspend).await.transpose()? {
            let text = error.into_text();
            log::warn!("{actor} was not ready to be suspended: {text}");
        }
        match functions
            .hook(store, Hook::SnapshotState)
            .await
            .transpose()?
            .transpose()
        {
            Ok(own) => {
                let kept = functions.is_state_machine().then(|| self.state.clone());
                *left = Snapshot { own, kept };
            }
            Err(error) => log::warn!("{actor} has no snapshot: {}", error.into_text()),
        }
        let shutdown = functions.hook(store, Hook::Shutdown).await.transpose()?;
        Ok(shutdown.map_or(Ok(()), |shutdown| shutdown.map(drop)))
    }

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

/// The functions of a fresh instance and its first state, or what it has against starting.
async fn begin(
    store: &mut Store<Guest>,
    starter: &Starter,
) -> wasmtime::Result<Result<(Functions, Arc<str>), String>> {
    let mut functions = match &starter.program.form {
        Form::Component(linked) => Functions::Component(Box::new(linked.start(store).await?)),
        Form::Core(linked) => Functions::Core(Box::new(linked.start(store).await?)),
        Form::Command(_) => return Err(wasmtime::Error::msg("a command is not kept running")),
    };
    let failed =
        |name: &str, error: GuestError| Ok(Err(format!("{name} failed: {}", error.into_text())));
    let (state, kept) = match &starter.birth {
        Birth::New(state) => (state.clone(), None),
        Birth::Resumed(left) => (left.own.clone().unwrap_or_default(), left.kept.clone()),
    };
    if let Err(error) = functions.init(store, state).await? {
        return failed("init", error);
    }
    if let Some(Err(error)) = functions.hook(store, Hook::PostInit).await.transpose()? {
        return failed("post-init", error);
    }
    if matches!(starter.birth, Birth::Resumed(_))
        && let Some(Err(error)) = functions.hook(store, Hook::PostResume).await.transpose()?
    {
        return failed("post-resume", error);
    }
    match kept {
        Some(kept) if functions.is_state_machine() => return Ok(Ok((functions, kept))),
        _ if !functions.is_state_machine() => return Ok(Ok((functions, Arc::default()))),
        _ => {}
    }
    match functions.hook(store, Hook::GetState).await.transpose()? {
        Some(Ok(state)) => Ok(Ok((functions, String::from_utf8_lossy(&state).into()))),
        Some(Err(error)) => failed("get-state", error),
        None => Ok(Ok((functions, Arc::default()))),
    }
}

fn intent_of(envelope: &Envelope) -> Intent {
    match (envelope.message.nature, &envelope.reply) {
        (Nature::Sent, Some(_)) => Intent::Ask,
        (Nature::Sent, None) => Intent::Tell,
        (Nature::Notice, _) => Intent::Notice,
        (Nature::Event, _) => Intent::Event,
    }
}

/// The guest's exports in the spelling of its kind.
enum Functions {
    Component(Box<component::Bound>),
    Core(Box<core_abi::Bound>),
}

impl Functions {
    fn route(&self, intent: Intent, message_type: &str) -> Vec<Handler> {
        match self {
            Self::Component(bound) => bound.route(intent, message_type),
            Self::Core(bound) => bound.route(intent, message_type),
        }
    }

    fn is_state_machine(&self) -> bool {
        match self {
            Self::Component(bound) => bound.is_state_machine(),
            Self::Core(bound) => bound.is_state_machine(),
        }
    }

    async fn handle(
        &mut self,
        store: &mut Store<Guest>,
        handler: Handler,
        arguments: Arguments,
    ) -> Called<Bytes> {
        match self {
            Self::Component(bound) => bound.handle(store, handler, arguments).await,
            Self::Core(bound) => bound.handle(store, handler, &arguments).await,
        }
    }

    async fn init(&mut self, store: &mut Store<Guest>, state: Bytes) -> Called<()> {
        match self {
            Self::Component(bound) => bound.init(store, state).await,
            Self::Core(bound) => bound.init(store, state).await,
        }
    }

    async fn hook(&self, store: &mut Store<Guest>, hook: Hook) -> Option<Called<Bytes>> {
        match self {
            Self::Component(bound) => bound.hook(store, hook).await,
            Self::Core(bound) => bound.hook(store, hook).await,
        }
    }
}
