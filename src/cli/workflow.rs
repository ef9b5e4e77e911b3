//! `plexspaces workflow`: list the workflows of a node, look at one, signal and cancel it.

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::{self, Call, Client};
use super::flags::node_command;
use super::named::Named;
use super::output::{self, Output};
use super::{pages, path, payload, table};

/// List workflows, look at one, signal and cancel it.
#[derive(argh::FromArgs, argh::ArgsInfo)]
#[argh(
    subcommand,
    name = "workflow",
    example = "plexspaces workflow list
plexspaces workflow status fleet rollout-7
plexspaces workflow signal fleet rollout-7 approve",
    note = "Actors start workflows; docs/services.md tells how."
)]
pub struct Workflow {
    #[argh(subcommand)]
    command: Command,
}

#[derive(argh::FromArgs, argh::ArgsInfo)]
#[argh(subcommand)]
enum Command {
    List(List),
    Status(Status),
    Signal(Signal),
    Cancel(Cancel),
}

node_command! {
/// List the workflows of a node, those that have ended included.
#[argh(
    subcommand,
    name = "list",
    example = "plexspaces workflow list --status running"
)]
pub struct List {
    /// only those of this application
    #[argh(option)]
    application: Option<Named>,
    /// only running, completed, failed, cancelled or timed_out ones
    #[argh(option)]
    status: Option<Standing>,
}
}

node_command! {
/// Show one workflow: what it does, and its result.
#[argh(
    subcommand,
    name = "status",
    example = "plexspaces workflow status fleet rollout-7 --output json"
)]
pub struct Status {
    /// the application that it belongs to
    #[argh(positional)]
    application: Named,
    /// the workflow's id
    #[argh(positional)]
    id: Named,
}
}

node_command! {
/// Send a workflow a signal; it is kept until the workflow takes it.
#[argh(
    subcommand,
    name = "signal",
    example = "plexspaces workflow signal fleet rollout-7 approve '{{\"by\":\"ada\"}}'"
)]
pub struct Signal {
    /// the application that it belongs to
    #[argh(positional)]
    application: Named,
    /// the workflow's id
    #[argh(positional)]
    id: Named,
    /// which signal
    #[argh(positional)]
    signal: Named,
    /// what comes with it; @FILE is a file, - standard input (default: nothing)
    #[argh(positional)]
    payload: Option<String>,
}
}

node_command! {
/// End a workflow where it stands; nothing of what it did is undone.
#[argh(
    subcommand,
    name = "cancel",
    example = "plexspaces workflow cancel fleet rollout-7 --reason 'wrong firmware'"
)]
pub struct Cancel {
    /// the application that it belongs to
    #[argh(positional)]
    application: Named,
    /// the workflow's id
    #[argh(positional)]
    id: Named,
    /// why; those who wait for its end are told
    #[argh(option)]
    reason: Option<String>,
}
}

/// How far a workflow has come, as the node's query has it.
#[derive(Clone, Copy, Debug)]
struct Standing(&'static str);

impl std::str::FromStr for Standing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ALL: [&str; 5] = ["running", "completed", "failed", "cancelled", "timed_out"];
        let known = ALL.into_iter().find(|it| it.eq_ignore_ascii_case(text));
        known.map(Self).ok_or_else(|| {
            format!("{text:?} is not running, completed, failed, cancelled or timed_out")
        })
    }
}

#[derive(Deserialize)]
struct Listed {
    workflows: Vec<Shown>,
}

#[derive(Deserialize)]
struct Shown {
    application: String,
    workflow_id: String,
    workflow_type: String,
    status: String,
    started_at: String,
    ended_at: Option<String>,
    attempt: u32,
    doing: Option<String>,
    sleeps_until: Option<String>,
    steps: u64,
    signals: u64,
    signals_waiting: u64,
    possibly_repeated: Vec<String>,
    reason: Option<String>,
    #[serde(default)]
    result: Value,
    /// The steps of one that has no result; a list leaves them out.
    #[serde(default)]
    course: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    number: u64,
    kind: String,
    name: String,
    attempts: u32,
    /// When a sleep ends, or has ended.
    until: Option<String>,
    outcome: Option<Outcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Done,
    Failed { text: String },
}

impl Workflow {
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::List(list) => list.run(),
            Command::Status(status) => status.run(),
            Command::Signal(signal) => signal.run(),
            Command::Cancel(cancel) => cancel.run(),
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        let filters = [
            ("application", self.application.as_deref()),
            ("status", self.status.map(|Standing(status)| status)),
        ];
        let query = filters
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let path = path::queried("/api/v1/workflows", query);
        let listed = client::block_on(pages::all(&client, &path, "workflows"))?;
        if self.output == Output::Json {
            return output::json(&listed);
        }
        let Listed { workflows } = client::shaped(listed)?;
        if workflows.is_empty() {
            output::note("no such workflows");
            return Ok(());
        }
        let row = |it: Shown| {
            let doing = it.doing.or(it.reason).unwrap_or_default();
            let steps = it.steps.to_string();
            [
                it.application,
                it.workflow_id,
                it.workflow_type,
                it.status,
                steps,
                doing,
            ]
        };
        let heads = ["APPLICATION", "ID", "TYPE", "STATUS", "STEPS", "DOING"];
        table::print(heads, workflows.into_iter().map(row).collect())
    }
}

impl Status {
    fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        let path = path::workflow(&self.application, &self.id);
        let answer = client::block_on(pages::all(&client, &path, "course"))?;
        if self.output == Output::Json {
            return output::json(&answer);
        }
        let shown: Shown = client::shaped(answer)?;
        output::text(&in_words(&shown))?;
        if shown.course.is_empty() {
            return Ok(());
        }
        output::text("\n")?;
        let row = |step: &Step| step.row(shown.ended_at.is_some());
        let heads = ["STEP", "KIND", "NAME", "ATTEMPTS", "OUTCOME"];
        table::print(heads, shown.course.iter().map(row).collect())
    }
}

impl Step {
    /// `over` is whether its run has ended: then a step without an outcome will have none.
    fn row(&self, over: bool) -> [String; 5] {
        let outcome = match (&self.outcome, &self.until) {
            (None, Some(until)) if over => format!("broken off before {until}"),
            (None, None) if over => "broken off".to_owned(),
            (None, Some(until)) => format!("until {until}"),
            (None, None) => "under way".to_owned(),
            (Some(Outcome::Done), Some(until)) => format!("slept until {until}"),
            (Some(Outcome::Done), None) => "done".to_owned(),
            (Some(Outcome::Failed { text }), _) => format!("failed: {text}"),
        };
        // A sleep is not attempted.
        let attempts = match self.attempts {
            0 => String::new(),
            some => some.to_string(),
        };
        let number = self.number.to_string();
        let cells = [
            number,
            self.kind.clone(),
            self.name.clone(),
            attempts,
            outcome,
        ];
        // A failure's text is a guest's.
        cells.map(|cell| output::harmless(&cell).replace('\n', " "))
    }
}

fn in_words(shown: &Shown) -> String {
    let mut lines = vec![
        format!("workflow     {}", shown.workflow_id),
        format!("application  {}", shown.application),
        format!("type         {}", shown.workflow_type),
        format!("status       {}", shown.status),
        format!("started      {}", shown.started_at),
    ];
    let mut add = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{name:<13}{}", value.replace('\n', " "))));
    };
    add("ended", shown.ended_at.clone());
    add(
        "attempt",
        (shown.attempt > 1).then(|| shown.attempt.to_string()),
    );
    add("doing", shown.doing.clone());
    add("until", shown.sleeps_until.clone());
    add("steps", Some(shown.steps.to_string()));
    add(
        "signals",
        Some(match (shown.signals, shown.signals_waiting) {
            (0, _) => "none".to_owned(),
            // Of one that has ended nobody knows how many it took.
            (all, _) if shown.ended_at.is_some() => all.to_string(),
            (all, 0) => format!("{all}, all taken"),
            (all, waiting) => format!("{all}, {waiting} of them not taken yet"),
        }),
    );
    let repeated = shown.possibly_repeated.join(", ");
    add("may be twice", Some(repeated).filter(|it| !it.is_empty()));
    add("reason", shown.reason.clone());
    let result = match &shown.result {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        json => Some(json.to_string()),
    };
    add("result", result);
    lines.join("\n") + "\n"
}

impl Signal {
    fn run(self) -> anyhow::Result<()> {
        let path = format!("{}/signal", path::workflow(&self.application, &self.id));
        let path = path::queried(&path, [("name", &*self.signal)].into_iter());
        let body = payload::payload(self.payload.as_deref())?;
        let Self { signal, id, .. } = &self;
        let told = format!("{id} has been sent the signal {signal}");
        posted(&self.client()?, &path, body, self.output, &told)
    }
}

impl Cancel {
    fn run(self) -> anyhow::Result<()> {
        let path = format!("{}/cancel", path::workflow(&self.application, &self.id));
        let reason = self.reason.as_deref().map(|reason| ("reason", reason));
        let path = path::queried(&path, reason.into_iter());
        let told = format!("{} is cancelled", self.id);
        posted(&self.client()?, &path, Bytes::new(), self.output, &told)
    }
}

fn posted(
    client: &Client,
    path: &str,
    body: Bytes,
    form: Output,
    told: &str,
) -> anyhow::Result<()> {
    let call = Call {
        body,
        ..Call::change(Method::POST, path)
    };
    let answer = client::block_on(client.call(call))?;
    match form {
        Output::Json => output::answer(&answer),
        Output::Text => output::text(&format!("{told}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_by_how_it_and_its_run_stand() {
        let check = |outcome: &str, until: &str, over: bool, expected: &str| {
            let json = format!(
                r#"{{"number":0,"kind":"sleep","name":"","attempts":0,"until":{until},"outcome":{outcome}}}"#
            );
            let step: Step = serde_json::from_str(&json).unwrap();
            assert_eq!(step.row(over)[4], expected);
        };
        check("null", "\"noon\"", false, "until noon");
        check("\"done\"", "\"noon\"", false, "slept until noon");
        check("null", "\"noon\"", true, "broken off before noon");
        check("null", "null", false, "under way");
        check("null", "null", true, "broken off");
        check("\"done\"", "null", true, "done");
    }
}
