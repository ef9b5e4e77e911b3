//! Tuples: the meaning once, as the WIT trait; `core_tuplespace` spells it for core modules.

use std::time::Duration;

use super::bindings::tuplespace::Host;
use super::bindings::types::{self, ActorError, Context, ErrorCode, PatternField, TupleField};
use super::keyvalue::storage_code;
use super::messaging::Answer;
use super::{Guest, actor_error, permitted};
use crate::coordination::durable::DurableError;
use crate::coordination::tuplespace::{TupleError, Wish};
use crate::coordination::{
    Field, FieldPattern, FieldType, InvalidPattern, Pattern, Predicate, Tuple,
};
use crate::place::Place;

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "write",
    "write-with-ttl",
    "read",
    "read-blocking",
    "read-all",
    "take",
    "take-blocking",
    "count",
    "subscribe",
    "unsubscribe",
    "compare-and-swap",
];

impl Host for Guest {
    async fn write(&mut self, ctx: Context, tuple: Vec<TupleField>) -> Answer<()> {
        Ok(match self.tuple_place(&ctx) {
            Ok(place) => self.write_tuple(&place, tuple_of(tuple), None).await,
            Err(error) => Err(error),
        })
    }

    async fn write_with_ttl(
        &mut self,
        ctx: Context,
        tuple: Vec<TupleField>,
        ttl_ms: u64,
    ) -> Answer<()> {
        let ttl = Some(Duration::from_millis(ttl_ms));
        Ok(match self.tuple_place(&ctx) {
            Ok(place) => self.write_tuple(&place, tuple_of(tuple), ttl).await,
            Err(error) => Err(error),
        })
    }

    fn read(
        &mut self,
        ctx: Context,
        pattern: Vec<PatternField>,
    ) -> Answer<Option<Vec<TupleField>>> {
        let read = self.look(&ctx, pattern, |guest, place, pattern| {
            Ok(guest.services.coordination.tuples.read(place, pattern))
        });
        Ok(read.map(|found| found.as_ref().map(fields_of)))
    }

    async fn read_blocking(
        &mut self,
        ctx: Context,
        pattern: Vec<PatternField>,
        timeout_ms: u64,
    ) -> Answer<Option<Vec<TupleField>>> {
        self.wait(&ctx, pattern, timeout_ms, Wish::Read).await
    }

    fn read_all(
        &mut self,
        ctx: Context,
        pattern: Vec<PatternField>,
        limit: u32,
    ) -> Answer<Vec<Vec<TupleField>>> {
        let read = self.look(&ctx, pattern, |guest, place, pattern| {
            let tuples = &guest.services.coordination.tuples;
            Ok(tuples.read_all(place, pattern, limit_of(limit))?)
        });
        Ok(read.map(|found| found.iter().map(fields_of).collect()))
    }

    async fn take(
        &mut self,
        ctx: Context,
        pattern: Vec<PatternField>,
    ) -> Answer<Option<Vec<TupleField>>> {
        let taken = match self.sought(&ctx, pattern) {
            Ok((place, pattern)) => self.take_tuple(&place, pattern).await,
            Err(error) => Err(error),
        };
        Ok(taken.map(|found| found.as_ref().map(fields_of)))
    }

    async fn take_blocking(
        &mut self,
        ctx: Context,
        pattern: Vec<PatternField>,
        timeout_ms: u64,
    ) -> Answer<Option<Vec<TupleField>>> {
        self.wait(&ctx, pattern, timeout_ms, Wish::Take).await
    }

    fn count(&mut self, ctx: Context, pattern: Vec<PatternField>) -> Answer<u64> {
        Ok(self.look(&ctx, pattern, |guest, place, pattern| {
            Ok(guest.services.coordination.tuples.count(place, pattern) as u64)
        }))
    }

    fn subscribe(&mut self, ctx: Context, pattern: Vec<PatternField>) -> Answer<u64> {
        Ok(self.tuple_place(&ctx).and_then(|place| {
            let pattern = pattern_of(pattern)?;
            self.subscribe_to_tuples(&place, pattern)
        }))
    }

    fn unsubscribe(&mut self, subscription_id: u64) -> Answer<()> {
        let ended = self.holdings.subscriptions.unsubscribe(subscription_id);
        Ok(ended.then_some(()).ok_or_else(|| {
            let text = format!("this actor has no subscription {subscription_id} to tuples");
            actor_error(ErrorCode::InvalidMessage, text)
        }))
    }

    async fn compare_and_swap(
        &mut self,
        ctx: Context,
        pattern: Vec<PatternField>,
        expected: Vec<TupleField>,
        new: Vec<TupleField>,
    ) -> Answer<bool> {
        let (expected, new) = (tuple_of(expected), tuple_of(new));
        Ok(match self.sought(&ctx, pattern) {
            Ok((place, pattern)) => self.swap_tuple(&place, pattern, expected, new).await,
            Err(error) => Err(error),
        })
    }
}

impl Guest {
    /// The place that a call is about, if the application may use tuples at all.
    pub fn tuple_place(&self, context: &Context) -> Result<Place, ActorError> {
        permitted(self.capabilities.tuplespace, "allow_tuplespace")?;
        self.place(context)
    }

    /// Adds a tuple: at once where it is in memory. What is to be waited for holds nothing of the guest.
    pub fn write_tuple(
        &self,
        place: &Place,
        tuple: Tuple,
        ttl: Option<Duration>,
    ) -> impl Future<Output = Result<(), ActorError>> + Send + use<> {
        let later = self.services.keeps_tuples(place).then(|| {
            let (services, place, tuple) = (self.services.clone(), place.clone(), tuple.clone());
            async move { services.write(&place, tuple, ttl).await }
        });
        let now = match later {
            Some(_) => Ok(()),
            None => self.services.write_now(place, tuple, ttl),
        };
        async move {
            now?;
            match later {
                Some(later) => Ok(later.await?),
                None => Ok(()),
            }
        }
    }

    /// Removes the oldest tuple that matches, likewise.
    pub fn take_tuple(
        &self,
        place: &Place,
        pattern: Pattern,
    ) -> impl Future<Output = Result<Option<Tuple>, ActorError>> + Send + use<> {
        let durable = self.services.keeps_tuples(place);
        let later = durable.then(|| (self.services.clone(), place.clone()));
        let now = match durable {
            true => None,
            false => self.services.coordination.tuples.take(place, &pattern),
        };
        async move {
            match later {
                Some((services, place)) => Ok(services.take(&place, &pattern).await?),
                None => Ok(now),
            }
        }
    }

    /// Replaces a tuple that matches and equals `expected`, likewise.
    pub fn swap_tuple(
        &self,
        place: &Place,
        pattern: Pattern,
        expected: Tuple,
        new: Tuple,
    ) -> impl Future<Output = Result<bool, ActorError>> + Send + use<> {
        let durable = self.services.keeps_tuples(place);
        let later = durable.then(|| (self.services.clone(), place.clone(), new.clone()));
        let now = match durable {
            true => Ok(false),
            false => self.services.swap_now(place, &pattern, &expected, new),
        };
        async move {
            match later {
                Some((services, place, new)) => {
                    Ok(services.swap(&place, &pattern, &expected, new).await?)
                }
                None => Ok(now?),
            }
        }
    }

    pub fn subscribe_to_tuples(
        &mut self,
        place: &Place,
        pattern: Pattern,
    ) -> Result<u64, ActorError> {
        Ok(self.holdings.subscriptions.subscribe(place, pattern)?)
    }

    /// Waits for a tuple, for so long or without end. `None` where the time is over.
    pub fn wait_for_tuple(
        &self,
        place: &Place,
        pattern: Pattern,
        timeout_ms: u64,
        wish: Wish,
    ) -> impl Future<Output = Result<Option<Tuple>, ActorError>> + Send + use<> {
        let waiting = self.services.catch(place, pattern, wish);
        let timeout = Duration::from_millis(timeout_ms);
        let waiting = waiting.map(|waiting| self.patiently(timeout, waiting));
        async move {
            match waiting?.await? {
                Some(caught) => Ok(Some(caught.settle().await?)),
                None => Ok(None),
            }
        }
    }

    fn sought(
        &self,
        context: &Context,
        pattern: Vec<PatternField>,
    ) -> Result<(Place, Pattern), ActorError> {
        Ok((self.tuple_place(context)?, pattern_of(pattern)?))
    }

    fn look<T>(
        &mut self,
        context: &Context,
        pattern: Vec<PatternField>,
        look: impl FnOnce(&mut Self, &Place, &Pattern) -> Result<T, ActorError>,
    ) -> Result<T, ActorError> {
        let place = self.tuple_place(context)?;
        look(self, &place, &pattern_of(pattern)?)
    }

    async fn wait(
        &mut self,
        context: &Context,
        pattern: Vec<PatternField>,
        timeout_ms: u64,
        wish: Wish,
    ) -> Answer<Option<Vec<TupleField>>> {
        let waiting = self.tuple_place(context).and_then(|place| {
            let pattern = pattern_of(pattern)?;
            Ok(self.wait_for_tuple(&place, pattern, timeout_ms, wish))
        });
        let found = match waiting {
            Ok(waiting) => waiting.await,
            Err(error) => Err(error),
        };
        Ok(found.map(|found| found.as_ref().map(fields_of)))
    }
}

/// 0 is no limit.
pub fn limit_of(limit: u32) -> Option<usize> {
    (limit > 0).then_some(limit as usize)
}

fn tuple_of(fields: Vec<TupleField>) -> Tuple {
    let fields: Vec<Field> = fields.into_iter().map(Field::from).collect();
    Tuple::new(fields)
}

fn fields_of(tuple: &Tuple) -> Vec<TupleField> {
    tuple.fields().iter().map(TupleField::from).collect()
}

fn pattern_of(fields: Vec<PatternField>) -> Result<Pattern, ActorError> {
    let fields = fields.into_iter().map(|field| match field {
        PatternField::Exact(field) => Ok(FieldPattern::Exact(field.into())),
        PatternField::Any => Ok(FieldPattern::Any),
        PatternField::Typed(field_type) => Ok(FieldPattern::Typed(field_type.into())),
        PatternField::Predicate(text) => Predicate::parse(&text).map(FieldPattern::Predicate),
    });
    let fields: Vec<FieldPattern> = fields.collect::<Result<_, _>>()?;
    Ok(Pattern::new(fields))
}

impl From<TupleField> for Field {
    fn from(field: TupleField) -> Self {
        match field {
            TupleField::StringVal(text) => Self::String(text.into()),
            TupleField::IntVal(number) => Self::Int(number),
            TupleField::FloatVal(number) => Self::Float(number),
            TupleField::BytesVal(bytes) => Self::Bytes(bytes.into()),
            TupleField::BoolVal(truth) => Self::Bool(truth),
            TupleField::NullVal => Self::Null,
        }
    }
}

impl From<&Field> for TupleField {
    fn from(field: &Field) -> Self {
        match field {
            Field::String(text) => Self::StringVal(text.to_string()),
            Field::Int(number) => Self::IntVal(*number),
            Field::Float(number) => Self::FloatVal(*number),
            Field::Bytes(bytes) => Self::BytesVal(bytes.to_vec()),
            Field::Bool(truth) => Self::BoolVal(*truth),
            Field::Null => Self::NullVal,
        }
    }
}

impl From<types::FieldType> for FieldType {
    fn from(field_type: types::FieldType) -> Self {
        match field_type {
            types::FieldType::StringType => Self::String,
            types::FieldType::IntType => Self::Int,
            types::FieldType::FloatType => Self::Float,
            types::FieldType::BytesType => Self::Bytes,
            types::FieldType::BoolType => Self::Bool,
            types::FieldType::NullType => Self::Null,
            types::FieldType::TupleType => Self::Tuple,
        }
    }
}

impl From<InvalidPattern> for ActorError {
    fn from(error: InvalidPattern) -> Self {
        actor_error(ErrorCode::InvalidMessage, error.to_string())
    }
}

impl From<DurableError> for ActorError {
    fn from(error: DurableError) -> Self {
        match error {
            DurableError::Tuple(error) => error.into(),
            DurableError::Storage(error) => actor_error(storage_code(&error), error.to_string()),
        }
    }
}

impl From<TupleError> for ActorError {
    fn from(error: TupleError) -> Self {
        let code = match error {
            TupleError::Ttl | TupleError::TooManyFields => ErrorCode::InvalidMessage,
            TupleError::TooLong
            | TupleError::TooMany
            | TupleError::NoRoom
            | TupleError::TooManyWaiting
            | TupleError::TooManySubscriptions
            | TupleError::TooMuch => ErrorCode::ResourceExhausted,
        };
        actor_error(code, error.to_string())
    }
}
