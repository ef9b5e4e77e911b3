//! What an onlooker sees of a tree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::grove::Grove;
use super::spec::{Restart, Strategy};
use super::supervision::{Key, ROOT, State};
use crate::id::{ActorId, ChildId};

/// One supervisor or worker.
#[derive(Clone, Debug)]
pub struct View {
    pub id: ChildId,
    pub standing: NodeState,
    /// `None` for the root, which nobody restarts.
    pub restart: Option<Restart>,
    pub restarts: u32,
    pub node: NodeView,
}

#[derive(Clone, Debug)]
pub enum NodeView {
    Supervisor {
        strategy: Strategy,
        restarts_max: usize,
        restart_window: Duration,
        children: Vec<View>,
    },
    Worker(Box<Worker>),
}

/// What there is to see of one actor.
#[derive(Clone, Debug)]
pub struct Worker {
    pub actor: ActorId,
    pub mailbox_depth: usize,
    /// How long it has had its message in hand, where that is long.
    pub busy: Option<Duration>,
    pub messages_handled: u64,
    pub messages_failed: u64,
    /// Of the guest's own memory.
    pub memory_bytes: u64,
    pub last_error: Option<String>,
    /// Who spawned it.
    pub parent: Option<Arc<str>>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    Starting,
    Running,
    /// Between two lives.
    Restarting,
    Stopping,
    /// It ended, or was stopped, and does not come back by itself.
    Stopped,
    /// The last that was heard of it is an error.
    Failed,
}

impl Grove {
    pub fn view(&self, key: Key) -> View {
        let supervision = &self.supervision;
        let member = self.members.get(&key);
        let node = match (supervision.terms(key), member) {
            (Some((strategy, restarts_max, restart_window)), _) => NodeView::Supervisor {
                strategy,
                restarts_max,
                restart_window,
                children: supervision
                    .children(key)
                    .iter()
                    .map(|&child| self.view(child))
                    .collect(),
            },
            (None, Some(member)) => NodeView::Worker(Box::new(Worker {
                actor: member.resident.id.clone(),
                mailbox_depth: member.resident.mailbox.depth(),
                busy: match member.living {
                    true => member
                        .vitals
                        .busy
                        .since(Instant::now(), member.vitals.done()),
                    false => None,
                },
                messages_handled: member.vitals.handled.load(Relaxed),
                messages_failed: member.vitals.failed.load(Relaxed),
                memory_bytes: match member.living {
                    true => member.vitals.memory_bytes.load(Relaxed),
                    false => 0,
                },
                last_error: member.last_error.clone(),
                parent: member.parent.clone(),
                labels: member.labels.clone(),
            })),
            (None, None) => unreachable!("whoever is no supervisor is a member"),
        };
        View {
            id: supervision.id(key).clone(),
            standing: self.standing_of(key),
            restart: (key != ROOT).then(|| supervision.restart(key)),
            restarts: self.restarts.get(&key).copied().unwrap_or(0),
            node,
        }
    }

    fn standing_of(&self, key: Key) -> NodeState {
        let broke = || {
            let member = self.members.get(&key);
            member.is_some_and(|member| member.broke)
        };
        match self.supervision.state(key) {
            State::Starting if self.restarts.contains_key(&key) => NodeState::Restarting,
            State::Starting => NodeState::Starting,
            State::Up => NodeState::Running,
            State::Ended(_) | State::Failing(_) => NodeState::Restarting,
            State::Stopping => NodeState::Stopping,
            State::Down | State::Gone if broke() => NodeState::Failed,
            State::Down | State::Gone => NodeState::Stopped,
        }
    }
}

impl NodeState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl View {
    /// Every worker of it, in the order of the tree.
    pub fn workers(&self) -> Vec<&View> {
        match &self.node {
            NodeView::Worker(_) => vec![self],
            NodeView::Supervisor { children, .. } => {
                children.iter().flat_map(View::workers).collect()
            }
        }
    }
}
