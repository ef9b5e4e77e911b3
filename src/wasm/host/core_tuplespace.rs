//! The tuple space as core modules spell it: tuples and patterns as JSON by pointer and length, in the application's own
//! namespace.
//!
//! Each reads its parts and calls what components call. Where a tuple may be found or not, 1 is found and 0 is not.

use std::time::Duration;

use serde::Serialize;
use wasmtime::{Caller, Linker};

use super::Guest;
use super::bindings::tuplespace::Host;
use super::bindings::types::ErrorCode;
use super::{actor_error, tuplespace};
use crate::coordination::tuplespace::Wish;
use crate::coordination::{Pattern, Tuple, read_pattern, read_tuple};
use crate::place::Place;
use crate::wasm::core_abi::MODULE;
use crate::wasm::exchange::{self, Slice, Unmet};

/// Their names.
pub const FUNCTIONS: &[&str] = &[
    "tuple_write",
    "tuple_write_with_ttl",
    "tuple_read",
    "tuple_read_blocking",
    "tuple_read_all",
    "tuple_take",
    "tuple_take_blocking",
    "tuple_count",
    "tuple_subscribe",
    "tuple_unsubscribe",
    "tuple_compare_and_swap",
];

pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "tuple_write",
        |caller: Caller<'_, Guest>, (tuple, len): (i32, i32)| {
            let written = write(&caller, Slice(tuple, len), None);
            Box::new(async move { exchange::status(written.await) })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "tuple_write_with_ttl",
        |caller: Caller<'_, Guest>, (tuple, len, ttl_ms): (i32, i32, i64)| {
            let ttl = Duration::from_millis(ttl_ms.cast_unsigned());
            let written = write(&caller, Slice(tuple, len), Some(ttl));
            Box::new(async move { exchange::status(written.await) })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "tuple_read",
        |mut caller: Caller<'_, Guest>, (pattern, len, answer_at): (i32, i32, i32)| {
            Box::new(async move {
                let found = look(&caller, Slice(pattern, len))
                    .map(|(place, pattern)| tuples(&caller).read(&place, &pattern));
                answer(&mut caller, found, answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "tuple_read_blocking",
        |mut caller: Caller<'_, Guest>,
         (pattern, len, timeout_ms, answer_at): (i32, i32, i64, i32)| {
            Box::new(async move {
                let found = wait(&caller, Slice(pattern, len), timeout_ms, Wish::Read);
                let found = found.await;
                answer(&mut caller, found, answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "tuple_read_all",
        |mut caller: Caller<'_, Guest>, (pattern, len, limit, answer_at): (i32, i32, i32, i32)| {
            Box::new(async move {
                let found = read_all(&caller, Slice(pattern, len), limit);
                let count = found.as_ref().map_or(0, Vec::len);
                let found = found.map(|found| written(&found));
                let status = exchange::answer(&mut caller, found, answer_at).await?;
                let count = i32::try_from(count).unwrap_or(i32::MAX);
                Ok(if status == 0 { count } else { status })
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "tuple_take",
        |mut caller: Caller<'_, Guest>, (pattern, len, answer_at): (i32, i32, i32)| {
            Box::new(async move {
                let found = take(&caller, Slice(pattern, len)).await;
                answer(&mut caller, found, answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "tuple_take_blocking",
        |mut caller: Caller<'_, Guest>,
         (pattern, len, timeout_ms, answer_at): (i32, i32, i64, i32)| {
            Box::new(async move {
                let found = wait(&caller, Slice(pattern, len), timeout_ms, Wish::Take);
                let found = found.await;
                answer(&mut caller, found, answer_at).await
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "tuple_count",
        |caller: Caller<'_, Guest>, pattern: i32, len: i32| {
            let counted = look(&caller, Slice(pattern, len));
            exchange::number(
                counted.map(|(place, pattern)| tuples(&caller).count(&place, &pattern) as u64),
            )
        },
    )?;
    linker.func_wrap(
        MODULE,
        "tuple_subscribe",
        |mut caller: Caller<'_, Guest>, pattern: i32, len: i32| {
            exchange::number(subscribe(&mut caller, Slice(pattern, len)))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "tuple_unsubscribe",
        |mut caller: Caller<'_, Guest>, id: i64| {
            let ended = caller.data_mut().unsubscribe(id.cast_unsigned())?;
            exchange::status(ended.map_err(Unmet::from))
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "tuple_compare_and_swap",
        |caller: Caller<'_, Guest>, (a, b, c, d, e, f): (i32, i32, i32, i32, i32, i32)| {
            let swapped = swap(&caller, [Slice(a, b), Slice(c, d), Slice(e, f)]);
            Box::new(async move { exchange::truth(swapped.await) })
        },
    )?;
    Ok(())
}

fn tuples<'a>(caller: &'a Caller<'_, Guest>) -> &'a crate::coordination::TupleSpaces {
    &caller.data().services.coordination.tuples
}

fn write(
    caller: &Caller<'_, Guest>,
    tuple: Slice,
    ttl: Option<Duration>,
) -> impl Future<Output = Result<(), Unmet>> + Send + use<> {
    let placed = home(caller).and_then(|place| Ok((place, tuple_at(caller, tuple)?)));
    let written = placed.map(|(place, tuple)| caller.data().write_tuple(&place, tuple, ttl));
    async move { Ok(written?.await?) }
}

fn take(
    caller: &Caller<'_, Guest>,
    pattern: Slice,
) -> impl Future<Output = Result<Option<Tuple>, Unmet>> + Send + use<> {
    let sought = look(caller, pattern);
    let taken = sought.map(|(place, pattern)| caller.data().take_tuple(&place, pattern));
    async move { Ok(taken?.await?) }
}

fn look(caller: &Caller<'_, Guest>, pattern: Slice) -> Result<(Place, Pattern), Unmet> {
    let place = home(caller)?;
    Ok((place, pattern_at(caller, pattern)?))
}

/// Owned: nothing of the guest is held while it waits.
fn wait(
    caller: &Caller<'_, Guest>,
    pattern: Slice,
    timeout_ms: i64,
    wish: Wish,
) -> impl Future<Output = Result<Option<Tuple>, Unmet>> + Send + use<> {
    let waiting = look(caller, pattern).map(|(place, pattern)| {
        let timeout_ms = timeout_ms.cast_unsigned();
        caller
            .data()
            .wait_for_tuple(&place, pattern, timeout_ms, wish)
    });
    async move { Ok(waiting?.await?) }
}

fn read_all(caller: &Caller<'_, Guest>, pattern: Slice, limit: i32) -> Result<Vec<Tuple>, Unmet> {
    let (place, pattern) = look(caller, pattern)?;
    let limit = tuplespace::limit_of(limit.cast_unsigned());
    let found = tuples(caller).read_all(&place, &pattern, limit);
    found.map_err(|error| Unmet::Refused(error.into()))
}

fn subscribe(caller: &mut Caller<'_, Guest>, pattern: Slice) -> Result<u64, Unmet> {
    let (place, pattern) = look(caller, pattern)?;
    Ok(caller.data_mut().subscribe_to_tuples(&place, pattern)?)
}

fn swap(
    caller: &Caller<'_, Guest>,
    [pattern, expected, new]: [Slice; 3],
) -> impl Future<Output = Result<bool, Unmet>> + Send + use<> {
    let sought = look(caller, pattern).and_then(|(place, pattern)| {
        let (expected, new) = (tuple_at(caller, expected)?, tuple_at(caller, new)?);
        Ok(caller.data().swap_tuple(&place, pattern, expected, new))
    });
    async move { Ok(sought?.await?) }
}

fn home(caller: &Caller<'_, Guest>) -> Result<Place, Unmet> {
    Ok(caller.data().tuple_place(&super::own_place())?)
}

fn tuple_at(caller: &Caller<'_, Guest>, slice: Slice) -> Result<Tuple, Unmet> {
    let json = exchange::payload(caller, slice)?;
    read_tuple(&json).map_err(|problem| unread("tuple", &problem))
}

fn pattern_at(caller: &Caller<'_, Guest>, slice: Slice) -> Result<Pattern, Unmet> {
    let json = exchange::payload(caller, slice)?;
    read_pattern(&json).map_err(|problem| unread("pattern", &problem))
}

fn unread(what: &str, problem: &str) -> Unmet {
    let text = format!("the {what} cannot be read: {problem}");
    actor_error(ErrorCode::InvalidMessage, text).into()
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("tuples are JSON")
}

/// 1 and the tuple, or 0 where there is none.
async fn answer(
    caller: &mut Caller<'_, Guest>,
    found: Result<Option<Tuple>, Unmet>,
    answer_at: i32,
) -> wasmtime::Result<i32> {
    let found = found.map(|found| found.map(|tuple| written(&tuple)));
    exchange::maybe(caller, found, answer_at).await
}
