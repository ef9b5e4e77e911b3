//! The records of blobs: how one lies in the store, what is counted beside it, and how files and records come to agree.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::StorageError;
use super::blobs::{Blob, BlobError, Listed, Wanted};
use super::rows::{Stored, stored};
use super::store::{Store, there};
use super::usage::{Kept, Spent, Usage};
use crate::id::{Digest, Scope};
use crate::place::Place;

/// Tenant, namespace, bucket and key to a row.
pub const BLOBS: TableDefinition<(&str, &str, &str, &str), &[u8]> = TableDefinition::new("blobs");
/// An id to where its row is.
pub const IDS: TableDefinition<&str, (&str, &str, &str, &str)> = TableDefinition::new("blob-ids");
/// What is known of a blob beside its texts, as it is passed on.
const BOOKKEEPING_BYTES: usize = 256;

/// What a backup has of them.
pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![stored(BLOBS), stored(IDS)]
}

/// Where a row is.
#[derive(Clone, Debug)]
pub struct At {
    pub place: Place,
    pub bucket: Scope,
    pub key: String,
}

impl At {
    fn key(&self) -> (&str, &str, &str, &str) {
        let Self { place, bucket, key } = self;
        (&place.tenant, &place.namespace, bucket, key)
    }
}

/// A record as it lies in the store.
#[derive(Clone, Serialize, Deserialize)]
pub struct Row {
    pub id: String,
    /// Whose share of the disk it takes.
    pub owner: String,
    pub bytes: u64,
    pub digest: String,
    pub content_type: Option<String>,
    pub modified_ms: u64,
}

impl Row {
    pub fn shown(self, at: At) -> Blob {
        Blob {
            id: self.id,
            place: at.place,
            bucket: at.bucket,
            key: at.key,
            bytes: self.bytes,
            content_type: self.content_type,
            digest: Digest::parse(&self.digest)
                .expect("it is written from one, and checked when it is read"),
            modified_ms: self.modified_ms,
        }
    }

    /// Reads what `encode` wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, redb::Error> {
        let corrupted = |what| redb::Error::Corrupted(format!("the record of a blob: {what}"));
        let row: Self =
            serde_json::from_slice(bytes).map_err(|error| corrupted(error.to_string()))?;
        match Digest::parse(&row.digest) {
            Some(_) => Ok(row),
            None => Err(corrupted("it has no digest".into())),
        }
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a row is JSON")
    }
}

/// Where the blob with this id is, if it is in this place.
pub fn at(
    transaction: &ReadTransaction,
    place: &Place,
    id: &str,
) -> Result<Option<At>, redb::Error> {
    let Some(ids) = there(transaction.open_table(IDS))? else {
        return Ok(None);
    };
    let found = ids.get(id)?;
    Ok(found.and_then(|found| {
        let (tenant, namespace, bucket, key) = found.value();
        let here = tenant == &*place.tenant && namespace == &*place.namespace;
        let bucket = Scope::parse("bucket", bucket).ok().filter(|_| here)?;
        Some(At {
            place: place.clone(),
            bucket,
            key: key.to_owned(),
        })
    }))
}

pub fn find(transaction: &ReadTransaction, at: &At) -> Result<Option<Row>, redb::Error> {
    let Some(blobs) = there(transaction.open_table(BLOBS))? else {
        return Ok(None);
    };
    let found = blobs.get(at.key())?;
    found.map(|found| Row::parse(found.value())).transpose()
}

pub fn list(
    transaction: &ReadTransaction,
    place: Place,
    wanted: Wanted,
) -> Result<Result<Listed, BlobError>, redb::Error> {
    let (mut blobs, mut total, mut bytes) = (Vec::new(), 0, 0);
    let Some(table) = there(transaction.open_table(BLOBS))? else {
        return Ok(Ok(Listed { blobs, total }));
    };
    let from = (
        &*place.tenant,
        &*place.namespace,
        &*wanted.bucket,
        &*wanted.prefix,
    );
    for entry in table.range(from..)? {
        let (found, row) = entry?;
        let (tenant, namespace, bucket, key) = found.value();
        let same = (tenant, namespace, bucket) == (from.0, from.1, from.2);
        if !same || !key.starts_with(&wanted.prefix) {
            break;
        }
        total += 1;
        if total > wanted.offset && blobs.len() < wanted.limit {
            let row = Row::parse(row.value())?;
            bytes += BOOKKEEPING_BYTES + bucket.len() + key.len();
            bytes += row.content_type.as_ref().map_or(0, String::len);
            if bytes > wanted.bytes_max {
                return Ok(Err(BlobError::TooMany(wanted.bytes_max)));
            }
            blobs.push(row.shown(At {
                place: place.clone(),
                bucket: wanted.bucket.clone(),
                key: key.to_owned(),
            }));
        }
    }
    Ok(Ok(Listed { blobs, total }))
}

/// Writes a row, and answers with the id of the one that it replaces.
pub fn put(
    transaction: &WriteTransaction,
    at: &At,
    row: &Row,
) -> Result<Result<Option<String>, Spent>, redb::Error> {
    let mut blobs = transaction.open_table(BLOBS)?;
    let mut usage = Usage::open(transaction)?;
    let old = blobs.get(at.key())?;
    let old = old.map(|old| Row::parse(old.value())).transpose()?;
    let own = old.as_ref().filter(|old| old.owner == row.owner);
    let freed = own.map(|old| old.bytes);
    if let Err(spent) = usage.fits(Kept::Blobs, &row.owner, row.bytes, freed)? {
        return Ok(Err(spent));
    }
    let mut ids = transaction.open_table(IDS)?;
    if let Some(old) = &old {
        usage.remove(Kept::Blobs, &old.owner, old.bytes)?;
        ids.remove(&*old.id)?;
    }
    usage.add(Kept::Blobs, &row.owner, row.bytes)?;
    ids.insert(&*row.id, at.key())?;
    blobs.insert(at.key(), &*row.encode())?;
    Ok(Ok(old.map(|old| old.id)))
}

/// Removes a row, if it is still that of this blob.
pub fn remove(transaction: &WriteTransaction, at: &At, id: &str) -> Result<bool, redb::Error> {
    let mut blobs = transaction.open_table(BLOBS)?;
    let old = blobs.get(at.key())?;
    let old = old.map(|old| Row::parse(old.value())).transpose()?;
    let Some(old) = old.filter(|old| old.id == id) else {
        return Ok(false);
    };
    blobs.remove(at.key())?;
    transaction.open_table(IDS)?.remove(id)?;
    Usage::open(transaction)?.remove(Kept::Blobs, &old.owner, old.bytes)?;
    Ok(true)
}

/// Brings files and records into agreement, before anybody uses either.
pub fn settle(store: &mut Store, dir: &Path) -> Result<(), StorageError> {
    let mut recorded = store.read(recorded)?;
    let sweep = |recorded: &mut HashSet<String>| {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let known = entry
                .file_name()
                .to_str()
                .is_some_and(|id| recorded.remove(id));
            if !known {
                fs::remove_file(entry.path())?;
            }
        }
        io::Result::Ok(())
    };
    sweep(&mut recorded).map_err(StorageError::io("sweeping blobs"))?;
    if recorded.is_empty() {
        return Ok(());
    }
    log::error!(
        "the files of {} blobs are gone from {}; they are forgotten",
        recorded.len(),
        dir.display()
    );
    store.write(|transaction| recorded.iter().try_for_each(|id| forget(transaction, id)))
}

/// The ids of all blobs.
pub fn recorded(transaction: &ReadTransaction) -> Result<HashSet<String>, redb::Error> {
    let Some(ids) = there(transaction.open_table(IDS))? else {
        return Ok(HashSet::new());
    };
    let ids = ids.iter()?.map(|entry| Ok(entry?.0.value().to_owned()));
    ids.collect()
}

fn forget(transaction: &WriteTransaction, id: &str) -> Result<(), redb::Error> {
    let at = {
        let ids = transaction.open_table(IDS)?;
        let found = ids.get(id)?;
        found.and_then(|found| {
            let (tenant, namespace, bucket, key) = found.value();
            Some(At {
                place: super::values::place(tenant, namespace)?,
                bucket: Scope::parse("bucket", bucket).ok()?,
                key: key.to_owned(),
            })
        })
    };
    at.map_or(Ok(()), |at| remove(transaction, &at, id).map(drop))
}
