//! What is sent to an actor: the argument itself, a file, or standard input; and for how long its answer is awaited.

use std::fmt::Display;
use std::io::{Read, stdin};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;

use super::module;
use crate::clock::Span;
use crate::gate::invocation::is_message_type;
use crate::limits;

/// `@FILE` is a file, `@-` (or `-`) standard input, nothing an empty message.
pub fn payload(argument: Option<&str>) -> anyhow::Result<Bytes> {
    let bytes = match argument {
        None => Vec::new(),
        Some("-" | "@-") => bounded(stdin().lock()).context("cannot read standard input")?,
        Some(text) => match text.strip_prefix('@') {
            Some(path) => bounded(module::open(Path::new(path))?)
                .with_context(|| format!("cannot read {path}"))?,
            None => text.as_bytes().to_vec(),
        },
    };
    ensure!(
        bytes.len() <= limits::MESSAGE_BYTES_MAX,
        "a message has at most {} bytes; send a reference to the data, or the data in pieces",
        limits::MESSAGE_BYTES_MAX
    );
    Ok(bytes.into())
}

fn bounded(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limits::MESSAGE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What an actor's handler gets as a message's type.
#[derive(Clone, Debug)]
pub struct MessageType(pub String);

impl FromStr for MessageType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match is_message_type(text) {
            true => Ok(Self(text.to_owned())),
            false => {
                let shown: String = text.chars().take(40).collect();
                let most = limits::MESSAGE_TYPE_CHARS_MAX;
                Err(format!(
                    "{shown:?} is no type; one has 1 to {most} printable characters"
                ))
            }
        }
    }
}

/// How long the node gets beyond the deadline that it was told.
const BEYOND: Duration = Duration::from_secs(10);

/// How long an actor's answer is awaited, from 1 ms to 10 minutes.
#[derive(Clone, Copy, Debug)]
pub struct Timeout(Duration);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = Duration::from_millis(1)..=limits::ASK_TIME_MAX;
        within(text, allowed, Span(limits::ASK_TIME_MAX)).map(Self)
    }
}

/// A length of time within bounds; `most` is how the upper one is said.
pub fn within(
    text: &str,
    allowed: RangeInclusive<Duration>,
    most: impl Display,
) -> Result<Duration, String> {
    let Span(given) = text.parse()?;
    match allowed.contains(&given) {
        true => Ok(given),
        false => Err(format!(
            "{text:?} must lie between {} and {most}",
            Span(*allowed.start())
        )),
    }
}

/// The deadline as the node is told it, and the one after which the node itself is taken for silent.
pub fn deadline(given: Option<Timeout>) -> (Vec<(&'static str, String)>, Duration) {
    let deadline = given.map_or(limits::ASK_TIME_DEFAULT, |given| given.0);
    let header = ("x-timeout-ms", deadline.as_millis().to_string());
    (vec![header], deadline + BEYOND)
}
