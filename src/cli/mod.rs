//! The command line: one argh tree and its match. It speaks gRPC and HTTP to a node; only `start` and `restore` are one.

mod actor;
mod address;
mod application;
mod arguments;
mod backup;
mod client;
mod completion_scripts;
mod completions;
mod deploy;
mod dns;
mod draft;
mod events;
mod flags;
mod ground;
mod grpc;
mod health;
mod help;
mod invoke;
mod list;
mod log;
mod logs;
mod module;
mod named;
mod new;
mod output;
mod pages;
mod path;
mod payload;
mod ready;
mod remedies;
mod resolve;
mod shapes;
mod standing;
mod start;
mod status;
mod table;
mod token;
mod token_flag;
mod tree;
mod tuplespace;
mod upload;
mod wanted;
mod workflow;

use std::fmt;

use argh::{ArgsInfo, FromArgs};

use crate::config::ConfigError;

/// A self-contained edge node onto which WebAssembly actor applications are deployed, and the commands to use it.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    example = "plexspaces start --node-id edge-7 --listen-addr 127.0.0.1:8000
plexspaces deploy --name calculator --wasm calculator.wasm
plexspaces invoke calculator '{{\"operation\":\"add\",\"operands\":[2,3]}}'",
    note = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage. docs/cli.md has every command."
)]
struct Arguments {
    /// print which version this is
    #[argh(switch, short = 'V')]
    version: bool,
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Command {
    Start(start::Start),
    New(new::New),
    Deploy(deploy::Deploy),
    Undeploy(application::Undeploy),
    List(list::List),
    Status(status::Status),
    Health(health::Health),
    Invoke(invoke::Invoke),
    Application(application::Application),
    Actor(actor::Actor),
    TupleSpace(tuplespace::TupleSpace),
    Workflow(workflow::Workflow),
    Token(token::TokenCommand),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Completions(completions::Completions),
}

/// Runs the command that `arguments` name (without the program's own). The number is the exit code.
pub fn run(arguments: &[&str]) -> u8 {
    // Without a command, which argh asks for.
    if matches!(arguments, ["--version" | "-V"]) {
        return code(say_version());
    }
    let arguments = match arguments {
        // Who says nothing wants to know what there is.
        [] => vec!["--help".to_owned()],
        given => arguments::usual(given),
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match Arguments::from_args(&["plexspaces"], &arguments) {
        Ok(arguments) if arguments.version => code(say_version()),
        Ok(arguments) => code(arguments.command.run()),
        Err(exit) if exit.status.is_ok() => code(output::text(&help::folded(&exit.output))),
        Err(exit) => code(Err(Usage::new(&help::complaint(&exit.output, &arguments)))),
    }
}

fn say_version() -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    output::text(&format!("plexspaces {version}\n"))
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Start(start) => start.run(),
            Self::New(new) => new.run(),
            Self::Deploy(deploy) => deploy.run(),
            Self::Undeploy(undeploy) => undeploy.run(),
            Self::List(list) => list.run(),
            Self::Status(status) => status.run(),
            Self::Health(health) => health.run(),
            Self::Invoke(invoke) => invoke.run(),
            Self::Application(application) => application.run(),
            Self::Actor(actor) => actor.run(),
            Self::TupleSpace(tuplespace) => tuplespace.run(),
            Self::Workflow(workflow) => workflow.run(),
            Self::Token(token) => token.run(),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}

/// Arguments that do not go together, or say too little.
#[derive(Debug)]
pub struct Usage(String);

impl Usage {
    #[allow(clippy::new_ret_no_self, reason = "it is only ever an error")]
    pub fn new(text: &str) -> anyhow::Error {
        Self(text.to_owned()).into()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error with what caused it, behind colons. A cause that is part of what was said already is not said again.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// The exit code, and a word about it.
fn code(done: anyhow::Result<()>) -> u8 {
    let Err(error) = done else {
        return 0;
    };
    if error.is::<output::ReaderLeft>() {
        return 0;
    }
    // Not `eprintln`, which panics where standard error cannot be written.
    output::note(&format!("plexspaces: {}", in_one_line(&error)));
    let usage = error.is::<Usage>()
        || (error.downcast_ref::<ConfigError>()).is_some_and(ConfigError::is_usage);
    match usage {
        true => 2,
        false => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::application::RestoreError;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let denied = || io::Error::other("denied");
        let check = |error: anyhow::Error, line: &str| assert_eq!(in_one_line(&error), line);
        check(denied().into(), "denied");
        let error = anyhow::Error::new(denied()).context("cannot read x");
        check(error, "cannot read x: denied");
        let error = anyhow::Error::new(RestoreError::Io(denied())).context("cannot restore x");
        check(error, "cannot restore x: it cannot be read: denied");
    }
}
