//! What a trap means, in words for the guest's author: one clear text to whoever waits, the backtrace to the log.

use log::Level;
use wasmtime::{PoolConcurrencyLimitError, Store};
use wasmtime_wasi::I32Exit;

use super::host::Guest;
use super::slices::OutOfTime;
use crate::actor::Fault;

/// Whether the guest ended by itself, and with which code.
pub fn exit_code(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

/// A call that broke the guest while `doing` something.
pub fn fault(doing: &str, store: &Store<Guest>, error: &wasmtime::Error) -> Fault {
    let guest = store.data();
    if error.is::<PoolConcurrencyLimitError>() {
        return Fault::NoRoom(format!(
            "no free slot for another actor on this node: {error}"
        ));
    }
    log::error!("{} trapped while {doing}: {error:#}", guest.actor);
    let text = format!("trapped while {doing}: {error:#}");
    guest.log.keep(Level::Error, &text);
    Fault::Broken(with_last_words(guest, cause(error)))
}

/// Adds what the guest last wrote to standard error.
pub fn with_last_words(guest: &Guest, text: String) -> String {
    guest.world.flush();
    let tail = guest.log.take_stderr_tail();
    match tail.trim_end() {
        "" => text,
        tail => format!(
            "{text}; its last words on standard error: {}",
            tail.replace('\n', " | ")
        ),
    }
}

fn cause(error: &wasmtime::Error) -> String {
    if let Some(code) = exit_code(error) {
        return format!("it ended itself with exit code {code}; a handler returns instead");
    }
    match error.downcast_ref::<OutOfTime>() {
        Some(out_of_time) => out_of_time.to_string(),
        None => error.root_cause().to_string(),
    }
}
