//! Supervision trees as JSON: as they are asked for, and as they run.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::actor::{NodeView, SupervisorSpec, View};
use crate::clock::Span;

/// A supervisor with the keys of a config's `[supervisor]`, every default filled in.
#[derive(Serialize)]
pub struct Supervisor {
    strategy: &'static str,
    max_restarts: usize,
    max_restart_window: String,
    children: Vec<Child>,
}

#[derive(Serialize)]
struct Child {
    id: String,
    r#type: &'static str,
    restart: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shutdown_timeout: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    args: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supervisor: Option<Supervisor>,
}

impl From<&SupervisorSpec> for Supervisor {
    fn from(spec: &SupervisorSpec) -> Self {
        let children = spec.children.iter().map(|child| Child {
            id: child.id.to_string(),
            r#type: match child.supervisor {
                Some(_) => "supervisor",
                None => "worker",
            },
            restart: child.restart.name(),
            shutdown_timeout: child.shutdown_timeout.map(|it| Span(it).to_string()),
            args: child.args.clone(),
            supervisor: child.supervisor.as_ref().map(Self::from),
        });
        Self {
            strategy: spec.strategy.name(),
            max_restarts: spec.restarts_max,
            max_restart_window: Span(spec.restart_window).to_string(),
            children: children.collect(),
        }
    }
}

/// A supervisor or a worker that runs, with those below it.
#[derive(Serialize)]
pub struct Branch {
    id: String,
    r#type: &'static str,
    state: &'static str,
    /// How it is restarted; the root is not.
    restart: Option<&'static str>,
    restarts: u32,
    #[serde(flatten)]
    node: Node,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Node {
    Supervisor {
        strategy: &'static str,
        max_restarts: usize,
        max_restart_window: String,
        /// How many it has, those that the page leaves out included.
        child_count: usize,
        children: Vec<Branch>,
    },
    Worker {
        actor_id: String,
        mailbox_depth: usize,
        /// How long it has had its message in hand, where that is over a second.
        busy_seconds: Option<f64>,
        messages_handled: u64,
        messages_failed: u64,
        memory_bytes: u64,
        last_error: Option<String>,
    },
}

impl Branch {
    /// A tree with only these of its workers.
    pub fn of(view: &View, shown: &HashSet<&str>) -> Option<Self> {
        let (kind, node) = match &view.node {
            NodeView::Worker(worker) if !shown.contains(&**worker.actor.address()) => return None,
            NodeView::Worker(worker) => (
                "worker",
                Node::Worker {
                    actor_id: worker.actor.to_string(),
                    mailbox_depth: worker.mailbox_depth,
                    busy_seconds: worker.busy.map(|it| it.as_secs_f64()),
                    messages_handled: worker.messages_handled,
                    messages_failed: worker.messages_failed,
                    memory_bytes: worker.memory_bytes,
                    last_error: worker.last_error.clone(),
                },
            ),
            NodeView::Supervisor {
                strategy,
                restarts_max,
                restart_window,
                children,
            } => (
                "supervisor",
                Node::Supervisor {
                    strategy: strategy.name(),
                    max_restarts: *restarts_max,
                    max_restart_window: Span(*restart_window).to_string(),
                    child_count: children.len(),
                    children: children
                        .iter()
                        .filter_map(|child| Self::of(child, shown))
                        .collect(),
                },
            ),
        };
        Some(Self {
            id: view.id.to_string(),
            r#type: kind,
            state: view.standing.name(),
            restart: view.restart.map(|it| it.name()),
            restarts: view.restarts,
            node,
        })
    }
}
