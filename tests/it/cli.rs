//! The command line as a user has it: the real program, its exit code and what it prints.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Node;

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The program with these arguments, and nothing of the environment that it listens to.
pub fn plexspaces(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexspaces"));
    command
        .args(arguments)
        .env_remove("PLEXSPACES_NODE")
        .env_remove("PLEXSPACES_TOKEN")
        .env_remove("PLEXSPACES_TOKEN_FILE")
        .env_remove("COLUMNS")
        .stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Said {
    plexspaces(arguments).output().unwrap().into()
}

/// The same, to this node.
pub fn to(node: &Node, arguments: &[&str]) -> Said {
    let mut command = plexspaces(arguments);
    command.env("PLEXSPACES_NODE", node.grpc.to_string());
    command.output().unwrap().into()
}

/// The same with something on standard input.
pub fn fed(node: &Node, arguments: &[&str], input: &[u8]) -> Said {
    let mut child = plexspaces(arguments)
        .env("PLEXSPACES_NODE", node.grpc.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

/// A file with this content, in a folder that lasts as long as `dir`.
pub fn file(dir: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

pub fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// What it printed, after it has done what it was told without a word of complaint.
    #[track_caller]
    pub fn done(&self) -> &str {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:?}");
        &self.out
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// One line on standard error with these words, and nothing on standard output.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.starts_with("plexspaces: "), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
    }
}
