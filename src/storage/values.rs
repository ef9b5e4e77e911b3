//! The rows of values: how one lies in the store, and what a change of one does to everything counted beside it.

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::keyvalue::KeyValueError;
use super::rows::{Stored, stored};
use super::steady;
use super::store::there;
use super::usage::{Kept, Usage};
use super::watches::Happened;
use crate::id::{ApplicationName, Scope};
use crate::limits;
use crate::place::Place;

/// Tenant, namespace and key to a row.
pub const VALUES: TableDefinition<(&str, &str, &str), &[u8]> = TableDefinition::new("values");
/// What expires, in the order in which it does.
pub const EXPIRIES: TableDefinition<(u64, &str, &str, &str), ()> =
    TableDefinition::new("value-expiries");
/// What a key weighs beside its own bytes and its value's.
const BOOKKEEPING_BYTES: usize = 64;
/// When values without a time to live expire.
pub const NEVER: u64 = 0;

/// What a backup has of them.
pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![stored(VALUES), stored(EXPIRIES)]
}

/// A value as it lies in the store.
pub struct Row<'a> {
    pub expires_ms: u64,
    /// The application that wrote it.
    pub owner: &'a str,
    pub value: &'a [u8],
}

/// What a change makes of a key.
pub enum Verdict {
    Leave,
    Put { value: Bytes, expires_ms: u64 },
    Delete,
}

/// A change of one key.
pub struct Change {
    pub place: Place,
    pub owner: ApplicationName,
    pub key: String,
    pub now_ms: u64,
}

/// What must be done elsewhere once a change is on disk.
pub struct Effect {
    pub happened: Option<Happened>,
    pub expires_ms: u64,
}

/// Keys that are gone, and when the next will be.
pub struct Expired {
    pub keys: Vec<(Place, String)>,
    pub next_ms: Option<u64>,
}

impl Change {
    /// Decides by what is there, then writes. A refusal writes nothing.
    pub fn apply<T>(
        &self,
        transaction: &WriteTransaction,
        decide: impl FnOnce(Option<&Row<'_>>) -> Result<(T, Verdict), KeyValueError>,
    ) -> Result<Result<(T, Effect), KeyValueError>, redb::Error> {
        let (place, at) = (&self.place, &*self.key);
        let at = (&*place.tenant, &*place.namespace, at);
        let mut values = transaction.open_table(VALUES)?;
        let mut usage = Usage::open(transaction)?;
        let found = values.get(at)?;
        let row = found.as_ref().map(|found| Row::parse(found.value()));
        let old = row.as_ref().map(|row| Old::of(row, &self.key));
        let alive = row.as_ref().filter(|row| row.is_alive(self.now_ms));
        let decided = decide(alive);
        drop(found);
        let (done, verdict) = match decided {
            Ok(decided) => decided,
            Err(error) => return Ok(Err(error)),
        };
        let (happened, expires_ms) = match &verdict {
            Verdict::Leave => {
                let (happened, expires_ms) = (None, NEVER);
                return Ok(Ok((
                    done,
                    Effect {
                        happened,
                        expires_ms,
                    },
                )));
            }
            Verdict::Put { value, expires_ms } => {
                let own = old.as_ref().filter(|old| *old.owner == *self.owner);
                let (bytes, freed) = (weight(&self.key, value), own.map(|old| old.bytes));
                if let Err(spent) = usage.fits(Kept::Keys, &self.owner, bytes, freed)? {
                    return Ok(Err(spent.into()));
                }
                (Happened::Put, *expires_ms)
            }
            Verdict::Delete => (Happened::Deleted, NEVER),
        };
        steady::note(transaction, self.now_ms)?;
        let mut expiries = transaction.open_table(EXPIRIES)?;
        if let Some(old) = old {
            usage.remove(Kept::Keys, &old.owner, old.bytes)?;
            if old.expires_ms != NEVER {
                expiries.remove((old.expires_ms, at.0, at.1, at.2))?;
            }
        }
        match verdict {
            Verdict::Put { value, expires_ms } => {
                usage.add(Kept::Keys, &self.owner, weight(&self.key, &value))?;
                if expires_ms != NEVER {
                    expiries.insert((expires_ms, at.0, at.1, at.2), ())?;
                }
                let owner = &self.owner;
                values.insert(
                    at,
                    &*Row {
                        expires_ms,
                        owner,
                        value: &value,
                    }
                    .encode(),
                )?;
            }
            Verdict::Delete | Verdict::Leave => drop(values.remove(at)?),
        }
        let happened = Some(happened);
        Ok(Ok((
            done,
            Effect {
                happened,
                expires_ms,
            },
        )))
    }
}

/// When the next value expires.
pub fn next_expiry(transaction: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    let table = there(transaction.open_table(EXPIRIES))?;
    table.map_or(Ok(None), |table| first(&table))
}

fn first(
    table: &impl ReadableTable<(u64, &'static str, &'static str, &'static str), ()>,
) -> Result<Option<u64>, redb::Error> {
    Ok(table.first()?.map(|(key, _)| key.value().0))
}

/// Takes away some of what has expired.
pub fn expire(transaction: &WriteTransaction, now_ms: u64) -> Result<Expired, redb::Error> {
    let mut values = transaction.open_table(VALUES)?;
    let mut usage = Usage::open(transaction)?;
    let mut expiries = transaction.open_table(EXPIRIES)?;
    let mut keys = Vec::new();
    while keys.len() < limits::SWEEP_ITEMS_MAX {
        if first(&expiries)?.is_none_or(|at_ms| at_ms > now_ms) {
            break;
        }
        let Some((key, _)) = expiries.pop_first()? else {
            break;
        };
        let (_, tenant, namespace, key) = key.value();
        if let Some(row) = values.remove((tenant, namespace, key))? {
            let old = Old::of(&Row::parse(row.value()), key);
            usage.remove(Kept::Keys, &old.owner, old.bytes)?;
        }
        if let Some(place) = place(tenant, namespace) {
            keys.push((place, key.to_owned()));
        }
    }
    steady::note(transaction, now_ms)?;
    let next_ms = first(&expiries)?;
    Ok(Expired { keys, next_ms })
}

/// The place of a row; it was one when the row was written.
pub fn place(tenant: &str, namespace: &str) -> Option<Place> {
    Some(Place {
        tenant: Scope::parse("tenant", tenant).ok()?,
        namespace: Scope::parse("namespace", namespace).ok()?,
    })
}

/// What a key takes of its application's share.
pub fn weight(key: &str, value: &[u8]) -> u64 {
    (BOOKKEEPING_BYTES + key.len() + value.len()) as u64
}

/// What is kept of a row until it is replaced.
struct Old {
    owner: String,
    bytes: u64,
    expires_ms: u64,
}

impl Old {
    fn of(row: &Row<'_>, key: &str) -> Self {
        Self {
            owner: row.owner.to_owned(),
            bytes: weight(key, row.value),
            expires_ms: row.expires_ms,
        }
    }
}

impl<'a> Row<'a> {
    pub fn is_alive(&self, now_ms: u64) -> bool {
        self.expires_ms == NEVER || now_ms < self.expires_ms
    }

    /// When it expires as eight bytes, little-endian; the owner's length as one, and the owner; the value.
    fn encode(&self) -> Vec<u8> {
        let owner = self.owner.as_bytes();
        let owner_len = u8::try_from(owner.len()).expect("a name has at most 128 bytes");
        let mut bytes = Vec::with_capacity(9 + owner.len() + self.value.len());
        bytes.extend_from_slice(&self.expires_ms.to_le_bytes());
        bytes.push(owner_len);
        bytes.extend_from_slice(owner);
        bytes.extend_from_slice(self.value);
        bytes
    }

    /// Reads what `encode` wrote, if nothing else lies there.
    pub fn checked(bytes: &'a [u8]) -> Option<Self> {
        let owner_len = usize::from(*bytes.get(8)?);
        let owner = bytes.get(9..)?.get(..owner_len)?;
        let owner = std::str::from_utf8(owner).ok()?;
        ApplicationName::parse(owner).ok()?;
        Some(Self::parse(bytes))
    }

    /// Reads what `encode` wrote. The store checks its pages, so nothing else lies there.
    pub fn parse(bytes: &'a [u8]) -> Self {
        let (expires_ms, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], bytes));
        let (&owner_len, rest) = rest.split_first().unwrap_or((&0, rest));
        let (owner, value) = rest
            .split_at_checked(owner_len.into())
            .unwrap_or((rest, &[]));
        Self {
            expires_ms: u64::from_le_bytes(*expires_ms),
            owner: std::str::from_utf8(owner).unwrap_or_default(),
            value,
        }
    }
}
