//! Messages that an actor sends itself later.
//!
//! One task serves all timers of an actor and sleeps until the next of them; an actor without timers has none, and
//! nothing wakes up for it. Timers belong to one life of the actor: after a crash they are gone. An upgrade is no crash.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Actors;
use crate::budget::Share;
use crate::limits;

/// The timers of one actor. Dropped, none of them fires any more.
pub struct Timers {
    actors: Actors,
    address: Arc<str>,
    pending: Arc<Pending>,
    last_id: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

/// Why a timer was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimerError {
    #[error("a timer waits at most {:?}", limits::TIMER_DELAY_MAX)]
    TooLong,
    #[error(
        "this actor has {} timers or {} bytes in them, its most; cancel some, or let them fire",
        limits::TIMERS_MAX,
        limits::TIMERS_BYTES_MAX
    )]
    TooMany,
    #[error("this node keeps as many bytes in messages as it may; set the timer later")]
    NodeFull,
}

#[derive(Default)]
struct Pending {
    table: Mutex<Table>,
    changed: Notify,
}

/// In the order in which they fire: by time, and at the same time as they were set.
#[derive(Default)]
struct Table {
    letters: BTreeMap<(Instant, u64), Letter>,
    bytes: usize,
}

struct Letter {
    message_type: Arc<str>,
    payload: Bytes,
    /// What it takes of the node's bytes while it waits.
    share: Share,
}

impl Timers {
    /// No timers yet, for the actor at `address`. Their ids follow on `last_id`, and no two have the same.
    pub fn new(actors: Actors, address: Arc<str>, last_id: Arc<AtomicU64>) -> Self {
        Self {
            actors,
            address,
            pending: Arc::default(),
            last_id,
            task: None,
        }
    }

    /// After `delay` the actor gets a tell from itself. Answers with the timer's id, from 1 upwards. A mailbox that
    /// is full then delays the message, and loses it never.
    pub fn start(
        &mut self,
        delay: Duration,
        message_type: &str,
        payload: Bytes,
    ) -> Result<u64, TimerError> {
        if delay > limits::TIMER_DELAY_MAX {
            return Err(TimerError::TooLong);
        }
        let weight = message_type.len() + payload.len();
        let letter = Letter {
            message_type: message_type.into(),
            payload,
            share: self
                .actors
                .budget()
                .take(weight)
                .ok_or(TimerError::NodeFull)?,
        };
        let at = self.actors.clock().now() + delay;
        let id = self.last_id.load(Relaxed) + 1;
        self.pending
            .table
            .lock()
            .unwrap()
            .insert((at, id), letter)?;
        self.last_id.store(id, Relaxed);
        self.pending.changed.notify_one();
        self.serve();
        Ok(id)
    }

    /// Whether the timer was still to fire.
    pub fn cancel(&mut self, id: u64) -> bool {
        self.pending.table.lock().unwrap().cancel(id)
    }

    /// Takes those of an earlier instance of the same actor. Each that this one has set anew, of the same type and
    /// payload, ends its like there: what `init` sets in every life fires once and not twice.
    pub fn absorb(&mut self, other: Self) {
        let mut letters = {
            let mut table = other.pending.table.lock().unwrap();
            table.bytes = 0;
            std::mem::take(&mut table.letters)
        };
        if letters.is_empty() {
            return;
        }
        let mut table = self.pending.table.lock().unwrap();
        for anew in table.letters.values() {
            let mut theirs = letters.iter();
            let like = theirs.find(|(_, letter)| letter.is_like(anew));
            if let Some(key) = like.map(|(&key, _)| key) {
                letters.remove(&key);
            }
        }
        for (key, letter) in letters {
            table.put(key, letter);
        }
        drop(table);
        self.pending.changed.notify_one();
        self.serve();
    }

    fn serve(&mut self) {
        if self.task.is_none() {
            let (actors, address) = (self.actors.clone(), self.address.clone());
            let pending = self.pending.clone();
            self.task = Some(tokio::spawn(async move {
                fire(&actors, &address, &pending).await;
            }));
        }
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Sends each letter at its time, for as long as its owner lets it.
async fn fire(actors: &Actors, address: &str, pending: &Pending) {
    loop {
        let next = pending.table.lock().unwrap().next_at();
        match next {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = pending.changed.notified() => continue,
            },
            None => {
                pending.changed.notified().await;
                continue;
            }
        }
        pending.send_due(actors, address);
    }
}

impl Pending {
    fn send_due(&self, actors: &Actors, address: &str) {
        let now = actors.clock().now();
        let mut table = self.table.lock().unwrap();
        while let Some((id, mut letter)) = table.take_due(now) {
            // Its bytes go along to the mailbox, which could not take them as long as they are held here.
            letter.share = actors.budget().nothing();
            let (kind, payload) = (&letter.message_type, letter.payload.clone());
            let message = actors.message(address.into(), kind.clone(), payload);
            if actors.tell(address, message).is_err() {
                // Full, or not listed yet because the actor is still starting.
                letter.share = actors.budget().overdraw(letter.weight());
                table.put((now + limits::TIMER_RETRY, id), letter);
            }
        }
    }
}

impl Table {
    fn insert(&mut self, key: (Instant, u64), letter: Letter) -> Result<(), TimerError> {
        let full = self.letters.len() >= limits::TIMERS_MAX
            || self.bytes + letter.weight() > limits::TIMERS_BYTES_MAX;
        if full {
            return Err(TimerError::TooMany);
        }
        self.put(key, letter);
        Ok(())
    }

    fn put(&mut self, key: (Instant, u64), letter: Letter) {
        self.bytes += letter.weight();
        self.letters.insert(key, letter);
    }

    fn next_at(&self) -> Option<Instant> {
        self.letters.keys().next().map(|(at, _)| *at)
    }

    fn take_due(&mut self, now: Instant) -> Option<(u64, Letter)> {
        let first = self.letters.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let ((_, id), letter) = first.remove_entry();
        self.bytes -= letter.weight();
        Some((id, letter))
    }

    fn cancel(&mut self, id: u64) -> bool {
        let found = self.letters.keys().find(|(_, known)| *known == id).copied();
        let letter = found.and_then(|key| self.letters.remove(&key));
        self.bytes -= letter.as_ref().map_or(0, Letter::weight);
        letter.is_some()
    }
}

impl Letter {
    fn is_like(&self, other: &Self) -> bool {
        self.message_type == other.message_type && self.payload == other.payload
    }

    fn weight(&self) -> usize {
        self.message_type.len() + self.payload.len()
    }
}
