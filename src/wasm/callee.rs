//! What a call into a guest touches: its store, its functions in either spelling, and the state that is kept for it.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::Store;

use super::called::{Arguments, Called, GuestError};
use super::exports::{Handler, Hook, Intent};
use super::host::Guest;
use super::program::Form;
use super::starter::Starter;
use super::{component, core_abi};
use crate::message::{Failure, Message};

/// One instance, apart from what drives its calls.
pub struct Callee<'a> {
    pub store: &'a mut Store<Guest>,
    pub functions: &'a mut Functions,
    /// What the node keeps for a guest whose only handler is a transition.
    pub state: &'a mut Arc<str>,
}

impl Callee<'_> {
    /// Tries the handlers in their order until one does not pass the message over. `None` where there is none.
    pub async fn pass(mut self, intent: Intent, message: &Message) -> Option<Called<Bytes>> {
        let mut passed_over = None;
        for &handler in self.functions.order(intent, &message.message_type) {
            if !self.functions.has(handler) {
                continue;
            }
            let called = self.call(handler, message).await;
            if !matches!(called, Ok(Err(GuestError::NotImplemented(_)))) {
                return Some(called);
            }
            passed_over = Some(called);
        }
        passed_over
    }

    /// Calls a handler that the guest has.
    pub async fn call(&mut self, handler: Handler, message: &Message) -> Called<Bytes> {
        let called = match &mut *self.functions {
            Functions::Component(bound) => {
                let arguments = Arguments::of(message, self.state);
                bound.handle(self.store, handler, arguments).await
            }
            Functions::Core(bound) => bound.handle(self.store, handler, message).await,
        };
        if let (Handler::Transition, Ok(Ok(state))) = (handler, &called)
            && fits(self.store, state).is_ok()
        {
            *self.state = String::from_utf8_lossy(state).into();
        }
        called
    }

    /// Asks for its state, after telling that it is wanted.
    pub async fn tell_state(self) -> Called<Option<Bytes>> {
        let Self {
            store, functions, ..
        } = self;
        let actor = store.data().actor.clone();
        if let Some(Err(error)) = functions.hook(store, Hook::PreSuspend).await.transpose()? {
            let text = error.into_text();
            log::warn!("{actor} was not ready to be suspended: {text}");
        }
        let state = functions.hook(store, Hook::SnapshotState).await;
        Ok(state.transpose()?.transpose())
    }
}

/// Whether a reply is within the actor's own limit.
pub fn fits(store: &Store<Guest>, reply: &[u8]) -> Result<(), Failure> {
    let max = store.data().limits.message_bytes_max;
    if reply.len() <= max {
        return Ok(());
    }
    let len = reply.len();
    let text = format!("the reply has {len} bytes, this actor's limit is {max}");
    Err(Failure::Refused(text))
}

/// The guest's exports in the spelling of its kind.
pub enum Functions {
    Component(Box<component::Bound>),
    Core(Box<core_abi::Bound>),
}

impl Functions {
    /// Those of a fresh instance.
    pub async fn start(store: &mut Store<Guest>, starter: &Starter) -> wasmtime::Result<Self> {
        Ok(match &starter.program.form {
            Form::Component(linked) => Self::Component(Box::new(linked.start(store).await?)),
            Form::Core(linked) => Self::Core(Box::new(linked.start(store).await?)),
            Form::Command(_) => return Err(wasmtime::Error::msg("a command is not kept running")),
        })
    }

    /// Those that a message goes to, in their order, whether or not the guest has them.
    pub fn order(&self, intent: Intent, message_type: &str) -> &'static [Handler] {
        match self {
            Self::Component(bound) => bound.handlers.order(intent, message_type),
            Self::Core(bound) => bound.handlers.order(intent, message_type),
        }
    }

    pub fn has(&self, handler: Handler) -> bool {
        match self {
            Self::Component(bound) => bound.handlers.has(handler),
            Self::Core(bound) => bound.handlers.has(handler),
        }
    }

    /// Whether it is told of others' ends.
    pub fn hears_notices(&self) -> bool {
        match self {
            Self::Component(bound) => bound.handlers.hears_notices(),
            Self::Core(bound) => bound.handlers.hears_notices(),
        }
    }

    /// Whether it can tell its state, or the node has it.
    pub fn tells_state(&self) -> bool {
        self.is_state_machine()
            || match self {
                Self::Component(bound) => bound.has(Hook::SnapshotState),
                Self::Core(bound) => bound.has(Hook::SnapshotState),
            }
    }

    /// Whether the node keeps this guest's state for it.
    pub fn is_state_machine(&self) -> bool {
        match self {
            Self::Component(bound) => bound.handlers.is_state_machine(),
            Self::Core(bound) => bound.handlers.is_state_machine(),
        }
    }

    pub async fn init(&mut self, store: &mut Store<Guest>, state: Bytes) -> Called<()> {
        match self {
            Self::Component(bound) => bound.init(store, state).await,
            Self::Core(bound) => bound.init(store, state).await,
        }
    }

    pub async fn hook(&self, store: &mut Store<Guest>, hook: Hook) -> Option<Called<Bytes>> {
        match self {
            Self::Component(bound) => bound.hook(store, hook).await,
            Self::Core(bound) => bound.hook(store, hook).await,
        }
    }
}
