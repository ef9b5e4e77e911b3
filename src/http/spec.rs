//! An application's spec as JSON shows it: what was asked for, with every default filled in.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::tree::Supervisor;
use crate::application;
use crate::application::spec::ApplicationType;
use crate::clock::Span;
use crate::id::Scope;
use crate::limits;
use crate::wasm::{Capabilities, GuestLimits};

/// The keys of a deploy's `config`.
#[derive(Serialize)]
pub struct Spec {
    name: String,
    version: String,
    description: String,
    #[serde(rename = "type")]
    application_type: &'static str,
    tenant: String,
    namespace: String,
    dependencies: Vec<String>,
    supervisor: Option<Supervisor>,
    /// What looks like a secret by its name is blotted out.
    env: BTreeMap<String, String>,
    limits: Limits,
    capabilities: BTreeMap<&'static str, bool>,
}

#[derive(Serialize)]
struct Limits {
    max_memory_bytes: u64,
    max_execution_time: String,
    max_mailbox: usize,
    max_message_bytes: usize,
    max_table_elements: usize,
}

/// What a deploy without a config has, by the keys of one.
pub fn defaults() -> Value {
    json!({
        "type": ApplicationType::default().name(),
        "tenant": &*Scope::default(),
        "namespace": &*Scope::default(),
        "dependencies": [],
        "supervisor": null,
        "env": {},
        "limits": Limits::of(&GuestLimits::default(), limits::MAILBOX_MESSAGES_MAX),
        "capabilities": switches(Capabilities::default()),
    })
}

impl From<&application::spec::Spec> for Spec {
    fn from(spec: &application::spec::Spec) -> Self {
        Self {
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            description: spec.description.clone(),
            application_type: spec.kind.name(),
            tenant: spec.tenant.to_string(),
            namespace: spec.namespace.to_string(),
            dependencies: spec.dependencies.iter().map(|it| it.to_string()).collect(),
            supervisor: spec.supervisor.as_ref().map(|it| it.root().into()),
            env: spec.env_without_secrets(),
            limits: Limits::of(&spec.limits, spec.mailbox_messages_max),
            capabilities: switches(spec.capabilities),
        }
    }
}

impl Limits {
    fn of(guest: &GuestLimits, mailbox_messages_max: usize) -> Self {
        Self {
            max_memory_bytes: guest.memory_bytes_max,
            max_execution_time: Span(guest.execution_time_max).to_string(),
            max_mailbox: mailbox_messages_max,
            max_message_bytes: guest.message_bytes_max,
            max_table_elements: guest.table_elements_max,
        }
    }
}

fn switches(granted: Capabilities) -> BTreeMap<&'static str, bool> {
    [
        ("allow_env", granted.env),
        ("allow_random", granted.random),
        ("allow_clocks", granted.clocks),
        ("allow_tuplespace", granted.tuplespace),
        ("allow_spawn_actors", granted.spawn_actors),
        ("allow_send_messages", granted.send_messages),
        ("allow_logging", granted.logging),
    ]
    .into()
}
