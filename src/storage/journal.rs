//! A journal for each actor: its entries, its last checkpoint and its recorded side effects; what was answered is on
//! disk.
//!
//! A journal belongs to an actor of an application, by its id there, and goes with the application.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use redb::{ReadTransaction, WriteTransaction};
use tokio::sync::oneshot;

use super::StorageError;
use super::committer::Committer;
use super::deployments;
use super::entries::{self, Rows};
use super::usage::Spent;
use crate::id::ActorId;
use crate::limits;

pub use super::entries::Head;

/// All journals of all actors.
#[derive(Clone)]
pub struct Journals {
    /// What lives begin with, and the end of journals: a flood of guests holds up neither.
    committer: Committer,
    guests: Committer,
    known: Arc<Mutex<HashMap<Of, Known>>>,
}

/// Application and id of an actor there.
type Of = (Arc<str>, Arc<str>);

/// What is known of a journal without looking at the disk.
#[derive(Clone, Copy, Default)]
struct Known {
    head: Head,
    /// Changes that are on their way to the disk.
    under_way: u32,
}

/// Something that happened to an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub event_type: String,
    pub payload: Bytes,
}

/// The same with its number, and when it was persisted in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub timestamp_ms: u64,
    pub event: Event,
}

/// Which entries: from a number, inclusive, to another, exclusive. No more than `limit`.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: u64,
    pub to: u64,
    pub limit: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("an event's type has at most {max} bytes, this one has {0}", max = limits::EVENT_TYPE_BYTES_MAX)]
    Type(usize),
    #[error("the key of a side effect has 1 to {max} bytes, this one has {0}", max = limits::KEY_BYTES_MAX)]
    Key(usize),
    #[error(
        "the last checkpoint holds entries up to {checkpoint}, so none up to {up_to} may go; checkpoint first"
    )]
    NotHeld { up_to: u64, checkpoint: u64 },
    #[error(
        "the entries from {from} on have more than {bytes_max} bytes together; ask for fewer by a limit"
    )]
    TooMany { from: u64, bytes_max: usize },
    #[error(transparent)]
    Spent(#[from] Spent),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Journals {
    /// `heads` are those that the store has.
    pub(super) fn new(
        committer: Committer,
        guests: Committer,
        heads: Vec<(String, String, Head)>,
    ) -> Self {
        let known = heads.into_iter().map(|(application, actor, head)| {
            let known = Known { head, under_way: 0 };
            ((application.into(), actor.into()), known)
        });
        Self {
            committer,
            guests,
            known: Arc::new(Mutex::new(known.collect())),
        }
    }

    /// How far an actor's journal has come, as far as it is on disk.
    pub fn head(&self, actor: &ActorId) -> Head {
        self.known(&of(actor)).head
    }

    /// The same once all that earlier lives of the actor wrote is on disk, and the state of its last checkpoint.
    pub async fn begin(&self, actor: &ActorId) -> Result<(Head, Option<Bytes>), StorageError> {
        let of = of(actor);
        if self.known(&of).under_way > 0 {
            // What is asked for now is done after that.
            self.committer.commit(|_| Ok(())).await?;
        }
        let head = self.known(&of).head;
        if head.checkpoints == 0 {
            return Ok((head, None));
        }
        let look =
            move |transaction: &ReadTransaction| entries::checkpoint(transaction, &of.0, &of.1);
        Ok((head, self.committer.read(look).await?))
    }

    /// Appends all of these, or none, and answers with the last one's number.
    pub async fn append(
        &self,
        actor: &ActorId,
        events: Vec<Event>,
        now_ms: u64,
    ) -> Result<u64, JournalError> {
        if let Some(event) = events
            .iter()
            .find(|it| it.event_type.len() > limits::EVENT_TYPE_BYTES_MAX)
        {
            return Err(JournalError::Type(event.event_type.len()));
        }
        if events.is_empty() {
            return Ok(self.head(actor).sequence);
        }
        let appended = self.change(actor, move |rows| rows.append(&events, now_ms));
        Ok(appended.await?.sequence)
    }

    /// Keeps a state that holds all entries there are, and drops those up to `compact_to`.
    pub async fn checkpoint(
        &self,
        actor: &ActorId,
        state: Bytes,
        compact_to: u64,
        now_ms: u64,
    ) -> Result<(), JournalError> {
        let kept = self.change(actor, move |rows| {
            match rows.checkpoint(&state, now_ms)? {
                Ok(_) => rows.compact(compact_to),
                Err(spent) => Ok(Err(spent)),
            }
        });
        kept.await.map(drop)
    }

    /// Drops the entries up to a number; the last checkpoint must hold them.
    pub async fn compact(&self, actor: &ActorId, up_to: u64) -> Result<(), JournalError> {
        let checkpoint = self.head(actor).checkpoint_sequence;
        if up_to > checkpoint {
            return Err(JournalError::NotHeld { up_to, checkpoint });
        }
        let compacted = self.change(actor, move |rows| rows.compact(up_to));
        compacted.await.map(drop)
    }

    /// What is recorded under a key: what was there, else this value.
    pub async fn record(
        &self,
        actor: &ActorId,
        key: &str,
        value: Bytes,
        now_ms: u64,
    ) -> Result<Bytes, JournalError> {
        if !(1..=limits::KEY_BYTES_MAX).contains(&key.len()) {
            return Err(JournalError::Key(key.len()));
        }
        let (of, sought) = (of(actor), key.to_owned());
        let look = move |transaction: &ReadTransaction| {
            entries::recorded(transaction, &of.0, &of.1, &sought)
        };
        if let Some(recorded) = self.guests.read(look).await? {
            return Ok(recorded);
        }
        let (key, recorded) = (key.to_owned(), value.clone());
        let record = self.change(actor, move |rows| rows.record(&key, &value, now_ms));
        record.await?;
        Ok(recorded)
    }

    /// The entries of a span. More than `bytes_max` together are an error: half of them would look like all.
    pub async fn read(
        &self,
        actor: &ActorId,
        span: Span,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, JournalError> {
        let (read, whole) = look(&self.guests, actor, span, bytes_max).await?;
        let from = span.from;
        whole
            .then_some(read)
            .ok_or(JournalError::TooMany { from, bytes_max })
    }

    /// As many entries of a span as fit into so many bytes, and whether these are all; for a life that begins.
    pub async fn page(
        &self,
        actor: &ActorId,
        span: Span,
        bytes_max: usize,
    ) -> Result<(Vec<Entry>, bool), StorageError> {
        look(&self.committer, actor, span, bytes_max).await
    }

    /// The applications that have journals and no record.
    pub async fn orphans(&self) -> Result<Vec<String>, StorageError> {
        let names: BTreeSet<String> = {
            let known = self.known.lock().unwrap();
            known.keys().map(|(of, _)| of.to_string()).collect()
        };
        let names = names.into_iter().collect();
        let look = |transaction: &ReadTransaction| deployments::unrecorded(transaction, names);
        self.committer.read(look).await
    }

    /// Forgets the journals of an application.
    pub async fn forget(&self, application: &str) -> Result<(), StorageError> {
        if self.forget_known(application) {
            let name = application.to_owned();
            let forget = move |transaction: &WriteTransaction| entries::forget(transaction, &name);
            self.committer.commit_sparing(forget).await?;
        }
        Ok(())
    }

    /// Forgets the journal of one actor, whose name somebody else had before.
    pub async fn forget_actor(&self, actor: &ActorId) -> Result<(), StorageError> {
        let of = of(actor);
        if self.known.lock().unwrap().remove(&of).is_some() {
            let forget = move |transaction: &WriteTransaction| {
                entries::forget_actor(transaction, &of.0, &of.1)
            };
            self.committer.commit_sparing(forget).await?;
        }
        Ok(())
    }

    /// The rows of an application are gone. Whether there were any.
    pub(super) fn forget_known(&self, application: &str) -> bool {
        let mut known = self.known.lock().unwrap();
        let before = known.len();
        known.retain(|(of, _), _| **of != *application);
        known.len() < before
    }

    /// The rows of an application have become these.
    pub(super) fn know(&self, application: &str, heads: Vec<(String, Head)>) {
        self.forget_known(application);
        let application: Arc<str> = application.into();
        let heads = heads.into_iter().map(|(actor, head)| {
            let known = Known { head, under_way: 0 };
            ((application.clone(), actor.into()), known)
        });
        self.known.lock().unwrap().extend(heads);
    }

    fn known(&self, of: &Of) -> Known {
        let known = self.known.lock().unwrap();
        known.get(of).copied().unwrap_or_default()
    }

    /// Changes a journal, and answers with its head once that is on disk.
    async fn change(
        &self,
        actor: &ActorId,
        work: impl FnOnce(&mut Rows<'_>) -> Result<Result<Head, Spent>, redb::Error> + Send + 'static,
    ) -> Result<Head, JournalError> {
        let (of, (answer, answered)) = (of(actor), oneshot::channel());
        let under_way = UnderWay::begin(&self.known, of.clone());
        let apply =
            move |transaction: &WriteTransaction| work(&mut Rows::open(transaction, &of.0, &of.1)?);
        self.guests.submit(apply, move |done| {
            if let Ok(Ok(head)) = &done {
                under_way.has_come_to(*head);
            }
            drop(under_way);
            let _ = answer.send(done);
        })?;
        let done = answered.await.unwrap_or(Err(StorageError::Closed));
        Ok(done??)
    }
}

/// One change on its way to the disk.
struct UnderWay {
    known: Arc<Mutex<HashMap<Of, Known>>>,
    of: Of,
}

impl UnderWay {
    fn begin(known: &Arc<Mutex<HashMap<Of, Known>>>, of: Of) -> Self {
        known
            .lock()
            .unwrap()
            .entry(of.clone())
            .or_default()
            .under_way += 1;
        let known = known.clone();
        Self { known, of }
    }

    fn has_come_to(&self, head: Head) {
        if let Some(known) = self.known.lock().unwrap().get_mut(&self.of) {
            known.head = head;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.known.lock().unwrap();
        if let Some(known) = all.get_mut(&self.of) {
            known.under_way = known.under_way.saturating_sub(1);
            if known.under_way == 0 && known.head == Head::default() {
                all.remove(&self.of);
            }
        }
    }
}

async fn look(
    by: &Committer,
    actor: &ActorId,
    span: Span,
    bytes_max: usize,
) -> Result<(Vec<Entry>, bool), StorageError> {
    let of = of(actor);
    let read = move |transaction: &ReadTransaction| {
        entries::read(transaction, &of.0, &of.1, span, bytes_max)
    };
    by.read(read).await
}

fn of(actor: &ActorId) -> Of {
    ((&**actor.application()).into(), actor.child_id().into())
}
