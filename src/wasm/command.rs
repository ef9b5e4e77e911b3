//! The command spelling: a program with a `main`, run once for each message; standard input in, standard output out.

use std::pin::pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{self, Component, ComponentExportIndex};
use wasmtime::{Engine, ExternType, Module, Store};

use super::exchange::Exchange;
use super::fault::{exit_code, fault, with_last_words};
use super::host::logging::GuestLog;
use super::host::{Commitments, Guest};
use super::program::Form;
use super::slices::Meter;
use super::starter::Starter;
use super::wasi::{ReplyTooLong, World};
use crate::actor::{Fault, Handled, Place};
use crate::message::{Envelope, Failure, Message};

const START: &str = "_start";
/// The interface whose one function is a component's `main`, of any 0.2 version.
const RUN_INTERFACE: &str = "wasi:cli/run@0.2.";
const RUN: &str = "run";

/// A command with its imports resolved.
pub enum Linked {
    Core(wasmtime::InstancePre<Guest>),
    Component(component::InstancePre<Guest>, ComponentExportIndex),
}

/// Whether a core module exports a `main` that can be run.
pub fn is_command(module: &Module) -> bool {
    match module.get_export(START) {
        Some(ExternType::Func(ty)) => ty.params().len() == 0 && ty.results().len() == 0,
        _ => false,
    }
}

/// A component's `main`, if it exports one.
pub fn run_export(engine: &Engine, component: &Component) -> Option<ComponentExportIndex> {
    let ty = component.component_type();
    let mut exports = ty.exports(engine);
    let (name, instance) = exports.find_map(|(name, export)| match export.ty {
        ComponentItem::ComponentInstance(it) if name.starts_with(RUN_INTERFACE) => Some((name, it)),
        _ => None,
    })?;
    let ComponentItem::ComponentFunc(run) = instance.get_export(engine, RUN)?.ty else {
        return None;
    };
    let results: Vec<Type> = run.results().collect();
    let succeeds =
        matches!(&results[..], [Type::Result(it)] if it.ok().is_none() && it.err().is_none());
    if run.params().len() != 0 || !succeeds {
        return None;
    }
    let interface = component.get_export_index(None, name)?;
    component.get_export_index(Some(&interface), RUN)
}

/// An actor that lives only in its messages: between them it holds no instance and no memory.
pub struct Command {
    starter: Starter,
    place: Place<Starter>,
    log: GuestLog,
    /// `None` only while a message is being handled.
    commitments: Option<Commitments>,
    meter: Arc<Meter>,
}

impl Command {
    pub fn new(starter: Starter, place: Place<Starter>) -> Self {
        Self {
            log: starter.log(&place.actor),
            commitments: Some(starter.commitments(&place)),
            meter: Arc::default(),
            starter,
            place,
        }
    }

    /// What stays with the actor when another version takes the place of this one.
    pub fn into_commitments(mut self) -> Commitments {
        let commitments = self.commitments.take();
        commitments.unwrap_or_else(|| self.starter.commitments(&self.place))
    }

    pub fn inherit(&mut self, commitments: Commitments) {
        if let Some(own) = &mut self.commitments {
            own.absorb(commitments);
        }
    }

    /// Runs once for this message. Whatever becomes of the run, the next message gets another.
    pub async fn run(&mut self, envelope: Envelope) -> Handled {
        let limits = self.starter.setting.limits;
        self.log.take_stderr_tail();
        let input = input(&envelope.message);
        let max = limits.message_bytes_max;
        let world = World::of_command(
            &self.starter.sight(&self.place.actor),
            &self.log,
            input,
            max,
        );
        let commitments = self.commitments.take();
        let (log, place) = (self.log.clone(), &self.place);
        let commitments = commitments.unwrap_or_else(|| self.starter.commitments(place));
        let mut store =
            self.starter
                .store(place, log, Some(Box::new(world)), commitments, &self.meter);
        store.data_mut().has_begun = true;
        let message = store.data_mut().conversation.begin(envelope);
        let running = run_once(&self.starter.program.form, &mut store);
        let ran = self.starter.pace(&self.meter).run(pin!(running)).await;
        let answer = outcome(&mut store, ran);
        store.data().flush();
        let mut guest = store.into_data();
        let handled = answer.as_ref().map_or(Handled::Badly, |_| Handled::Well);
        match (guest.conversation.end(), answer) {
            (Some(asker), answer) => asker.send(answer),
            (None, Err(failure)) => log::warn!(
                "{} failed a message from {}: {failure}",
                guest.actor,
                message.from
            ),
            (None, Ok(_)) => {}
        }
        self.commitments = Some(guest.into_commitments());
        handled
    }
}

/// Instantiates and runs to the end: true for success.
async fn run_once(form: &Form, store: &mut Store<Guest>) -> wasmtime::Result<bool> {
    let Form::Command(linked) = form else {
        return Err(wasmtime::Error::msg("not a command"));
    };
    match linked {
        Linked::Core(pre) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            store.data_mut().exchange = Exchange::of(store, &instance);
            let start = instance.get_typed_func::<(), ()>(&mut *store, START)?;
            start.call_async(store, ()).await?;
            Ok(true)
        }
        Linked::Component(pre, run) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, run)?;
            let (result,) = run.call_async(store, ()).await?;
            Ok(result.is_ok())
        }
    }
}

fn outcome(store: &mut Store<Guest>, ran: wasmtime::Result<bool>) -> Result<Bytes, Failure> {
    if let Some(text) = store.data_mut().failure.take() {
        return Err(Failure::Refused(text));
    }
    let error = match ran {
        Ok(true) => return Ok(reply(store)),
        Ok(false) => return Err(exited(store, 1)),
        Err(error) => error,
    };
    if let Some(too_long) = error.downcast_ref::<ReplyTooLong>() {
        return Err(Failure::Refused(too_long.to_string()));
    }
    match exit_code(&error) {
        Some(0) => Ok(reply(store)),
        Some(code) => Err(exited(store, code)),
        None => Err(match fault("running", store, &error) {
            Fault::Broken(text) => Failure::Trapped(text),
            Fault::NoRoom(text) => Failure::NoRoom(text),
        }),
    }
}

/// What it has written.
fn reply(store: &Store<Guest>) -> Bytes {
    let world = store.data().world.as_ref();
    world.map(|world| world.take_reply()).unwrap_or_default()
}

fn exited(store: &Store<Guest>, code: i32) -> Failure {
    let text = format!("the command ended with exit code {code}");
    Failure::Refused(with_last_words(store.data(), text))
}

#[derive(Serialize)]
struct Input<'a> {
    from: &'a str,
    r#type: &'a str,
    payload: Payload<'a>,
}

/// JSON as it is, other text as a string, anything else in base64.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Bytes { base64: String },
}

/// The message as one JSON object.
fn input(message: &Message) -> Bytes {
    let bytes = &message.payload[..];
    let payload = if let Ok(json) = serde_json::from_slice(bytes) {
        Payload::Json(json)
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        Payload::Text(text)
    } else {
        let base64 = STANDARD.encode(bytes);
        Payload::Bytes { base64 }
    };
    let input = Input {
        from: &message.from,
        r#type: &message.message_type,
        payload,
    };
    let json = serde_json::to_vec(&input);
    json.expect("strings and JSON are always written").into()
}
