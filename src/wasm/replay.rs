//! Where a life begins: from the newest state there is, and what its journal has after that.

use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use log::Level;

use super::exports::{Handler, Hook, Intent};
use super::host::durability::{Phase, Wish};
use super::instance::{Instance, settled};
use super::snapshot::{Mark, Snapshot};
use super::starter::{Birth, Starter};
use crate::actor::{Fault, Unsnapped};
use crate::id::ActorId;
use crate::limits;
use crate::storage::{Entry, Head, Journals, Span, StorageError};

/// What a life begins with.
pub struct Origin {
    pub birth: Birth,
    /// The entries that follow it: after the first number, up to the second.
    after: u64,
    last: u64,
}

impl Origin {
    /// Looks at what the earlier lives of an actor wrote.
    pub async fn of(starter: &Starter, actor: &ActorId) -> Result<Self, Fault> {
        let journals = &starter.program.services.storage.journals;
        if starter.afresh.swap(false, Relaxed) {
            journals.forget_actor(actor).await.map_err(unread)?;
        }
        let (head, checkpoint) = journals.begin(actor).await.map_err(unread)?;
        Ok(Self::choose(&starter.birth, head, checkpoint))
    }

    /// The last checkpoint, unless the birth's state is younger.
    fn choose(birth: &Birth, head: Head, checkpoint: Option<Bytes>) -> Self {
        let mark = match birth {
            Birth::Resumed(Snapshot { journal, .. }) => {
                journal.filter(|mark| mark.begun_ms == head.begun_ms)
            }
            Birth::New(_) => None,
        };
        let seen = mark.map_or(0, |mark| mark.checkpoints);
        let checkpoint = checkpoint.filter(|_| head.checkpoints > seen);
        let (birth, after) = match checkpoint.and_then(Snapshot::decode) {
            Some(state) => (Birth::Resumed(state), head.checkpoint_sequence),
            None => (birth.clone(), mark.map_or(0, |mark| mark.sequence)),
        };
        let last = head.sequence;
        Self { birth, after, last }
    }

    pub fn has_entries(&self) -> bool {
        self.after < self.last
    }
}

impl Instance {
    /// Gives the guest the entries that its state does not hold. One that fails is a fault: without it the state would be
    /// another.
    pub async fn replay(&mut self, origin: &Origin) -> Result<(), Fault> {
        self.store.data_mut().journal.phase = Phase::Replaying;
        let (mut next, mut replayed) = (origin.after + 1, 0_u64);
        while next <= origin.last {
            let guest = self.store.data();
            let (journals, actor) = (guest.services.storage.journals.clone(), guest.actor.clone());
            let page = page(&journals, &actor, next, origin.last).await?;
            let Some(last) = page.last() else { break };
            next = last.sequence + 1;
            for entry in page {
                if !self.replay_one(entry).await? {
                    self.says("has no handle-event, so its journal is not replayed; read-journal shows it");
                    self.store.data_mut().journal.phase = Phase::Starting;
                    return Ok(());
                }
                replayed += 1;
            }
        }
        self.store.data_mut().journal.phase = Phase::Starting;
        self.says(&format!("replayed {replayed} entries of its journal"));
        Ok(())
    }

    /// Whether there is a handler for it.
    async fn replay_one(&mut self, entry: Entry) -> Result<bool, Fault> {
        let (sequence, event) = (entry.sequence, entry.event);
        let functions = &self.functions;
        let mut handlers = functions.order(Intent::Event, &event.event_type).iter();
        let replays = |it: Handler| matches!(it, Handler::Event | Handler::Transition);
        let Some(&handler) = handlers.find(|it| replays(**it) && functions.has(**it)) else {
            return Ok(false);
        };
        let guest = self.store.data();
        let from = format!("durability@{}", guest.actors.node());
        let message = guest
            .actors
            .message(from.into(), &*event.event_type, event.payload);
        let (mut callee, pace) = self.parts();
        let called = pace.run(pin!(callee.call(handler, &message))).await;
        let called = called.map(|called| {
            let called = called.map(drop);
            called.map_err(|error| {
                let text = error.into_text();
                format!("replaying entry {sequence} of its journal failed: {text}")
            })
        });
        settled(&self.store, called)?;
        Ok(true)
    }

    /// Makes the checkpoint that the guest asked for during the message that it has just handled.
    pub(super) async fn checkpoint(&mut self) -> Result<(), Unsnapped> {
        let journal = &mut self.store.data_mut().journal;
        journal.phase = Phase::Starting;
        let Some(Wish { compact_to, .. }) = journal.wish.take() else {
            return Ok(());
        };
        let refused = |text: String| Unsnapped::Refused(format!("the checkpoint failed: {text}"));
        let asking = self.functions.hook(&mut self.store, Hook::SnapshotState);
        let told = self.pace.run(pin!(asking)).await;
        let own = match told {
            None => None,
            Some(Ok(Ok(own))) => Some(own),
            Some(Ok(Err(error))) => return Err(refused(error.into_text())),
            Some(Err(error)) => {
                let fault = super::fault::fault("telling its state", &self.store, &error);
                return Err(Unsnapped::Broken(fault));
            }
        };
        let guest = self.store.data();
        if let Some(own) = &own {
            guest
                .fits(own.len())
                .map_err(|error| refused(error.message))?;
        }
        let state = self.snapshot_of(own).encode();
        let state = state.ok_or_else(|| refused("there is no state to keep".into()))?;
        let now_ms = guest.actors.clock().wall_ms();
        let (journals, actor) = (guest.services.storage.journals.clone(), guest.actor.clone());
        let kept = journals.checkpoint(&actor, state, compact_to, now_ms);
        kept.await.map_err(|error| refused(error.to_string()))
    }

    fn says(&self, text: &str) {
        log::info!("{} {text}", self.actor());
        self.store.data().log.keep(Level::Info, text);
    }
}

/// Some of the entries from a number on, in their order.
async fn page(
    journals: &Journals,
    actor: &ActorId,
    from: u64,
    last: u64,
) -> Result<Vec<Entry>, Fault> {
    let (to, limit) = (last + 1, limits::REPLAY_ENTRIES_MAX);
    let span = Span { from, to, limit };
    let page = journals.page(actor, span, limits::REPLAY_BYTES_MAX);
    let (page, whole) = page.await.map_err(unread)?;
    if whole || !page.is_empty() {
        return Ok(page);
    }
    // The first one alone is longer than that.
    let one = Span { limit: 1, ..span };
    let page = journals.page(actor, one, usize::MAX);
    Ok(page.await.map_err(unread)?.0)
}

impl From<Head> for Mark {
    fn from(head: Head) -> Self {
        Self {
            begun_ms: head.begun_ms,
            sequence: head.sequence,
            checkpoints: head.checkpoints,
        }
    }
}

fn unread(error: StorageError) -> Fault {
    match error {
        StorageError::Busy => Fault::NoRoom(error.to_string()),
        error => Fault::Broken(format!("its journal cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: u64, checkpoint_sequence: u64, checkpoints: u64) -> Head {
        Head {
            begun_ms: 9,
            sequence,
            checkpoint_sequence,
            checkpoints,
        }
    }

    fn state(text: &'static str, journal: Option<Mark>) -> Snapshot {
        Snapshot {
            own: Some(Bytes::from_static(text.as_bytes())),
            kept: None,
            journal,
        }
    }

    fn left_at(begun_ms: u64, sequence: u64, checkpoints: u64) -> Birth {
        let mark = Mark {
            begun_ms,
            sequence,
            checkpoints,
        };
        Birth::Resumed(state("left", Some(mark)))
    }

    #[test]
    fn a_life_begins_with_what_is_newest() {
        let check = |birth: Birth, head: Head, expected: (&str, u64)| {
            let checkpoint = (head.checkpoints > 0).then(|| state("kept", None).encode().unwrap());
            let origin = Origin::choose(&birth, head, checkpoint);
            let begins = match origin.birth {
                Birth::New(_) => "new",
                Birth::Resumed(left) if left.own.as_deref() == Some(b"left") => "left",
                Birth::Resumed(_) => "kept",
            };
            assert_eq!((begins, origin.after), expected, "{head:?}");
            assert_eq!(origin.last, head.sequence);
        };
        let new = || Birth::New(Bytes::new());
        check(new(), Head::default(), ("new", 0));
        check(new(), head(5, 0, 0), ("new", 0));
        check(new(), head(5, 3, 1), ("kept", 3));
        check(left_at(9, 4, 0), head(5, 0, 0), ("left", 4));
        check(left_at(9, 4, 1), head(5, 3, 1), ("left", 4));
        check(left_at(9, 4, 1), head(6, 5, 2), ("kept", 5));
        check(left_at(9, 3, 1), head(3, 3, 2), ("kept", 3));
        // A journal that was begun after the state was left.
        check(left_at(1, 4, 7), head(2, 0, 0), ("left", 0));
        check(
            Birth::Resumed(state("left", None)),
            head(2, 0, 0),
            ("left", 0),
        );
    }
}
