//! Write, read, take and count tuples over HTTP: for the tools of a fleet, which are no actors.

use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Incoming;

use super::invoke;
use super::members::Members;
use super::query::Query;
use super::reply::{self, Body};
use super::{Door, api};
use crate::coordination::tuplespace::Wish;
use crate::coordination::{pattern_of, read_pattern, tuple_of};
use crate::gate::{Client, Search};
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// POST /api/v1/tuplespace/tuples
pub async fn write(door: &Door, body: Incoming) -> Response<Body> {
    let written = written(door, body).await;
    answer(written.map(|()| api::Done { success: true }))
}

async fn written(door: &Door, body: Incoming) -> Result<(), Refusal> {
    let body = received(door, body).await?;
    let keys = ["tuple", "ttl_ms", "tenant", "namespace"];
    let mut members = Members::of(&body, r#"{"tuple":["order",1]}"#, &keys)?;
    let place = members.place()?;
    let tuple = members.needed("tuple")?;
    let tuple = tuple_of(&tuple).map_err(|problem| invalid("tuple", &problem))?;
    let ttl = members.number("ttl_ms")?.map(Duration::from_millis);
    Ok(door.services.write(&place, tuple, ttl).await?)
}

/// POST /api/v1/tuplespace/read
pub async fn read(door: &Door, client: &Client, body: Incoming) -> Response<Body> {
    find(door, client, body, Wish::Read).await
}

/// POST /api/v1/tuplespace/take
pub async fn take(door: &Door, client: &Client, body: Incoming) -> Response<Body> {
    find(door, client, body, Wish::Take).await
}

async fn find(door: &Door, client: &Client, body: Incoming, wish: Wish) -> Response<Body> {
    let found = match wanted(door, body).await {
        Ok(wanted) => door.find_tuples(&wanted, wish, client.gone()).await,
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
    let place = Query::of(query).place();
    let tuples = &door.services.coordination.tuples;
    answer(place.map(|place| api::TupleStats::from(tuples.stats(&place))))
}

fn counted(door: &Door, wanted: &Search) -> api::Counted {
    let tuples = &door.services.coordination.tuples;
    api::Counted {
        success: true,
        count: tuples.count(&wanted.place, &wanted.pattern),
    }
}

async fn received(door: &Door, mut body: Incoming) -> Result<Bytes, Refusal> {
    let (bytes, _share) = invoke::read(door.actors.budget(), &mut body).await?;
    Ok(bytes)
}

async fn wanted(door: &Door, body: Incoming) -> Result<Search, Refusal> {
    let body = received(door, body).await?;
    let keys = ["pattern", "limit", "timeout_ms", "tenant", "namespace"];
    let example = r#"{"pattern":["order",{"any":true}]}"#;
    let mut members = Members::of(&body, example, &keys)?;
    let pattern = members.needed("pattern")?;
    Ok(Search {
        place: members.place()?,
        pattern: pattern_of(&pattern).map_err(|problem| invalid("pattern", &problem))?,
        // One is found where nothing is said.
        limit: limit(members.number("limit")?.unwrap_or(1)),
        timeout: timeout(members.number("timeout_ms")?)?,
    })
}

/// `?pattern=[…]&limit=50`, with `tenant` and `namespace` where they are not `default`.
fn queried(query: Option<&str>) -> Result<Search, Refusal> {
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
    Ok(Search {
        place: values.place()?,
        pattern,
        limit: limited,
        timeout: None,
    })
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
