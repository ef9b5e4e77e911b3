//! The messaging functions as core modules spell them: texts and payloads by pointer and length, a status as the answer.
//!
//! Each reads its parts and calls the method that components call; what it means is said there.

use bytes::Bytes;
use wasmtime::{Caller, Linker};

use super::bindings::messaging::Host;
use super::{Guest, core_lives};
use crate::wasm::core_abi::MODULE;
use crate::wasm::exchange::{self, Passed, Slice, Unmet};

/// Their names.
pub const FUNCTIONS: &[&str] = &[
    "send_message",
    "tell",
    "ask",
    "reply",
    "reply_to",
    "forward",
    "send_after",
    "cancel_timer",
    "self_id",
    "parent_id",
    "now",
    "sleep",
    "spawn",
    "stop",
    "link",
    "unlink",
    "monitor",
    "demonitor",
];

type Parts = (i32, i32, i32, i32, i32, i32);
type AskParts = (i32, i32, i32, i32, i32, i32, i64, i32);

pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    core_lives::add_to_linker(linker)?;
    linker.func_wrap(
        MODULE,
        "send_message",
        |mut caller: Caller<'_, Guest>, to: i32, to_len: i32, payload: i32, len: i32| {
            let told = send_message(&mut caller, Slice(to, to_len), Slice(payload, len));
            exchange::status(told)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "tell",
        |mut caller: Caller<'_, Guest>, a: i32, b: i32, c: i32, d: i32, e: i32, f: i32| {
            exchange::status(tell(&mut caller, (a, b, c, d, e, f)))
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "ask",
        |mut caller: Caller<'_, Guest>, (a, b, c, d, e, f, timeout_ms, answer_at): AskParts| {
            Box::new(async move {
                let answer = ask(&mut caller, (a, b, c, d, e, f), timeout_ms).await;
                exchange::answer(&mut caller, answer, answer_at).await
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "reply",
        |mut caller: Caller<'_, Guest>, payload: i32, len: i32| {
            let replied = reply(&mut caller, Slice(0, 0), Slice(payload, len));
            exchange::status(replied)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "reply_to",
        |mut caller: Caller<'_, Guest>, id: i32, id_len: i32, payload: i32, len: i32| {
            let replied = reply(&mut caller, Slice(id, id_len), Slice(payload, len));
            exchange::status(replied)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "forward",
        |mut caller: Caller<'_, Guest>,
         a: i32,
         b: i32,
         c: i32,
         d: i32,
         e: i32,
         f: i32,
         sender: i32,
         sender_len: i32,
         id: i32,
         id_len: i32| {
            let (sender, id) = (Slice(sender, sender_len), Slice(id, id_len));
            exchange::status(forward(&mut caller, (a, b, c, d, e, f), sender, id))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "send_after",
        |mut caller: Caller<'_, Guest>,
         delay: i64,
         kind: i32,
         kind_len: i32,
         payload: i32,
         len: i32| {
            match send_after(
                &mut caller,
                delay,
                Slice(kind, kind_len),
                Slice(payload, len),
            ) {
                Ok(timer) => Ok(timer.cast_signed()),
                Err(unmet) => exchange::status(Err(unmet)).map(i64::from),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        "cancel_timer",
        |mut caller: Caller<'_, Guest>, id: i64| {
            let cancelled = caller.data_mut().cancel_timer(id.cast_unsigned())?;
            exchange::status(cancelled.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "self_id",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let id = caller.data_mut().self_id()?;
                exchange::answer(&mut caller, Ok(id), answer_at).await
            })
        },
    )?;
    linker.func_wrap(MODULE, "now", |mut caller: Caller<'_, Guest>| {
        Ok(caller.data_mut().now()?.cast_signed())
    })?;
    linker.func_wrap_async(
        MODULE,
        "sleep",
        |mut caller: Caller<'_, Guest>, (duration_ms,): (i64,)| {
            Box::new(async move { caller.data_mut().sleep(duration_ms.cast_unsigned()).await })
        },
    )?;
    Ok(())
}

fn send_message(caller: &mut Caller<'_, Guest>, to: Slice, payload: Slice) -> Result<(), Unmet> {
    let (passed, guest) = Passed::by(caller)?;
    post(guest, &passed.text(to)?, "message", passed.bytes(payload)?)
}

/// What is told often is read where it lies.
fn tell(
    caller: &mut Caller<'_, Guest>,
    (to, to_len, kind, kind_len, payload, len): Parts,
) -> Result<(), Unmet> {
    let (passed, guest) = Passed::by(caller)?;
    let to = passed.text(Slice(to, to_len))?;
    let kind = passed.text(Slice(kind, kind_len))?;
    post(guest, &to, &kind, passed.bytes(Slice(payload, len))?)
}

fn post(guest: &mut Guest, to: &str, kind: &str, payload: &[u8]) -> Result<(), Unmet> {
    guest.fits(payload.len())?;
    guest.post(to, kind, Bytes::copy_from_slice(payload))?;
    Ok(())
}

async fn ask(
    caller: &mut Caller<'_, Guest>,
    parts: Parts,
    timeout_ms: i64,
) -> Result<Vec<u8>, Unmet> {
    let (to, kind, payload) = read(caller, parts)?;
    let timeout_ms = timeout_ms.cast_unsigned();
    let asked = caller.data_mut().ask(to, kind, payload, timeout_ms);
    Ok(asked.await??)
}

/// The empty id is the current ask's.
fn reply(caller: &mut Caller<'_, Guest>, id: Slice, payload: Slice) -> Result<(), Unmet> {
    let id = exchange::text(caller, id)?;
    let payload = exchange::payload(caller, payload)?;
    Ok(caller.data_mut().reply(id, payload)??)
}

fn forward(
    caller: &mut Caller<'_, Guest>,
    parts: Parts,
    sender: Slice,
    id: Slice,
) -> Result<(), Unmet> {
    let (to, kind, payload) = read(caller, parts)?;
    let sender = exchange::text(caller, sender)?;
    let id = exchange::text(caller, id)?;
    let id = (!id.is_empty()).then_some(id);
    caller.data_mut().forward(to, kind, payload, sender, id)??;
    Ok(())
}

fn send_after(
    caller: &mut Caller<'_, Guest>,
    delay_ms: i64,
    kind: Slice,
    payload: Slice,
) -> Result<u64, Unmet> {
    let kind = exchange::text(caller, kind)?;
    let payload = exchange::payload(caller, payload)?;
    let delay_ms = delay_ms.cast_unsigned();
    Ok(caller.data_mut().send_after(delay_ms, kind, payload)??)
}

/// Receiver, type and payload.
fn read(
    caller: &Caller<'_, Guest>,
    (to, to_len, kind, kind_len, payload, len): Parts,
) -> Result<(String, String, Vec<u8>), Unmet> {
    let to = exchange::text(caller, Slice(to, to_len))?;
    let kind = exchange::text(caller, Slice(kind, kind_len))?;
    Ok((to, kind, exchange::payload(caller, Slice(payload, len))?))
}
