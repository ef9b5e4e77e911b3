//! `plexspaces invoke`: ask an actor, and print what it answers.

use bytes::Bytes;
use hyper::Method;

use super::Usage;
use super::client::{self, Call, Client};
use super::flags::node_command;
use super::output::{self, Output};
use super::path;
use super::payload::{deadline, payload};
use crate::clock::Span;

node_command! {
/// Ask an actor and print its answer.
#[argh(
    subcommand,
    name = "invoke",
    example = "plexspaces invoke calculator '{{\"operation\":\"add\",\"operands\":[2,3]}}'
plexspaces invoke orders/worker @order.json --timeout 30s
echo hello | plexspaces invoke greeter -",
    note = "TARGET is an application's name, NAMESPACE/TYPE or TENANT/NAMESPACE/TYPE of an actor, or its id, ACTOR@NODE.
The answer is printed as it is; with --output json it comes with its encoding and the actor's id."
)]
pub struct Invoke {
    /// whom to ask
    #[argh(positional)]
    target: String,
    /// the message: a text, @FILE, or - for standard input (default: empty)
    #[argh(positional)]
    payload: Option<String>,
    /// the message's type (default: call)
    #[argh(option, arg_name = "type", long = "type")]
    message_type: Option<String>,
    /// how long to wait for the answer (default: 5s; at most 10m)
    #[argh(option)]
    timeout: Option<Span>,
}
}

impl Invoke {
    pub fn run(self) -> anyhow::Result<()> {
        let path = path::target(&self.target).ok_or_else(|| {
            Usage::new(
                "TARGET is an application, NAMESPACE/TYPE, TENANT/NAMESPACE/TYPE, or an actor's id",
            )
        })?;
        let question = Question {
            path,
            payload: payload(self.payload.as_deref())?,
            message_type: self.message_type.clone(),
            timeout: self.timeout,
            output: self.output,
        };
        client::block_on(question.put(&self.client()?))
    }
}

/// A message to an actor whose answer is printed.
pub struct Question {
    pub path: String,
    pub payload: Bytes,
    pub message_type: Option<String>,
    pub timeout: Option<Span>,
    pub output: Output,
}

impl Question {
    pub async fn put(self, client: &Client) -> anyhow::Result<()> {
        let (mut headers, patience) = deadline(self.timeout);
        headers.extend(self.message_type.map(|it| ("x-message-type", it)));
        if self.output == Output::Text {
            headers.push(("accept", "application/octet-stream".into()));
        }
        let call = Call {
            method: Method::POST,
            path: &self.path,
            headers,
            body: self.payload,
            patience,
        };
        let answer = client.call(call).await?;
        match self.output {
            Output::Json => output::answer(&answer),
            Output::Text => output::of_guest(&answer),
        }
    }
}
