//! What is wrong in a TOML text that somebody wrote, in one line: where, under which key, and what is accepted.

use std::fmt;
use std::io::{self, Read};

use toml::de::{DeTable, DeValue};

use crate::serde_words::{shortened, spoken};

/// The way from the top of a TOML text to one value, such as `supervisor.children[pool].shutdown_timeout`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath {
    shown: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

impl KeyPath {
    pub fn of(key: &str) -> Self {
        Self::default().key(key)
    }

    /// What stands under a key of the table here.
    pub fn key(&self, key: &str) -> Self {
        let joint = if self.shown.is_empty() { "" } else { "." };
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let shown = match !key.is_empty() && key.chars().all(bare) {
            true => format!("{}{joint}{key}", self.shown),
            false => format!("{}{joint}{key:?}", self.shown),
        };
        self.to(Step::Key(key.to_owned()), shown)
    }

    /// One of the list here, by its place in it from 0 on; shown by that or by what it is called.
    pub fn item(&self, index: usize, called: &dyn fmt::Display) -> Self {
        self.to(Step::Item(index), format!("{}[{called}]", self.shown))
    }

    fn to(&self, step: Step, shown: String) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { shown, steps }
    }

    /// `line 4: limits.max_mailbox is 0; ...`, without the line where the text is none.
    pub fn says(&self, text: &str, problem: &str) -> String {
        match self.line(text) {
            Some(line) => format!("line {line}: {self}{problem}"),
            None => format!("{self}{problem}"),
        }
    }

    /// The line, from 1 on, of the value here, or of the nearest thing around it that stands in the text.
    pub fn line(&self, text: &str) -> Option<usize> {
        let whole = DeTable::parse(text).ok()?;
        let mut at = None;
        let mut table = Some(whole.get_ref());
        let mut list = None;
        for step in &self.steps {
            let found = match (step, table, list) {
                (Step::Key(key), Some(table), _) => table.get(key.as_str()),
                (Step::Item(index), _, Some(list)) => <[_]>::get(list, *index),
                _ => None,
            };
            let Some(value) = found else { break };
            at = Some(value.span().start);
            (table, list) = match value.get_ref() {
                DeValue::Table(table) => (Some(table), None),
                DeValue::Array(array) => (None, Some(array.as_ref())),
                _ => (None, None),
            };
        }
        at.map(|at| line_at(text, at))
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn line_at(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}

/// Reads a whole text. One of more than `bytes_max` bytes is an error, and not read further.
pub fn read_up_to(bytes_max: usize, file: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let read = file.take(bytes_max as u64 + 1).read_to_string(&mut text)?;
    match read > bytes_max {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than a config may be ({bytes_max} bytes)"),
        )),
        false => Ok(text),
    }
}

/// A TOML error in one line: where it is, what is wrong, and the line itself.
pub fn in_one_line(text: &str, error: &toml::de::Error) -> String {
    if error.message() == KEY_TOO_LONG {
        return key_too_long(text);
    }
    let message = abridged(&in_plain_words(error.message()));
    let Some(span) = error.span() else {
        return message;
    };
    let before = &text[..span.start.min(text.len())];
    let line = line_at(text, span.start);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let shown = text[line_start..].lines().next().unwrap_or_default();
    let shown: String = shortened(shown.trim()).chars().take(80).collect();
    format!("line {line}: {message}: {shown:?}")
}

/// What the parser says, without a place, of a key with more parts than it reads.
const KEY_TOO_LONG: &str = "recursion limit";
/// Tables that a key may lie in.
const KEY_TABLES_MAX: usize = 79;

fn key_too_long(text: &str) -> String {
    let dots = |line: &str| line.matches('.').count();
    let line = text.lines().position(|line| dots(line) > KEY_TABLES_MAX);
    let place = line.map_or(String::new(), |at| format!("line {}: ", at + 1));
    format!(
        "{place}a key lies more than {KEY_TABLES_MAX} tables deep, which no key does that means something here; nest less"
    )
}

/// What the parser takes a value for that stands without quotes.
const UNQUOTED: [&str; 4] = [
    "invalid float",
    "invalid integer",
    "invalid boolean",
    "invalid datetime",
];

/// What serde calls things, and what TOML does.
const WORDS: [(&str, &str); 8] = [
    ("expected usize", "expected a whole number"),
    ("expected u32", "expected a whole number"),
    ("expected u64", "expected a whole number"),
    ("expected i64", "expected a whole number"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected a table"),
    ("invalid type: sequence", "invalid type: list"),
    ("invalid type: map", "invalid type: table"),
];

/// What serde says, in words of TOML instead of Rust's.
fn in_plain_words(message: &str) -> String {
    let message = spoken(&message.replace('\n', " "), &WORDS, "a table");
    if let Some(guessed) = UNQUOTED.iter().find(|it| message.starts_with(**it)) {
        return format!("{guessed}; put the value in quotes if it is text");
    }
    message
}

/// A text without its middle where it is long: a key of a megabyte is not echoed whole, and what is expected in its
/// place, which the text ends with, is.
pub fn abridged(text: &str) -> String {
    const BYTES_MAX: usize = 600;
    if text.len() <= BYTES_MAX {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(BYTES_MAX / 4);
    let tail = text.ceil_char_boundary(text.len() - BYTES_MAX / 2);
    format!("{} … {}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_whatever_way_its_table_is_written() {
        let timeout = KeyPath::of("supervisor").key("children");
        let timeout = timeout.item(1, &"pool").key("shutdown_timeout");
        let check = |text: &str, line: usize| {
            let said = timeout.says(text, " is odd");
            let expected = "supervisor.children[pool].shutdown_timeout is odd";
            assert_eq!(said, format!("line {line}: {expected}"), "{text}");
        };
        check(
            "[supervisor]\n[[supervisor.children]]\nid = 'a'\n[[supervisor.children]]\nid = 'pool'\n\nshutdown_timeout = 1",
            7,
        );
        check(
            "supervisor.children = [\n{ id = 'a' },\n{ id = 'pool', shutdown_timeout = 1 } ]",
            3,
        );
        // Where it is not written, what should hold it is.
        check("\nsupervisor = { children = [] }", 2);
        assert_eq!(
            timeout.says("", ": odd"),
            "supervisor.children[pool].shutdown_timeout: odd"
        );
        assert_eq!(KeyPath::of("env").key("A B").to_string(), "env.\"A B\"");
    }
}
