//! Tuples that outlive the node: each change is on disk before it is answered, and nobody sees it before that.
//!
//! ```text
//! write   room for it ─► its row on disk ─► among the others
//! take    claimed ─────► its row gone ────► off its shelf ─► the taker's
//!            │ refused by the disk             │ the taker has left
//!            └──────► in its old place ◄───────┘ its row written again
//! ```
//!
//! What is claimed is seen by readers and by no other taker. So the order of changes is that of the log, and who finds
//! only what others claim waits until they have it or not.

use std::collections::HashSet;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::guards::{Claim, Room, Taken};
use super::pattern::Pattern;
use super::space::Kept;
use super::tuple::{Field, Tuple};
use super::tuplespace::{Notice, TupleError, TupleSpaces, Wish, check};
use super::waiting::Waiting;
use crate::limits;
use crate::place::Place;
use crate::storage::{StorageError, StoredField, StoredTuple, StoredValue, TupleAt, TupleRows};

/// Where the tuples of durable namespaces are written.
pub struct Log {
    pub(super) rows: TupleRows,
    namespaces: HashSet<String>,
    /// What is done on the committer's thread may set an alarm.
    pub(super) runtime: Handle,
    /// A claim has ended.
    pub(super) changed: Notify,
}

#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    #[error(transparent)]
    Tuple(#[from] TupleError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Tuples to be written, each with its time to live if it has one.
pub type Batch = Vec<(Tuple, Option<Duration>)>;

impl Log {
    pub fn keeps(&self, place: &Place) -> bool {
        self.namespaces.contains(&*place.namespace)
    }
}

impl TupleSpaces {
    /// Makes these namespaces of every tenant durable, and brings back the tuples that they had. Before anybody uses
    /// them. Answers with how many tuples lie on disk whose namespaces are not among these.
    pub async fn open_log(
        &self,
        rows: TupleRows,
        namespaces: HashSet<String>,
    ) -> Result<usize, StorageError> {
        let log = Log {
            rows,
            namespaces,
            runtime: Handle::current(),
            changed: Notify::new(),
        };
        let (mut after, mut asleep) = (None, 0);
        loop {
            let page = log.rows.page(after.take()).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (at, stored) in page {
                match log.keeps(&at.place) {
                    true => self.bring_back(&log.rows, at, stored),
                    false => asleep += 1,
                }
            }
        }
        let _ = self.0.log.set(log);
        Ok(asleep)
    }

    fn bring_back(&self, rows: &TupleRows, at: TupleAt, stored: StoredTuple) {
        let left = rows.left(stored.expires_ms);
        let tuple = tuple_of(stored);
        self.with(|state| {
            state.last_number = state.last_number.max(at.number);
            if left.is_some_and(|left| left.is_zero()) {
                return state.over.push(at);
            }
            let kept = Kept {
                number: at.number,
                key: self.key(tuple.fields().first()),
                until: left.map(|left| Instant::now() + left.min(limits::TTL_MAX)),
                tuple,
                claimed: false,
            };
            if let Some(until) = kept.until {
                let lies = (at.place.clone(), kept.tuple.arity());
                state.ends.insert((until, kept.number), lies);
            }
            let space = self.space(&mut state.spaces, &at.place);
            space.admit_again(kept.tuple.weight());
            space.offer(kept, &mut state.desk);
        });
    }

    /// Whether what is changed here goes to disk.
    pub fn is_durable(&self, place: &Place) -> bool {
        self.log(place).is_some()
    }

    fn log(&self, place: &Place) -> Option<&Log> {
        self.0.log.get().filter(|log| log.keeps(place))
    }

    /// Adds tuples of a durable namespace, all of them or none. `tell` hears, once that is on disk and whoever has left
    /// meanwhile, of each tuple and those who subscribed to such; it must be short.
    pub async fn put(
        &self,
        place: &Place,
        batch: Batch,
        tell: impl Fn(&Tuple, Vec<Notice>) + Send + 'static,
    ) -> Result<(), DurableError> {
        let Some(log) = self.log(place) else {
            return Ok(());
        };
        let (mut rooms, mut rows) = (Vec::new(), Vec::new());
        for (tuple, ttl) in batch {
            check(tuple.arity(), tuple.bytes())?;
            let room = Room::take(self, place, tuple, ttl)?;
            rows.push((room.at(), stored(room.tuple(), log.rows.expiry(ttl))));
            rooms.push(room);
        }
        let (answer, answered) = oneshot::channel();
        log.rows.change(Vec::new(), rows, move |done| {
            let written = done.map(|()| {
                for room in rooms {
                    let (tuple, notices) = room.publish();
                    tell(&tuple, notices);
                }
            });
            let _ = answer.send(written);
        })?;
        Ok(answered.await.unwrap_or(Err(StorageError::Closed))?)
    }

    /// Removes tuples of a durable namespace that match, oldest first, up to a limit and to what one answer holds.
    pub async fn pick(
        &self,
        place: &Place,
        pattern: &Pattern,
        limit: Option<usize>,
    ) -> Result<Vec<Tuple>, DurableError> {
        let claim = self.claim(place, pattern, limit).await;
        match claim {
            Some(claim) => claim.take().await,
            None => Ok(Vec::new()),
        }
    }

    /// Claims tuples that match. Where all of those are claimed by others, waits for what becomes of them.
    async fn claim(&self, place: &Place, pattern: &Pattern, limit: Option<usize>) -> Option<Claim> {
        let log = self.log(place)?;
        loop {
            let mut changed = pin!(log.changed.notified());
            changed.as_mut().enable();
            match Claim::of(self, place, pattern, limit) {
                Some(claim) => return Some(claim),
                None if self.read(place, pattern).is_none() => return None,
                None => changed.await,
            }
        }
    }

    /// Replaces a tuple of a durable namespace that matches and equals `expected`; false where there is none. Readers
    /// see one of the two at any time.
    pub async fn exchange(
        &self,
        place: &Place,
        pattern: &Pattern,
        expected: &Tuple,
        new: Tuple,
        tell: impl Fn(&Tuple, Vec<Notice>) + Send + 'static,
    ) -> Result<bool, DurableError> {
        check(new.arity(), new.bytes())?;
        let exactly = Pattern::exactly(expected);
        let Some(log) = self.log(place).filter(|_| pattern.matches(expected)) else {
            return Ok(false);
        };
        let Some(claim) = self.claim(place, &exactly, Some(1)).await else {
            return Ok(false);
        };
        let room = Room::instead(self, place, new)?;
        let row = (room.at(), stored(room.tuple(), 0));
        let (answer, answered) = oneshot::channel();
        log.rows.change(claim.places(), vec![row], move |done| {
            let swapped = match done {
                Ok(()) => {
                    let (tuple, notices) = claim.give_way_to(room);
                    tell(&tuple, notices);
                    Ok(true)
                }
                Err(error) => {
                    drop((claim, room));
                    Err(error)
                }
            };
            let _ = answer.send(swapped);
        })?;
        Ok(answered.await.unwrap_or(Err(StorageError::Closed))?)
    }

    /// Waits for a tuple, as `wait` does. What is caught is not settled yet.
    pub fn catch(
        &self,
        place: &Place,
        pattern: Pattern,
        wish: Wish,
    ) -> Result<Catching, TupleError> {
        let claims = wish == Wish::Take && self.is_durable(place);
        let waiting = self.wait(place, pattern, wish)?;
        Ok(Catching { waiting, claims })
    }

    /// Removes the rows of tuples whose time is over. What the disk refuses is removed at the next start.
    pub(super) fn forget_over(&self, over: Vec<TupleAt>) {
        if let Some(log) = self.0.log.get() {
            let _ = log.rows.change(over, Vec::new(), drop);
        }
    }
}

impl Claim {
    /// Takes what is claimed: it is the caller's once its rows are gone from the disk.
    pub async fn take(self) -> Result<Vec<Tuple>, DurableError> {
        let spaces = self.spaces().clone();
        let Some(log) = spaces.0.log.get() else {
            return Ok(Vec::new());
        };
        let (answer, answered) = oneshot::channel::<Result<Taken, StorageError>>();
        log.rows.change(self.places(), Vec::new(), move |done| {
            let taken = match done {
                Ok(()) => Ok(self.erased()),
                Err(error) => {
                    drop(self);
                    Err(error)
                }
            };
            // Nobody may be there any more: then what was taken goes back.
            drop(answer.send(taken));
        })?;
        let taken = answered.await.unwrap_or(Err(StorageError::Closed))?;
        Ok(taken.tuples())
    }
}

/// Waits for a tuple that is there to be read, or to be claimed.
pub struct Catching {
    waiting: Waiting,
    claims: bool,
}

/// What came to one who waited. Dropped, it was never his.
pub enum Caught {
    Tuple(Tuple),
    Claim(Claim),
}

impl Future for Catching {
    type Output = Caught;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Caught> {
        let this = &mut *self;
        if !this.claims {
            return Pin::new(&mut this.waiting).poll(context).map(Caught::Tuple);
        }
        let spaces = this.waiting.spaces.clone();
        this.waiting.poll_served(context, |state, place, kept| {
            Caught::Claim(Claim::served(&spaces, state, place, kept))
        })
    }
}

impl Caught {
    /// Makes it the caller's; no limit of time may cut this off, or it is taken and nobody has it.
    pub async fn settle(self) -> Result<Tuple, DurableError> {
        match self {
            Self::Tuple(tuple) => Ok(tuple),
            Self::Claim(claim) => {
                let mut tuples = claim.take().await?;
                Ok(tuples.pop().expect("one was claimed"))
            }
        }
    }
}

/// A tuple as it lies in the store.
pub(super) fn stored(tuple: &Tuple, expires_ms: u64) -> StoredTuple {
    let fields = tuple.fields().iter().map(|field| {
        let value = match field {
            Field::String(text) => StoredValue::String(text.to_string()),
            Field::Int(number) => StoredValue::Int(*number),
            Field::Float(number) => StoredValue::Float(*number),
            Field::Bytes(bytes) => StoredValue::Bytes(Bytes::copy_from_slice(bytes)),
            Field::Bool(truth) => StoredValue::Bool(*truth),
            Field::Null => StoredValue::Null(true),
        };
        StoredField { value: Some(value) }
    });
    StoredTuple {
        expires_ms,
        fields: fields.collect(),
    }
}

fn tuple_of(stored: StoredTuple) -> Tuple {
    let fields = stored.fields.into_iter().map(|field| match field.value {
        Some(StoredValue::String(text)) => Field::String(text.into()),
        Some(StoredValue::Int(number)) => Field::Int(number),
        Some(StoredValue::Float(number)) => Field::Float(number),
        Some(StoredValue::Bytes(bytes)) => Field::Bytes(bytes.to_vec().into()),
        Some(StoredValue::Bool(truth)) => Field::Bool(truth),
        Some(StoredValue::Null(_)) | None => Field::Null,
    });
    Tuple::new(fields.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::budget::Budget;
    use crate::coordination::FieldPattern;
    use crate::coordination::tuplespace::Stats;
    use crate::storage::faults::{Disk, tuple_rows};

    async fn on(disk: &Disk) -> TupleSpaces {
        let spaces = TupleSpaces::new(Budget::new(usize::MAX), usize::MAX);
        let namespaces = HashSet::from(["default".to_owned()]);
        spaces.open_log(tuple_rows(disk), namespaces).await.unwrap();
        spaces
    }

    fn numbered(number: i64) -> Tuple {
        Tuple::new([Field::Int(number)])
    }

    fn all(spaces: &TupleSpaces) -> Vec<Tuple> {
        let any = Pattern::new([FieldPattern::Any]);
        spaces.read_all(&Place::default(), &any, None).unwrap()
    }

    async fn put(spaces: &TupleSpaces, numbers: &[i64]) -> Result<(), DurableError> {
        let batch = numbers.iter().map(|&number| (numbered(number), None));
        let place = Place::default();
        spaces.put(&place, batch.collect(), |_, _| {}).await
    }

    /// A change on a disk that fails at its `after`th operation: what is in memory is what is on disk, the change wholly
    /// or not at all, and nothing is left claimed or counted.
    async fn trial(change: usize, after: usize, kind: io::ErrorKind, once: bool) -> bool {
        let disk = Disk::default();
        let (spaces, place) = (on(&disk).await, Place::default());
        put(&spaces, &[1, 2]).await.unwrap();
        let (before, first) = (all(&spaces), Pattern::exactly(&numbered(1)));
        disk.fail(after, kind, once);
        let done = match change {
            0 => put(&spaces, &[3, 4]).await,
            1 => {
                let taken = spaces.pick(&place, &first, Some(1)).await;
                taken.map(|taken| assert_eq!(taken, [numbered(1)]))
            }
            2 => {
                let caught = spaces
                    .catch(&place, first.clone(), Wish::Take)
                    .unwrap()
                    .await;
                let taken = caught.settle().await;
                taken.map(|taken| assert_eq!(taken, numbered(1)))
            }
            _ => {
                let (old, new) = (numbered(1), numbered(3));
                let swapped = spaces.exchange(&place, &first, &old, new, |_, _| {});
                swapped.await.map(|swapped| assert!(swapped))
            }
        };
        disk.heal();
        let expected = match (&done, change) {
            (Err(_), _) => before,
            (Ok(()), 0) => [1, 2, 3, 4].map(numbered).to_vec(),
            (Ok(()), 1 | 2) => vec![numbered(2)],
            (Ok(()), _) => [2, 3].map(numbered).to_vec(),
        };
        let context = format!("change {change} failed after {after} operations: {done:?}");
        assert_eq!(all(&spaces), expected, "{context}");
        let weight: usize = expected.iter().map(Tuple::weight).sum();
        assert_eq!(spaces.stats(&place).bytes, weight, "{context}");
        let again = on(&Disk::holding(disk.synced())).await;
        if done.is_ok() || once {
            assert_eq!(all(&again), expected, "{context}: another after a cut");
        }
        // Nothing is claimed: whoever comes next may have all of it.
        let any = Pattern::new([FieldPattern::Any]);
        let rest = spaces.pick(&place, &any, None).await.unwrap();
        assert_eq!(rest, expected, "{context}");
        assert_eq!(spaces.total(), Stats::default(), "{context}");
        assert_eq!(all(&on(&disk).await), [], "{context}");
        done.is_ok()
    }

    #[tokio::test]
    async fn what_the_disk_refuses_has_no_effect() {
        for change in 0..4 {
            let mut refused = 0;
            for after in 0..40 {
                for (kind, once) in [
                    (io::ErrorKind::Other, true),
                    (io::ErrorKind::StorageFull, false),
                ] {
                    refused += usize::from(!trial(change, after, kind, once).await);
                }
            }
            assert!((8..80).contains(&refused), "{refused} of change {change}");
        }
    }

    #[tokio::test]
    async fn who_waits_gets_what_another_could_not_take() {
        let disk = Disk::default();
        let (spaces, place) = (on(&disk).await, Place::default());
        put(&spaces, &[1]).await.unwrap();
        let first = Pattern::exactly(&numbered(1));
        disk.fail(0, io::ErrorKind::Other, true);
        let (refused, caught) = tokio::join!(spaces.pick(&place, &first, Some(1)), async {
            spaces
                .catch(&place, first.clone(), Wish::Take)
                .unwrap()
                .await
        });
        assert!(matches!(refused, Err(DurableError::Storage(_))));
        assert_eq!(caught.settle().await.unwrap(), numbered(1));
        assert_eq!(spaces.total(), Stats::default());
    }

    #[test]
    fn a_tuple_comes_back_from_the_store_as_it_was() {
        let fields = [
            Field::String("é".into()),
            Field::Int(i64::MIN),
            Field::Float(f64::NAN),
            Field::Float(-0.5),
            Field::Bytes([0, 255].into()),
            Field::Bool(false),
            Field::Null,
        ];
        for fields in [fields.to_vec(), Vec::new()] {
            let tuple = Tuple::new(fields);
            assert_eq!(tuple_of(stored(&tuple, 7)), tuple);
        }
    }
}
