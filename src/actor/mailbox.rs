//! An actor's inbox, bounded in number and in bytes: full is an answer, never a wait and never a silent loss.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::bell::Bell;
use crate::budget::{Budget, Share};
use crate::limits;
use crate::message::Envelope;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub messages_max: usize,
    pub bytes_max: usize,
    /// The longest payload that the actor takes.
    pub message_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            messages_max: limits::MAILBOX_MESSAGES_MAX,
            bytes_max: limits::MAILBOX_BYTES_MAX,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// It would never be taken, however empty the mailbox.
    TooLong {
        bytes: usize,
        max: usize,
    },
    Full,
    /// Not this mailbox: all that the node keeps is too much.
    NodeFull,
    Closed,
}

/// An envelope that was not taken, and why.
#[derive(Debug)]
pub struct Returned {
    pub why: PushError,
    pub envelope: Box<Envelope>,
}

/// Many senders, one receiver. It outlives the restarts of its actor.
pub struct Mailbox {
    bounds: Mutex<Bounds>,
    budget: Budget,
    state: Mutex<State>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Envelope, Share)>,
    bytes: usize,
    closed: bool,
}

impl Mailbox {
    pub fn new(bounds: Bounds, budget: Budget, bell: Arc<Bell>) -> Self {
        Self {
            bounds: Mutex::new(bounds),
            budget,
            state: Mutex::default(),
            bell,
        }
    }

    pub fn push(&self, envelope: Envelope) -> Result<(), Returned> {
        if let Some(why) = self.never_takes(&envelope) {
            let envelope = Box::new(envelope);
            return Err(Returned { why, envelope });
        }
        let weight = envelope.message.weight();
        let mut state = self.state.lock().unwrap();
        let share = match self.room(&state, weight) {
            Ok(share) => share,
            Err(why) => {
                let envelope = Box::new(envelope);
                return Err(Returned { why, envelope });
            }
        };
        state.bytes += weight;
        state.waiting.push_back((envelope, share));
        drop(state);
        self.bell.ring();
        Ok(())
    }

    /// Puts in what the node itself has to say, however full it is: such notices are bounded by what they are about.
    pub fn push_notice(&self, envelope: Envelope) {
        let weight = envelope.message.weight();
        let mut state = self.state.lock().unwrap();
        if state.closed {
            return;
        }
        state.bytes += weight;
        let share = self.budget.overdraw(weight);
        state.waiting.push_back((envelope, share));
        drop(state);
        self.bell.ring();
    }

    /// Other bounds from now on; what waits already stays, and so does a number of messages of its own, other than that
    /// of `before`.
    pub fn rebound(&self, before: Bounds, bounds: Bounds) {
        let mut own = self.bounds.lock().unwrap();
        let messages_max = match own.messages_max == before.messages_max {
            true => bounds.messages_max,
            false => own.messages_max,
        };
        *own = Bounds {
            messages_max,
            ..bounds
        };
    }

    fn bounds(&self) -> Bounds {
        *self.bounds.lock().unwrap()
    }

    fn never_takes(&self, envelope: &Envelope) -> Option<PushError> {
        let (bytes, max) = (
            envelope.message.payload.len(),
            self.bounds().message_bytes_max,
        );
        (bytes > max).then_some(PushError::TooLong { bytes, max })
    }

    fn room(&self, state: &State, weight: usize) -> Result<Share, PushError> {
        if state.closed {
            return Err(PushError::Closed);
        }
        let bounds = self.bounds();
        let full =
            state.waiting.len() >= bounds.messages_max || state.bytes + weight > bounds.bytes_max;
        if full {
            return Err(PushError::Full);
        }
        self.budget.take(weight).ok_or(PushError::NodeFull)
    }

    pub fn pop(&self) -> Option<Envelope> {
        let mut state = self.state.lock().unwrap();
        let (envelope, _share) = state.waiting.pop_front()?;
        state.bytes -= envelope.message.weight();
        Some(envelope)
    }

    /// Takes the first that is wanted, past others.
    pub fn pop_first(&self, wanted: impl Fn(&Envelope) -> bool) -> Option<Envelope> {
        let mut state = self.state.lock().unwrap();
        let place = state.waiting.iter().position(|(it, _)| wanted(it))?;
        let (envelope, _share) = state.waiting.remove(place)?;
        state.bytes -= envelope.message.weight();
        Some(envelope)
    }

    /// Whether something waits that is wanted.
    pub fn holds(&self, wanted: impl Fn(&Envelope) -> bool) -> bool {
        let state = self.state.lock().unwrap();
        state.waiting.iter().any(|(it, _)| wanted(it))
    }

    pub fn is_empty(&self) -> bool {
        self.state.lock().unwrap().waiting.is_empty()
    }

    pub fn depth(&self) -> usize {
        self.state.lock().unwrap().waiting.len()
    }

    /// How many messages wait, and how many bytes they weigh.
    pub fn load(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.waiting.len(), state.bytes)
    }

    /// Takes nothing more, and drops what waits, so that every asker hears of it at once.
    pub fn close(&self) {
        let dropped = {
            let mut state = self.state.lock().unwrap();
            state.closed = true;
            state.bytes = 0;
            std::mem::take(&mut state.waiting)
        };
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_version_s_bounds_leave_a_mailbox_the_number_it_was_spawned_with() {
        let of = |messages_max| Bounds {
            messages_max,
            ..Bounds::default()
        };
        let check = |own: usize, expected: usize| {
            let mailbox = Mailbox::new(of(own), Budget::new(usize::MAX), Arc::default());
            let longer = Bounds {
                message_bytes_max: 7,
                ..of(20)
            };
            mailbox.rebound(of(10), longer);
            let bounds = mailbox.bounds();
            assert_eq!(
                (bounds.messages_max, bounds.message_bytes_max),
                (expected, 7)
            );
        };
        check(10, 20);
        check(3, 3);
        check(1_000, 1_000);
    }
}
