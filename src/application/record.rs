//! What survives of an application: all that is needed to start it again.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::spec::Spec;
use crate::actor::TreeSpec;
use crate::id::{ChildId, Digest};
use crate::wasm::Kind;

/// One deployed application, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub spec: Spec,
    pub digest: Digest,
    /// The module's size.
    pub bytes: u64,
    pub kind: Kind,
    pub deployed_at: SystemTime,
    /// Applications start in this order after a restart: the one in which they were deployed.
    pub order: u64,
    pub desired: Desired,
    /// The tree that the module asked for, where its config does not.
    #[serde(default)]
    pub own_tree: Option<TreeSpec>,
    /// The version before this one.
    #[serde(default)]
    pub previous: Option<Box<Version>>,
    /// This version is new: should it fail, the one before takes its place.
    #[serde(default)]
    pub on_probation: bool,
}

/// A version of an application that can be run again: its module is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub spec: Spec,
    pub digest: Digest,
    pub bytes: u64,
    pub kind: Kind,
    pub deployed_at: SystemTime,
    #[serde(default)]
    pub own_tree: Option<TreeSpec>,
}

/// What its operator wants of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    Running,
    Stopped,
}

impl Record {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is names, numbers and texts")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The tree that it runs.
    pub fn tree(&self) -> TreeSpec {
        tree_of(&self.spec, self.own_tree.as_ref())
    }

    /// The modules that it needs, that of the version before included.
    pub fn digests(&self) -> Vec<Digest> {
        let previous = self.previous.as_ref().map(|previous| previous.digest);
        std::iter::once(self.digest).chain(previous).collect()
    }

    /// The version, of the two that are kept, that has this module.
    pub fn version_of(&self, digest: Digest) -> Option<Version> {
        match &self.previous {
            _ if self.digest == digest => Some(self.version()),
            Some(previous) if previous.digest == digest => Some((**previous).clone()),
            _ => None,
        }
    }

    /// What it takes to run this version again.
    pub fn version(&self) -> Version {
        Version {
            spec: self.spec.clone(),
            digest: self.digest,
            bytes: self.bytes,
            kind: self.kind,
            deployed_at: self.deployed_at,
            own_tree: self.own_tree.clone(),
        }
    }

    /// The same application at another version, which has been wanted running.
    pub fn at(&self, version: Version, previous: Option<Version>, on_probation: bool) -> Self {
        Self {
            spec: version.spec,
            digest: version.digest,
            bytes: version.bytes,
            kind: version.kind,
            deployed_at: version.deployed_at,
            order: self.order,
            desired: Desired::Running,
            own_tree: version.own_tree,
            previous: previous.map(Box::new),
            on_probation,
        }
    }

    /// The same, proven.
    pub fn proven(&self) -> Self {
        Self {
            on_probation: false,
            ..self.clone()
        }
    }

    /// The same with another wish.
    pub fn desiring(&self, desired: Desired) -> Self {
        Self {
            desired,
            ..self.clone()
        }
    }
}

/// The tree of a spec: its own, else the module's, else one worker that is named after the application.
pub fn tree_of(spec: &Spec, own: Option<&TreeSpec>) -> TreeSpec {
    let worker = ChildId::of_application(&spec.name);
    match spec.supervisor.as_ref().or(own) {
        Some(asked) => asked.clone().or_one(worker),
        None => TreeSpec::of_one(worker),
    }
}

#[cfg(test)]
impl Record {
    /// One with nothing of its own but these.
    pub fn for_tests(spec: Spec, order: u64) -> Self {
        use sha2::Digest as _;
        Self {
            spec,
            digest: Digest::of(sha2::Sha256::new()),
            bytes: 0,
            kind: Kind::Core,
            deployed_at: SystemTime::UNIX_EPOCH,
            order,
            desired: Desired::Running,
            own_tree: None,
            previous: None,
            on_probation: false,
        }
    }
}
