//! A supervision tree as it is wanted: checked once, then proof of its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ChildId;
use crate::limits;

/// A tree within its bounds, whose ids are all different. The root is a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SupervisorSpec", into = "SupervisorSpec")]
pub struct TreeSpec(SupervisorSpec);

/// One supervisor and those below it, in the order in which they start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorSpec {
    pub strategy: Strategy,
    /// How many restarts within the window are the most.
    pub restarts_max: usize,
    pub restart_window: Duration,
    pub children: Vec<ChildSpec>,
}

/// Who is restarted with a child that ended, in Erlang/OTP's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    #[default]
    OneForOne,
    OneForAll,
    /// Itself, and those that were started after it.
    RestForOne,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildSpec {
    pub id: ChildId,
    pub restart: Restart,
    /// What it gets to stop in order. A supervisor without one waits for each of its children.
    pub shutdown_timeout: Option<Duration>,
    /// What `init` gets, as JSON, where there is nothing better.
    pub args: BTreeMap<String, String>,
    /// A supervisor of its own; `None` for a worker.
    pub supervisor: Option<SupervisorSpec>,
}

/// When a child that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    #[default]
    Permanent,
    /// After an abnormal exit only.
    Transient,
    Temporary,
}

/// Why a tree cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("two children have the id {0}; an id is unique in its whole tree")]
    TwoAlike(ChildId),
    #[error("child {0} lies more than {max} supervisors deep", max = limits::TREE_DEPTH_MAX)]
    TooDeep(ChildId),
    #[error("it has {0} children, the most is {max}", max = limits::TREE_CHILDREN_MAX)]
    TooMany(usize),
}

impl TreeError {
    /// The child that is wrong, where it is one.
    pub fn child(&self) -> Option<&ChildId> {
        match self {
            Self::TwoAlike(id) | Self::TooDeep(id) => Some(id),
            Self::TooMany(_) => None,
        }
    }
}

impl TreeSpec {
    pub fn checked(root: SupervisorSpec) -> Result<Self, TreeError> {
        let mut seen = BTreeSet::new();
        root.check(1, &mut seen)?;
        Ok(Self(root))
    }

    /// One permanent worker under a supervisor with every default.
    pub fn of_one(id: ChildId) -> Self {
        Self(SupervisorSpec::default()).or_one(id)
    }

    /// The same, with one permanent worker where the root has no children.
    pub fn or_one(mut self, id: ChildId) -> Self {
        if self.0.children.is_empty() {
            self.0.children.push(ChildSpec {
                restart: Restart::Permanent,
                ..ChildSpec::temporary(id)
            });
        }
        self
    }

    pub fn root(&self) -> &SupervisorSpec {
        &self.0
    }

    /// Every child, each supervisor before those below it.
    pub fn children(&self) -> Vec<&ChildSpec> {
        let mut all = Vec::new();
        self.0.collect(&mut all);
        all
    }
}

impl SupervisorSpec {
    fn check<'a>(
        &'a self,
        depth: usize,
        seen: &mut BTreeSet<&'a ChildId>,
    ) -> Result<(), TreeError> {
        for child in &self.children {
            if depth > limits::TREE_DEPTH_MAX {
                return Err(TreeError::TooDeep(child.id.clone()));
            }
            if !seen.insert(&child.id) {
                return Err(TreeError::TwoAlike(child.id.clone()));
            }
            if seen.len() > limits::TREE_CHILDREN_MAX {
                return Err(TreeError::TooMany(seen.len()));
            }
            if let Some(supervisor) = &child.supervisor {
                supervisor.check(depth + 1, seen)?;
            }
        }
        Ok(())
    }

    fn collect<'a>(&'a self, all: &mut Vec<&'a ChildSpec>) {
        for child in &self.children {
            all.push(child);
            if let Some(supervisor) = &child.supervisor {
                supervisor.collect(all);
            }
        }
    }
}

impl Default for SupervisorSpec {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            restarts_max: limits::RESTARTS_DEFAULT,
            restart_window: limits::RESTART_WINDOW_DEFAULT,
            children: Vec::new(),
        }
    }
}

impl TryFrom<SupervisorSpec> for TreeSpec {
    type Error = TreeError;

    fn try_from(root: SupervisorSpec) -> Result<Self, TreeError> {
        Self::checked(root)
    }
}

impl From<TreeSpec> for SupervisorSpec {
    fn from(tree: TreeSpec) -> Self {
        tree.0
    }
}

impl ChildSpec {
    /// A worker that is never restarted.
    pub fn temporary(id: ChildId) -> Self {
        Self {
            id,
            restart: Restart::Temporary,
            shutdown_timeout: None,
            args: BTreeMap::new(),
            supervisor: None,
        }
    }
}

impl Strategy {
    pub fn name(self) -> &'static str {
        match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        }
    }
}

impl Restart {
    pub fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        }
    }
}
