//! What each application has laid down in the store, counted beside every change: nobody fills the disk alone.

use std::collections::BTreeMap;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::limits;

/// Kind of thing and application to how many there are and what they weigh.
const USAGE: TableDefinition<(&str, &str), (u64, u64)> = TableDefinition::new("usage");

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Keys,
    Queues,
    Messages,
    Journals,
    /// Entries of journals, and side effects recorded beside them.
    Entries,
    Blobs,
    /// Runs of workflows that have not ended.
    Runs,
    EndedRuns,
}

/// The application has laid down as much as it may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this application keeps as many {} as it may ({}); {}", .0.name(), .0.bounds(), .0.advice())]
pub struct Spent(Kept);

/// The counts, within one transaction.
pub struct Usage<'t> {
    table: Table<'t, (&'static str, &'static str), (u64, u64)>,
}

impl Kept {
    fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Queues => "queues",
            Self::Messages => "messages",
            Self::Journals => "journals",
            Self::Entries => "journal entries",
            Self::Blobs => "blobs",
            Self::Runs => "workflow runs",
            Self::EndedRuns => "ended workflow runs",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Journals => "persist in fewer actors",
            Self::Entries => "checkpoint, then compact",
            Self::Runs => "wait until some have ended, or cancel some",
            _ => "remove some",
        }
    }

    fn most(self) -> (u64, u64) {
        match self {
            Self::Keys => (limits::KEYS_MAX, limits::KEYS_BYTES_MAX),
            Self::Queues => (limits::QUEUES_MAX, u64::MAX),
            Self::Messages => (limits::QUEUED_MESSAGES_MAX, limits::QUEUED_BYTES_MAX),
            Self::Journals => (limits::JOURNALS_MAX, u64::MAX),
            Self::Entries => (limits::JOURNAL_ENTRIES_MAX, limits::JOURNAL_BYTES_MAX),
            Self::Blobs => (limits::BLOBS_MAX, limits::BLOBS_BYTES_MAX),
            Self::Runs => (limits::RUNS_MAX, limits::RUNS_BYTES_MAX),
            Self::EndedRuns => (limits::RUNS_ENDED_MAX, limits::RUNS_ENDED_BYTES_MAX),
        }
    }

    fn bounds(self) -> String {
        match self.most() {
            (items_max, u64::MAX) => items_max.to_string(),
            (items_max, bytes_max) => format!("{items_max}, or {} MiB", bytes_max >> 20),
        }
    }
}

/// What there is of each kind and of each application, counted row by row.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<(String, String), (u64, u64)>);

impl Tally {
    pub fn count(&mut self, kept: Kept, application: &str, bytes: u64) {
        let key = (kept.name().to_owned(), application.to_owned());
        let counted = self.0.entry(key).or_default();
        *counted = (counted.0 + 1, counted.1.saturating_add(bytes));
    }
}

impl<'t> Usage<'t> {
    pub fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        let table = transaction.open_table(USAGE)?;
        Ok(Self { table })
    }

    /// Whether so much more fits, once `freed` bytes of its own in one item are gone.
    pub fn fits(
        &self,
        kept: Kept,
        application: &str,
        bytes: u64,
        freed: Option<u64>,
    ) -> Result<Result<(), Spent>, redb::Error> {
        let (items, before) = self.of(kept, application)?;
        let (items_max, bytes_max) = kept.most();
        let items = items + u64::from(freed.is_none());
        let after = before.saturating_sub(freed.unwrap_or(0)) + bytes;
        // What shrinks is welcome whatever the limits have become.
        let grows = freed.is_none_or(|freed| bytes > freed);
        let fits = !grows || (items <= items_max && after <= bytes_max);
        Ok(fits.then_some(()).ok_or(Spent(kept)))
    }

    /// Whether so many more items of so many bytes together fit.
    pub fn fits_all(
        &self,
        kept: Kept,
        application: &str,
        (items, bytes): (u64, u64),
    ) -> Result<Result<(), Spent>, redb::Error> {
        let (before, bytes_before) = self.of(kept, application)?;
        let (items_max, bytes_max) = kept.most();
        let fits = before + items <= items_max && bytes_before + bytes <= bytes_max;
        Ok(fits.then_some(()).ok_or(Spent(kept)))
    }

    pub fn add_all(
        &mut self,
        kept: Kept,
        application: &str,
        (items, bytes): (u64, u64),
    ) -> Result<(), redb::Error> {
        let (before, bytes_before) = self.of(kept, application)?;
        self.put(kept, application, (before + items, bytes_before + bytes))
    }

    pub fn remove_all(
        &mut self,
        kept: Kept,
        application: &str,
        (items, bytes): (u64, u64),
    ) -> Result<(), redb::Error> {
        let (before, bytes_before) = self.of(kept, application)?;
        let after = (
            before.saturating_sub(items),
            bytes_before.saturating_sub(bytes),
        );
        self.put(kept, application, after)
    }

    /// Nothing of this kind is left.
    pub fn clear(&mut self, kept: Kept, application: &str) -> Result<(), redb::Error> {
        self.put(kept, application, (0, 0))
    }

    pub fn add(&mut self, kept: Kept, application: &str, bytes: u64) -> Result<(), redb::Error> {
        self.add_all(kept, application, (1, bytes))
    }

    pub fn remove(&mut self, kept: Kept, application: &str, bytes: u64) -> Result<(), redb::Error> {
        self.remove_all(kept, application, (1, bytes))
    }

    /// Everything that is counted.
    #[cfg(test)]
    pub fn all(&self) -> Result<Tally, redb::Error> {
        let mut tally = Tally::default();
        for entry in self.table.iter()? {
            let (key, used) = entry?;
            let (kept, application) = key.value();
            tally
                .0
                .insert((kept.to_owned(), application.to_owned()), used.value());
        }
        Ok(tally)
    }

    /// Writes what was counted anew in the place of all that is there.
    pub fn set(&mut self, tally: Tally) -> Result<(), redb::Error> {
        self.table.retain(|_, _| false)?;
        for ((kept, application), used) in tally.0 {
            self.table.insert((&*kept, &*application), used)?;
        }
        Ok(())
    }

    fn of(&self, kept: Kept, application: &str) -> Result<(u64, u64), redb::Error> {
        let found = self.table.get((kept.name(), application))?;
        Ok(found.map_or((0, 0), |found| found.value()))
    }

    fn put(&mut self, kept: Kept, application: &str, used: (u64, u64)) -> Result<(), redb::Error> {
        let key = (kept.name(), application);
        match used {
            (0, _) => self.table.remove(key)?,
            used => self.table.insert(key, used)?,
        };
        Ok(())
    }
}
