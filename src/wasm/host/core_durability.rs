//! The journal's functions as core modules spell them; what each means is said at the method that components call.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use wasmtime::{Caller, Linker};

use super::bindings::durability::{Host, JournalEntry};
use super::bindings::types::ErrorCode;
use super::core_keyvalue::home;
use super::{Guest, actor_error};
use crate::coordination::in_words;
use crate::strict;
use crate::wasm::core_abi::MODULE;
use crate::wasm::exchange::{self, Slice, Unmet};

/// Their names.
pub const FUNCTIONS: &[&str] = &[
    "journal_persist",
    "journal_persist_batch",
    "journal_checkpoint",
    "journal_sequence",
    "journal_checkpoint_sequence",
    "journal_is_replaying",
    "journal_cache_side_effect",
    "journal_read",
    "journal_compact",
];

/// One event of a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    r#type: String,
    payload: String,
    #[serde(default)]
    payload_encoding: Encoding,
}

/// One entry, as it is told.
#[derive(Serialize)]
struct Told {
    sequence: u64,
    r#type: String,
    payload: String,
    payload_encoding: Encoding,
    timestamp: u64,
}

/// How bytes are a text.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Utf8,
    Base64,
}

pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "journal_persist",
        |mut caller: Caller<'_, Guest>, (kind, kind_len, payload, len): (i32, i32, i32, i32)| {
            Box::new(async move {
                let (kind, payload) = (Slice(kind, kind_len), Slice(payload, len));
                exchange::number(persist(&mut caller, kind, payload).await)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "journal_persist_batch",
        |mut caller: Caller<'_, Guest>, (events, len): (i32, i32)| {
            Box::new(async move {
                exchange::number(persist_batch(&mut caller, Slice(events, len)).await)
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "journal_checkpoint",
        |mut caller: Caller<'_, Guest>| {
            let number = caller.data_mut().checkpoint(home())?;
            exchange::number(number.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "journal_sequence",
        |mut caller: Caller<'_, Guest>| {
            let number = caller.data_mut().get_sequence(home())?;
            exchange::number(number.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "journal_checkpoint_sequence",
        |mut caller: Caller<'_, Guest>| {
            let number = caller.data_mut().get_checkpoint_sequence(home())?;
            exchange::number(number.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "journal_is_replaying",
        |mut caller: Caller<'_, Guest>| {
            let replays = caller.data_mut().is_replaying(home())?;
            exchange::truth(replays.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "journal_cache_side_effect",
        |mut caller: Caller<'_, Guest>,
         (key, key_len, value, len, answer_at): (i32, i32, i32, i32, i32)| {
            Box::new(async move {
                let (key, value) = (Slice(key, key_len), Slice(value, len));
                let recorded = cache_side_effect(&mut caller, key, value).await;
                exchange::answer(&mut caller, recorded, answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "journal_read",
        |mut caller: Caller<'_, Guest>, (from, to, limit, answer_at): (i64, i64, i32, i32)| {
            Box::new(async move {
                let entries = read(&mut caller, from, to, limit).await;
                let count = entries.as_ref().map_or(0, Vec::len);
                let entries = entries.map(|it| serde_json::to_vec(&it).expect("texts are JSON"));
                let status = exchange::answer(&mut caller, entries, answer_at).await?;
                let count = i32::try_from(count).unwrap_or(i32::MAX);
                Ok(if status == 0 { count } else { status })
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "journal_compact",
        |mut caller: Caller<'_, Guest>, (up_to,): (i64,)| {
            Box::new(async move {
                let guest = caller.data_mut();
                let compacted = guest.compact(home(), up_to.cast_unsigned()).await?;
                exchange::status(compacted.map_err(Unmet::from))
            })
        },
    )?;
    Ok(())
}

async fn persist(
    caller: &mut Caller<'_, Guest>,
    kind: Slice,
    payload: Slice,
) -> Result<u64, Unmet> {
    let kind = exchange::text(caller, kind)?;
    let payload = exchange::payload(caller, payload)?;
    Ok(caller.data_mut().persist(home(), kind, payload).await??)
}

async fn persist_batch(caller: &mut Caller<'_, Guest>, events: Slice) -> Result<u64, Unmet> {
    let events = exchange::payload(caller, events)?;
    let events: Vec<Given> = strict::of_json(&events).map_err(|error| {
        invalid(format!(
            "a batch is a JSON array of events: {}",
            in_words(&error)
        ))
    })?;
    let events = events.into_iter().map(Given::into_event);
    let events = events.collect::<Result<_, _>>()?;
    Ok(caller.data_mut().persist_batch(home(), events).await??)
}

async fn cache_side_effect(
    caller: &mut Caller<'_, Guest>,
    key: Slice,
    value: Slice,
) -> Result<Vec<u8>, Unmet> {
    let key = exchange::text(caller, key)?;
    let value = exchange::payload(caller, value)?;
    let guest = caller.data_mut();
    Ok(guest.cache_side_effect(home(), key, value).await??)
}

async fn read(
    caller: &mut Caller<'_, Guest>,
    from: i64,
    to: i64,
    limit: i32,
) -> Result<Vec<Told>, Unmet> {
    let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
    let guest = caller.data_mut();
    let entries = guest.read_journal(home(), from, to, limit.cast_unsigned());
    Ok(entries.await??.into_iter().map(Told::from).collect())
}

impl Given {
    fn into_event(self) -> Result<(String, Vec<u8>), Unmet> {
        let payload = match self.payload_encoding {
            Encoding::Utf8 => self.payload.into_bytes(),
            Encoding::Base64 => STANDARD
                .decode(self.payload)
                .map_err(|error| invalid(format!("a payload is not base64: {error}")))?,
        };
        Ok((self.r#type, payload))
    }
}

impl From<JournalEntry> for Told {
    fn from(entry: JournalEntry) -> Self {
        let (payload, payload_encoding) = match String::from_utf8(entry.payload) {
            Ok(text) => (text, Encoding::Utf8),
            Err(error) => (STANDARD.encode(error.as_bytes()), Encoding::Base64),
        };
        Self {
            sequence: entry.sequence,
            r#type: entry.event_type,
            payload,
            payload_encoding,
            timestamp: entry.timestamp,
        }
    }
}

fn invalid(text: String) -> Unmet {
    actor_error(ErrorCode::InvalidMessage, text).into()
}
