//! How much is logged: a level for all, and others for rooms of their own, as in `warn,gate=debug,audit=off`.

use std::str::FromStr;

use log::LevelFilter;

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
