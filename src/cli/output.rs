//! What a command prints: text for people, JSON for programs. No colour but on a terminal, and no error when the reader
//! has left.

use std::env;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::str::FromStr;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use crate::unseen::steers;

/// The form that `--output` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Text,
    Json,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is no form of output; use text or json")),
        }
    }
}

/// Whoever read standard output has left, as `head -1` does: nothing more to do, and no error.
#[derive(Debug)]
pub struct ReaderLeft;

impl fmt::Display for ReaderLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderLeft {}

pub fn text(text: &str) -> anyhow::Result<()> {
    bytes(text.as_bytes())
}

/// Bytes as they are.
pub fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderLeft.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// What a guest said: as it is for programs, and on a terminal without anything that would steer it.
pub fn of_guest(reply: &[u8]) -> anyhow::Result<()> {
    if !io::stdout().is_terminal() {
        return bytes(reply);
    }
    let shown = harmless(&String::from_utf8_lossy(reply));
    let end = if shown.ends_with('\n') { "" } else { "\n" };
    text(&format!("{shown}{end}"))
}

pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// An answer of the node's, a line for each value.
pub fn answer(body: &[u8]) -> anyhow::Result<()> {
    let value: Value = serde_json::from_slice(body).context("the node's answer is no JSON")?;
    json(&value)
}

/// A note for people, where it does not get into what programs read.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Without what steers a terminal or turns the direction of a text, but for line breaks and tabs.
pub fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if steers(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Whether standard output is a terminal that may be coloured.
pub fn coloured() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stdout().is_terminal() && !refused && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_guest_says_steers_a_terminal() {
        assert_eq!(
            harmless("a\u{1b}[2J\tb\nc\u{9b}d"),
            "a\u{fffd}[2J\tb\nc\u{fffd}d"
        );
    }
}
