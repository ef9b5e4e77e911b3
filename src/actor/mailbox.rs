//! An actor's inbox, bounded in number and in bytes: full is an answer, never a wait and never a silent loss.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll};

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
    pub envelope: Envelope,
}

/// Many senders, one receiver. It outlives the restarts of its actor.
pub struct Mailbox(Mutex<State>);

struct State {
    /// Whom a message wakes.
    bell: Bell,
    bounds: Bounds,
    waiting: VecDeque<Envelope>,
    /// The bytes that wait.
    share: Share,
    closed: bool,
}

impl Mailbox {
    pub fn new(bounds: Bounds, budget: &Budget) -> Self {
        Self(Mutex::new(State {
            bell: Bell::default(),
            bounds,
            waiting: VecDeque::new(),
            share: budget.nothing(),
            closed: false,
        }))
    }

    pub fn push(&self, envelope: Envelope) -> Result<(), Returned> {
        let mut state = self.0.lock().unwrap();
        state.push(envelope)?;
        state.bell.ring();
        Ok(())
    }

    /// Puts in what the node itself has to say, however full it is: such notices are bounded by what they are about.
    pub fn push_notice(&self, envelope: Envelope) {
        let mut state = self.0.lock().unwrap();
        if !state.closed {
            state.share.overdraw(envelope.message.weight());
            state.waiting.push_back(envelope);
            state.bell.ring();
        }
    }

    /// Wakes its receiver, who is to look up from its messages.
    pub fn ring(&self) {
        self.0.lock().unwrap().bell.ring();
    }

    /// Other bounds from now on; what waits already stays, and so does a number of messages of its own, other than that
    /// of `before`.
    pub fn rebound(&self, before: Bounds, bounds: Bounds) {
        let own = &mut self.0.lock().unwrap().bounds;
        let messages_max = match own.messages_max == before.messages_max {
            true => bounds.messages_max,
            false => own.messages_max,
        };
        *own = Bounds {
            messages_max,
            ..bounds
        };
    }

    /// Takes the first message. Where there is none, the next ring wakes whoever asked.
    pub fn poll_pop(&self, context: &mut Context<'_>) -> Poll<Envelope> {
        let mut state = self.0.lock().unwrap();
        let popped = state.waiting.pop_front();
        state.hand_out(popped, context)
    }

    /// The same for the first that is wanted, past others.
    pub fn poll_pop_first(
        &self,
        context: &mut Context<'_>,
        wanted: impl Fn(&Envelope) -> bool,
    ) -> Poll<Envelope> {
        let mut state = self.0.lock().unwrap();
        let place = state.waiting.iter().position(wanted);
        let popped = place.and_then(|place| state.waiting.remove(place));
        state.hand_out(popped, context)
    }

    pub fn depth(&self) -> usize {
        self.0.lock().unwrap().waiting.len()
    }

    /// How many messages wait, and how many bytes they weigh.
    pub fn load(&self) -> (usize, usize) {
        let state = self.0.lock().unwrap();
        (state.waiting.len(), state.share.bytes())
    }

    /// Takes nothing more, and drops what waits, so that every asker hears of it at once.
    pub fn close(&self) {
        let dropped = {
            let mut state = self.0.lock().unwrap();
            state.closed = true;
            let bytes = state.share.bytes();
            state.share.shrink(bytes);
            std::mem::take(&mut state.waiting)
        };
        drop(dropped);
    }
}

impl State {
    fn push(&mut self, envelope: Envelope) -> Result<(), Returned> {
        let weight = envelope.message.weight();
        let refused = self.refuses(envelope.message.payload.len(), weight);
        if let Some(why) = refused {
            return Err(Returned { why, envelope });
        }
        if !self.share.grow(weight) {
            let why = PushError::NodeFull;
            return Err(Returned { why, envelope });
        }
        self.waiting.push_back(envelope);
        Ok(())
    }

    fn refuses(&self, bytes: usize, weight: usize) -> Option<PushError> {
        let Bounds {
            messages_max,
            bytes_max,
            message_bytes_max: max,
        } = self.bounds;
        if bytes > max {
            return Some(PushError::TooLong { bytes, max });
        }
        if self.closed {
            return Some(PushError::Closed);
        }
        let full = self.waiting.len() >= messages_max || self.share.bytes() + weight > bytes_max;
        full.then_some(PushError::Full)
    }

    fn hand_out(&mut self, popped: Option<Envelope>, context: &mut Context<'_>) -> Poll<Envelope> {
        let Some(envelope) = popped else {
            self.bell.listen(context.waker());
            return Poll::Pending;
        };
        self.share.shrink(envelope.message.weight());
        Poll::Ready(envelope)
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
            let mailbox = Mailbox::new(of(own), &Budget::new(usize::MAX));
            let longer = Bounds {
                message_bytes_max: 7,
                ..of(20)
            };
            mailbox.rebound(of(10), longer);
            let bounds = mailbox.0.lock().unwrap().bounds;
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
