//! What is wrong with a TOML file, for whoever wrote it.

/// A TOML error in one line: where it is, what is wrong, and the line itself.
pub fn in_one_line(text: &str, error: &toml::de::Error) -> String {
    let message = abridged(&in_plain_words(error.message()));
    let Some(span) = error.span() else {
        return message;
    };
    let before = &text[..span.start.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let shown = text[line_start..].lines().next().unwrap_or_default();
    let shown: String = shown.trim().chars().take(80).collect();
    format!("line {line}: {message}: {shown:?}")
}

/// What the parser takes a value for that stands without quotes.
const UNQUOTED: [&str; 4] = [
    "invalid float",
    "invalid integer",
    "invalid boolean",
    "invalid datetime",
];

/// What serde says, in words of TOML instead of Rust's.
fn in_plain_words(message: &str) -> String {
    let message = message.replace('\n', " ");
    let message = message.replace("expected usize", "expected a whole number");
    let message = message.replace("expected u64", "expected a whole number");
    let message = message.replace("expected a sequence", "expected a list");
    if let Some(guessed) = UNQUOTED.iter().find(|it| message.starts_with(**it)) {
        return format!("{guessed}; put the value in quotes if it is text");
    }
    match message.split_once("expected struct ") {
        Some((before, name)) => {
            let rest = name.trim_start_matches(|it: char| it.is_ascii_alphanumeric());
            format!("{before}expected a table{rest}")
        }
        None => message,
    }
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
