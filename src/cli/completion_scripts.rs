//! The scripts of bash, zsh and fish that complete commands.

use std::collections::BTreeMap;

use argh::FlagInfo;

use super::completions::{Command, Value};

pub fn bash(commands: &[Command]) -> String {
    let paths: String = commands.iter().map(bash_paths).collect();
    let words: String = commands.iter().map(bash_words).collect();
    let values: String = values(commands).into_iter().map(bash_value).collect();
    format!(
        r#"_plexspaces() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
    local path=plexspaces word names= flags=
    case "$prev" in
{values}    esac
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $word" in
{paths}        esac
    done
    case "$path" in
{words}    esac
    case "$cur" in
        -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
        @*) COMPREPLY=($(compgen -P @ -f -- "${{cur#@}}")) ;;
        *) COMPREPLY=($(compgen -W "$names" -- "$cur")) ;;
    esac
}}
complete -o filenames -F _plexspaces plexspaces
"#
    )
}

/// How one gets from a command to those below it.
fn bash_paths(Command { path, below, .. }: &Command) -> String {
    let names = below.iter().map(|(name, _)| name);
    names
        .map(|name| format!("            \"{path} {name}\") path+=\" $word\" ;;\n"))
        .collect()
}

/// What may come behind a command.
fn bash_words(command: &Command) -> String {
    let mut names: Vec<&str> = command.below.iter().map(|(name, _)| *name).collect();
    names.extend(command.choices.split_whitespace());
    let flags: Vec<&str> = command.flags.iter().map(|flag| flag.long).collect();
    format!(
        "        \"{}\") names=\"{}\" flags=\"{} --help\" ;;\n",
        command.path,
        names.join(" "),
        flags.join(" ")
    )
}

fn bash_value((flag, value): (&str, Value)) -> String {
    let words = match value {
        Value::None => return String::new(),
        Value::File => "-f".to_owned(),
        Value::Directory => "-d".to_owned(),
        Value::OneOf(words) => format!("-W \"{words}\""),
        Value::Text => "-W \"\"".to_owned(),
    };
    format!("        {flag}) COMPREPLY=($(compgen {words} -- \"$cur\")); return ;;\n")
}

pub fn zsh(commands: &[Command]) -> String {
    let functions: String = commands.iter().map(zsh_function).collect();
    format!(
        r#"#compdef plexspaces

{functions}if [ "$funcstack[1]" = "_plexspaces" ]; then
    _plexspaces "$@"
else
    compdef _plexspaces plexspaces
fi
"#
    )
}

fn zsh_function(command: &Command) -> String {
    let function = command.path.replace(' ', "_");
    let flags: String = command.flags.iter().map(zsh_flag).collect();
    format!(
        r#"_{function}() {{
    local state line curcontext="$curcontext"
    local -a names
    _arguments -C \
{flags}        '(- *)--help[display usage information]' \
{}}}

"#,
        zsh_rest(command, &function)
    )
}

fn zsh_flag(flag: &FlagInfo<'_>) -> String {
    let action = match Value::of(flag) {
        Value::None => String::new(),
        Value::File => ":file:_files".into(),
        Value::Directory => ":directory:_files -/".into(),
        Value::OneOf(words) => format!(":value:({words})"),
        Value::Text => ":value: ".into(),
    };
    let about = quoted(flag.description)
        .replace('[', "\\[")
        .replace(']', "\\]");
    let about = about.replace(':', "\\:");
    format!("        '{}[{about}]{action}' \\\n", flag.long)
}

/// What comes behind a command's flags: a command below it, one of a few words, or anything.
fn zsh_rest(command: &Command, function: &str) -> String {
    if !command.choices.is_empty() {
        return format!("        '1: :({})'\n", command.choices);
    }
    if command.below.is_empty() {
        return "        '*: :_files'\n".into();
    }
    let names = command.below.iter();
    let names: String = names
        .map(|(name, about)| format!("        '{name}:{}'\n", quoted(about).replace(':', "\\:")))
        .collect();
    format!(
        r#"        '1: :->name' '*:: :->rest'
    names=(
{names}    )
    case $state in
        name) _describe command names ;;
        rest) (( $+functions[_{function}_$line[1]] )) && _{function}_$line[1] ;;
    esac
"#
    )
}

pub fn fish(commands: &[Command]) -> String {
    let values = values(commands).into_iter();
    let valued = values.filter(|(_, value)| *value != Value::None);
    let valued: Vec<&str> = valued.map(|(flag, _)| flag).collect();
    let lines: String = commands.iter().map(fish_command).collect();
    format!(
        r#"set -g __plexspaces_valued {}

# Whether the commands so far are these, without flags and their values.
function __plexspaces_at
    set -l words plexspaces
    set -l skip
    for word in (commandline -opc)[2..]
        if test -n "$skip"
            set skip
        else if string match -q -- '--*' $word
            contains -- $word $__plexspaces_valued; and set skip 1
        else
            set -a words $word
        end
    end
    string match -q -- "$argv[1]" "$words"
end

complete -c plexspaces -f
{lines}"#,
        valued.join(" ")
    )
}

fn fish_command(command: &Command) -> String {
    let Command { path, below, .. } = command;
    let at = |path: &str| format!("complete -c plexspaces -n '__plexspaces_at \"{path}\"'");
    let mut lines = String::new();
    for (name, about) in below {
        lines.push_str(&format!("{} -a {name} -d '{}'\n", at(path), quoted(about)));
    }
    if !command.choices.is_empty() {
        lines.push_str(&format!("{} -a '{}'\n", at(path), command.choices));
    }
    // Behind a name or a message the flags are still the command's.
    let here = match below.is_empty() {
        true => at(&format!("{path}*")),
        false => at(path),
    };
    let flags = command
        .flags
        .iter()
        .map(|flag| format!("{here}{}\n", fish_flag(flag)));
    lines.extend(flags);
    lines
}

fn fish_flag(flag: &FlagInfo<'_>) -> String {
    let action = match Value::of(flag) {
        Value::None => String::new(),
        Value::File => " -rF".into(),
        Value::Directory => " -x -a '(__fish_complete_directories)'".into(),
        Value::OneOf(words) => format!(" -x -a '{words}'"),
        Value::Text => " -x".into(),
    };
    let long = flag.long.trim_start_matches('-');
    format!(" -l {long}{action} -d '{}'", quoted(flag.description))
}

/// Each flag once, and what may follow it.
fn values(commands: &[Command]) -> BTreeMap<&'static str, Value> {
    let flags = commands.iter().flat_map(|it| it.flags);
    flags.map(|flag| (flag.long, Value::of(flag))).collect()
}

/// Between single quotes in each of the shells.
fn quoted(text: &str) -> String {
    text.replace('\'', "’").replace('\n', " ")
}
