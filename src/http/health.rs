//! Whether the node lives, serves, and serves well: what load balancers, supervisors and people ask it.

use hyper::{Response, StatusCode};

use super::reply::{self, Body};
use super::{Door, api};
use crate::refusal::{Kind, Refusal};

/// Failed applications that are named one by one; the rest are counted.
const FAILED_NAMED_MAX: usize = 16;

/// How far the node has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Serving,
    Stopping,
}

impl Phase {
    /// Why nothing but health is answered in this phase, if so.
    pub fn refusal(self) -> Option<Refusal> {
        let text = match self {
            Self::Serving => return None,
            Self::Starting => "this node is starting; try again in a moment",
            Self::Stopping => "this node is stopping; try another, or again later",
        };
        Some(Refusal::new(Kind::Unavailable, text))
    }

    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Serving => None,
            Self::Starting => Some("the node is starting"),
            Self::Stopping => Some("the node is stopping"),
        }
    }

    /// Whether it takes work.
    fn ready(self) -> Result<(), &'static str> {
        self.reason().map_or(Ok(()), Err)
    }

    /// Whether the start is behind it; a node that stops has started, too.
    fn started(self) -> Result<(), &'static str> {
        match self {
            Self::Starting => Err("the node is starting"),
            Self::Serving | Self::Stopping => Ok(()),
        }
    }
}

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
    let degraded = degraded(door);
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

/// Strangers read this too: it holds no word of a guest's.
fn degraded(door: &Door) -> Vec<api::Degraded> {
    let mut degraded = failed_applications(door);
    let storage = door.applications.troubles().into_iter();
    degraded.extend(storage.map(|reason| api::Degraded {
        component: "storage".into(),
        reason,
    }));
    for pool in door.applications.pools() {
        if pool.slots.is_none() {
            degraded.push(api::Degraded {
                component: format!("engine/{}", pool.class),
                reason: format!(
                    "{}: this machine gives too little address space for a pool, so actors start slower",
                    pool.rung
                ),
            });
        }
    }
    degraded
}

fn failed_applications(door: &Door) -> Vec<api::Degraded> {
    let failed = door.applications.failed();
    let mut degraded: Vec<_> = failed
        .iter()
        .take(FAILED_NAMED_MAX)
        .map(|name| api::Degraded {
            component: format!("application/{name}"),
            reason: format!("it has failed; GET /api/v1/applications/{name} says why"),
        })
        .collect();
    if failed.len() > FAILED_NAMED_MAX {
        degraded.push(api::Degraded {
            component: "applications".into(),
            reason: format!("{} more have failed", failed.len() - FAILED_NAMED_MAX),
        });
    }
    degraded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_answers_the_probes() {
        let check = |phase: Phase, ready, started| {
            assert_eq!(
                (phase.ready().is_ok(), phase.started().is_ok()),
                (ready, started)
            );
            assert_eq!(phase.refusal().is_none(), ready, "{phase:?}");
        };
        check(Phase::Starting, false, false);
        check(Phase::Serving, true, true);
        check(Phase::Stopping, false, true);
    }
}
