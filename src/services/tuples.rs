//! Tuples written and taken, in memory or on disk as their namespace is, and those told who subscribed to such ones.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use super::{Event, Kind, Services};
use crate::coordination::durable::{Batch, Catching, DurableError};
use crate::coordination::tuplespace::{Notice, TupleError, Wish};
use crate::coordination::{Pattern, Tuple};
use crate::place::Place;
use crate::storage::StorageError;

/// The payload of a `tuple` event.
#[derive(Serialize)]
struct Written<'a> {
    subscription: u64,
    tuple: &'a Tuple,
}

impl Services {
    /// Makes these namespaces of every tenant durable, and brings back the tuples that they had.
    pub async fn keep_tuples(&self, namespaces: &[String]) -> Result<(), StorageError> {
        let tuples = &self.coordination.tuples;
        let namespaces: HashSet<String> = namespaces.iter().cloned().collect();
        let asleep = tuples
            .open_log(self.storage.tuples.clone(), namespaces)
            .await?;
        let total = tuples.total().tuples;
        if total > 0 {
            log::info!("{total} tuples of durable namespaces are back");
        }
        if asleep > 0 {
            log::warn!(
                "{asleep} tuples stay on disk unused: their namespaces are not in [tuplespace] durable any more"
            );
        }
        Ok(())
    }

    /// Whether tuples here outlive the node; then what changes them answers once that is on disk.
    pub fn keeps_tuples(&self, place: &Place) -> bool {
        self.coordination.tuples.is_durable(place)
    }

    /// Adds a tuple, which ends after `ttl` where one is given, and tells who subscribed to such.
    pub async fn write(
        &self,
        place: &Place,
        tuple: Tuple,
        ttl: Option<Duration>,
    ) -> Result<(), DurableError> {
        match self.keeps_tuples(place) {
            true => self.write_all(place, vec![(tuple, ttl)]).await,
            false => Ok(self.write_now(place, tuple, ttl)?),
        }
    }

    /// Adds several. In a durable namespace all of them are there, or none.
    pub async fn write_all(&self, place: &Place, batch: Batch) -> Result<(), DurableError> {
        if !self.keeps_tuples(place) {
            for (tuple, ttl) in batch {
                self.write_now(place, tuple, ttl)?;
            }
            return Ok(());
        }
        let services = self.clone();
        let tell = move |tuple: &Tuple, notices| services.tell_of(tuple, notices);
        self.coordination.tuples.put(place, batch, tell).await
    }

    /// Adds a tuple of a namespace that is in memory.
    pub fn write_now(
        &self,
        place: &Place,
        tuple: Tuple,
        ttl: Option<Duration>,
    ) -> Result<(), TupleError> {
        let notices = self.coordination.tuples.write(place, tuple.clone(), ttl)?;
        self.tell_of(&tuple, notices);
        Ok(())
    }

    /// Replaces a tuple that matches and equals `expected`; false where there is none.
    pub async fn swap(
        &self,
        place: &Place,
        pattern: &Pattern,
        expected: &Tuple,
        new: Tuple,
    ) -> Result<bool, DurableError> {
        let tuples = &self.coordination.tuples;
        if self.keeps_tuples(place) {
            let services = self.clone();
            let tell = move |tuple: &Tuple, notices| services.tell_of(tuple, notices);
            return tuples.exchange(place, pattern, expected, new, tell).await;
        }
        Ok(self.swap_now(place, pattern, expected, new)?)
    }

    /// Replaces a tuple of a namespace that is in memory.
    pub fn swap_now(
        &self,
        place: &Place,
        pattern: &Pattern,
        expected: &Tuple,
        new: Tuple,
    ) -> Result<bool, TupleError> {
        let tuples = &self.coordination.tuples;
        let notices = tuples.swap(place, pattern, expected, new.clone())?;
        let swapped = notices.is_some();
        self.tell_of(&new, notices.unwrap_or_default());
        Ok(swapped)
    }

    /// Removes the oldest tuple that matches, if there is one now.
    pub async fn take(
        &self,
        place: &Place,
        pattern: &Pattern,
    ) -> Result<Option<Tuple>, DurableError> {
        match self.keeps_tuples(place) {
            true => Ok(self.take_all(place, pattern, Some(1)).await?.pop()),
            false => Ok(self.coordination.tuples.take(place, pattern)),
        }
    }

    /// Removes tuples that match, oldest first, up to a limit and to what one answer holds.
    pub async fn take_all(
        &self,
        place: &Place,
        pattern: &Pattern,
        limit: Option<usize>,
    ) -> Result<Vec<Tuple>, DurableError> {
        let tuples = &self.coordination.tuples;
        match self.keeps_tuples(place) {
            true => tuples.pick(place, pattern, limit).await,
            false => Ok(tuples.take_all(place, pattern, limit)),
        }
    }

    /// Waits for a tuple; what comes is to be settled.
    pub fn catch(
        &self,
        place: &Place,
        pattern: Pattern,
        wish: Wish,
    ) -> Result<Catching, TupleError> {
        self.coordination.tuples.catch(place, pattern, wish)
    }

    fn tell_of(&self, tuple: &Tuple, notices: Vec<Notice>) {
        for notice in notices {
            let subscription = notice.subscription;
            let event = Event::new(
                Kind::Tuple,
                &Written {
                    subscription,
                    tuple,
                },
            );
            self.notify(&notice.subscriber, &event);
        }
    }
}
