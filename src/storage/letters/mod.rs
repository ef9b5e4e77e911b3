//! The rows of queues within one transaction: where a message lies, who may have it next, what is counted beside it.
//!
//! ```text
//!           due                 receive                ack
//! DELAYED ───────► READY ──────────────────► LEASED ─────────► gone
//!                    ▲   receiver ended, nack   │ nack without requeue, or too many deliveries
//!                    └──────────────────────────┴────────────────► READY of <queue>.dlq
//! ```
//!
//! A message keeps its number, and with it its place in the order, wherever it lies.

mod changes;
mod sweep;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableError};

use super::queues::{QueueError, QueueName, Settings};
use super::rows::{Stored, stored};
use super::store::there;
use super::usage::Spent;
use crate::limits;

pub use changes::Rows;
pub use sweep::Swept;

/// Tenant, namespace and name of a queue.
pub type Name = (&'static str, &'static str, &'static str);
/// Its id, its most messages, their time to live, and the application that made it.
pub type Row = (u64, u32, u64, &'static str);
pub const QUEUES: TableDefinition<Name, Row> = TableDefinition::new("queues");
pub const NAMES: TableDefinition<u64, Name> = TableDefinition::new("queue-names");
/// Queue to the next message's number, how many are ready, and how many there are in all.
pub const COUNTS: TableDefinition<u64, (u64, u64, u64)> = TableDefinition::new("queue-counts");
/// Queue and number to what was sent.
pub const LETTERS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("letters");
/// Queue and number to how often it was delivered, for those that may be received and those that were.
pub const READY: TableDefinition<(u64, u64), u32> = TableDefinition::new("letters-ready");
pub const LEASED: TableDefinition<(u64, u64), u32> = TableDefinition::new("letters-leased");
/// Moment, queue and number.
pub const DELAYED: TableDefinition<(u64, u64, u64), ()> = TableDefinition::new("letters-delayed");
pub const EXPIRIES: TableDefinition<(u64, u64, u64), ()> = TableDefinition::new("letter-expiries");
/// Queues that were deleted and still have letters.
pub const DOOMED: TableDefinition<u64, ()> = TableDefinition::new("queues-doomed");
/// The last id that a queue got.
pub const LAST_ID: TableDefinition<(), u64> = TableDefinition::new("queue-last-id");

/// What a letter weighs beside its parts.
const BOOKKEEPING_BYTES: usize = 128;
/// What follows a queue's name in that of its dead letters.
const DEAD: &str = ".dlq";
/// Bytes of letters that one sweep reads.
const SWEEP_BYTES_MAX: u64 = 4 * limits::MIB as u64;

/// What a backup has of them.
pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![
        stored(QUEUES),
        stored(NAMES),
        stored(COUNTS),
        stored(LETTERS),
        stored(READY),
        stored(LEASED),
        stored(DELAYED),
        stored(EXPIRIES),
        stored(DOOMED),
        stored(LAST_ID),
    ]
}

/// Queue and number: where a letter belongs.
pub type At = (u64, u64);

/// A message as it lies in the store.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Letter {
    /// The application that sent it.
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub message_type: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
    #[prost(message, repeated, tag = "4")]
    pub headers: Vec<Header>,
    /// By the wall clock.
    #[prost(uint64, tag = "5")]
    pub sent_ms: u64,
    /// By the store's time; 0 is never.
    #[prost(uint64, tag = "6")]
    pub expires_ms: u64,
    /// Until when it is held back, likewise.
    #[prost(uint64, tag = "7")]
    pub due_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// How a letter comes back from whoever had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// It never reached a receiver: the delivery does not count.
    Undelivered,
    Delivered,
    /// It is not to be delivered again.
    Rejected,
}

/// Why an operation goes no further.
pub enum Stop {
    /// Nothing was written.
    Refused(QueueError),
    /// The transaction is lost.
    Broken(redb::Error),
}

impl From<QueueError> for Stop {
    fn from(error: QueueError) -> Self {
        Self::Refused(error)
    }
}

impl From<Spent> for Stop {
    fn from(error: Spent) -> Self {
        Self::Refused(error.into())
    }
}

impl From<redb::StorageError> for Stop {
    fn from(error: redb::StorageError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<TableError> for Stop {
    fn from(error: TableError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<redb::Error> for Stop {
    fn from(error: redb::Error) -> Self {
        Self::Broken(error)
    }
}

/// How many messages may be received from a queue now.
pub fn ready(transaction: &ReadTransaction, name: &QueueName) -> Result<u64, redb::Error> {
    let Some(queues) = there(transaction.open_table(QUEUES))? else {
        return Ok(0);
    };
    let Some(id) = queues.get(name.parts())?.map(|row| row.value().0) else {
        return Ok(0);
    };
    let counts = transaction.open_table(COUNTS)?;
    Ok(counts.get(id)?.map_or(0, |row| row.value().1))
}

/// All that is lent, which after a start is to nobody.
pub fn leased(transaction: &ReadTransaction) -> Result<Vec<At>, redb::Error> {
    let Some(leased) = there(transaction.open_table(LEASED))? else {
        return Ok(Vec::new());
    };
    let keys = leased.iter()?.map(|entry| Ok(entry?.0.value()));
    keys.collect()
}

/// How many letters there are, wherever they lie.
#[cfg(test)]
pub fn kept(transaction: &ReadTransaction) -> Result<u64, redb::Error> {
    Ok(transaction.open_table(LETTERS)?.len()?)
}

/// When a sweep has something to do.
pub fn next_due(transaction: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    let doomed = there(transaction.open_table(DOOMED))?;
    let all_gone = doomed.map_or(Ok(true), |table| table.is_empty())?;
    let mut dues = vec![(!all_gone).then_some(0)];
    for table in [DELAYED, EXPIRIES] {
        let table = there(transaction.open_table(table))?;
        dues.push(table.map_or(Ok(None), |table| first(&table))?);
    }
    Ok(dues.into_iter().flatten().min())
}

fn first(
    table: &impl ReadableTable<(u64, u64, u64), ()>,
) -> Result<Option<u64>, redb::StorageError> {
    Ok(table.first()?.map(|(key, _)| key.value().0))
}

impl Letter {
    pub fn weight(&self) -> u64 {
        let headers = self.headers.iter();
        let headers: usize = headers.map(|it| it.name.len() + it.value.len()).sum();
        (BOOKKEEPING_BYTES + self.message_type.len() + self.payload.len() + headers) as u64
    }
}

impl QueueName {
    fn parts(&self) -> (&str, &str, &str) {
        (&self.place.tenant, &self.place.namespace, &self.name)
    }

    fn is_dead(&self) -> bool {
        self.name.ends_with(DEAD)
    }

    fn of_the_dead(&self) -> Self {
        Self {
            place: self.place.clone(),
            name: format!("{}{DEAD}", self.name),
        }
    }
}

impl Settings {
    /// The earlier of a letter's own expiry and the queue's.
    fn expiry(self, own_ms: u64, now_ms: u64) -> u64 {
        let queue_ms = (self.ttl_ms != 0).then(|| now_ms.saturating_add(self.ttl_ms));
        let own_ms = (own_ms != 0).then_some(own_ms);
        own_ms.into_iter().chain(queue_ms).min().unwrap_or(0)
    }
}
