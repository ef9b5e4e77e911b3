//! Starts that are refused, or go on with a warning: one line that names what is wrong, where, and what would do.

use std::fs;
use std::path::Path;

use plexspaces_node::wasm::Kind;
use tempfile::TempDir;

use crate::cli::{Said, run, shown};
use crate::full_disk::Disk;
use crate::guests::{ECHO, guest};
use crate::harness::{Node, command};

/// What a start says that ends at its configuration. The data directory is one that cannot be, should it not.
fn refused(variables: &[(&str, &str)], flags: &[&str]) -> Said {
    let mut command = command(Path::new("/dev/null/x"), "127.0.0.1:0");
    command.args(flags).envs(variables.iter().copied());
    command.output().unwrap().into()
}

/// The same with this node.toml.
fn refused_file(toml: &str) -> Said {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("node.toml");
    fs::write(&file, toml).unwrap();
    refused(&[], &["--config", shown(&file)])
}

#[test]
fn a_wrong_level_of_the_log_is_refused() {
    for (wrong, word) in [
        ("loudd", "\"loudd\" is no level"),
        ("plexspaces=loud", "\"loud\" is no level"),
        ("debug,gate", "\"gate\" is no level"),
    ] {
        let said = refused(&[("PLEXSPACES_LOG", wrong)], &[]);
        said.fails(
            1,
            &["PLEXSPACES_LOG", word, "error, warn, info, debug or trace"],
        );
    }
}

#[test]
fn a_room_may_have_a_level_of_its_own_and_the_others_keep_theirs() {
    let levels = ("PLEXSPACES_LOG", "guest=off,audit=off");
    let node = Node::start_with(TempDir::new().unwrap(), &[], &[levels]);
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    node.log_says("INFO  node: ready, with");
    assert_eq!(node.log_count("audit: "), 0);
}

#[test]
fn a_demand_for_tokens_that_is_overruled_is_warned_of() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("node.toml");
    fs::write(&file, "require_token = true").unwrap();
    let config = shown(&file).to_owned();
    let node = Node::start(dir, &["--config", &config, "--insecure-allow-remote"]);
    let line = node.log_says("--insecure-allow-remote overrules require_token = true");
    assert!(
        line.contains("WARN") && line.contains("no token is asked"),
        "{line}"
    );
}

#[test]
fn a_variable_that_nobody_knows_is_warned_of() {
    let odd = [
        ("PLEXSPACES_NODEID", "edge-7"),
        ("PLEXSPACES_TEST_X", "1"),
        ("PLEXSPACES_LOG", "nosuchroom=debug"),
    ];
    let node = Node::start_with(TempDir::new().unwrap(), &[], &odd);
    let line = node.log_says("PLEXSPACES_NODEID");
    assert!(
        line.contains("WARN") && line.contains("did you mean PLEXSPACES_NODE_ID?"),
        "{line}"
    );
    assert_eq!(node.log_count("is not known and changes nothing"), 1);
    let line = node.log_says("the log has no room nosuchroom");
    assert!(
        line.contains("WARN") && line.contains("gate, guest, http"),
        "{line}"
    );
}

#[test]
fn a_file_whose_values_are_of_another_form_is_refused_with_its_line() {
    let check = |toml: &str, words: &[&str]| {
        let said = refused_file(toml);
        said.fails(1, words);
        assert!(said.err.contains("node.toml: line "), "{said:?}");
        assert!(said.err.len() < 600, "{said:?}");
    };
    check(
        "http = [['evil.example']]",
        &["line 1: invalid type: list, expected a table", "http = "],
    );
    check(
        "require_token = true\ninsecure_allow_remote = true",
        &[
            "line 1: require_token and insecure_allow_remote (line 2)",
            "keep one",
        ],
    );
    check(
        "drain_time = '0s'",
        &["drain_time is 0s", "between 100ms and 10m"],
    );
    check(
        "[applications]\nrestart_delay = '1day'",
        &["line 2: restart_delay is 1day", "between 10ms and 1h"],
    );
    check(
        "[http]\nhosts = ['edge-7:8001']",
        &["line 2", "\"edge-7:8001\" is no host name", "no port"],
    );
    check("data_dir = ''", &["line 1: data_dir is empty"]);
    check("drain_time = 1e308", &["line 1", "..."]);
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_give() {
    let dir = TempDir::new().unwrap();
    let absent = dir.path().join("node.toml");
    for path in [dir.path(), &absent] {
        let said = refused(&[], &["--config", shown(path)]);
        said.fails(
            1,
            &["cannot read", shown(path), "give the node.toml itself"],
        );
    }
    let said = refused(&[], &["--config", "/dev/zero"]);
    said.fails(
        1,
        &[
            "cannot read /dev/zero",
            "larger than a config may be (1048576 bytes)",
        ],
    );
}

#[test]
fn flags_that_do_not_fit_are_wrong_usage() {
    let check = |flags: &[&str], words: &[&str]| refused(&[], flags).fails(2, words);
    check(
        &["--drain-time", "0s"],
        &["--drain-time: drain_time is 0s", "between"],
    );
    check(
        &["--actors-max", "0"],
        &["--actors-max: actors_max is 0", "start --help"],
    );
    check(&["--actors-max", "many"], &["--actors-max: \"many\""]);
    check(
        &["--require-token", "--insecure-allow-remote"],
        &["--require-token and --insecure-allow-remote"],
    );
    run(&["start", "--data-dir", ""]).fails(2, &["--data-dir: data_dir is empty"]);
}

#[test]
fn an_address_of_another_machine_is_told_from_a_port_in_use() {
    let dir = TempDir::new().unwrap();
    let said: Said = command(dir.path(), "192.0.2.1:8000")
        .output()
        .unwrap()
        .into();
    said.fails(1, &["192.0.2.1:8000", "give an address of this machine"]);
    assert!(!said.err.contains("stop what uses"), "{said:?}");
}

#[test]
fn a_data_directory_that_cannot_be_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [&file, &file.join("below")] {
        let said: Said = command(path, "127.0.0.1:0").output().unwrap().into();
        let words = [shown(path), "a file is in its way", "--data-dir"];
        said.fails(1, &words);
        assert_eq!(
            said.err.matches("a file is in its way").count(),
            1,
            "{said:?}"
        );
        assert_eq!(said.err.matches(shown(path)).count(), 1, "{said:?}");
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_says_what_to_do() {
    let Some((dir, disk)) = Disk::mounted(1) else {
        return;
    };
    disk.fill();
    let said: Said = command(dir.path(), "127.0.0.1:0").output().unwrap().into();
    assert_eq!(said.code, 1, "{said:?}");
    let line = said.err.lines().last().unwrap();
    assert!(
        line.starts_with("plexspaces: ")
            && line.contains("free some")
            && !line.contains("send it again"),
        "{said:?}"
    );
}
