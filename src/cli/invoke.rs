//! `plexspaces invoke`: ask an actor, and print what it answers.

use anyhow::bail;
use bytes::Bytes;
use hyper::Method;

use super::Usage;
use super::client::{self, Call, Client};
use super::flags::node_command;
use super::output::{self, Output};
use super::path;
use super::payload::{MessageType, Timeout, deadline, payload};

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
    message_type: Option<MessageType>,
    /// how long to wait for the answer (default: 5s; at most 10m)
    #[argh(option)]
    timeout: Option<Timeout>,
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
            unquoted: seems_unquoted(self.payload.as_deref()),
        };
        client::block_on(question.put(&self.client()?))
    }
}

/// A message to an actor whose answer is printed.
pub struct Question {
    pub path: String,
    pub payload: Bytes,
    pub message_type: Option<MessageType>,
    pub timeout: Option<Timeout>,
    pub output: Output,
    /// Whether the message looks like JSON whose quotes a shell took.
    pub unquoted: bool,
}

/// Whether a message begins and ends as JSON does, and is none.
pub fn seems_unquoted(argument: Option<&str>) -> bool {
    let text = argument.unwrap_or_default().trim();
    let framed = [('{', '}'), ('[', ']')]
        .iter()
        .any(|(begin, end)| text.starts_with(*begin) && text.ends_with(*end));
    framed && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
}

const IN_QUOTES: &str = "the message is no JSON; if it was to be, put it in single quotes, since the shell takes double ones";

impl Question {
    pub async fn put(self, client: &Client) -> anyhow::Result<()> {
        let (mut headers, patience) = deadline(self.timeout);
        headers.extend(
            self.message_type
                .map(|MessageType(it)| ("x-message-type", it)),
        );
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
        let answer = client.call(call).await;
        let answer = match answer {
            Err(error) if self.unquoted => bail!("{error:#}; {IN_QUOTES}"),
            answer => answer?,
        };
        match self.output {
            Output::Json => output::answer(&answer),
            Output::Text => output::of_guest(&answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_without_its_quotes_is_told_from_other_texts() {
        let check =
            |text: &str, expected| assert_eq!(seems_unquoted(Some(text)), expected, "{text}");
        check("{operation:add,operands:[2,3]}", true);
        check("[a, b]", true);
        check(r#"{"operation":"add"}"#, false);
        check("[1, 2]", false);
        check("hello", false);
        check("@order.json", false);
        check("", false);
        assert!(!seems_unquoted(None));
    }
}
