//! `plexspaces completions`: scripts with which a shell completes commands, flags and files.

use std::str::FromStr;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs};

use super::completion_scripts::{bash, fish, zsh};
use super::{Arguments, output};

/// Print a script that completes plexspaces commands in your shell.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "completions",
    example = "plexspaces completions bash > /etc/bash_completion.d/plexspaces
plexspaces completions zsh > ~/.zfunc/_plexspaces
plexspaces completions fish > ~/.config/fish/completions/plexspaces.fish"
)]
pub struct Completions {
    /// bash, zsh or fish
    #[argh(positional)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl FromStr for Shell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bash" => Ok(Self::Bash),
            "zsh" => Ok(Self::Zsh),
            "fish" => Ok(Self::Fish),
            _ => Err(format!("{text:?} is not bash, zsh or fish")),
        }
    }
}

impl Completions {
    pub fn run(self) -> anyhow::Result<()> {
        let mut commands = Vec::new();
        walk(
            "plexspaces".into(),
            Arguments::get_args_info(),
            &mut commands,
        );
        let script = match self.shell {
            Shell::Bash => bash(&commands),
            Shell::Zsh => zsh(&commands),
            Shell::Fish => fish(&commands),
        };
        output::text(&script)
    }
}

/// A command by its whole name, such as `plexspaces application deploy`.
pub struct Command {
    pub path: String,
    /// The commands below it, with what they do.
    pub below: Vec<(&'static str, &'static str)>,
    /// What its first argument may be, where that is known.
    pub choices: &'static str,
    pub flags: &'static [FlagInfo<'static>],
}

/// What may follow a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// It is a switch.
    None,
    File,
    Directory,
    OneOf(&'static str),
    Text,
}

fn walk(path: String, info: CommandInfoWithArgs, commands: &mut Vec<Command>) {
    let below = info.commands.iter();
    commands.push(Command {
        below: below.map(|it| (it.name, it.command.description)).collect(),
        choices: match info.name {
            "completions" => "bash zsh fish",
            _ => "",
        },
        flags: info.flags,
        path: path.clone(),
    });
    for command in info.commands {
        walk(
            format!("{path} {}", command.name),
            command.command,
            commands,
        );
    }
}

impl Value {
    pub fn of(flag: &FlagInfo<'_>) -> Self {
        match (flag.long, &flag.kind) {
            (_, FlagInfoKind::Switch) => Self::None,
            ("--wasm" | "--config" | "--token-file", _) => Self::File,
            ("--data-dir", _) => Self::Directory,
            ("--output", _) => Self::OneOf("text json"),
            ("--scope", _) => Self::OneOf("read invoke deploy"),
            ("--level", _) => Self::OneOf("error warn info debug trace"),
            ("--log-format", _) => Self::OneOf("plain json"),
            ("--profile", _) => Self::OneOf("tiny small standard"),
            _ => Self::Text,
        }
    }
}
