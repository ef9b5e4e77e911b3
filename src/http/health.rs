//! Whether the node lives, serves, and serves well: what load balancers, supervisors and people ask it.

use hyper::{Response, StatusCode};

use super::reply::{self, Body};
use super::{Door, api};

/// GET /health
pub fn health(door: &Door) -> Response<Body> {
    let (ready, (status, degraded)) = (door.phase().ready(), standing(door));
    let health = api::Health {
        status,
        node_id: door.actors.node(),
        version: env!("CARGO_PKG_VERSION"),
        reason: ready.err(),
        degraded,
    };
    reply::json_with(code(ready), &health)
}

/// The node's health in a word, and what does not work as it should.
pub fn standing(door: &Door) -> (&'static str, Vec<api::Degraded>) {
    let degraded: Vec<_> = door.degraded().into_iter().map(Into::into).collect();
    let status = match door.phase().ready() {
        Err(_) => NOT_SERVING,
        Ok(()) if degraded.is_empty() => HEALTHY,
        Ok(()) => DEGRADED,
    };
    (status, degraded)
}

/// GET /health/live: that there is an answer is the answer. A node that drains must not be killed for it.
pub fn live(_door: &Door) -> Response<Body> {
    probe(Ok(()))
}

/// GET /health/ready
pub fn ready(door: &Door) -> Response<Body> {
    probe(door.phase().ready())
}

/// GET /health/startup
pub fn startup(door: &Door) -> Response<Body> {
    probe(door.phase().started())
}

const HEALTHY: &str = "healthy";
const DEGRADED: &str = "degraded";
const NOT_SERVING: &str = "not_serving";

fn probe(passed: Result<(), &'static str>) -> Response<Body> {
    let probe = api::Probe {
        status: passed.map_or(NOT_SERVING, |()| HEALTHY),
        reason: passed.err(),
    };
    reply::json_with(code(passed), &probe)
}

fn code(passed: Result<(), &'static str>) -> StatusCode {
    passed.map_or(StatusCode::SERVICE_UNAVAILABLE, |()| StatusCode::OK)
}
