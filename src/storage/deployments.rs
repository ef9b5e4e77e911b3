//! What is deployed: one record for each application, and the state that its actors left when they last stopped in order.

use bytes::Bytes;
use redb::{ReadableTable, TableDefinition};

use super::StorageError;
use super::committer::Committer;
use super::entries;
use super::journal::Journals;
use super::rows::{Cells, Stored, stored};
use super::runs;
use super::store::there;

/// Name to record. What a record says is its owner's business.
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("applications");
/// Application and actor to the state that the actor left.
pub const SNAPSHOTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("snapshots");
/// The same at the last upgrade, for as long as it may be taken back.
pub const AT_UPGRADE: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("upgraded");
/// Name to the number of starts that the node did not outlive.
const ATTEMPTS: TableDefinition<&str, u32> = TableDefinition::new("attempts");

/// What a backup has of them.
pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![
        stored(RECORDS),
        stored(SNAPSHOTS),
        stored(AT_UPGRADE),
        stored(ATTEMPTS),
    ]
}

/// A record as a row of a backup, with its table.
pub fn record_row(name: &str, record: &[u8]) -> (&'static str, Vec<u8>) {
    let mut row = Vec::new();
    <&str>::put(&name, &mut row);
    <&[u8]>::put(&record, &mut row);
    ("applications", row)
}

/// What an actor left, likewise.
pub fn left_row(name: &str, actor: &str, left: &[u8]) -> (&'static str, Vec<u8>) {
    let mut row = Vec::new();
    <(&str, &str)>::put(&(name, actor), &mut row);
    <&[u8]>::put(&left, &mut row);
    ("snapshots", row)
}

/// Every record that a transaction sees, by name.
pub fn records(
    transaction: &redb::WriteTransaction,
) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    listed(&transaction.open_table(RECORDS)?)
}

/// Every record that a snapshot has, by name.
pub fn recorded(snapshot: &redb::ReadTransaction) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    there(snapshot.open_table(RECORDS))?.map_or(Ok(Vec::new()), |table| listed(&table))
}

fn listed(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let records = table.iter()?.map(|entry| {
        let (name, record) = entry?;
        Ok((name.value().to_owned(), record.value().to_owned()))
    });
    records.collect()
}

/// Whether there is a record of this name.
pub fn is_recorded(transaction: &redb::WriteTransaction, name: &str) -> Result<bool, redb::Error> {
    Ok(transaction.open_table(RECORDS)?.get(name)?.is_some())
}

/// Those of these names that have no record.
pub fn unrecorded(
    transaction: &redb::ReadTransaction,
    names: Vec<String>,
) -> Result<Vec<String>, redb::Error> {
    let Some(table) = there(transaction.open_table(RECORDS))? else {
        return Ok(names);
    };
    let mut unrecorded = Vec::new();
    for name in names {
        if table.get(&*name)?.is_none() {
            unrecorded.push(name);
        }
    }
    Ok(unrecorded)
}

/// The records of all applications.
#[derive(Clone)]
pub struct Deployments {
    committer: Committer,
    journals: Journals,
}

/// The state that an actor left, by its id within the application: the node may bear another name when it comes back.
pub type Left = (String, Bytes);

impl Deployments {
    pub(super) fn new(committer: Committer, journals: Journals) -> Self {
        Self {
            committer,
            journals,
        }
    }

    /// Every record, by name.
    pub async fn all(&self) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        self.committer.read(recorded).await
    }

    /// Writes the record of what is new.
    pub async fn put(&self, name: String, record: Vec<u8>) -> Result<(), StorageError> {
        let put =
            move |transaction: &redb::WriteTransaction| insert(transaction, &name, &record, &[]);
        self.committer.commit(put).await
    }

    /// Writes a record in the place of the one that is there, and what its actors left.
    pub async fn change(
        &self,
        name: String,
        record: Vec<u8>,
        left: Vec<Left>,
    ) -> Result<(), StorageError> {
        let change =
            move |transaction: &redb::WriteTransaction| insert(transaction, &name, &record, &left);
        self.committer.commit_sparing(change).await
    }

    /// Writes a record of a new version and the states with which it begins, and keeps these until `settle`.
    pub async fn put_upgrade(
        &self,
        name: String,
        record: Vec<u8>,
        left: Vec<Left>,
    ) -> Result<(), StorageError> {
        let put = move |transaction: &redb::WriteTransaction| {
            insert(transaction, &name, &record, &left)?;
            entries::note_upgrade(transaction, &name)?;
            let mut table = transaction.open_table(AT_UPGRADE)?;
            table.retain(|(application, _), _| application != name)?;
            for (actor, state) in &left {
                table.insert((&*name, &**actor), &**state)?;
            }
            Ok(())
        };
        self.committer.commit(put).await
    }

    /// Writes a record of a version that stays, and forgets the states of the last upgrade.
    pub async fn settle(&self, name: String, record: Vec<u8>) -> Result<(), StorageError> {
        let settle = move |transaction: &redb::WriteTransaction| {
            transaction.open_table(RECORDS)?.insert(&*name, &*record)?;
            transaction
                .open_table(AT_UPGRADE)?
                .retain(|(application, _), _| application != name)?;
            entries::settle(transaction, &name)
        };
        self.committer.commit_sparing(settle).await
    }

    /// Writes a record of the version before, and takes its actors' states and journals back to what they were at the
    /// upgrade.
    /// Answers with these.
    pub async fn take_back(
        &self,
        name: String,
        record: Vec<u8>,
    ) -> Result<Vec<Left>, StorageError> {
        let take_back = move |transaction: &redb::WriteTransaction| {
            let mut left = Vec::new();
            {
                let mut table = transaction.open_table(AT_UPGRADE)?;
                for entry in table.range((&*name, "")..)? {
                    let (key, state) = entry?;
                    let (application, actor) = key.value();
                    if application != name {
                        break;
                    }
                    left.push((actor.to_owned(), Bytes::copy_from_slice(state.value())));
                }
                table.retain(|(application, _), _| application != name)?;
            }
            transaction
                .open_table(SNAPSHOTS)?
                .retain(|(application, _), _| application != name)?;
            insert(transaction, &name, &record, &left)?;
            let heads = entries::take_back(transaction, &name, &left)?;
            Ok((name.clone(), left, heads))
        };
        let journals = self.journals.clone();
        let know = move |(name, left, heads): (String, Vec<Left>, _)| {
            journals.know(&name, heads);
            left
        };
        self.committer.commit_sparing_then(take_back, know).await
    }

    /// Keeps what actors of several applications left; the record of each stays as it is.
    pub async fn keep(&self, left: Vec<(String, Vec<Left>)>) -> Result<(), StorageError> {
        let keep = move |transaction: &redb::WriteTransaction| {
            left.iter()
                .try_for_each(|(name, left)| insert_all(transaction, name, left))
        };
        self.committer.commit_sparing(keep).await
    }

    /// Forgets an application, all that its actors left, their journals, and its workflows.
    pub async fn remove(&self, name: String) -> Result<(), StorageError> {
        let remove = move |transaction: &redb::WriteTransaction| {
            transaction.open_table(RECORDS)?.remove(&*name)?;
            transaction.open_table(ATTEMPTS)?.remove(&*name)?;
            for table in [SNAPSHOTS, AT_UPGRADE] {
                transaction
                    .open_table(table)?
                    .retain(|(application, _), _| application != name)?;
            }
            entries::forget(transaction, &name)?;
            runs::forget(transaction, &name)?;
            Ok(name.clone())
        };
        let journals = self.journals.clone();
        let forget = move |name: String| {
            journals.forget_known(&name);
        };
        self.committer.commit_sparing_then(remove, forget).await
    }

    /// What all actors of this application left.
    pub async fn all_left(&self, name: String) -> Result<Vec<Left>, StorageError> {
        let look = move |transaction: &redb::ReadTransaction| {
            let Some(table) = there(transaction.open_table(SNAPSHOTS))? else {
                return Ok(Vec::new());
            };
            let mut all = Vec::new();
            for entry in table.range((&*name, "")..)? {
                let (key, left) = entry?;
                let (application, actor) = key.value();
                if application != name {
                    break;
                }
                all.push((actor.to_owned(), Bytes::copy_from_slice(left.value())));
            }
            Ok(all)
        };
        self.committer.read(look).await
    }

    /// How many starts of each application the node did not outlive.
    pub async fn attempts(&self) -> Result<Vec<(String, u32)>, StorageError> {
        let look = |transaction: &redb::ReadTransaction| {
            there(transaction.open_table(ATTEMPTS))?.map_or(Ok(Vec::new()), |table| counted(&table))
        };
        self.committer.read(look).await
    }

    /// Counts one more start for each of these, which the node did not outlive, and answers with all that are counted.
    pub async fn count_attempts(
        &self,
        names: Vec<String>,
    ) -> Result<Vec<(String, u32)>, StorageError> {
        let count = move |transaction: &redb::WriteTransaction| {
            let mut table = transaction.open_table(ATTEMPTS)?;
            for name in &names {
                let before = table.get(&**name)?.map_or(0, |attempts| attempts.value());
                table.insert(&**name, before.saturating_add(1))?;
            }
            counted(&table)
        };
        self.committer.commit(count).await
    }

    /// This application starts well after all, or is to be tried again.
    pub async fn forget_attempts(&self, name: String) -> Result<(), StorageError> {
        let forget = move |transaction: &redb::WriteTransaction| {
            transaction.open_table(ATTEMPTS)?.remove(&*name)?;
            Ok(())
        };
        self.committer.commit_sparing(forget).await
    }
}

fn counted(
    table: &impl ReadableTable<&'static str, u32>,
) -> Result<Vec<(String, u32)>, redb::Error> {
    let counted = table.iter()?.map(|entry| {
        let (name, attempts) = entry?;
        Ok((name.value().to_owned(), attempts.value()))
    });
    counted.collect()
}

fn insert(
    transaction: &redb::WriteTransaction,
    name: &str,
    record: &[u8],
    left: &[Left],
) -> Result<(), redb::Error> {
    transaction.open_table(RECORDS)?.insert(name, record)?;
    insert_all(transaction, name, left)
}

fn insert_all(
    transaction: &redb::WriteTransaction,
    name: &str,
    left: &[Left],
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(SNAPSHOTS)?;
    for (actor, state) in left {
        table.insert((name, &**actor), &**state)?;
    }
    Ok(())
}
