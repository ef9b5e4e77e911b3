//! Tuples written, and those told who subscribed to such ones.

use std::time::Duration;

use serde::Serialize;

use super::{Event, Kind, Services};
use crate::coordination::tuplespace::{Notice, TupleError};
use crate::coordination::{Pattern, Tuple};
use crate::place::Place;

/// The payload of a `tuple` event.
#[derive(Serialize)]
struct Written<'a> {
    subscription: u64,
    tuple: &'a Tuple,
}

impl Services {
    /// Adds a tuple, which ends after `ttl` where one is given, and tells who subscribed to such.
    pub fn write(
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
    pub fn swap(
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
