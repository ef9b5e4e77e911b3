//! Queues and topics as core modules spell them; what each function means is said at the method that components call.

use wasmtime::{Caller, ExternType, Linker, Module, ValType};

use super::bindings::channels::Host;
use super::bindings::types::{ActorError, ErrorCode};
use super::core_keyvalue::home;
use super::{Guest, actor_error};
use crate::coordination::in_words;
use crate::wasm::core_abi::MODULE;
use crate::wasm::exchange::{self, Slice, Unmet};

/// Their names.
pub const FUNCTIONS: &[&str] = &[
    "send_to_queue",
    "send_to_queue_with_options",
    RECEIVE,
    "received_id",
    "received_type",
    "received_headers",
    "received_sent_at",
    "received_deliveries",
    "ack",
    "nack",
    "publish_to_topic",
    "subscribe_to_topic",
    "unsubscribe_from_topic",
    "create_queue",
    "delete_queue",
    "queue_depth",
];

const RECEIVE: &str = "receive_from_queue";

type Parts = (i32, i32, i32, i32, i32, i32);
type OptionParts = (i32, i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// The message received last, but for its payload.
#[derive(Default)]
pub struct Received {
    id: String,
    message_type: String,
    sent_ms: u64,
    deliveries: u32,
    headers: Vec<(String, String)>,
}

pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    add_queues(linker)?;
    add_received(linker)?;
    linker.func_wrap(
        MODULE,
        "publish_to_topic",
        |mut caller: Caller<'_, Guest>, a: i32, b: i32, c: i32, d: i32, e: i32, f: i32| {
            exchange::status(publish(&mut caller, (a, b, c, d, e, f)))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "subscribe_to_topic",
        |mut caller: Caller<'_, Guest>, topic: i32, len: i32, filter: i32, filter_len: i32| {
            exchange::number(subscribe(
                &mut caller,
                Slice(topic, len),
                Slice(filter, filter_len),
            ))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "unsubscribe_from_topic",
        |mut caller: Caller<'_, Guest>, id: i64| {
            let ended = caller
                .data_mut()
                .unsubscribe_from_topic(id.cast_unsigned())?;
            exchange::status(ended.map_err(Unmet::from))
        },
    )?;
    Ok(())
}

/// Whether a module imports the timeout as an `i32`.
pub fn wants_short_timeout(module: &Module) -> bool {
    module.imports().any(|import| {
        let ExternType::Func(ty) = import.ty() else {
            return false;
        };
        let last = ty.params().last();
        (import.module(), import.name()) == (MODULE, RECEIVE) && matches!(last, Some(ValType::I32))
    })
}

/// Takes the timeout as an `i32`.
pub fn take_short_timeout(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.func_wrap_async(
        MODULE,
        RECEIVE,
        |mut caller: Caller<'_, Guest>, (queue, len, timeout_ms): (i32, i32, i32)| {
            Box::new(async move {
                let timeout_ms = timeout_ms.cast_unsigned().into();
                exchange::pointer(receive(&mut caller, Slice(queue, len), timeout_ms).await)
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn add_queues(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "send_to_queue",
        |mut caller: Caller<'_, Guest>, (a, b, c, d, e, f): Parts| {
            Box::new(async move {
                exchange::status(send(&mut caller, (a, b, c, d, e, f, 0, 0, 0, 0)).await)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "send_to_queue_with_options",
        |mut caller: Caller<'_, Guest>, parts: OptionParts| {
            Box::new(async move { exchange::status(send(&mut caller, parts).await) })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        RECEIVE,
        |mut caller: Caller<'_, Guest>, (queue, len, timeout_ms): (i32, i32, i64)| {
            Box::new(async move {
                let timeout_ms = timeout_ms.cast_unsigned();
                exchange::pointer(receive(&mut caller, Slice(queue, len), timeout_ms).await)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "ack",
        |mut caller: Caller<'_, Guest>, (queue, len, id, id_len): (i32, i32, i32, i32)| {
            Box::new(async move {
                let acked = ack(&mut caller, Slice(queue, len), Slice(id, id_len)).await;
                exchange::status(acked)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "nack",
        |mut caller: Caller<'_, Guest>,
         (queue, len, id, id_len, requeue): (i32, i32, i32, i32, i32)| {
            Box::new(async move {
                let (queue, id) = (Slice(queue, len), Slice(id, id_len));
                exchange::status(nack(&mut caller, queue, id, requeue).await)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "create_queue",
        |mut caller: Caller<'_, Guest>, (queue, len, max, ttl_ms): (i32, i32, i32, i64)| {
            Box::new(async move {
                let queue = exchange::text(&caller, Slice(queue, len))?;
                let (max, ttl_ms) = (max.cast_unsigned(), ttl_ms.cast_unsigned());
                let guest = caller.data_mut();
                let created = guest.create_queue(home(), queue, max, ttl_ms).await?;
                exchange::status(created.map_err(Unmet::from))
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "delete_queue",
        |mut caller: Caller<'_, Guest>, (queue, len): (i32, i32)| {
            Box::new(async move {
                let queue = exchange::text(&caller, Slice(queue, len))?;
                let deleted = caller.data_mut().delete_queue(home(), queue).await?;
                exchange::status(deleted.map_err(Unmet::from))
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "queue_depth",
        |mut caller: Caller<'_, Guest>, (queue, len): (i32, i32)| {
            Box::new(async move {
                let queue = exchange::text(&caller, Slice(queue, len))?;
                let depth = caller.data_mut().queue_depth(home(), queue).await?;
                exchange::number(depth.map_err(Unmet::from))
            })
        },
    )?;
    Ok(())
}

fn add_received(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "received_id",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let id = caller.data().received.id.clone();
                exchange::answer(&mut caller, Ok(id), answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "received_type",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let message_type = caller.data().received.message_type.clone();
                exchange::answer(&mut caller, Ok(message_type), answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "received_headers",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let headers = serde_json::to_vec(&caller.data().received.headers);
                let headers = headers.expect("texts are JSON");
                exchange::answer(&mut caller, Ok(headers), answer_at).await
            })
        },
    )?;
    linker.func_wrap(MODULE, "received_sent_at", |caller: Caller<'_, Guest>| {
        caller.data().received.sent_ms.cast_signed()
    })?;
    linker.func_wrap(
        MODULE,
        "received_deliveries",
        |caller: Caller<'_, Guest>| caller.data().received.deliveries.cast_signed(),
    )?;
    Ok(())
}

async fn send(
    caller: &mut Caller<'_, Guest>,
    (queue, queue_len, kind, kind_len, payload, len, delay_ms, ttl_ms, headers, headers_len): OptionParts,
) -> Result<(), Unmet> {
    let queue = exchange::text(caller, Slice(queue, queue_len))?;
    let kind = exchange::text(caller, Slice(kind, kind_len))?;
    let payload = exchange::payload(caller, Slice(payload, len))?;
    let headers = read_headers(&exchange::payload(caller, Slice(headers, headers_len))?)?;
    let (delay_ms, ttl_ms) = (delay_ms.cast_unsigned(), ttl_ms.cast_unsigned());
    let guest = caller.data_mut();
    let sent =
        guest.send_to_queue_with_options(home(), queue, kind, payload, delay_ms, ttl_ms, headers);
    sent.await??;
    Ok(())
}

/// An array of pairs of name and value; nothing at all is none.
fn read_headers(json: &[u8]) -> Result<Vec<(String, String)>, ActorError> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(json).map_err(|error| {
        let text = format!(
            "headers are JSON such as [[\"name\",\"value\"]]: {}",
            in_words(&error)
        );
        actor_error(ErrorCode::InvalidMessage, text)
    })
}

/// A pointer to the payload behind its length, or 0 when nothing came in time.
async fn receive(
    caller: &mut Caller<'_, Guest>,
    queue: Slice,
    timeout_ms: u64,
) -> Result<i32, Unmet> {
    let queue = exchange::text(caller, queue)?;
    let guest = caller.data_mut();
    let received = guest
        .receive_from_queue(home(), queue, timeout_ms)
        .await??;
    let Some(message) = received else {
        return Ok(0);
    };
    let given = exchange::give_prefixed(caller, &message.payload).await;
    if given.is_err() {
        // It never saw the message: back with it at once, not at the actor's end.
        let lease = caller.data_mut().holdings.leases.remove(&message.id);
        lease.into_iter().for_each(|mut lease| lease.missed());
    } else {
        caller.data_mut().received = Received {
            id: message.id,
            message_type: message.msg_type,
            sent_ms: message.timestamp,
            deliveries: message.delivery_count,
            headers: message.headers,
        };
    }
    given
}

async fn ack(caller: &mut Caller<'_, Guest>, queue: Slice, id: Slice) -> Result<(), Unmet> {
    let queue = exchange::text(caller, queue)?;
    let id = exchange::text(caller, id)?;
    Ok(caller.data_mut().ack(home(), queue, id).await??)
}

async fn nack(
    caller: &mut Caller<'_, Guest>,
    queue: Slice,
    id: Slice,
    requeue: i32,
) -> Result<(), Unmet> {
    let queue = exchange::text(caller, queue)?;
    let id = exchange::text(caller, id)?;
    let nacked = caller.data_mut().nack(home(), queue, id, requeue != 0);
    Ok(nacked.await??)
}

fn publish(
    caller: &mut Caller<'_, Guest>,
    (topic, topic_len, kind, kind_len, payload, len): Parts,
) -> Result<(), Unmet> {
    let topic = exchange::text(caller, Slice(topic, topic_len))?;
    let kind = exchange::text(caller, Slice(kind, kind_len))?;
    let payload = exchange::payload(caller, Slice(payload, len))?;
    let guest = caller.data_mut();
    guest.publish_to_topic(home(), topic, kind, payload)??;
    Ok(())
}

/// An empty filter is none.
fn subscribe(caller: &mut Caller<'_, Guest>, topic: Slice, filter: Slice) -> Result<u64, Unmet> {
    let topic = exchange::text(caller, topic)?;
    let filter = exchange::text(caller, filter)?;
    let filter = (!filter.is_empty()).then_some(filter);
    Ok(caller
        .data_mut()
        .subscribe_to_topic(home(), topic, filter)??)
}
