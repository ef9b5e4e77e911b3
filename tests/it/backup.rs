//! A backup: taken while the node runs, put into an empty directory, refused when it is anything but whole.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plexspaces_node::wasm::Kind;
use tempfile::TempDir;

use crate::guests::{COUNTER, guest};
use crate::harness::{Node, node};
use crate::restore::keeper;
use crate::tokens;
use crate::uploads::echo_of;

pub fn run(arguments: &[&str], file: &Path, flag: &str, value: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_plexspaces"));
    let program = program.args(arguments).arg(file).args([flag, value]);
    program.env_remove("PLEXSPACES_TOKEN").output().unwrap()
}

pub fn backup(node: &Node, file: &Path) -> Output {
    run(&["backup"], file, "--node", &node.grpc.to_string())
}

pub fn restore(file: &Path, dir: &Path) -> Output {
    run(&["restore"], file, "--data-dir", dir.to_str().unwrap())
}

pub fn succeeds(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

/// One line on stderr with these words, exit code 1.
pub fn fails(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

/// A backup of a node with one application that left a state, one that is stopped, and one that runs.
fn made(elsewhere: &TempDir) -> PathBuf {
    let node = node();
    node.deploy("keeper", &keeper()).is_deployed();
    node.deploy("still", &keeper()).is_deployed();
    node.deploy("counter", &guest(Kind::Component, COUNTER))
        .is_deployed();
    node.ask("keeper", b"5");
    node.wish("keeper", "stop");
    node.wish("keeper", "start");
    node.wish("still", "stop");
    let file = elsewhere.path().join("node.tar");
    succeeds(&backup(&node, &file));
    node.log_says("call=\"GET /api/v1/backup\" result=ok");
    file
}

#[test]
fn a_backup_of_a_running_node_comes_back_in_another_directory() {
    let elsewhere = TempDir::new().unwrap();
    let file = made(&elsewhere);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "drafts");
    let dir = TempDir::new().unwrap();
    let restored = restore(&file, dir.path());
    succeeds(&restored);
    assert!(String::from_utf8_lossy(&restored.stdout).starts_with("3 applications"));
    let node = Node::again(dir);
    assert_eq!(node.ask("keeper", b"").body_payload(), "6");
    assert_eq!(node.ask("counter", b"").body_payload(), "1");
    assert_eq!(node.status_of("still"), "STOPPED");
}

#[test]
fn tokens_come_back_with_a_backup() {
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("node.tar");
    let node = node();
    let (id, _) = tokens::create(node.data_dir(), "read");
    succeeds(&backup(&node, &file));
    let dir = TempDir::new().unwrap();
    succeeds(&restore(&file, dir.path()));
    let tokens = tokens::token_json(dir.path(), &["list"]);
    assert!(tokens.to_string().contains(&id), "{tokens}");
}

#[test]
fn a_backup_whose_reader_leaves_is_no_good_one_in_the_audit_trail() {
    let node = node();
    // More bytes than a connection takes before somebody reads them.
    node.deploy("large", &echo_of(32 << 20)).is_deployed();
    let mut leaving = TcpStream::connect(node.http).unwrap();
    leaving
        .write_all(b"GET /api/v1/backup HTTP/1.0\r\nhost: localhost\r\n\r\n")
        .unwrap();
    leaving.read_exact(&mut [0; 1024]).unwrap();
    drop(leaving);
    let line = node.log_says("GET /api/v1/backup");
    assert!(
        line.contains("WARN") && line.contains("result=abandoned"),
        "{line}"
    );
    let dir = TempDir::new().unwrap();
    succeeds(&backup(&node, &dir.path().join("node.tar")));
    node.log_says("GET /api/v1/backup\" result=ok");
}

#[test]
fn what_is_undeployed_while_a_backup_is_read_is_whole_in_it() {
    let node = node();
    // More bytes than a connection takes before somebody reads them.
    node.deploy("large", &echo_of(32 << 20)).is_deployed();
    let mut slow = TcpStream::connect(node.http).unwrap();
    slow.write_all(b"GET /api/v1/backup HTTP/1.0\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut archive = vec![0; 1024];
    slow.read_exact(&mut archive).unwrap();
    let busy = node.get("/api/v1/backup");
    busy.is_refused(503, "UNAVAILABLE", &["a backup is under way"]);
    assert_eq!(node.undeploy("large").status, 200);
    slow.read_to_end(&mut archive).unwrap();
    let head = archive.windows(4).position(|four| four == b"\r\n\r\n");
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("node.tar");
    fs::write(&file, &archive[head.unwrap() + 4..]).unwrap();
    let dir = TempDir::new().unwrap();
    succeeds(&restore(&file, dir.path()));
    assert_eq!(Node::again(dir).status_of("large"), "RUNNING");
    node.uploads_end();
}

#[test]
fn a_backup_that_is_not_whole_is_refused_and_leaves_nothing() {
    let elsewhere = TempDir::new().unwrap();
    let file = made(&elsewhere);
    let whole = fs::read(&file).unwrap();
    let refused = |bytes: &[u8], words: &[&str]| {
        fs::write(&file, bytes).unwrap();
        let dir = TempDir::new().unwrap();
        let new = dir.path().join("new");
        for into in [dir.path(), &new] {
            fails(&restore(&file, into), words);
            let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        }
        assert_eq!(Node::again(dir).total_applications(), 0);
    };
    refused(&whole[..whole.len() - 1], &["node.tar", "no whole backup"]);
    refused(b"not a backup", &["node.tar", "no whole backup"]);
    refused(&[0; 4096], &["node.tar", "there is nothing in it"]);
    let mut bent = whole.clone();
    // Within the last module's bytes; what follows are the seal, and two empty blocks.
    let module = whole.windows(4).rposition(|four| four == b"\0asm").unwrap();
    bent[module + 9] ^= 1;
    refused(&bent, &["node.tar", "damaged", "has other bytes"]);
}

#[test]
fn a_backup_goes_into_an_empty_directory_that_no_node_holds() {
    let elsewhere = TempDir::new().unwrap();
    let file = made(&elsewhere);
    let node = node();
    fails(&restore(&file, node.data_dir()), &["in use by process"]);
    node.deploy("keeper", &keeper()).is_deployed();
    let dir = node.kill();
    let words = ["node.tar", "has 1 applications already", "--data-dir"];
    fails(&restore(&file, dir.path()), &words);
    assert_eq!(Node::again(dir).total_applications(), 1);
}

#[test]
fn no_backup_goes_into_a_directory_that_holds_other_things() {
    let elsewhere = TempDir::new().unwrap();
    let file = made(&elsewhere);
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let shown = dir.path().to_str().unwrap();
    let words = [shown, "holds other things", "an empty directory"];
    fails(&restore(&file, dir.path()), &words);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fs::rename(dir.path().join("letter.txt"), dir.path().join(".letter")).unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    succeeds(&restore(&file, dir.path()));
    assert!(dir.path().join(".letter").exists());
}

#[test]
fn a_backup_that_cannot_be_taken_says_why_and_leaves_the_last_one() {
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("node.tar");
    fs::write(&file, "the last one").unwrap();
    let node = node();
    fails(
        &backup(&node, &file),
        &["node.tar is there already", "--force"],
    );
    let wrong = run(
        &["backup", "--force"],
        &file,
        "--node",
        &node.http.to_string(),
    );
    fails(&wrong, &["gRPC port", "--node"]);
    let missing = elsewhere.path().join("no/such/node.tar");
    fails(
        &backup(&node, &missing),
        &["cannot write", "no/such", "make its folder first"],
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "the last one");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "drafts");
    let grpc = node.grpc.to_string();
    succeeds(&run(&["backup", "--force"], &file, "--node", &grpc));
    assert!(fs::read(&file).unwrap().starts_with(b"plexspaces-backup"));
}

#[test]
fn a_backup_of_an_earlier_version_comes_back() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/format-1.tar");
    let dir = TempDir::new().unwrap();
    succeeds(&restore(&file, dir.path()));
    let tokens = tokens::token_json(dir.path(), &["list"]).to_string();
    assert!(tokens.contains("fleet"), "{tokens}");
    let node = Node::again(dir);
    assert_eq!(node.ask("keeper", b"").body_payload(), "6");
    assert_eq!(node.status_of("still"), "STOPPED");
    let elsewhere = TempDir::new().unwrap();
    let bent = elsewhere.path().join("bent.tar");
    let mut bytes = fs::read(&file).unwrap();
    let module = bytes.windows(4).rposition(|four| four == b"\0asm");
    bytes[module.unwrap() + 9] ^= 1;
    fs::write(&bent, bytes).unwrap();
    let dir = TempDir::new().unwrap();
    fails(&restore(&bent, dir.path()), &["damaged", "has other bytes"]);
    assert!(!dir.path().join("tokens.json").exists());
    let node = Node::again(dir);
    assert_eq!(node.files(), Vec::<PathBuf>::new());
}
