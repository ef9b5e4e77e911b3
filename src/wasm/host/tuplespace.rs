//! Tuples: the meaning once, as the WIT trait; `core_tuplespace` spells it for core modules.

use std::time::Duration;

use super::bindings::tuplespace::Host;
use super::bindings::types::{self, ActorError, Context, ErrorCode, PatternField, TupleField};
use super::messaging::Answer;
use super::{Guest, actor_error, permitted};
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
    fn write(&mut self, ctx: Context, tuple: Vec<TupleField>) -> Answer<()> {
        let place = self.tuple_place(&ctx);
        Ok(place.and_then(|place| self.write_tuple(&place, tuple_of(tuple), None)))
    }

    fn write_with_ttl(&mut self, ctx: Context, tuple: Vec<TupleField>, ttl_ms: u64) -> Answer<()> {
        let place = self.tuple_place(&ctx);
        let ttl = Some(Duration::from_millis(ttl_ms));
        Ok(place.and_then(|place| self.write_tuple(&place, tuple_of(tuple), ttl)))
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

    fn take(
        &mut self,
        ctx: Context,
        pattern: Vec<PatternField>,
    ) -> Answer<Option<Vec<TupleField>>> {
        let taken = self.look(&ctx, pattern, |guest, place, pattern| {
            Ok(guest.services.coordination.tuples.take(place, pattern))
        });
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

    fn compare_and_swap(
        &mut self,
        ctx: Context,
        pattern: Vec<PatternField>,
        expected: Vec<TupleField>,
        new: Vec<TupleField>,
    ) -> Answer<bool> {
        Ok(self.look(&ctx, pattern, |guest, place, pattern| {
            let (expected, new) = (tuple_of(expected), tuple_of(new));
            Ok(guest.services.swap(place, pattern, &expected, new)?)
        }))
    }
}

impl Guest {
    /// The place that a call is about, if the application may use tuples at all.
    pub fn tuple_place(&self, context: &Context) -> Result<Place, ActorError> {
        permitted(self.capabilities.tuplespace, "allow_tuplespace")?;
        self.place(context)
    }

    pub fn write_tuple(
        &self,
        place: &Place,
        tuple: Tuple,
        ttl: Option<Duration>,
    ) -> Result<(), ActorError> {
        Ok(self.services.write(place, tuple, ttl)?)
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
        let waiting = self.services.coordination.tuples.wait(place, pattern, wish);
        let timeout = Duration::from_millis(timeout_ms);
        let waiting = waiting.map(|waiting| self.patiently(timeout, waiting));
        async move { waiting?.await }
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
