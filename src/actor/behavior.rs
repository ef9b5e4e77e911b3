//! What an actor is to the runtime: something that starts, handles messages one at a time, and ends.

use std::fmt;
use std::future::Future;

use bytes::Bytes;

use super::place::Place;
use crate::message::Envelope;

/// The running half of an actor. Wasm guests are one kind; plain Rust actors, in tests, are the other.
pub trait Behavior: Send + 'static {
    /// What stays with the actor when another behavior takes its place in an upgrade: open asks, timers and the like.
    type Estate: Send + 'static;

    /// Its life begins: from now on onlookers see how it is with this one.
    fn begins(&self) {}

    /// Handles one message and answers it if somebody waits. A fault ends the actor; an answer that is an error does not.
    fn handle(&mut self, envelope: Envelope)
    -> impl Future<Output = Result<Handled, Fault>> + Send;

    /// The state that its next life may begin with, if it has one. It may go on afterwards.
    fn snapshot(&mut self) -> impl Future<Output = Result<Option<Bytes>, Unsnapped>> + Send;

    /// The last words of an actor that is stopped in order.
    fn terminate(self) -> impl Future<Output = ()> + Send;

    /// Whether it is told of the ends of those it is linked to. Else it ends with them.
    fn traps_exits(&self) -> bool;

    /// Gives way to a successor.
    fn bequeath(self) -> Self::Estate;

    /// Takes what the one before left.
    fn inherit(&mut self, estate: Self::Estate);
}

/// How a message fared with an actor that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    Well,
    /// It was answered with an error, or not understood.
    Badly,
}

/// How an actor comes to life, the first time and after each fault.
pub trait Start: Clone + Send + Sync + 'static {
    type Behavior: Behavior;

    /// Starts a life at this place.
    fn start(
        &self,
        place: &Place<Self>,
    ) -> impl Future<Output = Result<Self::Behavior, Fault>> + Send;

    /// The next lives begin with this state.
    fn resume(&mut self, left: Bytes);
}

/// Why an actor could not start or go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The actor's own doing; the text is for its author.
    Broken(String),
    /// The node has no room for it now.
    NoRoom(String),
}

/// Why there is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsnapped {
    /// The actor says no, and goes on.
    Refused(String),
    Broken(Fault),
}

impl fmt::Display for Unsnapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) => f.write_str(text),
            Self::Broken(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Broken(text) | Self::NoRoom(text)) = self;
        f.write_str(text)
    }
}
