//! The rows of any table as bytes and back, for backups: cell by cell, and nothing believed before it is read.

use std::ops::Bound;

use redb::{
    Key, ReadTransaction, ReadableTableMetadata, TableDefinition, TableHandle, Value,
    WriteTransaction,
};

use super::store::there;
use super::{blob_rows, deployments, entries, letters, modules, runs, steady, tuples, values};

/// A table whose rows go into a backup. What can be counted anew, and what is of this process only, does not.
pub trait Stored: Send + Sync {
    fn name(&self) -> &str;

    /// The rows behind the one whose key `after` holds, until they have this many bytes; nothing where there are none.
    /// Leaves the last key in `after`.
    fn read(
        &self,
        transaction: &ReadTransaction,
        after: &mut Option<Vec<u8>>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, redb::Error>;

    /// Writes what `read` gave. `None` where these bytes are no rows of this table, or one is there already.
    fn write(&self, transaction: &WriteTransaction, rows: &[u8])
    -> Result<Option<()>, redb::Error>;

    fn is_empty(&self, transaction: &ReadTransaction) -> Result<bool, redb::Error>;

    fn clear(&self, transaction: &WriteTransaction) -> Result<(), redb::Error>;
}

/// Every table of the store, in the order in which a backup has them.
pub fn tables() -> Vec<Box<dyn Stored>> {
    let rooms = [
        vec![stored(steady::NOTED)],
        deployments::tables(),
        modules::tables(),
        values::tables(),
        letters::tables(),
        entries::tables(),
        runs::tables(),
        blob_rows::tables(),
        tuples::tables(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Whether a directory in which nothing is kept may have rows in this table.
pub fn is_bookkeeping(name: &str) -> bool {
    name == steady::NOTED.name() || name == letters::LAST_ID.name()
}

/// The tables that a backup leaves out: they are counted anew, or count what this file has seen.
const LEFT_OUT: &[&str] = &["commits", "usage"];

/// A table of this store that `tables` has not, if there is one.
pub fn unknown(transaction: &ReadTransaction) -> Result<Option<String>, redb::Error> {
    let tables = tables();
    let known = |name: &str| LEFT_OUT.contains(&name) || tables.iter().any(|it| it.name() == name);
    let mut found = transaction.list_tables()?;
    let unknown = found.find(|table| !known(table.name()));
    Ok(unknown.map(|table| table.name().to_owned()))
}

pub fn stored<K, V>(definition: TableDefinition<'static, K, V>) -> Box<dyn Stored>
where
    K: Key + Cells + Send + Sync + 'static,
    V: Value + Cells + Send + Sync + 'static,
{
    Box::new(Of(definition))
}

struct Of<K: Key + 'static, V: Value + 'static>(TableDefinition<'static, K, V>);

impl<K, V> Stored for Of<K, V>
where
    K: Key + Cells + Send + Sync + 'static,
    V: Value + Cells + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        self.0.name()
    }

    fn read(
        &self,
        transaction: &ReadTransaction,
        after: &mut Option<Vec<u8>>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, redb::Error> {
        let mut rows = Vec::new();
        let Some(table) = there(transaction.open_table(self.0))? else {
            return Ok(rows);
        };
        let key = after.take();
        let key = key.as_deref().and_then(|mut key| K::take(&mut key));
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for entry in table.range::<K::SelfType<'_>>((from, Bound::Unbounded))? {
            let (key, value) = entry?;
            let row_at = rows.len();
            K::put(&key.value(), &mut rows);
            last = Some(row_at..rows.len());
            V::put(&value.value(), &mut rows);
            if rows.len() >= bytes_max {
                break;
            }
        }
        *after = last.map(|last| rows[last].to_vec());
        Ok(rows)
    }

    fn write(
        &self,
        transaction: &WriteTransaction,
        mut rows: &[u8],
    ) -> Result<Option<()>, redb::Error> {
        let mut table = transaction.open_table(self.0)?;
        while !rows.is_empty() {
            let (Some(key), Some(value)) = (K::take(&mut rows), V::take(&mut rows)) else {
                return Ok(None);
            };
            if table.insert(key, value)?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    fn is_empty(&self, transaction: &ReadTransaction) -> Result<bool, redb::Error> {
        let table = there(transaction.open_table(self.0))?;
        Ok(table.map_or(Ok(true), |table| table.is_empty())?)
    }

    fn clear(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        transaction.delete_table(self.0)?;
        Ok(())
    }
}

/// Numbers little-endian; texts and bytes behind their length as four bytes; of several, one after the other.
pub trait Cells: Value {
    fn put(value: &Self::SelfType<'_>, to: &mut Vec<u8>);

    /// `None` where that is not what the bytes begin with.
    fn take<'a>(from: &mut &'a [u8]) -> Option<Self::SelfType<'a>>
    where
        Self: 'a;
}

impl Cells for () {
    fn put((): &(), _: &mut Vec<u8>) {}

    fn take<'a>(_: &mut &'a [u8]) -> Option<()>
    where
        Self: 'a,
    {
        Some(())
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Cells for $number {
            fn put(value: &$number, to: &mut Vec<u8>) {
                to.extend_from_slice(&value.to_le_bytes());
            }

            fn take<'a>(from: &mut &'a [u8]) -> Option<$number>
            where
                Self: 'a,
            {
                let (bytes, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(<$number>::from_le_bytes(*bytes))
            }
        }
    )*};
}

numbers!(u32, u64);

impl Cells for &'static [u8] {
    fn put(value: &&[u8], to: &mut Vec<u8>) {
        let length = u32::try_from(value.len()).expect("no row has 4 GiB");
        u32::put(&length, to);
        to.extend_from_slice(value);
    }

    fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]>
    where
        Self: 'a,
    {
        let length = u32::take(from)?;
        let (bytes, rest) = from.split_at_checked(length as usize)?;
        *from = rest;
        Some(bytes)
    }
}

impl Cells for &'static str {
    fn put(value: &&str, to: &mut Vec<u8>) {
        <&[u8]>::put(&value.as_bytes(), to);
    }

    fn take<'a>(from: &mut &'a [u8]) -> Option<&'a str>
    where
        Self: 'a,
    {
        std::str::from_utf8(<&[u8]>::take(from)?).ok()
    }
}

macro_rules! several {
    ($($cell:ident $at:tt),*) => {
        impl<$($cell: Cells),*> Cells for ($($cell,)*) {
            fn put(value: &Self::SelfType<'_>, to: &mut Vec<u8>) {
                $($cell::put(&value.$at, to);)*
            }

            fn take<'a>(from: &mut &'a [u8]) -> Option<Self::SelfType<'a>>
            where
                Self: 'a,
            {
                Some(($($cell::take(from)?,)*))
            }
        }
    };
}

several!(A 0, B 1);
several!(A 0, B 1, C 2);
several!(A 0, B 1, C 2, D 3);
