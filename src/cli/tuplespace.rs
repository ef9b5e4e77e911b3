//! `plexspaces tuplespace`: write tuples, read, take and count them.

use std::str::FromStr;
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Usage;
use super::client::{self, Call, Client};
use super::flags::node_command;
use super::output::{self, Output};
use super::payload::within;
use crate::clock::Span;
use crate::coordination::{Distinct, in_words, kind_of};
use crate::id::{InvalidName, Scope};
use crate::limits;

/// Write, read, take and count tuples.
#[derive(argh::FromArgs, argh::ArgsInfo)]
#[argh(
    subcommand,
    name = "tuplespace",
    example = "plexspaces tuplespace write '[\"order\",1]' --ttl 1h
plexspaces tuplespace take '[\"order\",{{\"any\":true}}]' --timeout 30s
plexspaces tuplespace count '[\"order\",{{\"any\":true}}]'",
    note = "A tuple is a JSON array. In a pattern {{\"any\":true}}, {{\"type\":\"int\"}} and {{\"predicate\":\">10\"}} stand for fields;
docs/services.md has all forms."
)]
pub struct TupleSpace {
    #[argh(subcommand)]
    command: Command,
}

#[derive(argh::FromArgs, argh::ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Write(Write),
    Read(Read),
    Take(Take),
    Count(Count),
}

/// A command to the tuples of one place.
macro_rules! tuple_command {
    ($(#[$about:meta])* pub struct $name:ident { $($own:tt)* }) => {
        node_command! {
            $(#[$about])*
            pub struct $name {
                $($own)*
                /// whose tuples (default: default)
                #[argh(option)]
                tenant: Option<Named>,
                /// which of the tenant's (default: default)
                #[argh(option)]
                namespace: Option<Named>,
            }
        }

        impl $name {
            fn place(&self) -> Map<String, Value> {
                of_place(self.tenant.as_ref(), self.namespace.as_ref())
            }
        }
    };
}

/// One that prints the tuples that match, and does `$verb` to them.
macro_rules! search_command {
    ($(#[$about:meta])* pub struct $name:ident, $verb:literal) => {
        tuple_command! {
            $(#[$about])*
            pub struct $name {
                /// a JSON array
                #[argh(positional)]
                pattern: String,
                /// at most so many; 0 is all (default: 1)
                #[argh(option)]
                limit: Option<u32>,
                /// how long to wait for the first (default: not at all; at most 10m)
                #[argh(option)]
                timeout: Option<Wait>,
            }
        }

        impl $name {
            fn run(self) -> anyhow::Result<()> {
                let mut body = self.place();
                wanting(&mut body, &self.pattern, self.limit, self.timeout)?;
                let answer = posted(&self.client()?, $verb, body, self.timeout)?;
                shown(&answer, self.output)
            }
        }
    };
}

tuple_command! {
/// Write a tuple.
#[argh(subcommand, name = "write", example = "plexspaces tuplespace write '[\"order\",1,2.5,true,null]'")]
pub struct Write {
    /// a JSON array
    #[argh(positional)]
    tuple: String,
    /// how long it lives (default: until it is taken)
    #[argh(option)]
    ttl: Option<Ttl>,
}
}

search_command! {
/// Print tuples that match, oldest first, and leave them there.
#[argh(
    subcommand,
    name = "read",
    example = "plexspaces tuplespace read '[\"order\",{{\"any\":true}}]' --limit 0"
)]
pub struct Read, "read"
}

search_command! {
/// Remove tuples that match, oldest first, and print them.
#[argh(
    subcommand,
    name = "take",
    example = "plexspaces tuplespace take '[\"order\",{{\"any\":true}}]' --timeout 30s"
)]
pub struct Take, "take"
}

tuple_command! {
/// Print how many tuples match.
#[argh(
    subcommand,
    name = "count",
    example = "plexspaces tuplespace count '[\"order\",{{\"any\":true}}]'"
)]
pub struct Count {
    /// a JSON array
    #[argh(positional)]
    pattern: String,
}
}

/// How long a tuple is awaited, up to 10 minutes.
#[derive(Clone, Copy, Debug)]
struct Wait(Duration);

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = Duration::ZERO..=limits::ASK_TIME_MAX;
        within(text, allowed, Span(limits::ASK_TIME_MAX)).map(Self)
    }
}

/// How long a tuple lives, longer than not at all.
#[derive(Clone, Copy, Debug)]
struct Ttl(Span);

impl FromStr for Ttl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = limits::TTL_MAX.as_secs() / (24 * 3600);
        let allowed = Duration::from_millis(1)..=limits::TTL_MAX;
        within(text, allowed, format!("{days} days")).map(|given| Self(Span(given)))
    }
}

/// A tenant's name, or a namespace's.
#[derive(Clone, Debug)]
struct Named(Scope);

impl FromStr for Named {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Scope::parse("name", text).map(Self)
    }
}

#[derive(Deserialize)]
struct Tuples {
    tuples: Vec<Value>,
}

#[derive(Deserialize)]
struct Counted {
    count: u64,
}

impl TupleSpace {
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Write(write) => write.run(),
            Command::Read(read) => read.run(),
            Command::Take(take) => take.run(),
            Command::Count(count) => count.run(),
        }
    }
}

impl Write {
    fn run(self) -> anyhow::Result<()> {
        let tuple = array("TUPLE", r#"["order",1]"#, &self.tuple)?;
        let mut body = self.place();
        body.insert("tuple".into(), tuple);
        if let Some(Ttl(ttl)) = self.ttl {
            body.insert("ttl_ms".into(), millis(ttl).into());
        }
        let answer = posted(&self.client()?, "tuples", body, None)?;
        match self.output {
            Output::Json => output::answer(&answer),
            Output::Text => output::text("the tuple is written\n"),
        }
    }
}

impl Count {
    fn run(self) -> anyhow::Result<()> {
        let mut body = self.place();
        wanting(&mut body, &self.pattern, None, None)?;
        let answer = posted(&self.client()?, "count", body, None)?;
        match self.output {
            Output::Json => output::answer(&answer),
            Output::Text => {
                let counted: Counted = client::read(&answer)?;
                output::text(&format!("{}\n", counted.count))
            }
        }
    }
}

/// One tuple a line. That there is none is an error, as `grep` has it: a script need not read what was printed.
fn shown(answer: &Bytes, form: Output) -> anyhow::Result<()> {
    let Tuples { tuples } = client::read(answer)?;
    match form {
        Output::Json => output::answer(answer)?,
        Output::Text => {
            let lines = tuples.iter().map(|tuple| format!("{tuple}\n"));
            output::text(&lines.collect::<String>())?;
        }
    }
    ensure!(!tuples.is_empty(), "no such tuple");
    Ok(())
}

fn of_place(tenant: Option<&Named>, namespace: Option<&Named>) -> Map<String, Value> {
    let mut body = Map::new();
    let named = [("tenant", tenant), ("namespace", namespace)];
    for (key, value) in named {
        body.extend(value.map(|Named(name)| (key.to_owned(), json!(&**name))));
    }
    body
}

fn wanting(
    body: &mut Map<String, Value>,
    pattern: &str,
    limit: Option<u32>,
    timeout: Option<Wait>,
) -> anyhow::Result<()> {
    body.insert(
        "pattern".into(),
        array("PATTERN", r#"["order",{"any":true}]"#, pattern)?,
    );
    body.extend(limit.map(|limit| ("limit".to_owned(), limit.into())));
    body.extend(timeout.map(|Wait(time)| ("timeout_ms".to_owned(), millis(Span(time)).into())));
    Ok(())
}

/// That it is an array is known before anything is sent; the node knows the rest.
fn array(what: &str, example: &str, text: &str) -> anyhow::Result<Value> {
    let problem = match serde_json::from_str(text) {
        Ok(Distinct(fields @ Value::Array(_))) => return Ok(fields),
        Ok(Distinct(other)) => format!("this is {}", kind_of(&other)),
        Err(error) => in_words(&error),
    };
    let text = format!("{what} is a JSON array, such as '{example}': {problem}");
    Err(Usage::new(&text))
}

fn posted(
    client: &Client,
    verb: &str,
    body: Map<String, Value>,
    timeout: Option<Wait>,
) -> anyhow::Result<Bytes> {
    let path = format!("/api/v1/tuplespace/{verb}");
    let usual = Call::new(Method::POST, &path);
    let call = Call {
        patience: usual.patience + timeout.map_or(Duration::ZERO, |Wait(time)| time),
        body: serde_json::to_vec(&body)?.into(),
        ..usual
    };
    client::block_on(client.call(call))
}

fn millis(span: Span) -> u64 {
    u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)
}
