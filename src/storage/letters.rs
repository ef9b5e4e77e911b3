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

use bytes::Bytes;
use prost::Message as _;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::queues::{QueueError, QueueName, Settings};
use super::rows::{Stored, stored};
use super::store::there;
use super::usage::{Kept, Spent, Usage};
use super::values::place;
use crate::limits;

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

/// A letter on its way to a receiver.
pub struct Taken {
    pub at: At,
    pub deliveries: u32,
    pub letter: Letter,
}

/// What became of what was due.
pub struct Swept {
    /// Queues that have more to deliver.
    pub touched: Vec<u64>,
    pub next_ms: Option<u64>,
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

struct Queue {
    id: u64,
    settings: Settings,
}

/// All tables of queues.
pub struct Rows<'t> {
    queues: Table<'t, Name, Row>,
    names: Table<'t, u64, Name>,
    counts: Table<'t, u64, (u64, u64, u64)>,
    letters: Table<'t, At, &'static [u8]>,
    ready: Table<'t, At, u32>,
    leased: Table<'t, At, u32>,
    delayed: Table<'t, (u64, u64, u64), ()>,
    expiries: Table<'t, (u64, u64, u64), ()>,
    doomed: Table<'t, u64, ()>,
    last_id: Table<'t, (), u64>,
    usage: Usage<'t>,
    now_ms: u64,
}

impl<'t> Rows<'t> {
    pub fn open(transaction: &'t WriteTransaction, now_ms: u64) -> Result<Self, redb::Error> {
        Ok(Self {
            queues: transaction.open_table(QUEUES)?,
            names: transaction.open_table(NAMES)?,
            counts: transaction.open_table(COUNTS)?,
            letters: transaction.open_table(LETTERS)?,
            ready: transaction.open_table(READY)?,
            leased: transaction.open_table(LEASED)?,
            delayed: transaction.open_table(DELAYED)?,
            expiries: transaction.open_table(EXPIRIES)?,
            doomed: transaction.open_table(DOOMED)?,
            last_id: transaction.open_table(LAST_ID)?,
            usage: Usage::open(transaction)?,
            now_ms,
        })
    }

    /// Makes a queue, or gives the one that is there these settings.
    pub fn create(
        &mut self,
        name: &QueueName,
        owner: &str,
        settings: Settings,
    ) -> Result<(), Stop> {
        let Some(queue) = self.find(name)? else {
            self.fits_a_queue(owner)?;
            self.make(name, owner, settings)?;
            return Ok(());
        };
        let owner = self.queues.get(name.parts())?;
        let owner = owner.map_or(String::new(), |row| row.value().3.to_owned());
        let row = (queue.id, settings.messages_max, settings.ttl_ms, &*owner);
        self.queues.insert(name.parts(), row)?;
        Ok(())
    }

    /// Removes a queue; its letters are swept away after that.
    pub fn delete(&mut self, name: &QueueName) -> Result<bool, Stop> {
        let Some(row) = self.queues.remove(name.parts())? else {
            return Ok(false);
        };
        let (id, .., owner) = row.value();
        self.usage.remove(Kept::Queues, owner, 0)?;
        self.names.remove(id)?;
        self.counts.remove(id)?;
        self.doomed.insert(id, ())?;
        Ok(true)
    }

    /// Puts a letter at the end of a queue, which is made if there is none. Answers where it lies.
    pub fn send(&mut self, name: &QueueName, mut letter: Letter) -> Result<At, Stop> {
        let found = self.find(name)?;
        let bytes = letter.weight();
        self.usage
            .fits(Kept::Messages, &letter.owner, bytes, None)??;
        match &found {
            Some(queue) => self.fits_into(queue, name)?,
            None => self.fits_a_queue(&letter.owner)?,
        }
        let queue = match found {
            Some(queue) => queue,
            None => self.make(name, &letter.owner, Settings::default())?,
        };
        letter.expires_ms = queue.settings.expiry(letter.expires_ms, self.now_ms);
        self.put(&queue, &letter)
    }

    /// Lends the first letter that may be received; those that have expired are dropped on the way.
    pub fn take_first(&mut self, id: u64) -> Result<Option<Taken>, Stop> {
        loop {
            let first = self.ready.range((id, 0)..=(id, u64::MAX))?.next();
            let first = first.transpose()?;
            let Some((at, deliveries)) = first.map(|it| (it.0.value(), it.1.value())) else {
                return Ok(None);
            };
            self.ready.remove(at)?;
            self.count(id, -1, 0)?;
            let letter = self.letter(at)?;
            if letter.expires_ms != 0 && letter.expires_ms <= self.now_ms {
                self.forget(at, &letter)?;
                continue;
            }
            let deliveries = deliveries.saturating_add(1);
            self.leased.insert(at, deliveries)?;
            return Ok(Some(Taken {
                at,
                deliveries,
                letter,
            }));
        }
    }

    /// Takes a letter away that is lent. Whether it was.
    pub fn acknowledge(&mut self, at: At) -> Result<bool, Stop> {
        if self.leased.remove(at)?.is_none() {
            return Ok(false);
        }
        let letter = self.letter(at)?;
        self.forget(at, &letter)?;
        Ok(true)
    }

    /// Takes a lent letter back, and answers in which queue it may be received now.
    pub fn give_back(&mut self, at: At, how: Return) -> Result<Option<u64>, Stop> {
        let deliveries = self.leased.get(at)?.map(|deliveries| deliveries.value());
        let Some(deliveries) = deliveries else {
            return Ok(None);
        };
        let letter = self.letter(at)?;
        let expired = letter.expires_ms != 0 && letter.expires_ms <= self.now_ms;
        let name = self.name(at.0)?.filter(|_| !expired);
        let Some(name) = name else {
            self.leased.remove(at)?;
            self.forget(at, &letter)?;
            return Ok(None);
        };
        let spent = how == Return::Delivered && deliveries >= limits::DELIVERIES_MAX;
        match how {
            Return::Rejected if name.is_dead() => {
                self.leased.remove(at)?;
                self.forget(at, &letter)?;
                return Ok(None);
            }
            Return::Rejected => return self.bury(at, &name, letter, deliveries).map(Some),
            _ if spent && !name.is_dead() => {
                match self.bury(at, &name, letter, deliveries) {
                    // There is no room among the dead: it goes on in its own queue.
                    Err(Stop::Refused(_)) => {}
                    buried => return buried.map(Some),
                }
            }
            _ => {}
        }
        self.leased.remove(at)?;
        let back = u32::from(how == Return::Undelivered);
        self.ready.insert(at, deliveries.saturating_sub(back))?;
        self.count(at.0, 1, 0)?;
        Ok(Some(at.0))
    }

    /// Lets what was held back come forth, and takes away what has expired or lost its queue; some at a time.
    pub fn sweep(&mut self) -> Result<Swept, Stop> {
        let mut touched = Vec::new();
        let mut left = limits::SWEEP_ITEMS_MAX;
        while left > 0 && first(&self.delayed)?.is_some_and(|at_ms| at_ms <= self.now_ms) {
            let Some((key, ())) = self.delayed.pop_first()?.map(|it| (it.0.value(), ())) else {
                break;
            };
            self.ready.insert((key.1, key.2), 0)?;
            self.count(key.1, 1, 0)?;
            touched.push(key.1);
            left -= 1;
        }
        while left > 0 && first(&self.expiries)?.is_some_and(|at_ms| at_ms <= self.now_ms) {
            let Some(key) = self.expiries.pop_first()?.map(|it| it.0.value()) else {
                break;
            };
            self.expire((key.1, key.2))?;
            left -= 1;
        }
        let unfinished = self.sweep_doomed(left)?;
        let next_ms = match unfinished {
            true => Some(self.now_ms),
            false => [first(&self.delayed)?, first(&self.expiries)?]
                .into_iter()
                .flatten()
                .min(),
        };
        touched.dedup();
        Ok(Swept { touched, next_ms })
    }

    pub fn id(&self, name: &QueueName) -> Result<Option<u64>, Stop> {
        Ok(self.find(name)?.map(|queue| queue.id))
    }

    pub fn name(&self, id: u64) -> Result<Option<QueueName>, Stop> {
        let Some(row) = self.names.get(id)? else {
            return Ok(None);
        };
        let (tenant, namespace, name) = row.value();
        Ok(place(tenant, namespace).map(|place| QueueName {
            place,
            name: name.to_owned(),
        }))
    }

    fn find(&self, name: &QueueName) -> Result<Option<Queue>, Stop> {
        let row = self.queues.get(name.parts())?;
        Ok(row.map(|row| {
            let (id, messages_max, ttl_ms, _) = row.value();
            let settings = Settings {
                messages_max,
                ttl_ms,
            };
            Queue { id, settings }
        }))
    }

    fn fits_a_queue(&self, owner: &str) -> Result<(), Stop> {
        self.usage.fits(Kept::Queues, owner, 0, None)??;
        Ok(())
    }

    fn fits_into(&self, queue: &Queue, name: &QueueName) -> Result<(), Stop> {
        let max = queue.settings.messages_max;
        let all = self.counts.get(queue.id)?.map_or(0, |row| row.value().2);
        if max != 0 && all >= u64::from(max) {
            let name = name.name.clone();
            return Err(QueueError::Full { name, max }.into());
        }
        Ok(())
    }

    fn make(&mut self, name: &QueueName, owner: &str, settings: Settings) -> Result<Queue, Stop> {
        let id = self.last_id.get(())?.map_or(0, |last| last.value()) + 1;
        self.last_id.insert((), id)?;
        let row = (id, settings.messages_max, settings.ttl_ms, owner);
        self.queues.insert(name.parts(), row)?;
        self.names.insert(id, name.parts())?;
        self.counts.insert(id, (1, 0, 0))?;
        self.usage.add(Kept::Queues, owner, 0)?;
        Ok(Queue { id, settings })
    }

    fn put(&mut self, queue: &Queue, letter: &Letter) -> Result<At, Stop> {
        let row = self.counts.get(queue.id)?.map(|row| row.value());
        let (number, ready, all) = row.unwrap_or((1, 0, 0));
        let at = (queue.id, number);
        self.counts.insert(queue.id, (number + 1, ready, all))?;
        self.letters.insert(at, &*letter.encode_to_vec())?;
        if letter.due_ms > self.now_ms {
            self.delayed.insert((letter.due_ms, at.0, at.1), ())?;
            self.count(queue.id, 0, 1)?;
        } else {
            self.ready.insert(at, 0)?;
            self.count(queue.id, 1, 1)?;
        }
        if letter.expires_ms != 0 {
            self.expiries.insert((letter.expires_ms, at.0, at.1), ())?;
        }
        self.usage
            .add(Kept::Messages, &letter.owner, letter.weight())?;
        Ok(at)
    }

    /// Moves a lent letter to the dead ones of its queue, and answers with their queue.
    fn bury(
        &mut self,
        at: At,
        name: &QueueName,
        letter: Letter,
        deliveries: u32,
    ) -> Result<u64, Stop> {
        let dead = name.of_the_dead();
        let found = self.find(&dead)?;
        match &found {
            Some(queue) => self.fits_into(queue, &dead)?,
            None => self.fits_a_queue(&letter.owner)?,
        }
        self.leased.remove(at)?;
        self.forget(at, &letter)?;
        let queue = match found {
            Some(queue) => queue,
            None => self.make(&dead, &letter.owner, Settings::default())?,
        };
        let mut letter = letter;
        letter.due_ms = 0;
        letter.expires_ms = queue.settings.expiry(0, self.now_ms);
        letter.headers.push(Header {
            name: "dead-letter-queue".into(),
            value: name.name.clone(),
        });
        letter.headers.push(Header {
            name: "dead-letter-deliveries".into(),
            value: deliveries.to_string(),
        });
        self.put(&queue, &letter)?;
        Ok(queue.id)
    }

    /// Removes a letter that is neither ready nor lent any more, and all that is counted beside it.
    fn forget(&mut self, at: At, letter: &Letter) -> Result<(), Stop> {
        self.letters.remove(at)?;
        if letter.expires_ms != 0 {
            self.expiries.remove((letter.expires_ms, at.0, at.1))?;
        }
        self.usage
            .remove(Kept::Messages, &letter.owner, letter.weight())?;
        self.count(at.0, 0, -1)
    }

    /// What is lent stays so: it is dropped should it come back.
    fn expire(&mut self, at: At) -> Result<(), Stop> {
        if self.leased.get(at)?.is_some() {
            return Ok(());
        }
        let letter = self.letter(at)?;
        self.withdraw(at, &letter)?;
        self.forget(at, &letter)
    }

    /// Takes a letter from wherever it waits.
    fn withdraw(&mut self, at: At, letter: &Letter) -> Result<(), Stop> {
        if self.ready.remove(at)?.is_some() {
            self.count(at.0, -1, 0)?;
        } else {
            self.delayed.remove((letter.due_ms, at.0, at.1))?;
        }
        Ok(())
    }

    /// Whether there is more to do.
    fn sweep_doomed(&mut self, mut left: usize) -> Result<bool, Stop> {
        let mut bytes = 0;
        loop {
            let doomed = self.doomed.first()?.map(|it| it.0.value());
            let Some(id) = doomed else {
                return Ok(false);
            };
            let first = self.letters.range((id, 0)..=(id, u64::MAX))?.next();
            let Some(at) = first.transpose()?.map(|it| it.0.value()) else {
                self.doomed.remove(id)?;
                continue;
            };
            if left == 0 || bytes > SWEEP_BYTES_MAX {
                return Ok(true);
            }
            let letter = self.letter(at)?;
            self.leased.remove(at)?;
            self.withdraw(at, &letter)?;
            self.forget(at, &letter)?;
            bytes += letter.weight();
            left -= 1;
        }
    }

    fn letter(&self, at: At) -> Result<Letter, Stop> {
        let found = self.letters.get(at)?;
        let damaged = || redb::Error::Corrupted(format!("no letter lies at {at:?}"));
        let letter = found.and_then(|found| Letter::decode(found.value()).ok());
        letter.ok_or_else(|| damaged().into())
    }

    /// Counts what is ready, and all; nothing where the queue was deleted.
    fn count(&mut self, id: u64, ready: i64, all: i64) -> Result<(), Stop> {
        let row = self.counts.get(id)?.map(|row| row.value());
        if let Some((next, were_ready, were)) = row {
            let ready = were_ready.saturating_add_signed(ready);
            let all = were.saturating_add_signed(all);
            self.counts.insert(id, (next, ready, all))?;
        }
        Ok(())
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
