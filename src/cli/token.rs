//! `plexspaces token`: create, list and revoke the tokens of a node, whether or not it runs.

use anyhow::bail;
use argh::{ArgsInfo, FromArgs};
use serde::Serialize;

use super::Usage;
use super::ground;
use super::named::Named;
use super::output::{self, Output};
use super::table;
use crate::auth::{Scope, Secret, Token};
use crate::clock::rfc3339;
use crate::config::{self, DataDir};
use crate::id::TokenName;
use crate::storage::{Resident, Tokens};

/// Create, list and revoke the tokens that callers from other machines need.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "token",
    example = "plexspaces token create --name laptop --scope deploy
plexspaces token list
plexspaces token revoke 5f3c09aa",
    note = "A running node knows of a change at once. docs/tokens.md tells more."
)]
pub struct TokenCommand {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Create a token and print it, this one time.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "create",
    example = "plexspaces token create --name laptop --scope deploy
plexspaces token create --name sensors --scope invoke --output json
TOKEN=$(plexspaces token create --name prometheus)",
    note = "The token alone goes to standard output. It cannot be shown again: only its hash is kept."
)]
struct Create {
    /// what to call it, 1 to 64 characters (default: unnamed)
    #[argh(option, default = "String::from(\"unnamed\")")]
    name: String,
    /// what it permits: read (look), invoke (also send messages) or deploy (also change what runs); default: read
    #[argh(option, default = "Scope::Read")]
    scope: Scope,
    /// where the node keeps its data (default: the state directory; env PLEXSPACES_DATA_DIR)
    #[argh(option)]
    data_dir: Option<DataDir>,
    /// text or json (default: text)
    #[argh(option, default = "Output::Text")]
    output: Output,
}

/// List the tokens of a node: id, name, scope and age, never the token itself.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "list",
    example = "plexspaces token list
plexspaces token list --data-dir /var/lib/plexspaces --output json"
)]
struct List {
    /// where the node keeps its data (default: the state directory; env PLEXSPACES_DATA_DIR)
    #[argh(option)]
    data_dir: Option<DataDir>,
    /// text or json (default: text)
    #[argh(option, default = "Output::Text")]
    output: Output,
}

/// Revoke a token: the next call with it is refused.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "revoke",
    example = "plexspaces token revoke 5f3c09aa"
)]
struct Revoke {
    /// the id, as plexspaces token list shows it
    #[argh(positional)]
    id: Named,
    /// where the node keeps its data (default: the state directory; env PLEXSPACES_DATA_DIR)
    #[argh(option)]
    data_dir: Option<DataDir>,
    /// text or json (default: text)
    #[argh(option, default = "Output::Text")]
    output: Output,
}

impl TokenCommand {
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Create(create) => create.run(),
            Command::List(list) => list.run(),
            Command::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let name = TokenName::parse(&self.name)
            .map_err(|error| Usage::new(&format!("--name: {error}")))?;
        let tokens = tokens(self.data_dir, Need::NoOtherData)?;
        let (secret, token) = tokens.create(name, self.scope)?;
        if self.output == Output::Json {
            let created = Created {
                shown: Shown::from(&token),
                token: secret.to_string(),
            };
            return output::json(&created);
        }
        // Only the token, so that a script can take it from standard output.
        output::text(&format!("{secret}\n"))?;
        // The rest does not repeat it: standard error ends up in logs.
        output::note(&format!(
            "\nThis is the only time the token is shown. Its id is {}, it permits {}, and it holds for the node with\n\
             the data in {}. With the token in TOKEN, use it so, PORT being that of HTTP (gRPC's and one):\n\n  \
             curl -H \"Authorization: Bearer $TOKEN\" http://HOST:PORT/api/v1/applications",
            token.id,
            token.scope,
            tokens.path().parent().expect("it has a name").display()
        ));
        Ok(())
    }
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let tokens = tokens(self.data_dir, Need::Node)?.list()?;
        let shown: Vec<Shown> = tokens.iter().map(Shown::from).collect();
        match self.output {
            Output::Json => output::json(&Listed { tokens: shown }),
            Output::Text if shown.is_empty() => {
                output::note("no tokens yet; plexspaces token create makes one");
                Ok(())
            }
            Output::Text => {
                let rows = shown
                    .into_iter()
                    .map(|it| [it.id, it.scope.into(), it.created_at, it.name]);
                table::print(["ID", "SCOPE", "CREATED", "NAME"], rows.collect())
            }
        }
    }
}

impl Revoke {
    fn run(self) -> anyhow::Result<()> {
        if self.id.starts_with(Secret::PREFIX) {
            let id = Secret::parse(&self.id).map_or("ID".to_owned(), |it| it.id());
            return Err(Usage::new(&format!(
                "that is the token itself, and it is revoked by its id: plexspaces token revoke {id}"
            )));
        }
        let token = tokens(self.data_dir, Need::Node)?.revoke(&self.id)?;
        match self.output {
            Output::Json => output::json(&Shown::from(&token)),
            Output::Text => output::text(&format!("revoked {} ({})\n", token.id, token.name)),
        }
    }
}

/// What a command asks of the directory that it is given.
#[derive(PartialEq, Eq)]
enum Need {
    /// A node's data, or tokens that were made before its first start.
    Node,
    /// That, or nothing: a node may be started there later.
    NoOtherData,
}

fn tokens(data_dir: Option<DataDir>, need: Need) -> anyhow::Result<Tokens> {
    let dir = config::data_dir(data_dir)?;
    let remedy = "give the directory that the node has, with --data-dir";
    let resident = ground::resident(&dir)?;
    match (resident, need) {
        (Resident::Node, _) | (Resident::Nobody, Need::NoOtherData) => Ok(Tokens::in_dir(&dir)),
        (Resident::Nobody, Need::Node) => {
            let shown = dir.display();
            bail!("no node has run with its data in {shown}, and no token was made there; {remedy}")
        }
        (Resident::Others, _) => Err(ground::taken(&dir, remedy)),
    }
}

/// A token as programs read it.
#[derive(Serialize)]
struct Shown {
    id: String,
    name: String,
    scope: &'static str,
    created_at: String,
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    shown: Shown,
    token: String,
}

#[derive(Serialize)]
struct Listed {
    tokens: Vec<Shown>,
}

impl From<&Token> for Shown {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.clone(),
            name: token.name.to_string(),
            scope: token.scope.name(),
            created_at: rfc3339(token.created_at),
        }
    }
}
