//! How much is logged: a level for all, and others for rooms of their own, as in `warn,gate=debug,audit=off`.

use std::str::FromStr;

use log::LevelFilter;

use crate::near::nearest;

/// The rooms that log lines of this program come from.
const ROOMS: [&str; 12] = [
    "actor",
    "application",
    "audit",
    "cli",
    "gate",
    "guest",
    "http",
    "node",
    "service",
    "services",
    "storage",
    "wasm",
];

/// How the rooms of the libraries begin that may say something.
const OF_LIBRARIES: [&str; 9] = [
    "cranelift",
    "h2",
    "hyper",
    "plexspaces_node",
    "regalloc",
    "tonic",
    "tower",
    "wasmtime",
    "wiggle",
];

/// The levels that `PLEXSPACES_LOG` names; where it names none for all, that is `info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevels {
    pub all: LevelFilter,
    /// Rooms, as log lines name them, each with its level; of two for one room the last holds.
    pub rooms: Vec<(String, LevelFilter)>,
}

impl Default for LogLevels {
    fn default() -> Self {
        Self {
            all: LevelFilter::Info,
            rooms: Vec::new(),
        }
    }
}

impl LogLevels {
    /// A line for each room that no line of the log comes from.
    pub fn unknown_rooms(&self) -> Vec<String> {
        let unknown = self.rooms.iter().filter(|(room, _)| !is_known(room));
        unknown.map(|(room, _)| no_such(room)).collect()
    }
}

/// The beginning of a room's name is that room, as the log has it; below a room of this program anything may be.
fn is_known(room: &str) -> bool {
    let first = room.split("::").next().unwrap_or_default();
    let of_ours = |known: &str| match first == room {
        true => known.starts_with(room),
        false => known == first,
    };
    ROOMS.iter().any(|known| of_ours(known)) || OF_LIBRARIES.iter().any(|it| first.starts_with(it))
}

fn no_such(room: &str) -> String {
    let shown: String = room.chars().take(80).collect();
    let meant = match nearest(room, ROOMS) {
        Some(near) => format!("did you mean {near}? There are"),
        None => "there are".to_owned(),
    };
    format!(
        "PLEXSPACES_LOG: the log has no room {shown}, so its level changes nothing; {meant} {}",
        ROOMS.join(", ")
    )
}

impl FromStr for LogLevels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut levels = Self::default();
        let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        for part in parts {
            match part.split_once('=') {
                None => levels.all = level(part)?,
                Some((room, of_room)) => {
                    let room = named(room.trim())?;
                    levels.rooms.push((room, level(of_room.trim())?));
                }
            }
        }
        Ok(levels)
    }
}

const ALLOWED: &str =
    "use off, error, warn, info, debug or trace, or room=level, with commas between them";

fn level(text: &str) -> Result<LevelFilter, String> {
    let known = text.parse();
    known.map_err(|_| format!("{text:?} is no level of a log; {ALLOWED}"))
}

fn named(room: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    match !room.is_empty() && room.chars().all(fits) {
        true => Ok(room.to_owned()),
        false => Err(format!("{room:?} is no room of the log; {ALLOWED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_is_none_is_told_from_those_that_are() {
        let lines = |text: &str| text.parse::<LogLevels>().unwrap().unknown_rooms();
        let known =
            "gate=debug,app=warn,wasm::compile=info,wasmtime=debug,plexspaces_node::gate=off";
        assert_eq!(lines(known), [""; 0]);
        let said = lines("warn,nosuchroom=debug,gates=off");
        assert_eq!(said.len(), 2, "{said:?}");
        let both = said[0].contains("no room nosuchroom")
            && said[0].contains("there are actor, application");
        assert!(both && said[1].contains("did you mean gate?"), "{said:?}");
    }

    /// Every room of this program that logs is one of those that are known.
    #[test]
    fn all_rooms_are_known() {
        fn logs(path: &std::path::Path) -> bool {
            match path.is_dir() {
                true => std::fs::read_dir(path)
                    .unwrap()
                    .any(|entry| logs(&entry.unwrap().path())),
                false => {
                    let text = std::fs::read_to_string(path).unwrap_or_default();
                    let says = |level| text.contains(&format!("log::{level}!("));
                    ["error", "warn", "info", "debug", "trace"]
                        .into_iter()
                        .any(says)
                }
            }
        }
        let src = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        for entry in std::fs::read_dir(src).unwrap() {
            let path = entry.unwrap().path();
            let room = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert!(!logs(&path) || ROOMS.contains(&&*room), "{room} is missing");
        }
    }

    #[test]
    fn levels_are_read_or_refused() {
        let check = |text: &str, all: LevelFilter, rooms: &[(&str, LevelFilter)]| {
            let levels: LogLevels = text.parse().unwrap();
            let rooms = rooms
                .iter()
                .map(|(room, level)| ((*room).to_owned(), *level));
            let rooms = rooms.collect();
            assert_eq!(levels, LogLevels { all, rooms }, "{text:?}");
        };
        check("", LevelFilter::Info, &[]);
        check("warn", LevelFilter::Warn, &[]);
        check(" OFF ,", LevelFilter::Off, &[]);
        let rooms = [("gate", LevelFilter::Debug), ("audit", LevelFilter::Off)];
        check("gate=debug, audit=off", LevelFilter::Info, &rooms);
        check("gate = debug,audit=off,warn", LevelFilter::Warn, &rooms);
        check(
            "a::b=trace",
            LevelFilter::Info,
            &[("a::b", LevelFilter::Trace)],
        );
        for (wrong, word) in [
            ("loudd", "\"loudd\" is no level"),
            ("plexspaces=loud", "\"loud\" is no level"),
            ("gate=", "\"\" is no level"),
            ("=debug", "\"\" is no room"),
            ("debug/x", "no level"),
            ("a b=debug", "\"a b\" is no room"),
            ("a=b=debug", "no level"),
        ] {
            let said = wrong.parse::<LogLevels>().unwrap_err();
            assert!(
                said.contains(word) && said.contains("use off, error, warn"),
                "{said}"
            );
        }
    }
}
