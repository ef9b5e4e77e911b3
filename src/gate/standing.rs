//! How far the node has come, and what of it does not work as it should.

use super::Door;
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

/// A part of the node that does not work as it should, and why.
pub struct Degraded {
    pub component: String,
    pub reason: String,
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
    pub fn ready(self) -> Result<(), &'static str> {
        self.reason().map_or(Ok(()), Err)
    }

    /// Whether the start is behind it; a node that stops has started, too.
    pub fn started(self) -> Result<(), &'static str> {
        match self {
            Self::Starting => Err("the node is starting"),
            Self::Serving | Self::Stopping => Ok(()),
        }
    }
}

impl Door {
    /// What does not work as it should. Strangers read this too: it holds no word of a guest's.
    pub fn degraded(&self) -> Vec<Degraded> {
        let mut degraded = self.failed_applications();
        let storage = self.applications.troubles().into_iter();
        degraded.extend(storage.map(|reason| Degraded {
            component: "storage".into(),
            reason,
        }));
        degraded.extend(self.services.storage.tokens.says().map(|reason| Degraded {
            component: "tokens".into(),
            reason,
        }));
        for pool in self.applications.pools() {
            if pool.slots.is_none() {
                degraded.push(Degraded {
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

    fn failed_applications(&self) -> Vec<Degraded> {
        let failed = self.applications.failed();
        let mut degraded: Vec<_> = failed
            .iter()
            .take(FAILED_NAMED_MAX)
            .map(|name| Degraded {
                component: format!("application/{name}"),
                reason: format!("it has failed; GET /api/v1/applications/{name} says why"),
            })
            .collect();
        if failed.len() > FAILED_NAMED_MAX {
            degraded.push(Degraded {
                component: "applications".into(),
                reason: format!("{} more have failed", failed.len() - FAILED_NAMED_MAX),
            });
        }
        degraded
    }
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
