//! The rows of tuples that outlive the node. What a tuple means, and who may have it, is decided elsewhere.

use std::ops::Bound;
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
}

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
        Self { committer, due }
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
    /// disk, or is not. After an error here nothing is changed and `then` is dropped.
    pub fn change(
        &self,
        gone: Vec<TupleAt>,
        new: Vec<(TupleAt, StoredTuple)>,
        then: impl FnOnce(Result<(), StorageError>) + Send + 'static,
    ) -> Result<(), StorageError> {
        let now_ms = self.due.steady.now_ms();
        let change = move |transaction: &WriteTransaction| {
            steady::note(transaction, now_ms)?;
            let mut table = transaction.open_table(TUPLES)?;
            for at in &gone {
                table.remove(at.key())?;
            }
            for (at, tuple) in &new {
                table.insert(at.key(), &*tuple.encode_to_vec())?;
            }
            Ok(())
        };
        self.committer.submit(change, then)
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
    fn key(&self) -> (&str, &str, u64) {
        (&self.place.tenant, &self.place.namespace, self.number)
    }
}
