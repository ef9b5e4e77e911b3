//! An application's last lines: a ring of two files on disk, written seldom, and those who follow along.
//!
//! ```text
//! say ──► followers, at once
//!   └───► unwritten, in memory ──► the file worker, when there is much, when something went wrong, or after a while
//! ```
//!
//! A flash card wears with every write, so lines wait up to `LOG_FLUSH_AFTER` in memory: a power cut may take those.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use log::Level;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::broadcast;

use super::Files;
use crate::clock::rfc3339;
use crate::id::{ApplicationName, Digest};
use crate::limits;

/// The logs of all applications.
#[derive(Clone)]
pub struct Logs(Arc<Inner>);

struct Inner {
    /// `None`: nothing is kept.
    disk: Option<(PathBuf, Files)>,
    state: Mutex<HashMap<ApplicationName, Log>>,
}

#[derive(Default)]
struct Log {
    unwritten: Vec<u8>,
    /// Lines that came while `unwritten` was full.
    dropped: usize,
    /// Whether a task is there that writes, or will.
    flushing: bool,
    followers: Option<broadcast::Sender<Line>>,
}

/// One line, as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// RFC 3339, in UTC.
    pub time: String,
    #[serde(with = "as_text")]
    pub level: Level,
    /// Who said it, or whom it is about; the application itself where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    pub message: String,
}

impl Logs {
    /// Opens the folder of logs.
    pub(super) fn in_dir(dir: PathBuf, files: Files) -> Self {
        Self::of(Some((dir, files)))
    }

    /// Logs that nobody keeps, for actors without a node.
    pub fn nowhere() -> Self {
        Self::of(None)
    }

    fn of(disk: Option<(PathBuf, Files)>) -> Self {
        Self(Arc::new(Inner {
            disk,
            state: Mutex::default(),
        }))
    }

    /// Keeps a line. One past the bounds is cut; what comes faster than the disk takes it is dropped and counted.
    pub fn say(&self, about: &ApplicationName, level: Level, actor: Option<&str>, text: &str) {
        let end = text.floor_char_boundary(limits::LOG_LINE_BYTES_MAX);
        let line = Line {
            time: rfc3339(SystemTime::now()),
            level,
            actor: actor.map(Into::into),
            message: text[..end].into(),
        };
        let mut state = self.0.state.lock().unwrap();
        let log = match state.get_mut(about) {
            Some(log) => log,
            None => state.entry(about.clone()).or_default(),
        };
        log.tell(&line);
        if self.0.disk.is_none() {
            return;
        }
        log.keep(&line);
        let urgent = level == Level::Error || log.unwritten.len() >= limits::LOG_FLUSH_BYTES;
        if urgent || !log.flushing {
            log.flushing = true;
            let (logs, name) = (self.clone(), about.clone());
            tokio::spawn(async move {
                if !urgent {
                    tokio::time::sleep(limits::LOG_FLUSH_AFTER).await;
                }
                logs.flush(&name).await;
            });
        }
    }

    /// The last lines that `wanted` accepts, oldest first, at most `tail`.
    pub async fn last(
        &self,
        about: &ApplicationName,
        tail: usize,
        wanted: impl Fn(&Line) -> bool + Send + 'static,
    ) -> io::Result<Vec<Line>> {
        self.flush(about).await;
        let Some((dir, files)) = &self.0.disk else {
            return Ok(Vec::new());
        };
        let [older, newer] = segments(dir, about);
        let read = move || {
            let text = [read(&older)?, read(&newer)?].concat();
            let lines = text.split(|&byte| byte == b'\n');
            // A line that a power cut tore is no line.
            let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
            let mut lines: Vec<Line> = lines.filter(wanted).collect();
            lines.drain(..lines.len().saturating_sub(tail));
            Ok(lines)
        };
        files.run(read).await
    }

    /// The lines from now on. A follower that falls behind misses some.
    pub fn follow(&self, about: &ApplicationName) -> broadcast::Receiver<Line> {
        let mut state = self.0.state.lock().unwrap();
        let log = state.entry(about.clone()).or_default();
        let followers = log
            .followers
            .get_or_insert_with(|| broadcast::Sender::new(limits::LOG_FOLLOWER_LINES_MAX));
        followers.subscribe()
    }

    /// Writes what waits.
    pub async fn flush(&self, about: &ApplicationName) {
        let Some((dir, files)) = &self.0.disk else {
            return;
        };
        let unwritten = {
            let mut state = self.0.state.lock().unwrap();
            let Some(log) = state.get_mut(about) else {
                return;
            };
            log.flushing = false;
            log.take()
        };
        let [older, newer] = segments(dir, about);
        // Reading comes after this in the worker's queue, so even an empty flush keeps its place.
        let written = files.run(move || append(&unwritten, &older, &newer)).await;
        if let Err(error) = written {
            log::warn!("the log of application {about} cannot be written: {error}");
        }
    }

    /// Writes what waits of all.
    pub async fn close(&self) {
        let names: Vec<_> = self.0.state.lock().unwrap().keys().cloned().collect();
        for name in names {
            self.flush(&name).await;
        }
    }

    /// Forgets an application's lines.
    pub async fn remove(&self, about: &ApplicationName) {
        self.0.state.lock().unwrap().remove(about);
        if let Some((dir, files)) = &self.0.disk {
            let segments = segments(dir, about);
            let remove = move || segments.iter().for_each(|path| drop(fs::remove_file(path)));
            files.run(remove).await;
        }
    }
}

impl Log {
    fn tell(&mut self, line: &Line) {
        if let Some(followers) = &self.followers
            && followers.send(line.clone()).is_err()
        {
            self.followers = None;
        }
    }

    fn keep(&mut self, line: &Line) {
        if self.unwritten.len() >= limits::LOG_UNWRITTEN_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        serde_json::to_writer(&mut self.unwritten, line).expect("a line is texts");
        self.unwritten.push(b'\n');
    }

    fn take(&mut self) -> Vec<u8> {
        let mut unwritten = std::mem::take(&mut self.unwritten);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let line = Line {
                time: rfc3339(SystemTime::now()),
                level: Level::Warn,
                actor: None,
                message: format!(
                    "{dropped} lines were dropped: the disk did not take them in time"
                ),
            };
            serde_json::to_writer(&mut unwritten, &line).expect("a line is texts");
            unwritten.push(b'\n');
        }
        unwritten
    }
}

/// The older and the newer file of an application. Its name is no part of a path.
fn segments(dir: &Path, about: &ApplicationName) -> [PathBuf; 2] {
    let digest = Digest::of(Sha256::new_with_prefix(about.as_bytes()));
    ["older", "log"].map(|extension| dir.join(format!("{digest}.{extension}")))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn append(bytes: &[u8], older: &Path, newer: &Path) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(newer)?;
    if file.metadata()?.len() >= limits::LOG_SEGMENT_BYTES {
        fs::rename(newer, older)?;
        file = options.open(newer)?;
    }
    file.write_all(bytes)
}

/// A level by its name.
mod as_text {
    use log::Level;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(level: &Level, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(level.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Level, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ApplicationName {
        ApplicationName::parse(text).unwrap()
    }

    fn logs(dir: &Path) -> Logs {
        Logs::in_dir(dir.into(), Files::start().unwrap())
    }

    #[tokio::test]
    async fn the_ring_keeps_the_last_lines_and_no_more_than_its_bytes() {
        let dir = tempfile::TempDir::new().unwrap();
        let (logs, name) = (logs(dir.path()), name("chatty"));
        let text = "x".repeat(1_000);
        for line in 0..2_000 {
            logs.say(
                &name,
                Level::Info,
                Some("chatty@n"),
                &format!("{line} {text}"),
            );
            if line % 40 == 0 {
                logs.flush(&name).await;
            }
        }
        let last = logs.last(&name, 3, |_| true).await.unwrap();
        let numbers: Vec<&str> = last
            .iter()
            .map(|line| line.message.split(' ').next().unwrap())
            .collect();
        assert_eq!(numbers, ["1997", "1998", "1999"]);
        let bytes: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        let most = 2 * (limits::LOG_SEGMENT_BYTES + limits::LOG_UNWRITTEN_BYTES_MAX as u64);
        assert!(bytes <= most, "{bytes} bytes");
    }

    #[tokio::test]
    async fn lines_are_chosen_and_a_torn_one_is_left_out() {
        let dir = tempfile::TempDir::new().unwrap();
        let (logs, name) = (logs(dir.path()), name("quiet"));
        logs.say(&name, Level::Info, None, "fine");
        logs.say(&name, Level::Warn, Some("quiet@n"), "not so fine");
        logs.flush(&name).await;
        let [_, newer] = segments(dir.path(), &name);
        let torn = [fs::read(&newer).unwrap(), b"{\"time\":\"20".to_vec()].concat();
        fs::write(&newer, torn).unwrap();
        let all = logs.last(&name, 100, |_| true).await.unwrap();
        assert_eq!(all.len(), 2);
        let warnings = |line: &Line| line.level <= Level::Warn;
        let some = logs.last(&name, 100, warnings).await.unwrap();
        assert_eq!((some.len(), &*some[0].message), (1, "not so fine"));
        logs.remove(&name).await;
        assert_eq!(logs.last(&name, 100, |_| true).await.unwrap(), []);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_comes_faster_than_the_disk_is_counted() {
        let dir = tempfile::TempDir::new().unwrap();
        let (logs, name) = (logs(dir.path()), name("flood"));
        let text = "x".repeat(1_000);
        for _ in 0..1_000 {
            logs.say(&name, Level::Info, None, &text);
        }
        let last = logs.last(&name, 1, |_| true).await.unwrap();
        assert!(last[0].message.contains("lines were dropped"), "{last:?}");
    }
}
