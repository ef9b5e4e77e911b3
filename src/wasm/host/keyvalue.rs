//! Durable values: the meaning once, as the WIT trait; `core_keyvalue` spells it for core modules.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::bindings::keyvalue::Host;
use super::bindings::types::{ActorError, Context, ErrorCode};
use super::{Guest, actor_error};
use crate::budget::Share;
use crate::limits;
use crate::services::{Event, Kind, Numbered};
use crate::storage::{Happened, KeyValueError, StorageError, Watch};
use crate::wasm::exchange;

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "get",
    "put",
    "put-with-ttl",
    "delete",
    "exists",
    "list-keys",
    "compare-and-swap",
    "increment",
    "watch",
    "unwatch",
];

type Answer<T> = wasmtime::Result<Result<T, ActorError>>;

impl Host for Guest {
    async fn get(&mut self, context: Context, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.value(context, key).await)
    }

    async fn put(&mut self, context: Context, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.set(context, key, value, None).await)
    }

    async fn put_with_ttl(
        &mut self,
        context: Context,
        key: String,
        value: Vec<u8>,
        ttl_ms: u64,
    ) -> Answer<()> {
        if ttl_ms == 0 {
            let text = "a time to live is at least 1 ms; put sets a key for good";
            return Ok(Err(actor_error(ErrorCode::InvalidMessage, text)));
        }
        let ttl = Some(Duration::from_millis(ttl_ms));
        Ok(self.set(context, key, value, ttl).await)
    }

    async fn delete(&mut self, context: Context, key: String) -> Answer<()> {
        let place = match self.place(&context) {
            Ok(place) => place,
            Err(error) => return Ok(Err(error)),
        };
        let keyvalue = &self.services.storage.keyvalue;
        let deleted = keyvalue.delete(&place, self.actor.application(), &key);
        Ok(deleted.await.map_err(Into::into))
    }

    async fn exists(&mut self, context: Context, key: String) -> Answer<bool> {
        let place = match self.place(&context) {
            Ok(place) => place,
            Err(error) => return Ok(Err(error)),
        };
        let exists = self.services.storage.keyvalue.exists(&place, &key);
        Ok(exists.await.map_err(Into::into))
    }

    async fn list_keys(
        &mut self,
        context: Context,
        prefix: String,
        limit: u32,
    ) -> Answer<Vec<String>> {
        let place = match self.place(&context) {
            Ok(place) => place,
            Err(error) => return Ok(Err(error)),
        };
        let limit = (limit != 0).then_some(limit as usize);
        let bytes_max = exchange::passed_bytes_max(&self.limits);
        let keyvalue = &self.services.storage.keyvalue;
        let listed = keyvalue.list(&place, &prefix, limit, bytes_max);
        Ok(listed.await.map_err(Into::into))
    }

    async fn compare_and_swap(
        &mut self,
        context: Context,
        key: String,
        expected: Option<Vec<u8>>,
        new_value: Vec<u8>,
    ) -> Answer<bool> {
        Ok(self.swap(context, key, expected, new_value).await)
    }

    async fn increment(&mut self, context: Context, key: String, delta: i64) -> Answer<i64> {
        let place = match self.place(&context) {
            Ok(place) => place,
            Err(error) => return Ok(Err(error)),
        };
        let keyvalue = &self.services.storage.keyvalue;
        let sum = keyvalue.increment(&place, self.actor.application(), &key, delta);
        Ok(sum.await.map_err(Into::into))
    }

    fn watch(&mut self, context: Context, key: String) -> Answer<u64> {
        Ok(self.begin_watch(context, key))
    }

    fn unwatch(&mut self, subscription_id: u64) -> Answer<()> {
        let ended = self.holdings.watches.end(subscription_id);
        Ok(ended.then_some(()).ok_or_else(|| {
            let text = format!("this actor has no watch {subscription_id}");
            actor_error(ErrorCode::InvalidMessage, text)
        }))
    }
}

/// The payload of a `key` event.
#[derive(Serialize)]
struct KeyEvent<'a> {
    subscription: u64,
    namespace: &'a str,
    key: &'a str,
    change: &'static str,
}

impl Guest {
    async fn value(
        &mut self,
        context: Context,
        key: String,
    ) -> Result<Option<Vec<u8>>, ActorError> {
        let place = self.place(&context)?;
        let value = self.services.storage.keyvalue.get(&place, &key).await?;
        let Some(value) = value else {
            return Ok(None);
        };
        self.fits(value.len())?;
        Ok(Some(value.into()))
    }

    async fn set(
        &mut self,
        context: Context,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), ActorError> {
        let place = self.place(&context)?;
        let (value, _share) = self.laid_down(value)?;
        let (keyvalue, owner) = (&self.services.storage.keyvalue, self.actor.application());
        Ok(keyvalue.put(&place, owner, &key, value, ttl).await?)
    }

    async fn swap(
        &mut self,
        context: Context,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, ActorError> {
        let place = self.place(&context)?;
        let (value, _share) = self.laid_down(value)?;
        let (keyvalue, owner) = (&self.services.storage.keyvalue, self.actor.application());
        let expected = expected.map(Bytes::from);
        let swapped = keyvalue.compare_and_swap(&place, owner, &key, expected, value);
        Ok(swapped.await?)
    }

    fn begin_watch(&mut self, context: Context, key: String) -> Result<u64, ActorError> {
        let place = self.place(&context)?;
        if self.holdings.watches.count() >= limits::WATCHES_MAX {
            let text = format!("an actor watches at most {} keys", limits::WATCHES_MAX);
            return Err(actor_error(ErrorCode::ResourceExhausted, text));
        }
        let subscription = Numbered::<Watch>::number();
        let (events, actor) = (self.services.clone(), self.actor.clone());
        let (namespace, watched) = (place.namespace.clone(), key.clone());
        let hear = move |happened: Happened| {
            let event = KeyEvent {
                subscription,
                namespace: &namespace,
                key: &watched,
                change: match happened {
                    Happened::Put => "put",
                    Happened::Deleted => "delete",
                    Happened::Expired => "expire",
                },
            };
            events.notify(&actor, &Event::new(Kind::Key, &event));
        };
        let watch = self.services.storage.keyvalue.watch(&place, &key, hear)?;
        self.holdings.watches.keep(subscription, watch);
        Ok(subscription)
    }

    /// Bytes on their way to the disk: within the actor's own limit, and counted while they wait.
    pub(super) fn laid_down(&self, bytes: Vec<u8>) -> Result<(Bytes, Share), ActorError> {
        let bytes = self.bounded(bytes)?;
        let share = self.in_flight(bytes.len())?;
        Ok((bytes, share))
    }

    /// A share of the node's bytes, for as long as so many are on their way.
    pub(super) fn in_flight(&self, bytes: usize) -> Result<Share, ActorError> {
        let share = self.actors.budget().take(bytes);
        share.ok_or_else(|| {
            let text = "this node keeps as many bytes in flight as it may; try again later";
            actor_error(ErrorCode::ResourceExhausted, text)
        })
    }
}

impl From<KeyValueError> for ActorError {
    fn from(error: KeyValueError) -> Self {
        let code = match &error {
            KeyValueError::Key(_) | KeyValueError::NotANumber(_) | KeyValueError::Overflow(_) => {
                ErrorCode::InvalidMessage
            }
            KeyValueError::TooMany { .. } | KeyValueError::Spent(_) => ErrorCode::ResourceExhausted,
            KeyValueError::Storage(error) => storage_code(error),
        };
        actor_error(code, error.to_string())
    }
}

/// What an error of the store is to a guest.
pub(super) fn storage_code(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::Busy | StorageError::NoSpace(_) => ErrorCode::ResourceExhausted,
        _ => ErrorCode::Internal,
    }
}
