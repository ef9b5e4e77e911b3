//! What the services tell actors: a type, and a payload in JSON.

use bytes::Bytes;
use serde::Serialize;

/// What an event is about. Its name is the message's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tuple,
    Key,
    Topic,
    Group,
}

/// One event, the same for all who hear of it.
#[derive(Clone, Debug)]
pub struct Event {
    pub(super) kind: Kind,
    pub(super) payload: Bytes,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tuple => "tuple",
            Self::Key => "key",
            Self::Topic => "topic",
            Self::Group => "group",
        }
    }

    /// Who sends it, before the `@NODE`.
    pub fn service(self) -> &'static str {
        match self {
            Self::Tuple => "tuplespace",
            Self::Key => "keyvalue",
            Self::Topic => "channels",
            Self::Group => "process-groups",
        }
    }
}

impl Event {
    /// An event with this object as its payload. The objects of a kind have the same fields, `docs/services.md` lists
    /// them.
    pub fn new(kind: Kind, object: &impl Serialize) -> Self {
        let payload = serde_json::to_vec(object).expect("the shapes of events are JSON");
        let payload = payload.into();
        Self { kind, payload }
    }
}
