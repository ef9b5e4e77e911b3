//! `plexspaces application logs`: what an application said, and what it says from now on.

use std::time::{Duration, SystemTime};

use anyhow::bail;
use hyper::Method;
use serde_json::Value;

use super::client::{self, Call, Client, Pieces};
use super::events::{Event, Events};
use super::flags::application_command;
use super::output::{self, Output};
use super::path;
use super::remedies;
use super::shapes;
use crate::clock::rfc3339;
use crate::limits;

application_command! {
/// Show the last lines of an application's log, and follow it.
#[argh(
    subcommand,
    name = "logs",
    example = "plexspaces application logs calculator
plexspaces application logs calculator -f --level warn
plexspaces application logs calculator --since 10m --output json"
)]
pub struct Logs {
    /// show what comes from now on too, until interrupted
    #[argh(switch, short = 'f')]
    follow: bool,
    /// how many of the last lines to show, at most 1000 (default: 100)
    #[argh(option, arg_name = "lines")]
    tail: Option<Tail>,
    /// only lines from then on: 10m, 2h, or 2026-01-31T12:00:00Z
    #[argh(option, arg_name = "time")]
    since: Option<Since>,
    /// only lines as grave as this: error, warn, info, debug or trace
    #[argh(option, arg_name = "level")]
    level: Option<Level>,
}
}

/// A number of lines that a node keeps at hand.
#[derive(Clone, Copy, Debug)]
struct Tail(usize);

impl std::str::FromStr for Tail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|it| *it <= limits::PAGE_ITEMS_MAX);
        number.map(Self).ok_or_else(|| {
            format!(
                "{text:?} is not a number of lines from 0 to {}",
                limits::PAGE_ITEMS_MAX
            )
        })
    }
}

/// A moment in RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Since(String);

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ago = |ago: Duration| SystemTime::now().checked_sub(ago);
        let moment = match humantime::parse_duration(text) {
            Ok(time) => ago(time),
            Err(_) => humantime::parse_rfc3339_weak(text).ok(),
        };
        let moment = moment.filter(|it| *it >= SystemTime::UNIX_EPOCH);
        let moment = moment.ok_or_else(|| {
            format!("{text:?} is no time; give 10m, 2h 30m, or 2026-01-31T12:00:00Z")
        })?;
        Ok(Self(rfc3339(moment)))
    }
}

/// How grave a line is at the least.
#[derive(Clone, Copy, Debug)]
struct Level(log::Level);

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level = text.parse().map(Self);
        level.map_err(|_| format!("{text:?} is not error, warn, info, debug or trace"))
    }
}

impl Logs {
    pub fn run(self) -> anyhow::Result<()> {
        let (client, wanted) = (self.client()?, self.wanted()?);
        client::block_on(async {
            let name = wanted.name(&client).await?;
            let path = format!("{}/logs?{}", path::application(&name), self.query());
            match self.follow {
                true => self.follow(&client, &path).await,
                false => self.last(&client, &path).await,
            }
        })
    }

    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(Tail(tail)) = self.tail {
            query.append_pair("tail", &tail.to_string());
        }
        if let Some(Since(since)) = &self.since {
            query.append_pair("since", since);
        }
        if let Some(Level(level)) = self.level {
            query.append_pair("level", level.as_str());
        }
        if self.follow {
            query.append_pair("follow", "true");
        }
        query.finish()
    }

    async fn last(&self, client: &Client, path: &str) -> anyhow::Result<()> {
        let answer = client.get(path).await?;
        if self.output == Output::Json {
            return output::answer(&answer);
        }
        let shapes::Logs { lines } = client::read(&answer)?;
        lines.iter().try_for_each(show)
    }

    async fn follow(&self, client: &Client, path: &str) -> anyhow::Result<()> {
        let opened = client.open(Call::new(Method::GET, path)).await?;
        let (mut pieces, mut events) = (Pieces::of(opened), Events::default());
        while let Some(piece) = pieces.next().await? {
            for event in events.of(&piece)? {
                self.show_event(&event)?;
            }
        }
        bail!(
            "the node has ended the log: it stops, the application is gone, or the token was revoked"
        )
    }

    fn show_event(&self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Data(json) if self.output == Output::Json => output::text(&format!("{json}\n")),
            Event::Data(json) => show(&serde_json::from_str(json)?),
            Event::Comment(text) if text.contains("missed") => {
                output::note(&format!("({text})"));
                Ok(())
            }
            Event::Comment(_) => Ok(()),
        }
    }
}

/// `TIME LEVEL actor: message`, as the node's own log has it. Further lines of a message are indented, so that none can
/// pass for another event.
fn show(line: &Value) -> anyhow::Result<()> {
    let line: shapes::Line = serde_json::from_value(line.clone())?;
    let message = match &line.actor {
        Some(actor) => format!("{actor}: {}", line.message),
        // The node's own words; a guest's stay as they are.
        None => remedies::in_commands(&line.message),
    };
    let (time, level) = (line.time, line.level.to_uppercase());
    let message = message.trim_end().replace('\n', "\n    ");
    let text = output::harmless(&format!("{time} {level:5} {message}"));
    output::text(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_a_while_ago() {
        let moment = |text: &str| text.parse::<Since>().map(|it| it.0);
        assert_eq!(
            moment("2026-01-31T12:00:00Z").unwrap(),
            "2026-01-31T12:00:00.000Z"
        );
        let (earlier, later) = (moment("2h").unwrap(), moment("1h 59m").unwrap());
        assert!(earlier < later, "{earlier} {later}");
        for wrong in ["", "yesterday", "10", "999999999999d"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
