//! What an actor is to the runtime: something that starts, handles messages one at a time, and ends.

use std::fmt;
use std::future::Future;

use bytes::Bytes;

use crate::message::Envelope;

/// The running half of an actor. Wasm guests are one kind; plain Rust actors, in tests, are the other.
pub trait Behavior: Send + 'static {
    /// Handles one message and answers it if somebody waits. A fault ends the actor; an answer that is an error does not.
    fn handle(&mut self, envelope: Envelope)
    -> impl Future<Output = Result<Handled, Fault>> + Send;

    /// The last words of an actor that is stopped in order: the state that its next life may begin with, if it has one.
    fn terminate(self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// How a message fared with an actor that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    Well,
    /// It was answered with an error, or not understood.
    Badly,
}

/// How an actor comes to life, the first time and after each fault.
pub trait Start: Send + Sync + 'static {
    type Behavior: Behavior;

    fn start(&self) -> impl Future<Output = Result<Self::Behavior, Fault>> + Send;
}

/// Why an actor could not start or go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The actor's own doing; the text is for its author.
    Broken(String),
    /// The node has no room for it now.
    NoRoom(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Broken(text) | Self::NoRoom(text)) = self;
        f.write_str(text)
    }
}
