//! The rows of journals: how they lie in the store, and what a change of one does to everything counted beside it.

use bytes::Bytes;
use redb::{
    ReadTransaction, ReadableTable, StorageError as Broken, Table, TableDefinition,
    WriteTransaction,
};

use super::journal::{Entry, Event, Span};
use super::rows::{Stored, stored};
use super::store::there;
use super::usage::{Kept, Spent, Usage};

/// Application and actor to how far the journal has come.
pub const HEADS: TableDefinition<(&str, &str), (u64, u64, u64, u64)> =
    TableDefinition::new("journals");
/// Application, actor and number to an entry.
pub const ENTRIES: TableDefinition<(&str, &str, u64), &[u8]> =
    TableDefinition::new("journal-entries");
/// Application, actor and key to a side effect's outcome.
pub const EFFECTS: TableDefinition<(&str, &str, &str), &[u8]> =
    TableDefinition::new("journal-effects");
/// Application and actor to the state at the last checkpoint.
pub const CHECKPOINTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("checkpoints");
/// The number last given at the last upgrade, for as long as it may be taken back.
pub const AT_UPGRADE: TableDefinition<(&str, &str), u64> =
    TableDefinition::new("journals-at-upgrade");

/// What an entry or a side effect weighs beside its own bytes.
const BOOKKEEPING_BYTES: usize = 48;

/// What a backup has of them.
pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![
        stored(HEADS),
        stored(ENTRIES),
        stored(EFFECTS),
        stored(CHECKPOINTS),
        stored(AT_UPGRADE),
    ]
}

/// How far a journal has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// When it was begun, in milliseconds since 1970: another journal of the same name is another.
    pub begun_ms: u64,
    /// The number last given.
    pub sequence: u64,
    /// The last entry that the last checkpoint holds.
    pub checkpoint_sequence: u64,
    /// How many checkpoints there were.
    pub checkpoints: u64,
}

/// The rows of one journal, within one transaction.
pub struct Rows<'t> {
    application: &'t str,
    actor: &'t str,
    heads: Table<'t, (&'static str, &'static str), (u64, u64, u64, u64)>,
    entries: Table<'t, (&'static str, &'static str, u64), &'static [u8]>,
    effects: Table<'t, (&'static str, &'static str, &'static str), &'static [u8]>,
    checkpoints: Table<'t, (&'static str, &'static str), &'static [u8]>,
    usage: Usage<'t>,
}

/// A refusal inside, which writes nothing; an error of the store outside.
type Changed = Result<Result<Head, Spent>, redb::Error>;

impl<'t> Rows<'t> {
    pub fn open(
        transaction: &'t WriteTransaction,
        application: &'t str,
        actor: &'t str,
    ) -> Result<Self, redb::Error> {
        Ok(Self {
            application,
            actor,
            heads: transaction.open_table(HEADS)?,
            entries: transaction.open_table(ENTRIES)?,
            effects: transaction.open_table(EFFECTS)?,
            checkpoints: transaction.open_table(CHECKPOINTS)?,
            usage: Usage::open(transaction)?,
        })
    }

    pub fn append(&mut self, events: &[Event], now_ms: u64) -> Changed {
        let weighs = |event: &Event| weight(event.event_type.len() + event.payload.len());
        let all = (events.len() as u64, events.iter().map(weighs).sum());
        let mut head = match self.begun(Some(all), now_ms)? {
            Ok(head) => head,
            Err(spent) => return Ok(Err(spent)),
        };
        for event in events {
            head.sequence += 1;
            let at = (self.application, self.actor, head.sequence);
            self.entries.insert(at, &*encoded(event, now_ms))?;
        }
        self.usage.add_all(Kept::Entries, self.application, all)?;
        self.put(head)
    }

    /// Keeps a state that holds every entry there is.
    pub fn checkpoint(&mut self, state: &[u8], now_ms: u64) -> Changed {
        let mut head = match self.begun(None, now_ms)? {
            Ok(head) => head,
            Err(spent) => return Ok(Err(spent)),
        };
        self.checkpoints
            .insert((self.application, self.actor), state)?;
        head.checkpoint_sequence = head.sequence;
        head.checkpoints += 1;
        self.put(head)
    }

    /// Drops the entries up to a number, and the side effects that only they can have had.
    pub fn compact(&mut self, up_to: u64) -> Changed {
        let gone = self.drop_entries(0, up_to)?;
        // An effect recorded after entry n may be one of entry n + 1, which is persisted later.
        let effects = self.drop_effects(|after| after < up_to)?;
        let gone = (gone.0 + effects.0, gone.1 + effects.1);
        self.usage
            .remove_all(Kept::Entries, self.application, gone)?;
        Ok(Ok(self.head()?))
    }

    pub fn record(&mut self, key: &str, value: &[u8], now_ms: u64) -> Changed {
        let one = (1, weight(key.len() + value.len()));
        let head = match self.begun(Some(one), now_ms)? {
            Ok(head) => head,
            Err(spent) => return Ok(Err(spent)),
        };
        let mut bytes = head.sequence.to_le_bytes().to_vec();
        bytes.extend_from_slice(value);
        let at = (self.application, self.actor, key);
        self.effects.insert(at, &*bytes)?;
        self.usage.add_all(Kept::Entries, self.application, one)?;
        self.put(head)
    }

    /// Takes a journal back to the number that was last given at an upgrade. Numbers are not given twice.
    fn take_back(&mut self, to: u64, state: Option<&[u8]>) -> Result<Head, redb::Error> {
        let mut head = self.head()?;
        let entries = self.drop_entries(to + 1, u64::MAX)?;
        let effects = self.drop_effects(|after| after > to)?;
        let gone = (entries.0 + effects.0, entries.1 + effects.1);
        self.usage
            .remove_all(Kept::Entries, self.application, gone)?;
        if let Some(state) = state {
            self.checkpoints
                .insert((self.application, self.actor), state)?;
            head.checkpoint_sequence = head.sequence;
            head.checkpoints += 1;
            let put = self.put(head)?;
            return Ok(put.unwrap_or(head));
        }
        Ok(head)
    }

    fn drop_entries(&mut self, from: u64, to: u64) -> Result<(u64, u64), redb::Error> {
        let mut gone = (0, 0);
        let range = (self.application, self.actor, from)..=(self.application, self.actor, to);
        self.entries.retain_in(range, |_, entry| {
            let (event_type, payload) = Header::parse(entry).event(entry);
            gone = (
                gone.0 + 1,
                gone.1 + weight(event_type.len() + payload.len()),
            );
            false
        })?;
        Ok(gone)
    }

    fn drop_effects(&mut self, goes: impl Fn(u64) -> bool) -> Result<(u64, u64), redb::Error> {
        let mut gone = (0, 0);
        let next = after(self.actor);
        let range = (self.application, self.actor, "")..(self.application, &*next, "");
        self.effects.retain_in(range, |(_, _, key), effect| {
            let (position, value) = effect.split_first_chunk().unwrap_or((&[0; 8], effect));
            let goes = goes(u64::from_le_bytes(*position));
            if goes {
                gone = (gone.0 + 1, gone.1 + weight(key.len() + value.len()));
            }
            !goes
        })?;
        Ok(gone)
    }

    /// The head of a journal, which begins now if there is none; with room for so much more.
    fn begun(
        &mut self,
        more: Option<(u64, u64)>,
        now_ms: u64,
    ) -> Result<Result<Head, Spent>, redb::Error> {
        if let Some(more) = more
            && let Err(spent) = self.usage.fits_all(Kept::Entries, self.application, more)?
        {
            return Ok(Err(spent));
        }
        let mut head = self.head()?;
        if head == Head::default() {
            if let Err(spent) = self.usage.fits(Kept::Journals, self.application, 0, None)? {
                return Ok(Err(spent));
            }
            self.usage.add(Kept::Journals, self.application, 0)?;
            head.begun_ms = now_ms.max(1);
        }
        Ok(Ok(head))
    }

    fn head(&self) -> Result<Head, redb::Error> {
        let found = self.heads.get((self.application, self.actor))?;
        Ok(found.map_or(Head::default(), |found| Head::from(found.value())))
    }

    fn put(&mut self, head: Head) -> Changed {
        let (begun, checkpoint) = (head.begun_ms, head.checkpoint_sequence);
        let row = (begun, head.sequence, checkpoint, head.checkpoints);
        self.heads.insert((self.application, self.actor), row)?;
        Ok(Ok(head))
    }
}

impl From<(u64, u64, u64, u64)> for Head {
    fn from((begun_ms, sequence, checkpoint_sequence, checkpoints): (u64, u64, u64, u64)) -> Self {
        Self {
            begun_ms,
            sequence,
            checkpoint_sequence,
            checkpoints,
        }
    }
}

/// Every head: application, actor, and how far it has come.
pub fn heads(transaction: &ReadTransaction) -> Result<Vec<(String, String, Head)>, redb::Error> {
    let Some(table) = there(transaction.open_table(HEADS))? else {
        return Ok(Vec::new());
    };
    let heads = table.iter()?.map(|entry| {
        let (key, head) = entry?;
        let (application, actor) = key.value();
        Ok((
            application.to_owned(),
            actor.to_owned(),
            head.value().into(),
        ))
    });
    heads.collect()
}

pub fn checkpoint(
    transaction: &ReadTransaction,
    application: &str,
    actor: &str,
) -> Result<Option<Bytes>, redb::Error> {
    let Some(table) = there(transaction.open_table(CHECKPOINTS))? else {
        return Ok(None);
    };
    let found = table.get((application, actor))?;
    Ok(found.map(|found| Bytes::copy_from_slice(found.value())))
}

pub fn recorded(
    transaction: &ReadTransaction,
    application: &str,
    actor: &str,
    key: &str,
) -> Result<Option<Bytes>, redb::Error> {
    let Some(table) = there(transaction.open_table(EFFECTS))? else {
        return Ok(None);
    };
    let found = table.get((application, actor, key))?;
    Ok(found.map(|found| Bytes::copy_from_slice(found.value().get(8..).unwrap_or_default())))
}

/// As many entries of a span as fit, and whether these are all.
pub fn read(
    transaction: &ReadTransaction,
    application: &str,
    actor: &str,
    span: Span,
    bytes_max: usize,
) -> Result<(Vec<Entry>, bool), redb::Error> {
    let (mut read, mut bytes) = (Vec::new(), 0);
    let Some(table) = there(transaction.open_table(ENTRIES))? else {
        return Ok((read, true));
    };
    if span.from >= span.to {
        return Ok((read, true));
    }
    let range = (application, actor, span.from)..(application, actor, span.to);
    for row in table.range(range)?.take(span.limit) {
        let (key, entry) = row?;
        let (entry, header) = (entry.value(), Header::parse(entry.value()));
        bytes += entry.len() + BOOKKEEPING_BYTES;
        if bytes > bytes_max {
            return Ok((read, false));
        }
        let (event_type, payload) = header.event(entry);
        read.push(Entry {
            sequence: key.value().2,
            timestamp_ms: header.timestamp_ms,
            event: Event {
                event_type: event_type.to_owned(),
                payload: Bytes::copy_from_slice(payload),
            },
        });
    }
    Ok((read, true))
}

/// Removes the journals of an application.
pub fn forget(transaction: &WriteTransaction, application: &str) -> Result<(), redb::Error> {
    let next = after(application);
    let two = || (application, "")..(&*next, "");
    let entries = (application, "", 0)..(&*next, "", 0);
    let effects = (application, "", "")..(&*next, "", "");
    transaction
        .open_table(HEADS)?
        .retain_in(two(), |_, _| false)?;
    transaction
        .open_table(CHECKPOINTS)?
        .retain_in(two(), |_, _| false)?;
    transaction
        .open_table(AT_UPGRADE)?
        .retain_in(two(), |_, _| false)?;
    transaction
        .open_table(ENTRIES)?
        .retain_in(entries, |_, _| false)?;
    transaction
        .open_table(EFFECTS)?
        .retain_in(effects, |_, _| false)?;
    let mut usage = Usage::open(transaction)?;
    usage.clear(Kept::Entries, application)?;
    usage.clear(Kept::Journals, application)
}

/// Removes the journal of one actor.
pub fn forget_actor(
    transaction: &WriteTransaction,
    application: &str,
    actor: &str,
) -> Result<(), redb::Error> {
    let mut rows = Rows::open(transaction, application, actor)?;
    let (entries, effects) = (
        rows.drop_entries(0, u64::MAX)?,
        rows.drop_effects(|_| true)?,
    );
    let gone = (entries.0 + effects.0, entries.1 + effects.1);
    rows.usage.remove_all(Kept::Entries, application, gone)?;
    rows.checkpoints.remove((application, actor))?;
    if rows.heads.remove((application, actor))?.is_some() {
        rows.usage.remove(Kept::Journals, application, 0)?;
    }
    Ok(())
}

/// Notes how far every journal of an application has come, until `settle`.
pub fn note_upgrade(transaction: &WriteTransaction, application: &str) -> Result<(), redb::Error> {
    settle(transaction, application)?;
    let mut noted = transaction.open_table(AT_UPGRADE)?;
    for (actor, head) in heads_of(transaction, application)? {
        noted.insert((application, &*actor), head.sequence)?;
    }
    Ok(())
}

/// Forgets what was noted at the last upgrade.
pub fn settle(transaction: &WriteTransaction, application: &str) -> Result<(), redb::Error> {
    let mut noted = transaction.open_table(AT_UPGRADE)?;
    noted.retain_in((application, "")..(&*after(application), ""), |_, _| false)?;
    Ok(())
}

/// Takes every journal of an application back to what was noted at the last upgrade, with the states of then. Answers
/// with their heads.
pub fn take_back(
    transaction: &WriteTransaction,
    application: &str,
    left: &[(String, Bytes)],
) -> Result<Vec<(String, Head)>, redb::Error> {
    let mut heads = heads_of(transaction, application)?;
    for (actor, head) in &mut heads {
        let noted = transaction.open_table(AT_UPGRADE)?;
        let to = noted
            .get((application, &**actor))?
            .map_or(0, |it| it.value());
        drop(noted);
        let state = left.iter().find(|(of, _)| of == actor);
        let state = state.map(|(_, state)| &state[..]);
        *head = Rows::open(transaction, application, actor)?.take_back(to, state)?;
    }
    settle(transaction, application)?;
    Ok(heads)
}

fn heads_of(
    transaction: &WriteTransaction,
    application: &str,
) -> Result<Vec<(String, Head)>, redb::Error> {
    let table = transaction.open_table(HEADS)?;
    let heads = table.range((application, "")..(&*after(application), ""))?;
    let heads = heads.map(|entry| {
        let (key, head) = entry?;
        Ok((key.value().1.to_owned(), head.value().into()))
    });
    Ok(heads.collect::<Result<_, Broken>>()?)
}

/// The first text behind this one.
pub fn after(text: &str) -> String {
    format!("{text}\0")
}

/// What an entry or a side effect of so many bytes takes of its application's share.
pub fn weight(bytes: usize) -> u64 {
    (BOOKKEEPING_BYTES + bytes) as u64
}

/// When it was persisted as eight bytes, the type's length as four, little-endian both; type, payload.
fn encoded(event: &Event, now_ms: u64) -> Vec<u8> {
    let type_len = u32::try_from(event.event_type.len()).expect("types are short");
    let mut bytes = Vec::with_capacity(12 + event.event_type.len() + event.payload.len());
    bytes.extend_from_slice(&now_ms.to_le_bytes());
    bytes.extend_from_slice(&type_len.to_le_bytes());
    bytes.extend_from_slice(event.event_type.as_bytes());
    bytes.extend_from_slice(&event.payload);
    bytes
}

/// The bytes that an entry's type and payload have together, if it is one that `encoded` wrote.
pub fn checked(bytes: &[u8]) -> Option<usize> {
    let header = Header::parse(bytes);
    let parts = bytes.get(12..)?;
    let (event_type, _) = parts.split_at_checked(header.type_len)?;
    std::str::from_utf8(event_type).ok().map(|_| parts.len())
}

struct Header {
    timestamp_ms: u64,
    type_len: usize,
}

impl Header {
    /// Reads what `encoded` wrote. The store checks its pages, so nothing else lies there.
    fn parse(bytes: &[u8]) -> Self {
        let (timestamp, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], bytes));
        let (type_len, _) = rest.split_first_chunk().unwrap_or((&[0; 4], rest));
        Self {
            timestamp_ms: u64::from_le_bytes(*timestamp),
            type_len: u32::from_le_bytes(*type_len) as usize,
        }
    }

    fn event<'a>(&self, bytes: &'a [u8]) -> (&'a str, &'a [u8]) {
        let rest = bytes.get(12..).unwrap_or_default();
        let (event_type, payload) = rest.split_at_checked(self.type_len).unwrap_or((rest, &[]));
        (std::str::from_utf8(event_type).unwrap_or_default(), payload)
    }
}
