//! What actors send each other, and how an answer finds its way back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Unique on this node for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId(u64);

impl MessageId {
    pub fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: every message that a component sends is answered with this text.
        let mut text = *b"m-0000000000000000";
        for (place, digit) in text[2..].iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(self.0 >> (4 * place)) as usize & 15];
        }
        f.write_str(str::from_utf8(&text).expect("hexadecimal digits are UTF-8"))
    }
}

/// Where a message comes from, which decides who of its receiver's handlers gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nature {
    /// A door or another actor sent it.
    #[default]
    Sent,
    /// The node tells of an actor's end.
    Notice,
    /// A service tells of something the receiver subscribed to.
    Event,
}

/// One message as its receiver sees it.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: MessageId,
    /// Who sent it: an actor's address, or `http@NODE` for the door.
    pub from: Arc<str>,
    pub message_type: Arc<str>,
    pub nature: Nature,
    pub payload: Bytes,
    /// By this id the receiver can answer later; present when somebody waits.
    pub correlation: Option<Arc<str>>,
    /// Milliseconds since 1970 by the node's wall clock.
    pub sent_at_ms: u64,
    pub headers: Vec<(String, String)>,
}

impl Message {
    /// What the message weighs in a mailbox: its parts, and the room its bookkeeping takes.
    pub fn weight(&self) -> usize {
        const BOOKKEEPING: usize = 128;
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        BOOKKEEPING + self.from.len() + self.message_type.len() + self.payload.len() + headers
    }
}

/// A message on its way, with the answer's way back when somebody waits for one. It is small: the message stays where it
/// was written.
#[derive(Debug)]
pub struct Envelope {
    pub message: Arc<Message>,
    pub reply: Option<Reply>,
}

impl Envelope {
    /// A message to whose sender nothing goes back.
    pub fn tell(message: Message) -> Self {
        Self {
            message: Arc::new(message),
            reply: None,
        }
    }

    /// A message whose sender waits; its correlation id is its own.
    pub fn ask(mut message: Message, reply: Reply) -> Self {
        message.correlation = Some(message.id.to_string().into());
        Self {
            message: Arc::new(message),
            reply: Some(reply),
        }
    }

    /// Nobody waits for it any more: an ask whose deadline passed before its turn came.
    pub fn is_stale(&self) -> bool {
        self.reply.as_ref().is_some_and(Reply::is_abandoned)
    }
}

/// The one chance to answer an ask. Dropped unused, it tells the asker that the actor is gone.
#[derive(Debug)]
pub struct Reply {
    sender: oneshot::Sender<Result<Bytes, Failure>>,
}

impl Reply {
    pub fn channel() -> (Self, oneshot::Receiver<Result<Bytes, Failure>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender }, receiver)
    }

    /// Nobody waits for it any more.
    pub fn is_abandoned(&self) -> bool {
        self.sender.is_closed()
    }

    /// Answers. An asker that stopped waiting is not an error.
    pub fn send(self, answer: Result<Bytes, Failure>) {
        let _ = self.sender.send(answer);
    }
}

/// How an actor's own code failed a message; the text is the guest's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The handler answered with an error; the actor goes on.
    #[error("{0}")]
    Refused(String),
    /// The handler broke; the actor is gone and its supervisor acts.
    #[error("{0}")]
    Trapped(String),
    /// The actor has no handler for asks of this kind.
    #[error("{0}")]
    Unhandled(String),
    /// Every handler that could have answered said that it does not implement this; the last one's text.
    #[error("{0}")]
    NotImplemented(String),
    /// There was no room for it; the same message may pass later.
    #[error("{0}")]
    NoRoom(String),
}

/// Until when an asker waits.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_sixteen_hexadecimal_digits() {
        let check = |id: u64| {
            let expected = format!("m-{id:016x}");
            assert_eq!(MessageId(id).to_string(), expected);
        };
        for id in [0, 1, 15, 16, 0x0123_4567_89ab_cdef, u64::MAX] {
            check(id);
        }
    }
}
