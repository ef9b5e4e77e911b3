//! `plexspaces actor`: list actors, send to one, ask it, stop it.

use hyper::Method;
use serde_json::Value;

use super::client::{self, Call, Client};
use super::flags::node_command;
use super::invoke::{Question, seems_unquoted};
use super::named::Named;
use super::output::{self, Output};
use super::payload::{MessageType, Timeout, payload};
use super::shapes::{self, Told};
use super::{pages, path, table, tree};

/// List the actors of a node, send messages to them, and stop them.
#[derive(argh::FromArgs, argh::ArgsInfo)]
#[argh(
    subcommand,
    name = "actor",
    example = "plexspaces actor list
plexspaces actor ask calculator@edge-7 '{{\"operation\":\"add\",\"operands\":[2,3]}}'
plexspaces actor stop calculator@edge-7"
)]
pub struct Actor {
    #[argh(subcommand)]
    command: Command,
}

#[derive(argh::FromArgs, argh::ArgsInfo)]
#[argh(subcommand)]
enum Command {
    List(List),
    Send(Send),
    Ask(Ask),
    Stop(Stop),
}

node_command! {
/// List the actors of a node.
#[argh(
    subcommand,
    name = "list",
    example = "plexspaces actor list
plexspaces actor list --application orders --output json"
)]
pub struct List {
    /// only those of this application
    #[argh(option, arg_name = "name")]
    application: Option<Named>,
}
}

node_command! {
/// Send an actor a message and do not wait for its answer; prints the message's id.
#[argh(
    subcommand,
    name = "send",
    example = "plexspaces actor send sensor@edge-7 '{{\"celsius\":21.5}}'
plexspaces actor send orders/worker-1 @order.json --type order"
)]
pub struct Send {
    /// its id, as plexspaces actor list shows it; @NODE may be left out
    #[argh(positional)]
    actor: Named,
    /// the message: a text, @FILE, or - for standard input (default: empty)
    #[argh(positional)]
    payload: Option<String>,
    /// the message's type (default: call)
    #[argh(option, arg_name = "type", long = "type")]
    message_type: Option<MessageType>,
}
}

node_command! {
/// Ask an actor by its id and print its answer.
#[argh(
    subcommand,
    name = "ask",
    example = "plexspaces actor ask calculator@edge-7 '{{\"operation\":\"add\",\"operands\":[2,3]}}'
plexspaces actor ask orders/worker-1 @order.json --type order --timeout 30s"
)]
pub struct Ask {
    /// its id, as plexspaces actor list shows it; @NODE may be left out
    #[argh(positional)]
    actor: Named,
    /// the message: a text, @FILE, or - for standard input (default: empty)
    #[argh(positional)]
    payload: Option<String>,
    /// the message's type (default: call)
    #[argh(option, arg_name = "type", long = "type")]
    message_type: Option<MessageType>,
    /// how long to wait for the answer (default: 5s; at most 10m)
    #[argh(option)]
    timeout: Option<Timeout>,
}
}

node_command! {
/// Stop an actor, within its shutdown timeout.
#[argh(
    subcommand,
    name = "stop",
    example = "plexspaces actor stop orders/worker-1@edge-7",
    note = "Its application goes on without it. plexspaces application start NAME starts it again, but for a temporary \
one, which is there again once its application was stopped and started."
)]
pub struct Stop {
    /// its id, as plexspaces actor list shows it; @NODE may be left out
    #[argh(positional)]
    actor: Named,
}
}

impl Actor {
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::List(list) => list.run(),
            Command::Send(send) => send.run(),
            Command::Ask(ask) => ask.run(),
            Command::Stop(stop) => stop.run(),
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        let listed = client::block_on(self.listed(&client))?;
        if self.output == Output::Json {
            return output::json(&listed);
        }
        let shapes::Actors { actors } = client::shaped(listed)?;
        if actors.is_empty() {
            output::note("no actors; plexspaces list shows the applications");
            return Ok(());
        }
        let row = |it: shapes::Actor| {
            [
                it.actor_id,
                tree::state(&it.state, it.busy_seconds),
                it.restarts.to_string(),
                it.mailbox_depth.to_string(),
                it.application,
            ]
        };
        let heads = ["ACTOR", "STATE", "RESTARTS", "MAILBOX", "APPLICATION"];
        table::print(heads, actors.into_iter().map(row).collect())
    }

    async fn listed(&self, client: &Client) -> anyhow::Result<Value> {
        let mut listed = pages::all(client, "/api/v1/dashboard/actors", "actors").await?;
        if let (Some(name), Some(actors)) = (&self.application, listed["actors"].as_array_mut()) {
            actors.retain(|actor| actor["application"] == **name);
            if actors.is_empty() {
                // One that has none, or the answer says that there is none of this name.
                client.get(&path::application(name)).await?;
            }
        }
        Ok(listed)
    }
}

impl Send {
    fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        let mut headers = vec![("prefer", "respond-async".to_owned())];
        headers.extend(
            self.message_type
                .map(|MessageType(it)| ("x-message-type", it)),
        );
        let path = path::actor(&self.actor);
        let call = Call {
            headers,
            body: payload(self.payload.as_deref())?,
            ..Call::new(Method::POST, &path)
        };
        let answer = client::block_on(client.call(call))?;
        match self.output {
            Output::Json => output::answer(&answer),
            Output::Text => {
                let told: Told = client::read(&answer)?;
                output::text(&format!("{}\n", told.message_id))
            }
        }
    }
}

impl Ask {
    fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        let question = Question {
            path: path::actor(&self.actor),
            payload: payload(self.payload.as_deref())?,
            message_type: self.message_type,
            timeout: self.timeout,
            output: self.output,
            unquoted: seems_unquoted(self.payload.as_deref()),
        };
        client::block_on(question.put(&client))
    }
}

impl Stop {
    fn run(self) -> anyhow::Result<()> {
        let client = self.client()?;
        let path = path::actor(&self.actor);
        let answer = client::block_on(client.call(Call::change(Method::DELETE, &path)))?;
        match self.output {
            Output::Json => output::answer(&answer),
            Output::Text => output::text(&format!("{} is stopped\n", self.actor)),
        }
    }
}
