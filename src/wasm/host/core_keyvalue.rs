//! The key-value functions as core modules spell them; what each means is said at the method that components call.

use wasmtime::{Caller, Linker};

use super::Guest;
use super::bindings::keyvalue::Host;
use super::bindings::types::Context;
use crate::wasm::core_abi::MODULE;
use crate::wasm::exchange::{self, Slice, Unmet};

/// Their names.
pub const FUNCTIONS: &[&str] = &[
    "keyvalue_get",
    "keyvalue_put",
    "keyvalue_put_with_ttl",
    "keyvalue_delete",
    "keyvalue_exists",
    "keyvalue_list_keys",
    "keyvalue_compare_and_swap",
    "keyvalue_increment",
    "keyvalue_watch",
    "keyvalue_unwatch",
];

/// The length that stands for no value at all.
const ABSENT: i32 = -1;

pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "keyvalue_get",
        |mut caller: Caller<'_, Guest>, (key, key_len, answer_at): (i32, i32, i32)| {
            Box::new(async move {
                let found = get(&mut caller, Slice(key, key_len)).await;
                exchange::maybe(&mut caller, found, answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "keyvalue_put",
        |mut caller: Caller<'_, Guest>, (key, key_len, value, len): (i32, i32, i32, i32)| {
            Box::new(async move {
                let (key, value) = (Slice(key, key_len), Slice(value, len));
                exchange::status(put(&mut caller, key, value, 0).await)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "keyvalue_put_with_ttl",
        |mut caller: Caller<'_, Guest>,
         (key, key_len, value, len, ttl_ms): (i32, i32, i32, i32, i64)| {
            Box::new(async move {
                let (key, value) = (Slice(key, key_len), Slice(value, len));
                exchange::status(put(&mut caller, key, value, ttl_ms).await)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "keyvalue_delete",
        |mut caller: Caller<'_, Guest>, (key, len): (i32, i32)| {
            Box::new(async move { exchange::status(delete(&mut caller, Slice(key, len)).await) })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "keyvalue_exists",
        |mut caller: Caller<'_, Guest>, (key, len): (i32, i32)| {
            Box::new(async move {
                let exists = exists(&mut caller, Slice(key, len)).await;
                exchange::truth(exists)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "keyvalue_list_keys",
        |mut caller: Caller<'_, Guest>, (prefix, len, limit, answer_at): (i32, i32, i32, i32)| {
            Box::new(async move {
                let keys = list_keys(&mut caller, Slice(prefix, len), limit).await;
                exchange::answer(&mut caller, keys, answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "keyvalue_compare_and_swap",
        |mut caller: Caller<'_, Guest>,
         (key, key_len, expected, expected_len, value, len): (i32, i32, i32, i32, i32, i32)| {
            Box::new(async move {
                let expected = (expected_len != ABSENT).then_some(Slice(expected, expected_len));
                let (key, value) = (Slice(key, key_len), Slice(value, len));
                let swapped = compare_and_swap(&mut caller, key, expected, value).await;
                exchange::truth(swapped)
            })
        },
    )?;
    linker.func_wrap_async(
        MODULE,
        "keyvalue_increment",
        |mut caller: Caller<'_, Guest>, (key, len, delta, sum_at): (i32, i32, i64, i32)| {
            Box::new(async move {
                exchange::status(increment(&mut caller, Slice(key, len), delta, sum_at).await)
            })
        },
    )?;
    linker.func_wrap(
        MODULE,
        "keyvalue_watch",
        |mut caller: Caller<'_, Guest>, key: i32, len: i32| match watch(
            &mut caller,
            Slice(key, len),
        ) {
            Ok(id) => Ok(id.cast_signed()),
            Err(unmet) => exchange::number(Err(unmet)).map(i64::from),
        },
    )?;
    linker.func_wrap(
        MODULE,
        "keyvalue_unwatch",
        |mut caller: Caller<'_, Guest>, id: i64| {
            let ended = caller.data_mut().unwatch(id.cast_unsigned())?;
            exchange::status(ended.map_err(Unmet::from))
        },
    )?;
    Ok(())
}

async fn get(caller: &mut Caller<'_, Guest>, key: Slice) -> Result<Option<Vec<u8>>, Unmet> {
    let key = exchange::text(caller, key)?;
    Ok(caller.data_mut().get(home(), key).await??)
}

async fn put(
    caller: &mut Caller<'_, Guest>,
    key: Slice,
    value: Slice,
    ttl_ms: i64,
) -> Result<(), Unmet> {
    let key = exchange::text(caller, key)?;
    let value = exchange::payload(caller, value)?;
    let ttl_ms = ttl_ms.cast_unsigned();
    let put = caller.data_mut().put_with_ttl(home(), key, value, ttl_ms);
    Ok(put.await??)
}

async fn delete(caller: &mut Caller<'_, Guest>, key: Slice) -> Result<(), Unmet> {
    let key = exchange::text(caller, key)?;
    Ok(Host::delete(caller.data_mut(), home(), key).await??)
}

async fn exists(caller: &mut Caller<'_, Guest>, key: Slice) -> Result<bool, Unmet> {
    let key = exchange::text(caller, key)?;
    Ok(Host::exists(caller.data_mut(), home(), key).await??)
}

async fn list_keys(
    caller: &mut Caller<'_, Guest>,
    prefix: Slice,
    limit: i32,
) -> Result<Vec<u8>, Unmet> {
    let prefix = exchange::text(caller, prefix)?;
    let limit = limit.cast_unsigned();
    let keys = caller.data_mut().list_keys(home(), prefix, limit).await??;
    Ok(exchange::listed(keys.iter().map(String::as_str)))
}

async fn compare_and_swap(
    caller: &mut Caller<'_, Guest>,
    key: Slice,
    expected: Option<Slice>,
    value: Slice,
) -> Result<bool, Unmet> {
    let key = exchange::text(caller, key)?;
    let expected = expected.map(|it| exchange::payload(caller, it));
    let expected = expected.transpose()?;
    let value = exchange::payload(caller, value)?;
    let guest = caller.data_mut();
    let swapped = Host::compare_and_swap(guest, home(), key, expected, value);
    Ok(swapped.await??)
}

async fn increment(
    caller: &mut Caller<'_, Guest>,
    key: Slice,
    delta: i64,
    sum_at: i32,
) -> Result<(), Unmet> {
    let key = exchange::text(caller, key)?;
    let sum = caller.data_mut().increment(home(), key, delta).await??;
    exchange::write(caller, sum_at, &sum.to_le_bytes())
}

fn watch(caller: &mut Caller<'_, Guest>, key: Slice) -> Result<u64, Unmet> {
    let key = exchange::text(caller, key)?;
    Ok(caller.data_mut().watch(home(), key)??)
}

/// A core module works in its application's own place.
pub fn home() -> Context {
    Context {
        tenant_id: String::new(),
        namespace: String::new(),
    }
}
