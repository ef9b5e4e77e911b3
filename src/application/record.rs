//! What survives of an application: all that is needed to start it again.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::spec::Spec;
use crate::id::Digest;
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

    /// The same with another wish.
    pub fn desiring(&self, desired: Desired) -> Self {
        Self {
            desired,
            ..self.clone()
        }
    }
}
