//! The rows of tuples that outlive the node. What a tuple means, and who may have it, is decided elsewhere.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use super::StorageError;
use super::committer::Committer;
use super::due::Due;
use super::rows::{Stored, stored};
use super::steady;
use super::store::there;
use super::values::place;
use crate::place::Place;

/// Tenant, namespace and number to a tuple.
pub const TUPLES: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("tuples");

/// Bytes of rows that are read at once.
const PAGE_BYTES: usize = 1024 * 1024;

/// What a backup has of them.
pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![stored(TUPLES)]
}

/// The tuples of all places.
#[derive(Clone)]
pub struct TupleRows {
    committer: Committer,
    due: Due,
    owed: Arc<Mutex<Owed>>,
}

/// What the next change makes so before anything else: rows, or that there are none. A disk that fails in the last step
/// of a commit, and goes on failing, does not tell what it holds; whoever changed something was told that it failed.
type Owed = BTreeMap<Key, Option<Vec<u8>>>;
/// Tenant, namespace and number.
type Key = (String, String, u64);

/// Rows that may be owed before new changes are refused.
const OWED_MAX: usize = 1_000;

/// Where a tuple lies. Numbers grow with time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TupleAt {
    pub place: Place,
    pub number: u64,
}

/// A tuple as it lies in the store.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredTuple {
    /// By the store's time; 0 is never.
    #[prost(uint64, tag = "1")]
    pub expires_ms: u64,
    #[prost(message, repeated, tag = "2")]
    pub fields: Vec<StoredField>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredField {
    #[prost(oneof = "StoredValue", tags = "1, 2, 3, 4, 5, 6")]
    pub value: Option<StoredValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum StoredValue {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(sint64, tag = "2")]
    Int(i64),
    #[prost(double, tag = "3")]
    Float(f64),
    #[prost(bytes = "bytes", tag = "4")]
    Bytes(Bytes),
    #[prost(bool, tag = "5")]
    Bool(bool),
    #[prost(bool, tag = "6")]
    Null(bool),
}

impl TupleRows {
    pub(super) fn new(committer: Committer, due: Due) -> Self {
        Self {
            committer,
            due,
            owed: Arc::default(),
        }
    }

    /// When a tuple expires that lives so long from now on.
    pub fn expiry(&self, ttl: Option<Duration>) -> u64 {
        let ttl_ms = |ttl: Duration| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.due.steady.now_ms();
        ttl.map_or(0, |ttl| now_ms.saturating_add(ttl_ms(ttl)).max(1))
    }

    /// What is left of a tuple's time; `None` where it has no end.
    pub fn left(&self, expires_ms: u64) -> Option<Duration> {
        let left_ms = expires_ms.saturating_sub(self.due.steady.now_ms());
        (expires_ms != 0).then(|| Duration::from_millis(left_ms))
    }

    /// Removes some rows and writes others, in one step; `then` is called on the committer's thread once that is on
    /// disk, or is not. After an error nothing is changed; after one here `then` is dropped.
    pub fn change(
        &self,
        gone: Vec<TupleAt>,
        new: Vec<(TupleAt, StoredTuple)>,
        then: impl FnOnce(Result<(), StorageError>) + Send + 'static,
    ) -> Result<(), StorageError> {
        if self.owed.lock().unwrap().len() >= OWED_MAX {
            // Is the disk well again?
            self.submit(Vec::new(), Vec::new(), false, drop)?;
            return Err(StorageError::Busy);
        }
        let new = new.into_iter();
        let new = new.map(|(at, tuple)| (at.into_key(), tuple.encode_to_vec()));
        let gone = gone.into_iter().map(TupleAt::into_key).collect();
        self.submit(gone, new.collect(), false, then)
    }

    /// Writes rows that were there before, now or with a later change. `then` is called, or dropped, in any case.
    pub fn insist(
        &self,
        rows: Vec<(TupleAt, StoredTuple)>,
        then: impl FnOnce(Result<(), StorageError>) + Send + 'static,
    ) {
        let rows = rows.into_iter();
        let rows = rows.map(|(at, tuple)| (at.into_key(), tuple.encode_to_vec()));
        let rows: Vec<_> = rows.collect();
        if self.submit(Vec::new(), rows.clone(), true, then).is_err() {
            let rows = rows.into_iter().map(|(key, row)| (key, Some(row)));
            self.owed.lock().unwrap().extend(rows);
        }
    }

    fn submit(
        &self,
        gone: Vec<Key>,
        new: Vec<(Key, Vec<u8>)>,
        insists: bool,
        then: impl FnOnce(Result<(), StorageError>) + Send + 'static,
    ) -> Result<(), StorageError> {
        let now_ms = self.due.steady.now_ms();
        // What is owed should this one fail: what was owed before, and what it changes as it was.
        let after_failure = Arc::<Mutex<Owed>>::default();
        let (owed, undo) = (self.owed.clone(), after_failure.clone());
        let change = move |transaction: &WriteTransaction| {
            steady::note(transaction, now_ms)?;
            let mut table = transaction.open_table(TUPLES)?;
            let mut undo = undo.lock().unwrap();
            *undo = std::mem::take(&mut *owed.lock().unwrap());
            for ((tenant, namespace, number), row) in &*undo {
                let key = (&**tenant, &**namespace, *number);
                match row {
                    Some(row) => drop(table.insert(key, &**row)?),
                    None => drop(table.remove(key)?),
                }
            }
            for key in gone {
                let removed = table.remove((&*key.0, &*key.1, key.2))?;
                let row = removed.map(|row| row.value().to_vec());
                undo.entry(key).or_insert(row);
            }
            for (key, row) in new {
                table.insert((&*key.0, &*key.1, key.2), &*row)?;
                match insists {
                    true => drop(undo.insert(key, Some(row))),
                    false => drop(undo.entry(key).or_insert(None)),
                }
            }
            Ok(())
        };
        let owed = self.owed.clone();
        self.committer.submit(change, move |done| {
            if done.is_err() {
                let mut owed = owed.lock().unwrap();
                // Of changes that failed together the first one's is the truth.
                for (key, row) in std::mem::take(&mut *after_failure.lock().unwrap()) {
                    owed.entry(key).or_insert(row);
                }
            }
            then(done);
        })
    }

    /// Some of the rows behind this one, in the order of places and numbers; none at the end.
    pub async fn page(
        &self,
        after: Option<TupleAt>,
    ) -> Result<Vec<(TupleAt, StoredTuple)>, StorageError> {
        let look = move |transaction: &ReadTransaction| {
            let (mut page, mut bytes) = (Vec::new(), 0);
            let Some(table) = there(transaction.open_table(TUPLES))? else {
                return Ok(page);
            };
            let from = after.as_ref().map(TupleAt::key);
            let from = from.map_or(Bound::Unbounded, Bound::Excluded);
            for entry in table.range::<(&str, &str, u64)>((from, Bound::Unbounded))? {
                let (key, row) = entry?;
                let (tenant, namespace, number) = key.value();
                let damaged = || redb::Error::Corrupted(format!("tuple {number} of {namespace}"));
                let place = place(tenant, namespace).ok_or_else(damaged)?;
                let tuple = StoredTuple::decode(row.value()).map_err(|_| damaged())?;
                bytes += row.value().len();
                page.push((TupleAt { place, number }, tuple));
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
            Ok(page)
        };
        self.committer.read(look).await
    }
}

impl TupleAt {
    fn into_key(self) -> Key {
        let Place { tenant, namespace } = self.place;
        (tenant.to_string(), namespace.to_string(), self.number)
    }

    fn key(&self) -> (&str, &str, u64) {
        (&self.place.tenant, &self.place.namespace, self.number)
    }
}
