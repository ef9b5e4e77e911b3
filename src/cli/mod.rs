//! The command line: one argh tree and its match.

mod backup;
mod client;
mod log;
mod new;
mod output;
mod ready;
mod start;
mod token;

use std::io::Write;

use argh::FromArgs;

/// A self-contained edge node onto which WebAssembly actor applications are deployed with curl.
#[derive(FromArgs)]
#[argh(
    example = "plexspaces start --node-id edge-7 --listen-addr 127.0.0.1:8000",
    note = "docs/wasm-deployment.md shows how to deploy an application."
)]
struct Arguments {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Start(start::Start),
    New(new::New),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Token(token::TokenCommand),
}

/// Runs the command that `arguments` name (without the program's own). The number is the exit code.
pub fn run(arguments: &[&str]) -> u8 {
    if matches!(arguments, ["--version" | "-V"]) {
        println!("plexspaces {}", env!("CARGO_PKG_VERSION"));
        return 0;
    }
    let done = match Arguments::from_args(&["plexspaces"], arguments) {
        Ok(Arguments {
            command: Command::Start(start),
        }) => start.run(),
        Ok(Arguments {
            command: Command::New(new),
        }) => new.run(),
        Ok(Arguments {
            command: Command::Backup(backup),
        }) => backup.run(),
        Ok(Arguments {
            command: Command::Restore(restore),
        }) => restore.run(),
        Ok(Arguments {
            command: Command::Token(token),
        }) => token.run(),
        Err(exit) if exit.status.is_ok() => {
            println!("{}", exit.output.trim_end());
            return 0;
        }
        Err(exit) => {
            eprintln!("{}", exit.output.trim_end());
            return 2;
        }
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            // Not `eprintln`, which panics where standard error cannot be written.
            let _ = writeln!(std::io::stderr(), "plexspaces: {error:#}");
            1
        }
    }
}
