//! The node's log: one line an event on standard error, written by a thread of its own so that no reader can hold up
//! the loop.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use log::LevelFilter;
use serde::Serialize;

use crate::clock::rfc3339;
use crate::config::{LogFormat, LogLevels};
use crate::unseen::dotted;

/// Lines that may wait for a slow reader; what comes on top is dropped and counted.
const LINES_MAX: usize = 1_000;
/// Bytes of one line; the rest is cut off.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// What the last lines get to be written when the process ends.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

/// What stands before the rooms of this program, and is not shown.
const ROOMS: &str = "plexspaces_node::";

static QUEUE: OnceLock<Queue> = OnceLock::new();

#[derive(Clone)]
struct Queue {
    lines: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

enum Line {
    Text(Vec<u8>),
    /// Everything before it is written: say so.
    Flush(SyncSender<()>),
}

/// One event in JSON.
#[derive(Serialize)]
struct Event<'a> {
    time: &'a str,
    level: &'a str,
    room: &'a str,
    message: &'a str,
}

/// Logs what is of these levels. A room is called as lines show it.
pub fn to_stderr(format: LogFormat, levels: &LogLevels) {
    let (lines, waiting) = sync_channel(LINES_MAX);
    let queue = Queue {
        lines,
        dropped: Arc::default(),
    };
    let dropped = queue.dropped.clone();
    thread::spawn(move || write_lines(&waiting, &dropped));
    let _ = QUEUE.set(queue.clone());
    let mut builder = env_logger::Builder::new();
    // A quieter log keeps its audit lines, unless it says `audit=off`.
    builder
        .filter_level(levels.all)
        .filter_module("audit", LevelFilter::Info);
    for (room, level) in &levels.rooms {
        builder
            .filter_module(room, *level)
            .filter_module(&format!("{ROOMS}{room}"), *level);
    }
    builder
        .target(env_logger::Target::Pipe(Box::new(queue)))
        .format(move |line, record| {
            let room = record.target();
            let room = room.strip_prefix(ROOMS).unwrap_or(room);
            let message = in_one_line(&record.args().to_string());
            let (time, level) = (rfc3339(SystemTime::now()), record.level());
            let (time, message) = (&*time, &*message);
            if format == LogFormat::Plain {
                return writeln!(line, "{time} {level:5} {room}: {message}");
            }
            let level = level.as_str();
            let event = Event {
                time,
                level,
                room,
                message,
            };
            serde_json::to_writer(&mut *line, &event)?;
            writeln!(line)
        })
        .init();
}

/// Waits until what was logged so far is written, but not for long.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (written, waits) = sync_channel(1);
    if queue.lines.try_send(Line::Flush(written)).is_ok() {
        let _ = waits.recv_timeout(FLUSH_TIME_MAX);
    }
}

/// env_logger hands over whole lines.
impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Line::Text(bytes.to_vec())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines(waiting: &Receiver<Line>, dropped: &AtomicU64) {
    let mut out = io::stderr();
    // A log that cannot be written is no reason to stop: there is nowhere to say so.
    for line in waiting {
        match line {
            Line::Text(text) => drop(out.write_all(&text)),
            Line::Flush(written) => drop(written.send(())),
        }
        match dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            lines => drop(writeln!(
                out,
                "{lines} lines of the log were dropped: nobody read them in time"
            )),
        }
    }
}

/// Line breaks become bars, and other characters that steer what is shown dots, so that no text can pass for another event.
fn in_one_line(text: &str) -> String {
    let end = text.floor_char_boundary(LINE_BYTES_MAX);
    let cut = if end < text.len() { " [cut]" } else { "" };
    let lines = text[..end]
        .lines()
        .map(|line| line.trim().chars().map(dotted).collect());
    lines.collect::<Vec<String>>().join(" | ") + cut
}
