//! What the logs say of an actor that has ended otherwise than it was to.

use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use log::Level;

use super::behavior::Start;
use super::driver::{Driver, reason};
use super::exit::Exit;
use super::supervision::{Key, State};
use crate::clock::Span;
use crate::id::ActorId;
use crate::limits;

/// An actor that is no more, and what was wanted of it.
pub(super) struct Parting {
    pub id: ActorId,
    pub exit: Exit,
    /// How long it had to stop, where it was told to.
    pub given: Option<Duration>,
    /// Its supervisor had told it.
    pub stopping: bool,
    /// It is no sign that its version is a bad one.
    pub proven: bool,
}

/// What is said of one that stopped in order, and did not tell its state; the reason stands behind it.
pub(super) const STATE_LOST: &str =
    "stopped without telling its state; its next life begins with the state before, or with none";

impl Parting {
    /// What there is to say, if anything. `gone`: it does not come back by itself.
    fn in_words(&self, gone: bool) -> Option<String> {
        match (&self.exit, self.given) {
            (Exit::Killed, Some(given)) => {
                let given = Span(given);
                Some(format!("did not stop within {given}"))
            }
            (Exit::Error(_), _) if self.stopping => Some("broke as it was stopped".to_owned()),
            (exit, _) if exit.is_abnormal() && gone && !self.stopping => {
                Some("ended, and is not restarted".to_owned())
            }
            _ => None,
        }
    }
}

impl<S: Start> Driver<S> {
    /// One that lived, or was to, does so no longer.
    pub fn part_with(&mut self, key: Key, exit: &Exit) -> Parting {
        let mut grove = self.grove.lock().unwrap();
        let spawned = grove.supervision.is_adopted(key);
        let stopping = *grove.supervision.state(key) == State::Stopping;
        // Actors of workflows, for one, get no time at all, and what they did goes on in others.
        let no_time = spawned && grove.supervision.shutdown_timeout(key).is_zero();
        let member = grove
            .members
            .get_mut(&key)
            .expect("whoever ends is a member");
        let lived = std::mem::replace(&mut member.living, false);
        let handled = member.vitals.handled.load(Relaxed);
        let given = member.resident.control.time_to_stop();
        Parting {
            id: member.resident.id.clone(),
            exit: exit.clone(),
            given: given.filter(|_| lived && !no_time),
            stopping,
            // Those that were spawned may break as they like: that is between them and whoever spawned them.
            proven: spawned || handled > member.proven_from,
        }
    }

    /// Tells of an actor that broke or was killed, unless its restart is told of.
    pub fn tell_of(&self, parting: &Parting, gone: bool) {
        if let Some(text) = parting.in_words(gone) {
            self.warns(parting.id.address(), &text, &reason(&parting.exit));
        }
    }

    /// A line in the node's log and in the application's.
    pub fn warns(&self, actor: &str, text: &str, why: &str) {
        log::warn!("actor {actor} {text}: {}", brief(why));
        self.says(Level::Warn, actor, &format!("{text}: {why}"));
    }
}

/// The beginning of a reason, for the node's log; the application's has all of it, a guest's last words included.
pub(super) fn brief(why: &str) -> Cow<'_, str> {
    let end = why.floor_char_boundary(limits::REASON_BYTES_IN_NODES_LOG);
    match end < why.len() {
        true => format!("{} [cut; the application's log has all of it]", &why[..end]).into(),
        false => why.into(),
    }
}
