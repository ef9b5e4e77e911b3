//! A guest's words: its log calls and what it writes to its standard streams, bounded, into the application's log.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use log::Level;
use wasmtime::{Caller, Linker};

use super::Guest;
use super::bindings::logging::{Host, LogLevel};
use crate::allowance::Allowance;
use crate::id::ActorId;
use crate::limits;
use crate::storage::Logs;
use crate::unseen::dotted;
use crate::wasm::Capabilities;
use crate::wasm::core_abi;
use crate::wasm::exchange::{self, Slice};

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "log",
    "log-with-fields",
    "trace",
    "debug",
    "info",
    "warn",
    "error",
    "start-span",
    "end-span",
    "add-span-event",
];

/// The same as core modules spell them.
pub const CORE_FUNCTIONS: &[&str] = &["log"];

/// Where one guest's lines go. Cloning shares its allowance.
#[derive(Clone)]
pub struct GuestLog {
    actor: ActorId,
    logs: Logs,
    capabilities: Capabilities,
    allowance: Arc<Mutex<Allowance>>,
    /// What the guest last wrote to standard error during the current message.
    stderr_tail: Arc<Mutex<String>>,
}

impl GuestLog {
    pub fn new(actor: ActorId, logs: Logs, capabilities: Capabilities) -> Self {
        let allowance = Allowance::new(limits::GUEST_LINES_PER_SECOND_MAX);
        Self {
            actor,
            logs,
            capabilities,
            allowance: Arc::new(Mutex::new(allowance)),
            stderr_tail: Arc::default(),
        }
    }

    /// Logs one line for the application, escaped so that it stays one; drops it where the guest may not log.
    pub fn line(&self, level: Level, text: &str) {
        self.write(level, text, true);
    }

    /// The same; the node's own log has it too where that is wanted.
    fn write(&self, level: Level, text: &str, everywhere: bool) {
        if !self.capabilities.logging || !self.may_log() {
            return;
        }
        let end = text.floor_char_boundary(limits::GUEST_LINE_BYTES_MAX);
        let cut = if end < text.len() { " [cut]" } else { "" };
        let shown: String = text[..end].chars().map(dotted).collect();
        if everywhere {
            log::log!(target: "guest", level, "{}: {shown}{cut}", self.actor);
        }
        self.keep(level, &(shown + cut));
    }

    /// Writes a line to the application's own log.
    pub fn keep(&self, level: Level, text: &str) {
        let actor = &self.actor;
        self.logs
            .say(actor.application(), level, Some(actor.address()), text);
    }

    /// Logs a line of standard error. The frames of a traceback, which every language indents, are for the
    /// application's log alone.
    pub fn stderr_line(&self, text: &str) {
        let is_frame = text.is_empty() || text.starts_with([' ', '\t']);
        self.write(Level::Warn, text, !is_frame);
        let mut tail = self.stderr_tail.lock().unwrap();
        tail.push_str(text);
        tail.push('\n');
        let excess = tail.len().saturating_sub(limits::GUEST_STDERR_TAIL_BYTES);
        let start = tail.ceil_char_boundary(excess);
        tail.drain(..start);
    }

    /// Takes the tail; the next message starts with an empty one.
    pub fn take_stderr_tail(&self) -> String {
        std::mem::take(&mut self.stderr_tail.lock().unwrap())
    }

    fn may_log(&self) -> bool {
        let mut allowance = self.allowance.lock().unwrap();
        let may = allowance.take(Instant::now());
        if may && let Some(dropped) = allowance.take_dropped() {
            let text = format!("{dropped} lines in one second were dropped");
            log::warn!(target: "guest", "{}: {text}", self.actor);
            self.keep(Level::Warn, &text);
        }
        may
    }
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Trace => Self::Trace,
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warn => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

impl Host for Guest {
    fn log(&mut self, level: LogLevel, message: String) -> wasmtime::Result<()> {
        self.log.line(level.into(), &message);
        Ok(())
    }

    fn log_with_fields(
        &mut self,
        level: LogLevel,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.log.line(level.into(), &with_fields(message, &fields));
        Ok(())
    }

    fn trace(&mut self, message: String) -> wasmtime::Result<()> {
        self.log.line(Level::Trace, &message);
        Ok(())
    }

    fn debug(&mut self, message: String) -> wasmtime::Result<()> {
        self.log.line(Level::Debug, &message);
        Ok(())
    }

    fn info(&mut self, message: String) -> wasmtime::Result<()> {
        self.log.line(Level::Info, &message);
        Ok(())
    }

    fn warn(&mut self, message: String) -> wasmtime::Result<()> {
        self.log.line(Level::Warn, &message);
        Ok(())
    }

    fn error(&mut self, message: String) -> wasmtime::Result<()> {
        self.log.line(Level::Error, &message);
        Ok(())
    }

    fn start_span(&mut self, name: String) -> wasmtime::Result<u64> {
        let (id, forgotten) = self.spans.start(name);
        if let Some(name) = forgotten {
            self.actors.metrics().spans_forgotten.inc();
            let most = limits::SPANS_MAX;
            let text =
                format!("span {name:?} is forgotten: it is the oldest of {most} without an end");
            self.log.line(Level::Warn, &text);
        }
        Ok(id)
    }

    fn end_span(&mut self, span_id: u64) -> wasmtime::Result<()> {
        if let Some((name, took)) = self.spans.end(span_id) {
            self.actors.metrics().span_time.observe(took.as_secs_f64());
            self.log
                .line(Level::Debug, &format!("span {name:?} took {took:?}"));
        }
        Ok(())
    }

    fn add_span_event(
        &mut self,
        name: String,
        attributes: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let event = head(&name);
        let message = match self.spans.innermost() {
            Some(span) => format!("span {span:?} event {event:?}"),
            None => format!("event {event:?}"),
        };
        self.log_with_fields(LogLevel::Debug, message, attributes)
    }
}

/// A message with its fields behind it, a little more of both than a line holds: the rest would be printed for nobody.
fn with_fields(mut line: String, fields: &[(String, String)]) -> String {
    for (name, value) in fields {
        if line.len() > limits::GUEST_LINE_BYTES_MAX {
            break;
        }
        line += &format!(" {}={:?}", head(name), head(value));
    }
    line
}

/// As much of a text as fills a line.
fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::GUEST_LINE_BYTES_MAX)]
}

/// The spans a guest has begun and not ended; past [`limits::SPANS_MAX`] the oldest is forgotten.
#[derive(Default)]
pub struct Spans {
    last: u64,
    open: std::collections::VecDeque<(u64, String, Instant)>,
}

impl Spans {
    /// The new span's number, from 1 upwards, and the name of one that is forgotten for it.
    fn start(&mut self, mut name: String) -> (u64, Option<String>) {
        name.truncate(name.floor_char_boundary(limits::MESSAGE_TYPE_CHARS_MAX));
        self.last += 1;
        let full = self.open.len() >= limits::SPANS_MAX;
        let forgotten = full.then(|| self.open.pop_front()).flatten();
        self.open.push_back((self.last, name, Instant::now()));
        (self.last, forgotten.map(|(_, name, _)| name))
    }

    /// The one begun last.
    fn innermost(&self) -> Option<&str> {
        self.open.back().map(|(_, name, _)| &**name)
    }

    fn end(&mut self, span_id: u64) -> Option<(String, Duration)> {
        let index = self.open.iter().position(|(id, ..)| *id == span_id)?;
        let (_, name, began) = self.open.remove(index)?;
        Some((name, began.elapsed()))
    }
}

/// The same for core modules: one line at level info.
pub fn add_to_core_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        core_abi::MODULE,
        "log",
        |mut caller: Caller<'_, Guest>, text: i32, len: i32| {
            let text = exchange::text(&caller, Slice(text, len))?;
            caller.data_mut().info(text)
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_once_and_the_oldest_of_too_many_is_forgotten() {
        let mut spans = Spans::default();
        let (first, _) = spans.start("first".into());
        let (second, _) = spans.start("second".into());
        assert_eq!((first, second, spans.innermost()), (1, 2, Some("second")));
        assert_eq!(
            spans.end(second).map(|(name, _)| name),
            Some("second".into())
        );
        assert!(spans.end(second).is_none() && spans.end(7).is_none());
        for _ in 1..limits::SPANS_MAX {
            assert_eq!(spans.start("more".into()).1, None);
        }
        assert_eq!(spans.start("over".into()).1, Some("first".into()));
        assert!(spans.end(first).is_none());
    }

    #[test]
    fn of_fields_no_more_is_printed_than_a_line_shows() {
        let long = "\u{1}".repeat(1_000_000);
        let field = (long.clone(), long);
        let line = with_fields("said".into(), &vec![field; 100]);
        assert!(line.starts_with("said \u{1}"));
        assert!(
            line.len() > limits::GUEST_LINE_BYTES_MAX,
            "it shows that it was cut"
        );
        assert!(
            line.len() < 8 * limits::GUEST_LINE_BYTES_MAX,
            "{} bytes",
            line.len()
        );
    }
}
