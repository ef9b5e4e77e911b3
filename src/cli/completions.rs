//! `plexspaces completions`: scripts with which a shell completes commands, flags and files.

use std::fmt::Write;
use std::str::FromStr;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs};

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
struct Command {
    path: String,
    below: Vec<(&'static str, &'static str)>,
    flags: &'static [FlagInfo<'static>],
}

fn walk(path: String, info: CommandInfoWithArgs, commands: &mut Vec<Command>) {
    let below = info
        .commands
        .iter()
        .map(|it| (it.name, it.command.description));
    commands.push(Command {
        path: path.clone(),
        below: below.collect(),
        flags: info.flags,
    });
    for command in info.commands {
        walk(
            format!("{path} {}", command.name),
            command.command,
            commands,
        );
    }
}

/// What may follow a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// It is a switch.
    None,
    File,
    Directory,
    OneOf(&'static str),
    Text,
}

fn value(flag: &FlagInfo<'_>) -> Value {
    match (flag.long, &flag.kind) {
        (_, FlagInfoKind::Switch) => Value::None,
        ("--wasm" | "--config" | "--token-file", _) => Value::File,
        ("--data-dir", _) => Value::Directory,
        ("--output", _) => Value::OneOf("text json"),
        ("--scope", _) => Value::OneOf("read invoke deploy"),
        ("--level", _) => Value::OneOf("error warn info debug trace"),
        ("--log-format", _) => Value::OneOf("plain json"),
        ("--profile", _) => Value::OneOf("tiny small standard"),
        _ => Value::Text,
    }
}

fn bash(commands: &[Command]) -> String {
    let mut paths = String::new();
    let mut words = String::new();
    for Command { path, below, flags } in commands {
        let below: Vec<&str> = below.iter().map(|(name, _)| *name).collect();
        let flags: Vec<&str> = flags.iter().map(|flag| flag.long).collect();
        for name in &below {
            let _ = writeln!(paths, "            \"{path} {name}\") path+=\" $word\" ;;");
        }
        let below = match path.as_str() {
            "plexspaces completions" => "bash zsh fish".to_owned(),
            _ => below.join(" "),
        };
        let _ = writeln!(
            words,
            "        \"{path}\") names=\"{below}\" flags=\"{} --help\" ;;",
            flags.join(" ")
        );
    }
    let mut values = String::new();
    let mut seen = Vec::new();
    for flag in commands.iter().flat_map(|it| it.flags) {
        if seen.contains(&flag.long) {
            continue;
        }
        seen.push(flag.long);
        let action = match value(flag) {
            Value::None => continue,
            Value::File => "COMPREPLY=($(compgen -f -- \"$cur\"))".into(),
            Value::Directory => "COMPREPLY=($(compgen -d -- \"$cur\"))".into(),
            Value::OneOf(words) => format!("COMPREPLY=($(compgen -W \"{words}\" -- \"$cur\"))"),
            Value::Text => "COMPREPLY=()".to_owned(),
        };
        let _ = writeln!(values, "        {}) {action}; return ;;", flag.long);
    }
    format!(
        "_plexspaces() {{
    local cur=\"${{COMP_WORDS[COMP_CWORD]}}\" prev=\"${{COMP_WORDS[COMP_CWORD-1]}}\"
    local path=plexspaces word names= flags=
    case \"$prev\" in
{values}    esac
    for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do
        case \"$path $word\" in
{paths}        esac
    done
    case \"$path\" in
{words}    esac
    case \"$cur\" in
        -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;
        @*) COMPREPLY=($(compgen -P @ -f -- \"${{cur#@}}\")) ;;
        *) COMPREPLY=($(compgen -W \"$names\" -- \"$cur\")) ;;
    esac
}}
complete -o filenames -F _plexspaces plexspaces
"
    )
}

fn zsh(commands: &[Command]) -> String {
    let mut out = String::from("#compdef plexspaces\n\n");
    for Command { path, below, flags } in commands {
        let function = path.replace(' ', "_");
        let _ = writeln!(
            out,
            "_{function}() {{\n    local state line curcontext=\"$curcontext\"\n    local -a names"
        );
        out.push_str("    _arguments -C \\\n");
        for flag in *flags {
            let action = match value(flag) {
                Value::None => String::new(),
                Value::File => ":file:_files".into(),
                Value::Directory => ":directory:_files -/".into(),
                Value::OneOf(words) => format!(":value:({words})"),
                Value::Text => ":value: ".into(),
            };
            let about = quoted(flag.description)
                .replace('[', "\\[")
                .replace(']', "\\]");
            let _ = writeln!(
                out,
                "        '{}[{}]{action}' \\",
                flag.long,
                about.replace(':', "\\:")
            );
        }
        out.push_str("        '(- *)--help[display usage information]' \\\n");
        if path == "plexspaces completions" {
            out.push_str("        '1:shell:(bash zsh fish)'\n}\n\n");
            continue;
        }
        if below.is_empty() {
            out.push_str("        '*: :_files'\n}\n\n");
            continue;
        }
        out.push_str("        '1: :->name' '*:: :->rest'\n    names=(\n");
        for (name, about) in below {
            let _ = writeln!(
                out,
                "        '{name}:{}'",
                quoted(about).replace(':', "\\:")
            );
        }
        let _ = write!(
            out,
            "    )\n    case $state in\n        name) _describe command names ;;\n        \
             rest) (( $+functions[_{function}_$line[1]] )) && _{function}_$line[1] ;;\n    esac\n}}\n\n"
        );
    }
    out.push_str("if [ \"$funcstack[1]\" = \"_plexspaces\" ]; then\n    _plexspaces \"$@\"\nelse\n    compdef _plexspaces plexspaces\nfi\n");
    out
}

fn fish(commands: &[Command]) -> String {
    let mut out = String::from(
        "# The commands so far, without flags and their values.
function __plexspaces_at
    set -l words plexspaces
    set -l skip
    for word in (commandline -opc)[2..]
        if test -n \"$skip\"
            set skip
        else if string match -q -- '--*' $word
            contains -- $word $__plexspaces_valued; and set skip 1
        else
            set -a words $word
        end
    end
    string match -q -- \"$argv[1]\" \"$words\"
end
",
    );
    let valued = commands.iter().flat_map(|it| it.flags);
    let mut valued: Vec<&str> = valued
        .filter(|flag| value(flag) != Value::None)
        .map(|flag| flag.long)
        .collect();
    valued.sort_unstable();
    valued.dedup();
    let _ = writeln!(
        out,
        "set -g __plexspaces_valued {}\ncomplete -c plexspaces -f",
        valued.join(" ")
    );
    for Command { path, below, flags } in commands {
        for (name, about) in below {
            let about = quoted(about);
            let _ = writeln!(
                out,
                "complete -c plexspaces -n '__plexspaces_at \"{path}\"' -a {name} -d '{about}'"
            );
        }
        if path == "plexspaces completions" {
            let _ = writeln!(
                out,
                "complete -c plexspaces -n '__plexspaces_at \"{path}\"' -a 'bash zsh fish'"
            );
        }
        // Behind a name or a message the flags are still the command's.
        let at = match below.is_empty() {
            true => format!("{path}*"),
            false => path.clone(),
        };
        for flag in *flags {
            let action = match value(flag) {
                Value::None => String::new(),
                Value::File => " -rF".into(),
                Value::Directory => " -x -a '(__fish_complete_directories)'".into(),
                Value::OneOf(words) => format!(" -x -a '{words}'"),
                Value::Text => " -x".into(),
            };
            let (long, about) = (flag.long.trim_start_matches('-'), quoted(flag.description));
            let _ = writeln!(
                out,
                "complete -c plexspaces -n '__plexspaces_at \"{at}\"' -l {long}{action} -d '{about}'"
            );
        }
    }
    out
}

/// Between single quotes in each of the shells.
fn quoted(text: &str) -> String {
    text.replace('\'', "’").replace('\n', " ")
}
