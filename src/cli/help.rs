//! What argh says, folded to 80 columns, and its complaints as one line that names the next step.

use argh::{ArgsInfo, CommandInfoWithArgs};

use super::Arguments;
use crate::near::nearest;
use crate::serde_words::shortened;
use crate::toml_text::abridged;

const WIDTH: usize = 80;

/// Help with its long lines folded; examples stay as they can be typed.
pub fn folded(help: &str) -> String {
    let mut in_examples = false;
    let mut out = String::new();
    for line in help.trim_end().lines() {
        in_examples = match line {
            "Examples:" => true,
            "Notes:" => false,
            _ => in_examples,
        };
        match in_examples {
            true => out.push_str(line),
            false => fold(line, &mut out),
        }
        out.push('\n');
    }
    out
}

/// Breaks a line between words, but in no `[--flag <value>]`. What goes on is indented as far as the line was, or below
/// the first word of a usage.
fn fold(line: &str, out: &mut String) {
    if line.chars().count() <= WIDTH {
        return out.push_str(line);
    }
    let written = line.trim_start();
    let own = line.len() - written.len();
    let next = if written.starts_with("Usage: ") {
        7
    } else {
        own
    };
    let mut folded = " ".repeat(own);
    let mut empty = true;
    for word in words(written) {
        if !empty && folded.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&folded);
            out.push('\n');
            folded = " ".repeat(next);
            empty = true;
        }
        if !empty {
            folded.push(' ');
        }
        folded.push_str(word);
        empty = false;
    }
    out.push_str(&folded);
}

/// The words of a line; what stands in brackets is one.
fn words(line: &str) -> Vec<&str> {
    let (mut words, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, c) in line.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => {
                words.push(&line[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    words.push(&line[begin..]);
    words
}

/// A complaint about arguments, in one line, and where to read on.
pub fn complaint(text: &str, arguments: &[&str]) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let rest: Vec<&str> = lines.collect();
    let said = format!("{first} {}", rest.join(", "));
    let said = said.trim_end_matches([' ', '.']);
    let (path, info) = command(arguments);
    let said = said_once(said).unwrap_or_else(|| said.to_owned());
    let said = abridged(&shortened(&said));
    let path_shown = path.join(" ");
    if let Some(odd) = text.trim().strip_prefix("Unrecognized argument: ") {
        let next = arguments.get(path.len() - 1).copied().unwrap_or_default();
        let mut meant = bearing(next);
        if meant.is_empty() {
            meant.extend(meant_by(odd, &path_shown, &info));
        }
        if !meant.is_empty() {
            return format!("{said}; did you mean {}?", meant.join(" or "));
        }
    }
    format!("{said}; see {path_shown} --help")
}

/// What a word was meant to be that this command does not know: one of its flags, a part of its message, a file that a
/// flag of that name takes, or a command below it.
fn meant_by(odd: &str, path: &str, info: &CommandInfoWithArgs) -> Option<String> {
    let flags = || info.flags.iter().map(|it| it.long);
    // A message is the last argument: what comes behind it is more of it, split by the shell.
    if info.positionals.iter().any(|it| it.name == "payload") && !odd.starts_with('-') {
        return Some("one message in single quotes, such as '{\"key\":\"value\"}'".into());
    }
    if odd.starts_with("--") {
        return nearest(odd, flags()).map(str::to_owned);
    }
    if let Some((_, ending)) = odd.rsplit_once('.')
        && let Some(flag) = flags().find(|it| it.strip_prefix("--") == Some(ending))
    {
        return Some(format!("{flag} {odd}"));
    }
    let below = info.commands.iter().map(|it| it.name);
    nearest(odd, below).map(|name| format!("{path} {name}"))
}

/// A complaint about a value, without argh's words before it.
fn said_once(complaint: &str) -> Option<String> {
    const BEFORE: [&str; 2] = [
        "Error parsing option '",
        "Error parsing positional argument '",
    ];
    let rest = BEFORE.iter().find_map(|it| complaint.strip_prefix(it))?;
    let (name, rest) = rest.split_once("' with value '")?;
    let (value, problem) = rest.split_once("': ")?;
    // What the standard library says of numbers names neither the value nor what would do.
    const OF_NUMBERS: [&str; 5] = [
        "invalid digit",
        "number too",
        "cannot parse integer",
        "invalid float",
        "cannot parse float",
    ];
    Some(match OF_NUMBERS.iter().any(|it| problem.starts_with(it)) {
        true => format!("{name}: {value:?} is no whole number from 0, or too large a one"),
        false => format!("{name}: {problem}"),
    })
}

/// All commands whose last word is this one.
fn bearing(name: &str) -> Vec<String> {
    fn walk(path: &str, below: CommandInfoWithArgs, name: &str, found: &mut Vec<String>) {
        for command in below.commands {
            let path = format!("{path} {}", command.name);
            if command.name == name {
                found.push(path.clone());
            }
            walk(&path, command.command, name, found);
        }
    }
    let mut found = Vec::new();
    walk("plexspaces", Arguments::get_args_info(), name, &mut found);
    found
}

/// The words of the command that these arguments begin with, and what it takes.
fn command(arguments: &[&str]) -> (Vec<String>, CommandInfoWithArgs) {
    let mut path = vec!["plexspaces".to_owned()];
    let mut below: CommandInfoWithArgs = Arguments::get_args_info();
    for argument in arguments {
        let mut commands = below.commands.iter();
        let Some(at) = commands.position(|it| it.name == *argument) else {
            break;
        };
        let found = below.commands.swap_remove(at);
        path.push(found.name.to_owned());
        below = found.command;
    }
    (path, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_and_examples_are_not() {
        let long = "word ".repeat(20);
        let flags = "[--flag <value>] ".repeat(8);
        let help = format!("Usage: x {flags}\n\n  {long}\nExamples:\n  {long}\nNotes:\n  {long}");
        let folded = folded(&help);
        let (above, rest) = folded.split_once("Examples:\n").unwrap();
        assert!(above.lines().all(|line| line.len() <= 80), "{folded}");
        assert!(above.contains("\n       [--flag <value>] ["), "{folded}");
        assert!(above.contains("\n  word word"), "{folded}");
        assert!(rest.lines().next().unwrap().len() > 80, "{folded}");
        assert!(rest.lines().last().unwrap().len() <= 80, "{folded}");
    }

    #[test]
    fn a_complaint_is_one_line_and_names_its_command() {
        let check = |text: &str, arguments: &[&str], expected: &str| {
            assert_eq!(complaint(text, arguments), expected);
        };
        check(
            "Required options not provided:\n    --name\n    --wasm\n",
            &["application", "deploy", "--dry-run"],
            "Required options not provided: --name, --wasm; see plexspaces application deploy --help",
        );
        check(
            "Unrecognized argument: x\n",
            &["x", "list"],
            "Unrecognized argument: x; see plexspaces --help",
        );
        check(
            "Unrecognized argument: logs\n",
            &["logs", "calculator"],
            "Unrecognized argument: logs; did you mean plexspaces application logs?",
        );
        check(
            "Unrecognized argument: stop\n",
            &["stop", "x"],
            "Unrecognized argument: stop; did you mean plexspaces application stop or plexspaces actor stop?",
        );
        check(
            "Unrecognized argument: list\n",
            &["status", "x", "list"],
            "Unrecognized argument: list; see plexspaces status --help",
        );
        check(
            "Error parsing option '--timeout' with value '5x': \"5x\" is no length of time\n",
            &["invoke", "a", "--timeout", "5x"],
            "--timeout: \"5x\" is no length of time; see plexspaces invoke --help",
        );
        check(
            "Error parsing option '--limit' with value 'x': invalid digit found in string\n",
            &["tuplespace", "take"],
            "--limit: \"x\" is no whole number from 0, or too large a one; see plexspaces tuplespace take --help",
        );
        check(
            "Error parsing option '--actors-max' with value '0': actors_max is 0; choose another\n",
            &["start"],
            "--actors-max: actors_max is 0; choose another; see plexspaces start --help",
        );
        check(
            "Unrecognized argument: lst\n",
            &["lst"],
            "Unrecognized argument: lst; did you mean plexspaces list?",
        );
        check(
            "Unrecognized argument: lst\n",
            &["actor", "lst"],
            "Unrecognized argument: lst; did you mean plexspaces actor list?",
        );
        check(
            "Unrecognized argument: --nod\n",
            &["list", "--nod", "edge:8000"],
            "Unrecognized argument: --nod; did you mean --node?",
        );
        check(
            "Unrecognized argument: operands:[2]}\n",
            &["invoke", "calc", "{operation:add", "operands:[2]}"],
            "Unrecognized argument: operands:[2]}; did you mean one message in single quotes, such as '{\"key\":\"value\"}'?",
        );
        check(
            "Unrecognized argument: calc.wasm\n",
            &["deploy", "calc.wasm"],
            "Unrecognized argument: calc.wasm; did you mean --wasm calc.wasm?",
        );
    }
}
