//! `plexspaces status`: one application with its actors.

use super::client;
use super::flags::application_command;
use super::list::time;
use super::output::{self, Output};
use super::pages;
use super::path;
use super::shapes::{self, Actor, Detail};
use super::table;

application_command! {
/// Show an application with its actors.
#[argh(
    subcommand,
    name = "status",
    example = "plexspaces status calculator
plexspaces status --app-id calculator-app --output json"
)]
pub struct Status {}
}

impl Status {
    pub fn run(self) -> anyhow::Result<()> {
        let (client, wanted) = (self.client()?, self.wanted()?);
        let answer = client::block_on(async {
            let name = wanted.name(&client).await?;
            pages::all(&client, &path::application(&name), "actors").await
        })?;
        if self.output == Output::Json {
            return output::json(&answer);
        }
        let detail: Detail = client::shaped(answer)?;
        output::text(&facts(&detail))?;
        actors(detail.actors)
    }
}

fn facts(detail: &Detail) -> String {
    let it = &detail.application;
    let state = shapes::status(&it.status);
    let up = match state {
        "RUNNING" => format!(", for {}", time(it.metrics.uptime_seconds)),
        _ => String::new(),
    };
    let mut lines = vec![
        format!("{} {} is {state}{up}", it.name, it.version),
        format!("  id        {}", it.application_id),
        format!("  kind      {}", it.kind),
        format!("  deployed  {}", it.deployed_at),
        format!("  sha256    {}", it.module_hash),
    ];
    lines.extend(
        detail
            .error
            .iter()
            .map(|error| format!("  error     {error}")),
    );
    let lines = lines.iter().map(|line| output::harmless(line));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Each actor with what it does, and below the table why the last ones failed.
fn actors(actors: Vec<Actor>) -> anyhow::Result<()> {
    if actors.is_empty() {
        return Ok(());
    }
    output::text("\n")?;
    let errors: Vec<String> = actors.iter().filter_map(last_error).collect();
    let row = |it: Actor| {
        [
            it.actor_id,
            it.state,
            it.restarts.to_string(),
            it.mailbox_depth.to_string(),
        ]
    };
    let heads = ["ACTOR", "STATE", "RESTARTS", "MAILBOX"];
    table::print(heads, actors.into_iter().map(row).collect())?;
    match errors.is_empty() {
        true => Ok(()),
        false => output::text(&format!("\nLast errors:\n{}\n", errors.join("\n"))),
    }
}

fn last_error(actor: &Actor) -> Option<String> {
    let error = actor.last_error.as_ref()?;
    let text = format!("{}: {error}", actor.actor_id);
    Some(output::harmless(&text).replace('\n', "\n  "))
}
