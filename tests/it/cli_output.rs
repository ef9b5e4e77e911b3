//! What the commands print: within 80 columns, JSON that parses, no colour in a pipe, no fuss when the reader leaves;
//! help, completions, and the page that shows them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use plexspaces_node::wasm::Kind;
use tempfile::TempDir;

use crate::cli::{Said, file, plexspaces, run, shown, to};
use crate::guests::{ECHO, guest};
use crate::harness::node;

/// Every command with its help, from the top down, as the program itself lists them.
fn helps() -> Vec<(String, String)> {
    let mut helps = Vec::new();
    walk(&mut vec![], &mut helps);
    helps
}

fn walk(command: &mut Vec<String>, helps: &mut Vec<(String, String)>) {
    let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = run(&arguments).done().to_owned();
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let listed = listed.lines().take_while(|line| !line.is_empty());
    // What goes on in the next line is further to the right.
    let names: Vec<String> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    helps.push((
        ["plexspaces".to_owned()]
            .iter()
            .chain(&*command)
            .cloned()
            .collect::<Vec<_>>()
            .join(" "),
        help,
    ));
    for name in names {
        command.push(name);
        walk(command, helps);
        command.pop();
    }
}

#[test]
fn the_page_on_the_command_line_is_what_the_program_says() {
    const MADE: &str = "<!-- Made from the program's own help. -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    let written = std::fs::read_to_string(path).unwrap();
    let (by_hand, _) = written.split_once(MADE).expect("the page has its mark");
    let made: String = helps()
        .into_iter()
        .map(|(command, help)| format!("\n### {command}\n\n```text\n{}\n```\n", help.trim_end()))
        .collect();
    let page = format!("{by_hand}{MADE}{made}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == page,
        "docs/cli.md is not what the program says; it says:\n{page}"
    );
}

#[test]
fn every_command_has_an_example_and_fits_80_columns() {
    let helps = helps();
    assert!(helps.len() > 20, "{}", helps.len());
    for (command, help) in helps {
        assert!(
            help.contains("\nExamples:\n"),
            "{command} has no example:\n{help}"
        );
        assert!(
            help.contains(&format!("{command} ")),
            "{command} is not in its examples:\n{help}"
        );
        assert!(!help.contains("{{"), "{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}

#[test]
fn the_version_is_printed_and_the_help_says_how() {
    let version = format!("plexspaces {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["--version"][..], &["-V"], &["--version", "list"]] {
        assert_eq!(run(arguments).done(), version);
    }
    let help = run(&["--help"]);
    assert!(help.done().contains("  -V, --version "), "{help:?}");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        for (command, _) in helps() {
            let known = match shell {
                "zsh" => script
                    .done()
                    .contains(&format!("_{}() {{", command.replace(' ', "_"))),
                _ => script.done().contains(&command),
            };
            assert!(known, "{shell} does not complete {command}");
        }
    }
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let script = run(&["completions", "bash"]).done().to_owned();
    let completed = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let ask = format!(
            "{script}\nCOMP_WORDS=({})\nCOMP_CWORD={}\n_plexspaces\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words.len() - 1
        );
        let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
        let said: Said = output.into();
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
        said.out
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(completed("plexspaces dep"), ["deploy"]);
    assert_eq!(
        completed("plexspaces application st"),
        ["status", "start", "stop"]
    );
    assert_eq!(completed("plexspaces token list --d"), ["--data-dir"]);
    assert_eq!(completed("plexspaces actor list --app"), ["--application"]);
    assert_eq!(completed("plexspaces list --output j"), ["json"]);
    assert_eq!(completed("plexspaces completions z"), ["zsh"]);
    let root = env!("CARGO_MANIFEST_DIR");
    assert_eq!(
        completed(&format!("plexspaces deploy --wasm {root}/Cargo.to")),
        [format!("{root}/Cargo.toml")]
    );
}

#[test]
fn the_fish_and_zsh_scripts_are_scripts() {
    let dir = TempDir::new().unwrap();
    for shell in ["fish", "zsh"] {
        let script = file(&dir, shell, run(&["completions", shell]).done().as_bytes());
        // Not every machine has them.
        if let Ok(output) = Command::new(shell).arg("-n").arg(&script).output() {
            let said: Said = output.into();
            assert_eq!((said.code, said.err.as_str()), (0, ""), "{shell}: {said:?}");
        }
    }
    let asked = |line: &str| {
        let source = format!(
            "source {}; complete -C '{line}'",
            shown(&dir.path().join("fish"))
        );
        let output = Command::new("fish")
            .args(["--no-config", "-c", &source])
            .output();
        output
            .ok()
            .map(|output| Said::from(output).done().to_owned())
    };
    if let (Some(flag), Some(value)) = (
        asked("plexspaces token list --d"),
        asked("plexspaces list --output j"),
    ) {
        assert!(
            flag.starts_with("--data-dir\t") && value.starts_with("json\t"),
            "{flag} {value}"
        );
    }
}

#[test]
fn tables_fit_80_columns() {
    let node = node();
    let long = format!("a{}", "-very-long-name".repeat(8));
    node.form(&long, &guest(Kind::Core, ECHO))
        .field("version", &"9".repeat(64))
        .send()
        .is_deployed();
    for command in [&["list"][..], &["status", &long], &["actor", "list"]] {
        let said = to(&node, command);
        let table = said
            .done()
            .lines()
            .filter(|line| line.contains('…') || line.contains("STAT"));
        let widest = table.map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|it| it <= 80), "{said:?}");
        assert!(!said.out.contains('\u{1b}'), "colours in a pipe: {said:?}");
    }
    // Who has room gets it whole.
    let mut wide = plexspaces(&["list", "--node", &node.grpc.to_string()]);
    let said: Said = wide.env("COLUMNS", "400").output().unwrap().into();
    assert!(said.done().contains(&long), "{said:?}");
}

#[test]
fn a_terminal_gets_colours_unless_they_are_refused() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let on_terminal = |variable: &str| {
        let program = env!("CARGO_BIN_EXE_plexspaces");
        let list = format!("{program} list --node {}", node.grpc);
        let script = Command::new("script")
            .args(["-qec", &list, "/dev/null"])
            .env("TERM", "xterm")
            .env("NO_COLOR", variable)
            .stdin(Stdio::null())
            .output();
        script.ok().map(|it| String::from_utf8(it.stdout).unwrap())
    };
    // Not every machine has a program that makes a terminal.
    if let (Some(coloured), Some(plain)) = (on_terminal(""), on_terminal("1")) {
        assert!(
            coloured.contains("\u{1b}[32mRUNNING\u{1b}[0m"),
            "{coloured:?}"
        );
        assert!(
            plain.contains("RUNNING") && !plain.contains('\u{1b}'),
            "{plain:?}"
        );
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    for arguments in [&["--help"][..], &["completions", "bash"], &["--version"]] {
        let mut child = plexspaces(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), said.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_reader_of_a_log_may_leave_after_its_first_line() {
    let node = node();
    node.deploy("rascal", &guest(Kind::Core, crate::guests::EARLY))
        .is_deployed();
    let follow = [
        "application",
        "logs",
        "rascal",
        "-f",
        "--node",
        &node.grpc.to_string(),
    ];
    let mut child = plexspaces(&follow)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("is running"), "{line}");
    drop(out);
    // The next line finds nobody.
    while child.try_wait().unwrap().is_none() {
        node.ask("rascal", b"more");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_full_disk_is_an_error() {
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let mut command = plexspaces(&["--help"]);
        let said: Said = command.stdout(full).output().unwrap().into();
        said.fails(1, &["standard output", "No space left"]);
    }
}

#[test]
fn every_command_that_prints_has_json() {
    let (node, dir) = (node(), TempDir::new().unwrap());
    let (wasm, tar) = (
        file(&dir, "echo.wasm", &guest(Kind::Core, ECHO)),
        dir.path().join("node.tar"),
    );
    let into = dir.path().join("into");
    let restore = ["restore", shown(&tar), "--data-dir", shown(&into)];
    let commands: [&[&str]; 14] = [
        &[
            "deploy",
            "--name",
            "echo",
            "--wasm",
            shown(&wasm),
            "--dry-run",
        ],
        &["deploy", "--name", "echo", "--wasm", shown(&wasm)],
        &["list"],
        &["status", "echo"],
        &["invoke", "echo", "x"],
        &["application", "stop", "echo"],
        &["application", "start", "echo"],
        &["application", "logs", "echo"],
        &["actor", "list"],
        &["actor", "send", "echo", "x"],
        &["actor", "ask", "echo", "x"],
        &["backup", shown(&tar)],
        &["actor", "stop", "echo"],
        &["undeploy", "echo"],
    ];
    for command in commands {
        let said = to(&node, &[command, &["--output", "json"]].concat());
        assert!(said.json().is_object(), "{command:?}: {said:?}");
    }
    let restored = run(&[&restore[..], &["--output", "json"]].concat()).json();
    assert_eq!(restored["success"], true);
}
