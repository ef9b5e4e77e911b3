//! What a guest leaves behind when it stops in order, as bytes that outlive the process.
//!
//! ```text
//! flags: 1 byte      1 = the guest's own part follows, 2 = the kept state follows, 4 = a place in the journal follows
//! journal            u64 LE each: when it was begun, the number last given, how many checkpoints there were
//! own part           u32 LE length, then what `snapshot-state` answered
//! kept state         the rest: the string that the node kept for a state machine
//! ```

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

const OWN: u8 = 1;
const KEPT: u8 = 2;
const JOURNAL: u8 = 4;

/// The state of one actor between two lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The answer of `snapshot-state`, where the guest has one.
    pub own: Option<Bytes>,
    /// The state of a guest whose only handler is a transition.
    pub kept: Option<Arc<str>>,
    /// How far the actor's journal had come, where it has one: what is in it up to there is in the state.
    pub journal: Option<Mark>,
}

/// A place in an actor's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub begun_ms: u64,
    pub sequence: u64,
    pub checkpoints: u64,
}

impl Snapshot {
    /// `None` where there is nothing to keep.
    pub fn encode(&self) -> Option<Bytes> {
        if self.own.is_none() && self.kept.is_none() {
            return None;
        }
        let mut bytes = BytesMut::new();
        let flag = |present, flag| if present { flag } else { 0 };
        let state = flag(self.own.is_some(), OWN) | flag(self.kept.is_some(), KEPT);
        bytes.put_u8(state | flag(self.journal.is_some(), JOURNAL));
        if let Some(mark) = self.journal {
            bytes.put_u64_le(mark.begun_ms);
            bytes.put_u64_le(mark.sequence);
            bytes.put_u64_le(mark.checkpoints);
        }
        if let Some(own) = &self.own {
            let length = u32::try_from(own.len()).expect("a guest's answer is far below 4 GiB");
            bytes.put_u32_le(length);
            bytes.put_slice(own);
        }
        if let Some(kept) = &self.kept {
            bytes.put_slice(kept.as_bytes());
        }
        Some(bytes.freeze())
    }

    /// `None` where the bytes are no snapshot of this layout.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        let flags = bytes.try_get_u8().ok()?;
        if flags & (OWN | KEPT) == 0 || flags & !(OWN | KEPT | JOURNAL) != 0 {
            return None;
        }
        let journal = match flags & JOURNAL {
            0 => None,
            _ => Some(Mark {
                begun_ms: bytes.try_get_u64_le().ok()?,
                sequence: bytes.try_get_u64_le().ok()?,
                checkpoints: bytes.try_get_u64_le().ok()?,
            }),
        };
        let own = match flags & OWN {
            0 => None,
            _ => {
                let length = bytes.try_get_u32_le().ok()? as usize;
                Some((bytes.len() >= length).then(|| bytes.split_to(length))?)
            }
        };
        let kept = match flags & KEPT {
            0 if !bytes.is_empty() => return None,
            0 => None,
            _ => Some(std::str::from_utf8(&bytes).ok()?.into()),
        };
        Some(Self { own, kept, journal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_survives_as_it_was() {
        let mark = Mark {
            begun_ms: 1,
            sequence: 7,
            checkpoints: u64::MAX,
        };
        let check = |own: Option<&'static [u8]>, kept: Option<&str>| {
            for journal in [None, Some(mark)] {
                let snapshot = Snapshot {
                    own: own.map(Bytes::from_static),
                    kept: kept.map(Into::into),
                    journal,
                };
                let bytes = snapshot.encode().unwrap();
                assert_eq!(Snapshot::decode(bytes), Some(snapshot));
            }
        };
        check(Some(b"\x00\xff"), None);
        check(Some(b""), None);
        check(None, Some("open"));
        check(None, Some(""));
        check(Some(b"own"), Some("closed"));
        assert_eq!(Snapshot::default().encode(), None);
    }

    #[test]
    fn other_bytes_are_no_snapshot() {
        let check = |bytes: &'static [u8]| {
            assert_eq!(
                Snapshot::decode(Bytes::from_static(bytes)),
                None,
                "{bytes:?}"
            );
        };
        check(b"");
        check(b"\x00");
        check(b"\x08rest");
        check(b"\x04rest");
        check(b"\x05short");
        check(b"\x01\x05\x00\x00\x00four");
        check(b"\x01\x00\x00\x00\x00rest");
        check(b"\x02\xff");
    }
}
