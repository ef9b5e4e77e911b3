//! The older edition's one interface, `host`: each function is one of the newer interfaces', in the application's own place.

use super::bindings::channels::Host as Channels;
use super::bindings::durability::Host as Durability;
use super::bindings::logging::{Host as Logging, LogLevel};
use super::bindings::messaging::Host as Messaging;
use super::bindings::tuplespace::Host as Tuples;
use super::bindings::types::{self, ActorError, SpawnOptions};
use super::{Guest, own_place};
use crate::limits;
use bindings::host::Host;
use bindings::types::{FieldType, PatternField, TupleField};

/// The Rust side of the older edition.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/plexspaces-actor-older",
        inline: "
            package plexspaces:older;
            world provided {
                import plexspaces:actor/host@0.1.0;
            }
        ",
        imports: {
            "plexspaces:actor/host.spawn-actor": async | trappable,
            "plexspaces:actor/host.sleep-millis": async | trappable,
            "plexspaces:actor/host.tuplespace-write": async | trappable,
            "plexspaces:actor/host.tuplespace-take": async | trappable,
            "plexspaces:actor/host.send-to-queue": async | trappable,
            "plexspaces:actor/host.receive-from-queue": async | trappable,
            default: trappable,
        },
    });
    pub use plexspaces::actor::{host, types};
}

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "send-message",
    "spawn-actor",
    "tuplespace-write",
    "tuplespace-read",
    "tuplespace-take",
    "tuplespace-count",
    "log",
    "now-millis",
    "sleep-millis",
    "send-to-queue",
    "publish-to-topic",
    "receive-from-queue",
    "checkpoint",
    "get-journal-sequence",
    "is-replay-mode",
];

/// A trap outside, a text inside.
type Answer<T> = wasmtime::Result<Result<T, String>>;

impl Host for Guest {
    fn send_message(&mut self, to: String, message_type: String, payload: Vec<u8>) -> Answer<()> {
        let told = self.post(&to, &message_type, payload.into());
        Ok(told.map(drop).map_err(text))
    }

    async fn spawn_actor(&mut self, module_ref: String, state: Vec<u8>) -> Answer<String> {
        let options = SpawnOptions {
            actor_id: None,
            labels: Vec::new(),
            mailbox_size: None,
            durable: false,
            supervisor: None,
        };
        let spawned = Messaging::spawn(self, module_ref, state, options).await?;
        Ok(spawned.map_err(text))
    }

    async fn tuplespace_write(&mut self, tuple: Vec<TupleField>) -> Answer<()> {
        let written = Tuples::write(self, own_place(), newer(tuple)).await?;
        Ok(written.map_err(text))
    }

    fn tuplespace_read(&mut self, pattern: Vec<PatternField>) -> Answer<Option<Vec<TupleField>>> {
        let read = Tuples::read(self, own_place(), newer(pattern))?;
        Ok(read.map(|found| found.map(older)).map_err(text))
    }

    async fn tuplespace_take(
        &mut self,
        pattern: Vec<PatternField>,
    ) -> Answer<Option<Vec<TupleField>>> {
        let taken = Tuples::take(self, own_place(), newer(pattern)).await?;
        Ok(taken.map(|found| found.map(older)).map_err(text))
    }

    fn tuplespace_count(&mut self, pattern: Vec<PatternField>) -> Answer<u64> {
        let counted = Tuples::count(self, own_place(), newer(pattern))?;
        Ok(counted.map_err(text))
    }

    fn log(&mut self, level: String, message: String) -> wasmtime::Result<()> {
        let level = match level.to_ascii_lowercase().as_str() {
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "warn" | "warning" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => LogLevel::Info,
        };
        Logging::log(self, level, message)
    }

    fn now_millis(&mut self) -> wasmtime::Result<u64> {
        self.now()
    }

    async fn sleep_millis(&mut self, duration: u64) -> wasmtime::Result<()> {
        self.sleep(duration).await
    }

    async fn send_to_queue(
        &mut self,
        queue: String,
        message_type: String,
        payload: Vec<u8>,
    ) -> Answer<String> {
        let sent = Channels::send_to_queue(self, own_place(), queue, message_type, payload).await?;
        Ok(sent.map_err(text))
    }

    fn publish_to_topic(
        &mut self,
        topic: String,
        message_type: String,
        payload: Vec<u8>,
    ) -> Answer<String> {
        let published =
            Channels::publish_to_topic(self, own_place(), topic, message_type, payload)?;
        Ok(published.map_err(text))
    }

    async fn receive_from_queue(
        &mut self,
        queue: String,
        timeout_ms: u64,
    ) -> Answer<Option<(String, Vec<u8>)>> {
        // The newer interface takes 0 for a look, the older one for no end: a year.
        let timeout_ms = match timeout_ms {
            0 => limits::TTL_MAX.as_millis() as u64,
            timeout_ms => timeout_ms,
        };
        let received =
            Channels::receive_from_queue(self, own_place(), queue.clone(), timeout_ms).await?;
        let message = match received {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => return Ok(Err(text(error))),
        };
        // There is no function to acknowledge it by, so it is on receipt.
        let acknowledged = Channels::ack(self, own_place(), queue, message.id).await?;
        let received = (message.msg_type, message.payload);
        Ok(acknowledged.map(|()| Some(received)).map_err(text))
    }

    fn checkpoint(&mut self) -> Answer<u64> {
        Ok(Durability::checkpoint(self, own_place())?.map_err(text))
    }

    fn get_journal_sequence(&mut self) -> Answer<u64> {
        Ok(Durability::get_sequence(self, own_place())?.map_err(text))
    }

    fn is_replay_mode(&mut self) -> Answer<bool> {
        Ok(Durability::is_replaying(self, own_place())?.map_err(text))
    }
}

fn text(error: ActorError) -> String {
    error.message
}

fn newer<T, N: From<T>>(fields: Vec<T>) -> Vec<N> {
    fields.into_iter().map(N::from).collect()
}

/// Null, which the older edition has no word for, is shown as empty bytes.
fn older(fields: Vec<types::TupleField>) -> Vec<TupleField> {
    fields.into_iter().map(TupleField::from).collect()
}

impl From<TupleField> for types::TupleField {
    fn from(field: TupleField) -> Self {
        match field {
            TupleField::StringValue(text) => Self::StringVal(text),
            TupleField::IntegerValue(number) => Self::IntVal(number),
            TupleField::FloatValue(number) => Self::FloatVal(number),
            TupleField::BytesValue(bytes) => Self::BytesVal(bytes),
            TupleField::BooleanValue(truth) => Self::BoolVal(truth),
        }
    }
}

impl From<types::TupleField> for TupleField {
    fn from(field: types::TupleField) -> Self {
        match field {
            types::TupleField::StringVal(text) => Self::StringValue(text),
            types::TupleField::IntVal(number) => Self::IntegerValue(number),
            types::TupleField::FloatVal(number) => Self::FloatValue(number),
            types::TupleField::BytesVal(bytes) => Self::BytesValue(bytes),
            types::TupleField::BoolVal(truth) => Self::BooleanValue(truth),
            types::TupleField::NullVal => Self::BytesValue(Vec::new()),
        }
    }
}

impl From<PatternField> for types::PatternField {
    fn from(field: PatternField) -> Self {
        match field {
            PatternField::Exact(field) => Self::Exact(field.into()),
            PatternField::Wildcard => Self::Any,
            PatternField::TypeMatch(field_type) => Self::Typed(match field_type {
                FieldType::StringType => types::FieldType::StringType,
                FieldType::IntegerType => types::FieldType::IntType,
                FieldType::FloatType => types::FieldType::FloatType,
                FieldType::BytesType => types::FieldType::BytesType,
                FieldType::BooleanType => types::FieldType::BoolType,
            }),
        }
    }
}
