//! `plexspaces list`: the applications of a node.

use std::time::Duration;

use super::client;
use super::flags::node_command;
use super::output::{self, Output};
use super::shapes::{self, Applications};
use super::table;

node_command! {
/// List the applications of a node.
#[argh(
    subcommand,
    name = "list",
    example = "plexspaces list
plexspaces list --node edge-7:8000 --output json"
)]
pub struct List {}
}

impl List {
    pub fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        let answer = client::block_on(client.get("/api/v1/applications"))?;
        if self.output == Output::Json {
            return output::answer(&answer);
        }
        let Applications { applications } = client::read(&answer)?;
        if applications.is_empty() {
            output::note("no applications yet; plexspaces deploy brings one");
            return Ok(());
        }
        let row = |it: shapes::Application| {
            let status = shapes::status(&it.status);
            let up = match status {
                "RUNNING" => time(it.metrics.uptime_seconds),
                _ => "-".to_owned(),
            };
            [
                it.name,
                it.version,
                status.to_owned(),
                it.metrics.actor_count.to_string(),
                up,
                it.application_id,
            ]
        };
        let heads = ["NAME", "VERSION", "STATUS", "ACTORS", "UPTIME", "ID"];
        table::print(heads, applications.into_iter().map(row).collect())
    }
}

/// A time in its two largest units.
pub fn time(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    let parts: Vec<&str> = text.split(' ').take(2).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let check = |seconds, expected: &str| assert_eq!(time(seconds), expected);
        check(0, "0s");
        check(61, "1m 1s");
        check(90_061, "1day 1h");
    }
}
