//! What a trap means: one clear text to whoever waits, one line in the node's log, the backtrace to the application's.

use log::Level;
use rustix::io::Errno;
use wasmtime::error::OutOfMemory;
use wasmtime::{PoolConcurrencyLimitError, Store, WasmBacktrace};
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
    let (actor, name, cause) = (&guest.actor, guest.actor.application(), cause(guest, error));
    let words = LastWords::of(guest);
    let said = words.headlined(&cause);
    // A first start that fails leaves no log of the application's behind.
    let more = match guest.has_begun {
        true => format!("; `plexspaces application logs {name}` shows more"),
        false => String::new(),
    };
    log::error!(
        "{actor} of application {name} trapped while {doing}: {said}{}{more}",
        place(error)
    );
    let text = format!("trapped while {doing}: {said}\n{error:#}");
    guest.log.keep(Level::Error, &text);
    Fault::Broken(words.around(cause))
}

/// Adds what the guest last wrote to standard error, in front the line of it that says what went wrong.
pub fn with_last_words(guest: &Guest, text: String) -> String {
    LastWords::of(guest).around(text)
}

/// What a guest last wrote to standard error.
struct LastWords {
    tail: String,
    /// The line of it that says what went wrong.
    headline: Option<String>,
}

impl LastWords {
    /// Takes them: they are told once.
    fn of(guest: &Guest) -> Self {
        guest.flush();
        let tail = guest.log.take_stderr_tail().trim().to_owned();
        let headline = last_words::headline(&tail);
        Self { tail, headline }
    }

    /// What went wrong, short.
    fn headlined(&self, text: &str) -> String {
        match &self.headline {
            Some(headline) => format!("{headline} ({text})"),
            None => text.to_owned(),
        }
    }

    /// What went wrong, and all of them.
    fn around(&self, text: String) -> String {
        if self.tail.is_empty() {
            return text;
        }
        let tail = self.tail.replace('\n', " | ");
        self.headlined(&format!("{text}; its last words on standard error: {tail}"))
    }
}

/// The innermost functions that it was in, as far as they have names. The guest's author chose these.
fn place(error: &wasmtime::Error) -> String {
    const FUNCTIONS_MAX: usize = 4;
    const CHARS_MAX: usize = 60;
    let frames = error.downcast_ref::<WasmBacktrace>();
    let frames = frames.map_or(&[][..], WasmBacktrace::frames);
    let names = frames.iter().filter_map(|frame| frame.func_name());
    let shown = |name: &str| -> String { name.escape_debug().take(CHARS_MAX).collect() };
    let names: Vec<String> = names.take(FUNCTIONS_MAX).map(shown).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(", in {}", names.join(" < ")),
    }
}

fn cause(guest: &Guest, error: &wasmtime::Error) -> String {
    if let Some(code) = exit_code(error) {
        return format!("it ended itself with exit code {code}; a handler returns instead");
    }
    match error.downcast_ref::<OutOfTime>() {
        Some(out_of_time) => out_of_time.to_string(),
        None => {
            let cause = error.root_cause().to_string();
            let raise = limit_to_raise(guest, &cause).unwrap_or_default();
            cause + &raise
        }
    }
}

/// Which limit a guest begins beyond, by the engine's words, and what it is.
fn limit_to_raise(guest: &Guest, cause: &str) -> Option<String> {
    let limits = &guest.limits;
    let (key, value) = match () {
        () if cause.ends_with("exceeds memory limits") => {
            ("max_memory_bytes", limits.memory_bytes_max)
        }
        () if cause.ends_with("exceeds table limits") => {
            ("max_table_elements", limits.table_elements_max as u64)
        }
        () => return None,
    };
    Some(format!(
        "; raise limits.{key} in its config, which is {value}"
    ))
}
