//! Modules that are kept for themselves: one record for each name and version.

use redb::{ReadableTable, TableDefinition};

use super::StorageError;
use super::committer::Committer;
use super::rows::{Stored, stored};
use super::store::there;

/// Name and version to record. What a record says is its owner's business.
const RECORDS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("modules");

/// What a backup has of them.
pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![stored(RECORDS)]
}

/// Every record that a transaction sees.
pub fn records(transaction: &redb::WriteTransaction) -> Result<Vec<Vec<u8>>, redb::Error> {
    let table = transaction.open_table(RECORDS)?;
    let records = table.iter()?.map(|entry| Ok(entry?.1.value().to_owned()));
    records.collect()
}

/// Every record that a snapshot has, by name and version.
pub fn recorded(snapshot: &redb::ReadTransaction) -> Result<Vec<(Key, Vec<u8>)>, redb::Error> {
    let Some(table) = there(snapshot.open_table(RECORDS))? else {
        return Ok(Vec::new());
    };
    let records = table.iter()?.map(|entry| {
        let (key, record) = entry?;
        let (name, version) = key.value();
        let key = (name.to_owned(), version.to_owned());
        Ok((key, record.value().to_owned()))
    });
    records.collect()
}

/// A module's name and version.
type Key = (String, String);

/// The records of all modules that are kept.
#[derive(Clone)]
pub struct Modules {
    committer: Committer,
}

impl Modules {
    pub(super) fn new(committer: Committer) -> Self {
        Self { committer }
    }

    /// Every record, by name and version.
    pub async fn all(&self) -> Result<Vec<(Key, Vec<u8>)>, StorageError> {
        self.committer.read(recorded).await
    }

    /// Writes a record, and forgets another one in the same breath.
    pub async fn put(
        &self,
        key: Key,
        record: Vec<u8>,
        instead_of: Option<Key>,
    ) -> Result<(), StorageError> {
        let put = move |transaction: &redb::WriteTransaction| {
            let mut table = transaction.open_table(RECORDS)?;
            if let Some((name, version)) = &instead_of {
                table.remove((&**name, &**version))?;
            }
            let (name, version) = &key;
            table.insert((&**name, &**version), &*record)?;
            Ok(())
        };
        self.committer.commit(put).await
    }
}
