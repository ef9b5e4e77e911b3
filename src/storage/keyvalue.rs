//! Values by key, with expiry, compare-and-swap, counters and watches; what a change answers is on disk.
//!
//! Keys belong to a place, a tenant's namespace, not to the application that wrote them: undeploying it leaves them
//! there. Each still counts as the application's that wrote it last.

use std::time::Duration;

use bytes::Bytes;
use redb::ReadTransaction;

use super::StorageError;
use super::committer::Committer;
use super::due::Due;
use super::store::there;
use super::usage::Spent;
use super::values::{self, Change, NEVER, Row, Verdict};
use super::watches::{Happened, Watch, Watches};
use crate::id::ApplicationName;
use crate::limits;
use crate::place::Place;

/// All values of all places.
#[derive(Clone)]
pub struct KeyValue {
    committer: Committer,
    due: Due,
    watches: Watches,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    #[error("a key has 1 to {max} bytes, this one has {0}", max = limits::KEY_BYTES_MAX)]
    Key(usize),
    #[error("the value of {0:?} is not a decimal number, so it cannot be incremented")]
    NotANumber(String),
    #[error("{0:?} would leave the range of a signed 64-bit number")]
    Overflow(String),
    #[error(
        "the keys that begin with {prefix:?} have more than {bytes_max} bytes together; ask for a longer prefix or a \
         limit"
    )]
    TooMany { prefix: String, bytes_max: usize },
    #[error(transparent)]
    Spent(#[from] Spent),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl KeyValue {
    pub(super) fn new(committer: Committer, due: Due) -> Self {
        Self {
            committer,
            due,
            watches: Watches::default(),
        }
    }

    pub async fn get(&self, place: &Place, key: &str) -> Result<Option<Bytes>, KeyValueError> {
        self.look(place, key, |row| Bytes::copy_from_slice(row.value))
            .await
    }

    pub async fn exists(&self, place: &Place, key: &str) -> Result<bool, KeyValueError> {
        Ok(self.look(place, key, |_| ()).await?.is_some())
    }

    /// Sets a key, for `ttl` or for good; an earlier time to live is dropped.
    pub async fn put(
        &self,
        place: &Place,
        owner: &ApplicationName,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<(), KeyValueError> {
        let now_ms = self.due.steady.now_ms();
        let expires_ms = ttl.map_or(NEVER, |ttl| {
            now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
        });
        let put = move |_: Option<&Row>| Ok(((), Verdict::Put { value, expires_ms }));
        self.change(place, owner, key, put).await
    }

    /// An absent key is no error.
    pub async fn delete(
        &self,
        place: &Place,
        owner: &ApplicationName,
        key: &str,
    ) -> Result<(), KeyValueError> {
        let delete = |row: Option<&Row>| Ok(((), row.map_or(Verdict::Leave, |_| Verdict::Delete)));
        self.change(place, owner, key, delete).await
    }

    /// Sets a key for good if its value is `expected`; `None` demands that it be absent.
    pub async fn compare_and_swap(
        &self,
        place: &Place,
        owner: &ApplicationName,
        key: &str,
        expected: Option<Bytes>,
        value: Bytes,
    ) -> Result<bool, KeyValueError> {
        let swap = move |row: Option<&Row>| {
            let expires_ms = NEVER;
            Ok(if row.map(|row| row.value) == expected.as_deref() {
                (true, Verdict::Put { value, expires_ms })
            } else {
                (false, Verdict::Leave)
            })
        };
        self.change(place, owner, key, swap).await
    }

    /// Adds to a decimal number, which keeps its time to live; an absent key counts as 0.
    pub async fn increment(
        &self,
        place: &Place,
        owner: &ApplicationName,
        key: &str,
        delta: i64,
    ) -> Result<i64, KeyValueError> {
        let name = key.to_owned();
        let increment = move |row: Option<&Row>| {
            let before = row.map_or(Some(0), |row| number(row.value));
            let before = before.ok_or_else(|| KeyValueError::NotANumber(name.clone()))?;
            let sum = before.checked_add(delta);
            let sum = sum.ok_or(KeyValueError::Overflow(name))?;
            let put = Verdict::Put {
                value: sum.to_string().into(),
                expires_ms: row.map_or(NEVER, |row| row.expires_ms),
            };
            Ok((sum, put))
        };
        self.change(place, owner, key, increment).await
    }

    /// The keys that begin with `prefix`, in their order, at most `limit` of them. More than `bytes_max` together are
    /// an error: half a list would look like a whole one.
    pub async fn list(
        &self,
        place: &Place,
        prefix: &str,
        limit: Option<usize>,
        bytes_max: usize,
    ) -> Result<Vec<String>, KeyValueError> {
        if prefix.len() > limits::KEY_BYTES_MAX {
            return Err(KeyValueError::Key(prefix.len()));
        }
        let (place, prefix, now_ms) = (place.clone(), prefix.to_owned(), self.due.steady.now_ms());
        let limit = limit.unwrap_or(usize::MAX);
        let look = move |transaction: &ReadTransaction| {
            let Some(table) = there(transaction.open_table(values::VALUES))? else {
                return Ok(Ok(Vec::new()));
            };
            let (mut keys, mut bytes) = (Vec::new(), 0);
            for entry in table.range((&*place.tenant, &*place.namespace, &*prefix)..)? {
                let (found, row) = entry?;
                let (tenant, namespace, key) = found.value();
                let elsewhere = tenant != &*place.tenant || namespace != &*place.namespace;
                if elsewhere || !key.starts_with(&prefix) || keys.len() >= limit {
                    break;
                }
                if Row::parse(row.value()).is_alive(now_ms) {
                    bytes += key.len() + size_of::<u64>();
                    if bytes > bytes_max {
                        return Ok(Err(KeyValueError::TooMany { prefix, bytes_max }));
                    }
                    keys.push(key.to_owned());
                }
            }
            Ok(Ok(keys))
        };
        self.committer.read(look).await?
    }

    /// Hears of every change of a key, its expiry included, until the watch is dropped.
    pub fn watch(
        &self,
        place: &Place,
        key: &str,
        hear: impl Fn(Happened) + Send + Sync + 'static,
    ) -> Result<Watch, KeyValueError> {
        checked(key)?;
        Ok(self.watches.watch(place, key, hear))
    }

    async fn look<T: Send + 'static>(
        &self,
        place: &Place,
        key: &str,
        see: impl FnOnce(Row<'_>) -> T + Send + 'static,
    ) -> Result<Option<T>, KeyValueError> {
        checked(key)?;
        let (place, key, now_ms) = (place.clone(), key.to_owned(), self.due.steady.now_ms());
        let look = move |transaction: &ReadTransaction| {
            let Some(table) = there(transaction.open_table(values::VALUES))? else {
                return Ok(None);
            };
            let found = table.get((&*place.tenant, &*place.namespace, &*key))?;
            let row = found.as_ref().map(|found| Row::parse(found.value()));
            Ok(row.filter(|row| row.is_alive(now_ms)).map(see))
        };
        Ok(self.committer.read(look).await?)
    }

    /// Decides by what the key holds, and answers once what was decided is on disk.
    async fn change<T: Send + 'static>(
        &self,
        place: &Place,
        owner: &ApplicationName,
        key: &str,
        decide: impl FnOnce(Option<&Row<'_>>) -> Result<(T, Verdict), KeyValueError> + Send + 'static,
    ) -> Result<T, KeyValueError> {
        checked(key)?;
        let change = Change {
            place: place.clone(),
            owner: owner.clone(),
            key: key.to_owned(),
            now_ms: self.due.steady.now_ms(),
        };
        let (due, watches) = (self.due.clone(), self.watches.clone());
        let apply = move |transaction: &redb::WriteTransaction| {
            let done = change.apply(transaction, decide)?;
            Ok((done, change))
        };
        let tell = move |(done, change): (Result<(T, values::Effect), KeyValueError>, Change)| {
            let (done, effect) = done?;
            if effect.expires_ms != NEVER {
                due.at(effect.expires_ms);
            }
            if let Some(happened) = effect.happened {
                watches.tell(change.place, change.key, happened);
            }
            Ok(done)
        };
        self.committer.commit_then(apply, tell).await?
    }

    /// Takes away what has expired, some at a time, and answers when the next does.
    pub(super) async fn sweep(&self) -> Result<Option<u64>, StorageError> {
        let now_ms = self.due.steady.now_ms();
        let next_ms = self.committer.read(values::next_expiry).await?;
        if next_ms.is_none_or(|next_ms| next_ms > now_ms) {
            return Ok(next_ms);
        }
        let watches = self.watches.clone();
        let expire =
            move |transaction: &redb::WriteTransaction| values::expire(transaction, now_ms);
        let tell = move |expired: values::Expired| {
            for (place, key) in expired.keys {
                watches.tell(place, key, Happened::Expired);
            }
            expired.next_ms
        };
        self.committer.commit_then(expire, tell).await
    }
}

fn checked(key: &str) -> Result<(), KeyValueError> {
    match key.len() {
        1..=limits::KEY_BYTES_MAX => Ok(()),
        len => Err(KeyValueError::Key(len)),
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
