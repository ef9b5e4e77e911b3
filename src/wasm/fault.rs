//! What a trap means, in words for the guest's author: one clear text to whoever waits, the backtrace to the log.

use log::Level;
use rustix::io::Errno;
use wasmtime::error::OutOfMemory;
use wasmtime::{PoolConcurrencyLimitError, Store};
use wasmtime_wasi::I32Exit;

use super::host::Guest;
use super::last_words;
use super::slices::OutOfTime;
use crate::actor::Fault;

/// Whether the guest ended by itself, and with which code.
pub fn exit_code(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

/// Whether the node, not the guest, lacked what the call needed: a slot, a stack, address space.
pub fn lacks_room(error: &wasmtime::Error) -> bool {
    let out_of_memory = |error: &(dyn std::error::Error + 'static)| {
        let kind = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        kind == Some(std::io::ErrorKind::OutOfMemory)
            || error.is::<OutOfMemory>()
            || error.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
    };
    error.is::<PoolConcurrencyLimitError>() || error.chain().any(out_of_memory)
}

/// A call that broke the guest while `doing` something.
pub fn fault(doing: &str, store: &Store<Guest>, error: &wasmtime::Error) -> Fault {
    let guest = store.data();
    if lacks_room(error) {
        return Fault::NoRoom(format!("this node has no room for it now: {error:#}"));
    }
    log::error!("{} trapped while {doing}: {error:#}", guest.actor);
    let text = format!("trapped while {doing}: {error:#}");
    guest.log.keep(Level::Error, &text);
    Fault::Broken(with_last_words(guest, cause(error)))
}

/// Adds what the guest last wrote to standard error, in front the line of it that says what went wrong.
pub fn with_last_words(guest: &Guest, text: String) -> String {
    guest.flush();
    let tail = guest.log.take_stderr_tail();
    let tail = tail.trim();
    if tail.is_empty() {
        return text;
    }
    let words = format!(
        "its last words on standard error: {}",
        tail.replace('\n', " | ")
    );
    match last_words::headline(tail) {
        Some(headline) => format!("{headline} ({text}; {words})"),
        None => format!("{text}; {words}"),
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
