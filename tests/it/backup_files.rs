//! The file that a backup is written to: whole or not there, nobody else's spoiled, and named in every error.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use plexspaces_node::wasm::Kind;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::backup::{backup, fails, restore, run, succeeds};
use crate::full_disk::Disk;
use crate::guests::{ECHO, guest};
use crate::harness::node;

/// Nobody answers there.
const NOBODY: &str = "127.0.0.1:9";

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn backups_into_one_file_at_the_same_time_spoil_neither_it_nor_what_lies_beside_it() {
    let node = node();
    let elsewhere = TempDir::new().unwrap();
    let [file, beside, victim] =
        ["node.tar", "node.tar.part", "victim"].map(|name| elsewhere.path().join(name));
    fs::write(&victim, "not a backup").unwrap();
    symlink(&victim, &beside).unwrap();
    let grpc = node.grpc.to_string();
    let one = || run(&["backup", "--force"], &file, "--node", &grpc);
    let done: Vec<Output> = thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        let ended = running.into_iter().map(|one| one.join().unwrap());
        ended.collect()
    });
    let (well, busy): (Vec<_>, Vec<_>) = done.iter().partition(|it| it.status.success());
    assert!(!well.is_empty(), "{busy:?}");
    for busy in busy {
        fails(busy, &["a backup is under way"]);
    }
    assert_eq!(
        names(elsewhere.path()),
        ["node.tar", "node.tar.part", "victim"]
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "not a backup");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    succeeds(&restore(&file, TempDir::new().unwrap().path()));
}

#[test]
fn a_place_for_no_file_is_refused_by_name_before_any_node_is_asked() {
    let dir = TempDir::new().unwrap();
    let shown = dir.path().to_str().unwrap();
    let refused = |file: &Path, words: &[&str]| {
        let output = run(&["backup", "--force"], file, "--node", NOBODY);
        fails(&output, &[&["cannot write backup"], words].concat());
    };
    refused(dir.path(), &[shown, "it is a directory"]);
    refused(&dir.path().join("new/"), &[shown, "no name of a file"]);
    refused(Path::new(""), &["no name of a file"]);
    refused(Path::new("/dev/null"), &["/dev/null", "no plain file"]);
    let data_dir = dir.path().join("data");
    fails(&restore(dir.path(), &data_dir), &["cannot read", shown]);
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_backup_for_which_there_is_no_room_names_its_file_and_leaves_nothing() {
    let Some((dir, disk)) = Disk::mounted(1) else {
        return;
    };
    disk.fill();
    let file = dir.path().join("node.tar");
    let words = ["cannot write backup", "node.tar", "No space left"];
    fails(&backup(&node(), &file), &words);
    assert_eq!(names(dir.path()), ["ballast"]);
}

#[test]
fn an_interrupted_backup_leaves_nothing() {
    // A node that sends the beginning of a backup, and then no more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut node = listener.local_addr().unwrap();
    node.set_port(node.port() - 1);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let dir = TempDir::new().unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_plexspaces"));
        let program = program.arg("backup").arg(dir.path().join("node.tar"));
        let program = program.args(["--node", &node.to_string()]);
        let child = program.stderr(Stdio::piped()).spawn().unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        send_beginning(&mut connection);
        let begun = || names(dir.path()).first().map(|it| dir.path().join(it));
        let bytes = || {
            begun()
                .and_then(|it| fs::metadata(it).ok())
                .map(|it| it.len())
        };
        while bytes() != Some(1024) {
            thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        fails(&child.wait_with_output().unwrap(), &["was interrupted"]);
        assert_eq!(names(dir.path()), [""; 0]);
    }
}

fn send_beginning(connection: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n400\r\n";
    let beginning = [head.as_bytes(), &[0; 1024], b"\r\n"].concat();
    connection.write_all(&beginning).unwrap();
}

#[test]
fn no_backup_is_taken_of_tokens_that_no_restore_would_take() {
    let node = node();
    fs::write(node.data_dir().join("tokens.json"), "{").unwrap();
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("node.tar");
    fails(&backup(&node, &file), &["tokens.json cannot be read"]);
    node.log_says("no backup can be taken");
    assert_eq!(names(elsewhere.path()), [""; 0]);
}

/// One that lacked it could not be restored.
#[test]
fn no_backup_is_taken_that_lacks_a_module() {
    let node = node();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    let digest = node.get("/api/v1/applications/echo").json()["module_hash"].clone();
    let digest = digest.as_str().unwrap();
    let module = node.data_dir().join(format!("artifacts/{digest}.wasm"));
    let elsewhere = TempDir::new().unwrap();
    let (file, kept) = (
        elsewhere.path().join("node.tar"),
        elsewhere.path().join("kept"),
    );
    fs::copy(&module, &kept).unwrap();
    fs::remove_file(&module).unwrap();
    let words = ["application \"echo\"", digest, "put a missing module back"];
    fails(&backup(&node, &file), &words);
    node.log_says("call=\"GET /api/v1/backup\" result=409 FAILED_PRECONDITION");
    assert_eq!(names(elsewhere.path()), ["kept"]);
    fs::copy(&kept, &module).unwrap();
    succeeds(&backup(&node, &file));
    succeeds(&restore(&file, &elsewhere.path().join("data")));
}
