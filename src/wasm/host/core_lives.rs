//! Spawn, stop, link and monitor as core modules spell them; what they mean is said in `lives.rs`.

use std::collections::BTreeMap;

use serde::Deserialize;
use wasmtime::{Caller, Linker};

use super::bindings::messaging::Host;
use super::bindings::types::{ErrorCode, SpawnOptions};
use super::{Guest, actor_error};
use crate::coordination::in_words;
use crate::strict;
use crate::wasm::core_abi::MODULE;
use crate::wasm::exchange::{self, Slice, Unmet};

/// Module, state and options, each as pointer and length, then where the answer goes.
type SpawnParts = (i32, i32, i32, i32, i32, i32, i32);

/// The options of a spawn, as a JSON object; none of them must be there.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    actor_id: Option<String>,
    labels: BTreeMap<String, String>,
    mailbox_size: Option<u32>,
    durable: bool,
    supervisor: Option<String>,
}

pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "spawn",
        |mut caller: Caller<'_, Guest>, (a, b, c, d, e, f, answer_at): SpawnParts| {
            Box::new(async move {
                let slices = [Slice(a, b), Slice(c, d), Slice(e, f)];
                let spawned = spawn(&mut caller, slices).await;
                exchange::answer(&mut caller, spawned, answer_at).await
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "stop",
        |mut caller: Caller<'_, Guest>, id: i32, len: i32, timeout_ms: i64| {
            let id = exchange::text(&caller, Slice(id, len))?;
            let stopped = caller.data_mut().stop(id, timeout_ms.cast_unsigned())?;
            exchange::status(stopped.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "link",
        |mut caller: Caller<'_, Guest>, id: i32, len: i32| {
            let id = exchange::text(&caller, Slice(id, len))?;
            exchange::status(caller.data_mut().link(id)?.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "unlink",
        |mut caller: Caller<'_, Guest>, id: i32, len: i32| {
            let id = exchange::text(&caller, Slice(id, len))?;
            exchange::status(caller.data_mut().unlink(id)?.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "monitor",
        |mut caller: Caller<'_, Guest>, id: i32, len: i32| {
            let id = exchange::text(&caller, Slice(id, len))?;
            match caller.data_mut().monitor(id)? {
                Ok(reference) => Ok(reference.cast_signed()),
                Err(error) => exchange::status(Err(error.into())).map(i64::from),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        "demonitor",
        |mut caller: Caller<'_, Guest>, reference: i64| {
            let ended = caller.data_mut().demonitor(reference.cast_unsigned())?;
            exchange::status(ended.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "parent_id",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let parent = caller.data_mut().parent_id()?;
                exchange::answer(&mut caller, Ok(parent.unwrap_or_default()), answer_at).await
            })
        },
    )?;
    Ok(())
}

async fn spawn(
    caller: &mut Caller<'_, Guest>,
    [module, state, options]: [Slice; 3],
) -> Result<String, Unmet> {
    let module = exchange::text(caller, module)?;
    let state = exchange::payload(caller, state)?;
    let options = match exchange::text(caller, options)? {
        text if text.is_empty() => Options::default(),
        text => strict::of_json(text.as_bytes()).map_err(|error| {
            let text = format!(
                "the options of a spawn are a JSON object, as docs/core-abi.md has it: {}",
                in_words(&error)
            );
            actor_error(ErrorCode::InvalidMessage, text)
        })?,
    };
    let options = SpawnOptions {
        actor_id: options.actor_id,
        labels: options.labels.into_iter().collect(),
        mailbox_size: options.mailbox_size,
        durable: options.durable,
        supervisor: options.supervisor,
    };
    Ok(caller.data_mut().spawn(module, state, options).await??)
}
