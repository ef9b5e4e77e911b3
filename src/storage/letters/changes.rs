//! Changes of queues, each within one transaction: letters are put, lent, taken back and taken away.

use prost::Message as _;
use redb::{ReadableTable, Table, WriteTransaction};

use super::{
    At, COUNTS, DELAYED, DOOMED, EXPIRIES, Header, LAST_ID, LEASED, LETTERS, Letter, NAMES, Name,
    QUEUES, READY, Return, Row, Stop,
};
use crate::limits;
use crate::storage::queues::{QueueError, QueueName, Settings};
use crate::storage::usage::{Kept, Usage};
use crate::storage::values::place;

/// A letter on its way to a receiver.
pub struct Taken {
    pub at: At,
    pub deliveries: u32,
    pub letter: Letter,
}

struct Queue {
    id: u64,
    settings: Settings,
}

/// All tables of queues.
pub struct Rows<'t> {
    pub(super) queues: Table<'t, Name, Row>,
    pub(super) names: Table<'t, u64, Name>,
    pub(super) counts: Table<'t, u64, (u64, u64, u64)>,
    pub(super) letters: Table<'t, At, &'static [u8]>,
    pub(super) ready: Table<'t, At, u32>,
    pub(super) leased: Table<'t, At, u32>,
    pub(super) delayed: Table<'t, (u64, u64, u64), ()>,
    pub(super) expiries: Table<'t, (u64, u64, u64), ()>,
    pub(super) doomed: Table<'t, u64, ()>,
    pub(super) last_id: Table<'t, (), u64>,
    pub(super) usage: Usage<'t>,
    pub(super) now_ms: u64,
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
    pub(super) fn forget(&mut self, at: At, letter: &Letter) -> Result<(), Stop> {
        self.letters.remove(at)?;
        if letter.expires_ms != 0 {
            self.expiries.remove((letter.expires_ms, at.0, at.1))?;
        }
        self.usage
            .remove(Kept::Messages, &letter.owner, letter.weight())?;
        self.count(at.0, 0, -1)
    }

    /// Takes a letter from wherever it waits.
    pub(super) fn withdraw(&mut self, at: At, letter: &Letter) -> Result<(), Stop> {
        if self.ready.remove(at)?.is_some() {
            self.count(at.0, -1, 0)?;
        } else {
            self.delayed.remove((letter.due_ms, at.0, at.1))?;
        }
        Ok(())
    }

    pub(super) fn letter(&self, at: At) -> Result<Letter, Stop> {
        let found = self.letters.get(at)?;
        let damaged = || redb::Error::Corrupted(format!("no letter lies at {at:?}"));
        let letter = found.and_then(|found| Letter::decode(found.value()).ok());
        letter.ok_or_else(|| damaged().into())
    }

    /// Counts what is ready, and all; nothing where the queue was deleted.
    pub(super) fn count(&mut self, id: u64, ready: i64, all: i64) -> Result<(), Stop> {
        let row = self.counts.get(id)?.map(|row| row.value());
        if let Some((next, were_ready, were)) = row {
            let ready = were_ready.saturating_add_signed(ready);
            let all = were.saturating_add_signed(all);
            self.counts.insert(id, (next, ready, all))?;
        }
        Ok(())
    }
}
