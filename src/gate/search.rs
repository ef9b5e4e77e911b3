//! A search for tuples as both doors make it: what is there now, else the first that comes in time.

use std::time::Duration;

use super::Door;
use crate::coordination::durable::DurableError;
use crate::coordination::tuplespace::{TupleError, Wish};
use crate::coordination::{Pattern, Tuple};
use crate::limits;
use crate::place::Place;
use crate::refusal::{Kind, Refusal};

/// What is looked for, checked.
pub struct Search {
    pub place: Place,
    pub pattern: Pattern,
    /// `None` is all of them.
    pub limit: Option<usize>,
    /// How long to wait for the first, if none is there.
    pub timeout: Option<Duration>,
}

impl Door {
    /// What is there now, up to the limit; where nothing is, the first that comes in time and before the client is
    /// `gone`. Whoever stops to wait takes nothing.
    pub async fn find_tuples(
        &self,
        search: &Search,
        wish: Wish,
        gone: impl Future<Output = ()>,
    ) -> Result<Vec<Tuple>, Refusal> {
        let tuples = &self.services.coordination.tuples;
        let (place, pattern, limit) = (&search.place, &search.pattern, search.limit);
        let found = match wish {
            Wish::Read => tuples.read_all(place, pattern, limit)?,
            Wish::Take => self.take_tuples(search).await?,
        };
        let Some(timeout) = search.timeout.filter(|_| found.is_empty()) else {
            return Ok(found);
        };
        let waiting = self.services.catch(place, pattern.clone(), wish)?;
        let caught = tokio::select! {
            biased;
            () = gone => return Ok(Vec::new()),
            caught = waiting => Ok(caught),
            () = self.shutdown.begun() => {
                let text = "this node is stopping; ask again later";
                Err(Refusal::new(Kind::Unavailable, text))
            }
            () = tokio::time::sleep(timeout) => return Ok(Vec::new()),
        };
        Ok(vec![caught?.settle().await?])
    }

    /// All that match, up to the limit and to what one answer holds. Others get the loop between two portions: a hundred
    /// thousand tuples would keep it for a tenth of a second.
    async fn take_tuples(&self, search: &Search) -> Result<Vec<Tuple>, DurableError> {
        const PORTION: usize = 1_000;
        let mut taken = Vec::new();
        let mut bytes = 0;
        loop {
            let left = search.limit.unwrap_or(usize::MAX) - taken.len();
            let portion = left.min(PORTION);
            let (place, pattern) = (&search.place, &search.pattern);
            let more = self.services.take_all(place, pattern, Some(portion)).await;
            let more = match more {
                Ok(more) => more,
                // What was taken before is taken: it is answered, and the next call says what is wrong.
                Err(_) if !taken.is_empty() => return Ok(taken),
                Err(error) => return Err(error),
            };
            let some_left = more.len() == portion && portion < left;
            bytes += more.iter().map(Tuple::bytes).sum::<usize>();
            taken.extend(more);
            if !some_left || bytes > limits::TUPLES_READ_BYTES_MAX - limits::TUPLE_BYTES_MAX {
                return Ok(taken);
            }
            tokio::task::yield_now().await;
        }
    }
}

impl From<DurableError> for Refusal {
    fn from(error: DurableError) -> Self {
        match error {
            DurableError::Tuple(error) => error.into(),
            DurableError::Storage(error) => error.into(),
        }
    }
}

impl From<TupleError> for Refusal {
    fn from(error: TupleError) -> Self {
        let kind = match error {
            TupleError::Ttl | TupleError::TooManyFields | TupleError::TooMuch => Kind::Malformed,
            TupleError::TooLong => Kind::TooLarge,
            TupleError::TooMany
            | TupleError::NoRoom
            | TupleError::TooManyWaiting
            | TupleError::TooManySubscriptions => Kind::Exhausted,
        };
        Self::new(kind, error.to_string())
    }
}
