//! Write, read, take and count tuples over HTTP: for the tools of a fleet, which are no actors.

use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::Value;

use super::invoke;
use super::reply::{self, Body};
use super::{Door, api};
use crate::coordination::tuplespace::{TupleError, TupleSpaces, Wish};
use crate::coordination::{Pattern, Tuple, pattern_of, read_pattern, tuple_of};
use crate::id::Scope;
use crate::limits;
use crate::place::Place;
use crate::refusal::{Kind, Refusal};

/// Whose tuples; both are `default` where nothing is said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    tenant: Option<String>,
    namespace: Option<String>,
    tuple: Value,
    ttl_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    tenant: Option<String>,
    namespace: Option<String>,
    pattern: Value,
    /// At most so many; 0 are all. One is found where nothing is said.
    limit: Option<u32>,
    /// Waits for the first so long, if none is there.
    timeout_ms: Option<u64>,
}

/// A search, checked.
struct Wanted {
    place: Place,
    pattern: Pattern,
    limit: Option<usize>,
    timeout: Option<Duration>,
}

/// POST /api/v1/tuplespace/tuples
pub async fn write(door: &Door, body: Incoming) -> Response<Body> {
    let written = received(door, body).await.and_then(|body| {
        let write: Write = serde_json::from_slice(&body).map_err(malformed)?;
        let place = place(write.tenant, write.namespace)?;
        let tuple = tuple_of(&write.tuple).map_err(|problem| invalid("tuple", &problem))?;
        let ttl = write.ttl_ms.map(Duration::from_millis);
        Ok(door.services.write(&place, tuple, ttl)?)
    });
    answer(written.map(|()| api::Done { success: true }))
}

/// POST /api/v1/tuplespace/read
pub async fn read(door: &Door, body: Incoming) -> Response<Body> {
    let wanted = wanted(door, body).await;
    let found = match wanted {
        Ok(wanted) => find(door, wanted, Wish::Read).await,
        Err(refusal) => Err(refusal),
    };
    invoke::counted(door, answer(found.map(api::Tuples::of)))
}

/// POST /api/v1/tuplespace/take
pub async fn take(door: &Door, body: Incoming) -> Response<Body> {
    let wanted = wanted(door, body).await;
    let found = match wanted {
        Ok(wanted) => find(door, wanted, Wish::Take).await,
        Err(refusal) => Err(refusal),
    };
    invoke::counted(door, answer(found.map(api::Tuples::of)))
}

/// POST /api/v1/tuplespace/count
pub async fn count(door: &Door, body: Incoming) -> Response<Body> {
    let wanted = wanted(door, body).await;
    answer(wanted.map(|wanted| counted(door, &wanted)))
}

/// GET /api/v1/tuplespace/tuples
pub fn list(door: &Door, query: Option<&str>) -> Response<Body> {
    let found = queried(query).and_then(|wanted| {
        let limit = wanted.limit.or(Some(limits::PAGE_ITEMS_DEFAULT));
        let tuples = &door.services.coordination.tuples;
        Ok(tuples.read_all(&wanted.place, &wanted.pattern, limit)?)
    });
    invoke::counted(door, answer(found.map(api::Tuples::of)))
}

/// GET /api/v1/tuplespace/count
pub fn count_queried(door: &Door, query: Option<&str>) -> Response<Body> {
    answer(queried(query).map(|wanted| counted(door, &wanted)))
}

/// GET /api/v1/tuplespace/stats
pub fn stats(door: &Door, query: Option<&str>) -> Response<Body> {
    let place = {
        let values = Query::of(query);
        place(values.value("tenant"), values.value("namespace"))
    };
    let tuples = &door.services.coordination.tuples;
    answer(place.map(|place| api::TupleStats::from(tuples.stats(&place))))
}

fn counted(door: &Door, wanted: &Wanted) -> api::Counted {
    let tuples = &door.services.coordination.tuples;
    api::Counted {
        success: true,
        count: tuples.count(&wanted.place, &wanted.pattern),
    }
}

/// What is there now, up to the limit; where nothing is, the first that comes in time.
async fn find(door: &Door, wanted: Wanted, wish: Wish) -> Result<Vec<Tuple>, Refusal> {
    let tuples = &door.services.coordination.tuples;
    let limit = wanted.limit;
    let found = match wish {
        Wish::Read => tuples.read_all(&wanted.place, &wanted.pattern, limit)?,
        Wish::Take => take_in_portions(tuples, &wanted).await,
    };
    let Some(timeout) = wanted.timeout.filter(|_| found.is_empty()) else {
        return Ok(found);
    };
    let waiting = tuples.wait(&wanted.place, wanted.pattern, wish)?;
    tokio::select! {
        biased;
        tuple = waiting => Ok(vec![tuple]),
        () = door.shutdown.begun() => Err(Refusal::new(Kind::Unavailable, "this node is stopping; ask again later")),
        () = tokio::time::sleep(timeout) => Ok(Vec::new()),
    }
}

/// All that match, up to the limit and to what one answer holds. Others get the loop between two portions: a hundred
/// thousand tuples would keep it for a tenth of a second.
async fn take_in_portions(tuples: &TupleSpaces, wanted: &Wanted) -> Vec<Tuple> {
    const PORTION: usize = 1_000;
    let mut taken = Vec::new();
    let mut bytes = 0;
    loop {
        let left = wanted.limit.unwrap_or(usize::MAX) - taken.len();
        let portion = left.min(PORTION);
        let more = tuples.take_all(&wanted.place, &wanted.pattern, Some(portion));
        let some_left = more.len() == portion && portion < left;
        bytes += more.iter().map(Tuple::bytes).sum::<usize>();
        taken.extend(more);
        if !some_left || bytes > limits::TUPLES_READ_BYTES_MAX - limits::TUPLE_BYTES_MAX {
            return taken;
        }
        tokio::task::yield_now().await;
    }
}

async fn received(door: &Door, mut body: Incoming) -> Result<Bytes, Refusal> {
    let (bytes, _share) = invoke::read(door.actors.budget(), &mut body).await?;
    Ok(bytes)
}

async fn wanted(door: &Door, body: Incoming) -> Result<Wanted, Refusal> {
    let body = received(door, body).await?;
    let search: Search = serde_json::from_slice(&body).map_err(malformed)?;
    let pattern = pattern_of(&search.pattern).map_err(|problem| invalid("pattern", &problem))?;
    Ok(Wanted {
        place: place(search.tenant, search.namespace)?,
        pattern,
        limit: limit(search.limit.unwrap_or(1)),
        timeout: timeout(search.timeout_ms)?,
    })
}

/// `?pattern=[…]&limit=50`, with `tenant` and `namespace` where they are not `default`.
fn queried(query: Option<&str>) -> Result<Wanted, Refusal> {
    let values = Query::of(query);
    let pattern = values.value("pattern").ok_or_else(|| {
        let text =
            "?pattern= is missing, such as ?pattern=[\"order\",{\"any\":true}], percent-encoded";
        Refusal::new(Kind::Malformed, text)
    })?;
    let pattern = read_pattern(pattern.as_bytes()).map_err(|it| invalid("pattern", &it))?;
    let limited = match values.value("limit").map(|text| text.parse::<u32>()) {
        None => None,
        Some(Ok(number)) => Some(limit(number).unwrap_or(usize::MAX)),
        Some(Err(_)) => {
            let text = "?limit= is a whole number; 0 is no limit";
            return Err(Refusal::new(Kind::Malformed, text));
        }
    };
    Ok(Wanted {
        place: place(values.value("tenant"), values.value("namespace"))?,
        pattern,
        limit: limited,
        timeout: None,
    })
}

/// The keys and values of a query, decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    fn value(&self, key: &str) -> Option<String> {
        let pair = self.0.iter().rev().find(|(known, _)| known == key);
        pair.map(|(_, value)| value.clone())
    }
}

/// 0 is none.
fn limit(limit: u32) -> Option<usize> {
    (limit > 0).then_some(limit as usize)
}

fn timeout(ms: Option<u64>) -> Result<Option<Duration>, Refusal> {
    let longest = limits::ASK_TIME_MAX.as_millis() as u64;
    match ms {
        Some(ms) if ms > longest => {
            let text = format!("timeout_ms is a number of milliseconds from 0 to {longest}");
            Err(Refusal::new(Kind::Malformed, text))
        }
        ms => Ok(ms.filter(|&ms| ms > 0).map(Duration::from_millis)),
    }
}

fn place(tenant: Option<String>, namespace: Option<String>) -> Result<Place, Refusal> {
    let scope = |what: &str, text: Option<String>| match text.as_deref() {
        None | Some("") => Ok(Scope::default()),
        Some(text) => Scope::parse(what, text),
    };
    Ok(Place {
        tenant: scope("tenant", tenant)?,
        namespace: scope("namespace", namespace)?,
    })
}

fn malformed(error: serde_json::Error) -> Refusal {
    let text = format!("the body is not the JSON object that docs/services.md shows: {error}");
    Refusal::new(Kind::Malformed, text)
}

fn invalid(what: &str, problem: &str) -> Refusal {
    let text = format!("the {what} cannot be read: {problem}");
    Refusal::new(Kind::Malformed, text)
}

fn answer<T: serde::Serialize>(answer: Result<T, Refusal>) -> Response<Body> {
    match answer {
        Ok(value) => reply::json(&value),
        Err(refusal) => invoke::told_to_wait(&refusal),
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
