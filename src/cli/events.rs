//! Server-sent events out of the pieces in which they arrive.

use anyhow::ensure;

use crate::limits;

/// A line of an event is no longer, or it is not a node that sends it.
const LINE_BYTES_MAX: usize = limits::MIB;

#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Data(String),
    /// Beside the events: a sign of life, or word of lines that were missed.
    Comment(String),
}

/// What has come of a line that is not at its end.
#[derive(Default)]
pub struct Events {
    begun: Vec<u8>,
}

impl Events {
    /// The events that end in this piece.
    pub fn of(&mut self, piece: &[u8]) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(part);
            ensure!(
                self.begun.len() <= LINE_BYTES_MAX,
                "a line without end; is this a node?"
            );
            if self.begun.ends_with(b"\n") {
                events.extend(event(&String::from_utf8_lossy(&self.begun)));
                self.begun.clear();
            }
        }
        Ok(events)
    }
}

fn event(line: &str) -> Option<Event> {
    let line = line.trim_end_matches(['\r', '\n']);
    let text = |rest: &str| rest.strip_prefix(' ').unwrap_or(rest).to_owned();
    match line.split_once(':')? {
        ("data", rest) => Some(Event::Data(text(rest))),
        ("", rest) => Some(Event::Comment(text(rest))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = "data: {\"a\":\"b:c\"}\n\n: 3 lines were missed\n\ndata:x\r\n\nid: 7\nnonsense\ndata: ende\n";
        let expected = [
            Event::Data("{\"a\":\"b:c\"}".into()),
            Event::Comment("3 lines were missed".into()),
            Event::Data("x".into()),
            Event::Data("ende".into()),
        ];
        for size in 1..text.len() {
            let mut events = Events::default();
            let pieces = text.as_bytes().chunks(size);
            let all: Vec<Event> = pieces.flat_map(|piece| events.of(piece).unwrap()).collect();
            assert_eq!(all, expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let mut events = Events::default();
        assert!(events.of(&vec![b'x'; LINE_BYTES_MAX]).is_ok());
        assert!(events.of(b"x").is_err());
    }
}
