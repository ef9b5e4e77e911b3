//! The node's JSON as the command line reads it for tables. What a newer node adds is passed over; `--output json` shows
//! everything, as the node sent it.

use serde::Deserialize;

use super::tree::Branch;

#[derive(Deserialize)]
pub struct Applications {
    pub applications: Vec<Application>,
}

#[derive(Deserialize)]
pub struct Application {
    pub application_id: String,
    pub name: String,
    pub version: String,
    pub status: String,
    pub deployed_at: String,
    pub module_hash: String,
    pub kind: String,
    pub metrics: Metrics,
    /// What its config asks for, with every default; lists leave it out.
    #[serde(default)]
    pub spec: serde_json::Value,
}

impl Application {
    /// The version, and the SHA-256 of the module.
    pub fn what(&self) -> (&str, &str) {
        (&self.version, &self.module_hash)
    }
}

#[derive(Deserialize)]
pub struct Metrics {
    pub actor_count: u64,
    pub uptime_seconds: u64,
}

/// One application with its actors.
#[derive(Deserialize)]
pub struct Detail {
    #[serde(flatten)]
    pub application: Application,
    pub error: Option<String>,
    /// The version before, to which a rollback goes.
    pub previous: Option<Previous>,
    #[serde(default)]
    pub on_probation: bool,
    /// Of one that failed lately.
    #[serde(default)]
    pub revival: Option<Revival>,
    /// The version that failed in its probation, since which this one is back.
    #[serde(default)]
    pub undone: Option<Undone>,
    pub actors: Vec<Actor>,
    /// `None` while nothing runs.
    pub tree: Option<Branch>,
}

#[derive(Deserialize)]
pub struct Revival {
    pub failures: u32,
    pub last_error: String,
    /// `None` while it is being started or runs.
    pub next_try_at: Option<String>,
}

#[derive(Deserialize)]
pub struct Undone {
    pub version: String,
    pub undone_at: String,
    pub reason: String,
}

#[derive(Deserialize)]
pub struct Previous {
    pub version: String,
}

#[derive(Deserialize)]
pub struct Actor {
    pub actor_id: String,
    pub state: String,
    pub restarts: u64,
    pub mailbox_depth: u64,
    pub busy_seconds: Option<f64>,
    pub last_error: Option<String>,
    /// Where actors of several applications are listed.
    #[serde(default)]
    pub application: String,
}

#[derive(Deserialize)]
pub struct Actors {
    pub actors: Vec<Actor>,
}

/// What deploy, start and stop answer.
#[derive(Deserialize)]
pub struct Deployed {
    pub application_id: String,
    pub status: String,
}

#[derive(Deserialize)]
pub struct Undeployed {
    pub application_id: String,
}

#[derive(Deserialize)]
pub struct Told {
    pub message_id: String,
}

#[derive(Deserialize)]
pub struct Logs {
    pub lines: Vec<serde_json::Value>,
}

/// One line of an application's log.
#[derive(Deserialize)]
pub struct Line {
    pub time: String,
    pub level: String,
    pub actor: Option<String>,
    pub message: String,
}

/// `APPLICATION_STATUS_RUNNING` as people say it.
pub fn status(name: &str) -> &str {
    name.trim_start_matches("APPLICATION_STATUS_")
}
