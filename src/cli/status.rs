//! `plexspaces status`: one application with its actors.

use serde_json::Value;

use super::client;
use super::flags::application_command;
use super::list::time;
use super::output::{self, Output};
use super::pages;
use super::path;
use super::remedies;
use super::shapes::{self, Actor, Detail, Revival};
use super::table;
use super::tree::{self, Branch};

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
        actors(&detail)
    }
}

fn facts(detail: &Detail) -> String {
    let it = &detail.application;
    let state = shapes::status(&it.status);
    let up = match state {
        "RUNNING" => format!(", for {}", time(it.metrics.uptime_seconds)),
        _ => String::new(),
    };
    let probation = if detail.on_probation {
        ", on probation"
    } else {
        ""
    };
    let mut lines = vec![
        format!("{} {} is {state}{up}{probation}", it.name, it.version),
        format!("  id        {}", it.application_id),
        format!("  kind      {}{}", it.kind, library(&it.spec)),
        format!("  deployed  {}", it.deployed_at),
        format!("  sha256    {}", it.module_hash),
    ];
    let previous = detail.previous.as_ref();
    lines.extend(previous.map(|it| format!("  before    {}", it.version)));
    let undone = detail.undone.as_ref().map(|it| {
        let reason = it.reason.replace('\n', " ");
        format!(
            "  undone    {} failed in its probation at {}: {reason}",
            it.version, it.undone_at
        )
    });
    lines.extend(undone);
    lines.extend(detail.revival.as_ref().map(failed));
    let error = detail.error.as_ref();
    lines.extend(error.map(|it| format!("  error     {}", remedies::in_commands(it))));
    let lines = lines.iter().map(|line| fitted(line, 12));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// How often it failed, and when it is tried again; of one that is not failed at the moment, why it was.
fn failed(revival: &Revival) -> String {
    let times = match revival.failures {
        1 => "once".to_owned(),
        several => format!("{several} times"),
    };
    match &revival.next_try_at {
        Some(at) => format!("  failed    {times}, is started again at {at}"),
        None => {
            let error = remedies::in_commands(&revival.last_error);
            format!("  failed    {times}, the last time: {error}")
        }
    }
}

/// One of those runs no actors, whatever its state.
fn library(spec: &Value) -> &'static str {
    match spec["type"] == "library" {
        true => ", a library: it runs no actors of its own",
        false => "",
    }
}

/// The tree, or a list of what is left of it or does not fit a page, and below it why actors failed last.
fn actors(detail: &Detail) -> anyhow::Result<()> {
    if detail.actors.is_empty() {
        return Ok(());
    }
    output::text("\n")?;
    match detail.tree.as_ref().and_then(Branch::rows) {
        Some(rows) => table::print(tree::HEADS, rows)?,
        None => table::print(
            ["ACTOR", "STATE", "RESTARTS", "MAILBOX"],
            detail.actors.iter().map(row).collect(),
        )?,
    }
    let errors: Vec<String> = detail.actors.iter().filter_map(last_error).collect();
    match errors.is_empty() {
        true => Ok(()),
        false => output::text(&format!("\nLast errors:\n{}\n", errors.join("\n"))),
    }
}

fn row(actor: &Actor) -> [String; 4] {
    [
        actor.actor_id.clone(),
        tree::state(&actor.state, actor.busy_seconds),
        actor.restarts.to_string(),
        actor.mailbox_depth.to_string(),
    ]
}

fn last_error(actor: &Actor) -> Option<String> {
    let error = actor.last_error.as_ref()?;
    Some(fitted(&format!("{}: {error}", actor.actor_id), 2))
}

/// A text as lines that fit, without what would steer a terminal. All but the first are indented.
fn fitted(text: &str, indent: usize) -> String {
    let text = output::harmless(text).replace('\t', " ");
    let text = text.replace('\n', &format!("\n{}", " ".repeat(indent)));
    let lines = text.lines();
    let lines = lines.map(|line| table::wrapped(line, table::width(), indent));
    lines.collect::<Vec<_>>().join("\n")
}
