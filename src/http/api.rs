//! The JSON shapes of the HTTP API.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::paging::Paging;
use super::spec::Spec;
use super::tree::Branch;
use crate::application::{self, ActorOverview, ActorState, Overview};
use crate::clock::rfc3339;
use crate::coordination::Tuple;
use crate::coordination::tuplespace::Stats;
use crate::gate;
use crate::payload::Payload;
use crate::storage::{Blob, Line};
use crate::wasm::{Kind, Pool};

#[derive(Serialize)]
pub struct Error<'a> {
    pub success: bool,
    pub error: &'a str,
    pub code: &'static str,
}

#[derive(Serialize)]
pub struct Deployed {
    pub success: bool,
    pub application_id: String,
    pub status: &'static str,
    pub error: Option<String>,
}

#[derive(Serialize)]
pub struct Logs {
    pub lines: Vec<Line>,
}

#[derive(Serialize)]
pub struct Undeployed {
    pub success: bool,
    pub application_id: String,
}

#[derive(Serialize)]
pub struct Applications {
    pub applications: Vec<Application>,
    /// Where a part of them was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
}

#[derive(Serialize)]
pub struct Application {
    pub application_id: String,
    pub name: String,
    pub version: String,
    pub status: &'static str,
    pub deployed_at: String,
    pub module_hash: String,
    pub kind: Kind,
    pub metrics: Metrics,
    /// Of one that failed lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revival: Option<Revival>,
}

/// How often it failed since it last ran for ten minutes, and when it is started again.
#[derive(Serialize)]
pub struct Revival {
    pub failures: u32,
    pub last_error: String,
    /// `null` while it is being started or runs.
    pub next_try_at: Option<String>,
}

#[derive(Serialize)]
pub struct Metrics {
    pub actor_count: usize,
    pub supervisor_count: usize,
    pub uptime_seconds: u64,
}

/// One application with what the list leaves out.
#[derive(Serialize)]
pub struct Detail {
    #[serde(flatten)]
    pub application: Application,
    pub spec: Spec,
    /// Why it has failed.
    pub error: Option<String>,
    /// The version to which a rollback goes.
    pub previous: Option<Previous>,
    pub on_probation: bool,
    /// The version that failed in its probation, since which this one is back; forgotten when the node ends.
    pub undone: Option<Undone>,
    /// As it runs. Of its workers, those of the page.
    pub tree: Option<Branch>,
    pub actors: Vec<Actor>,
    pub page: Page,
}

#[derive(Serialize)]
pub struct Undone {
    pub version: String,
    pub module_hash: String,
    pub undone_at: String,
    pub reason: String,
}

#[derive(Serialize)]
pub struct Previous {
    pub version: String,
    pub module_hash: String,
}

#[derive(Serialize)]
pub struct Actor {
    pub actor_id: String,
    pub actor_type: String,
    pub state: &'static str,
    pub restarts: u32,
    pub mailbox_depth: usize,
    /// How long it has had its message in hand, where that is over a second.
    pub busy_seconds: Option<f64>,
    pub messages_handled: u64,
    pub messages_failed: u64,
    pub memory_bytes: u64,
    pub last_error: Option<String>,
    /// Those above it, from the root down.
    pub supervisors: Vec<String>,
    /// Who spawned it.
    pub parent_id: Option<String>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub struct Invoked<'a> {
    pub success: bool,
    pub payload: Payload<'a>,
    pub payload_encoding: &'static str,
    pub headers: BTreeMap<String, String>,
    pub actor_id: &'a str,
}

#[derive(Serialize)]
pub struct Stopped<'a> {
    pub success: bool,
    pub actor_id: &'a str,
}

#[derive(Serialize)]
pub struct Told {
    pub success: bool,
    pub message_id: String,
}

#[derive(Serialize)]
pub struct Done {
    pub success: bool,
}

#[derive(Serialize)]
pub struct Tuples {
    pub success: bool,
    pub tuples: Vec<Tuple>,
}

#[derive(Serialize)]
pub struct Counted {
    pub success: bool,
    pub count: usize,
}

#[derive(Serialize)]
pub struct TupleStats {
    pub success: bool,
    pub tuple_count: usize,
    pub memory_bytes: usize,
    pub waiting: usize,
    pub subscriptions: usize,
}

impl Tuples {
    pub fn of(tuples: Vec<Tuple>) -> Self {
        let success = true;
        Self { success, tuples }
    }
}

impl From<Stats> for TupleStats {
    fn from(stats: Stats) -> Self {
        Self {
            success: true,
            tuple_count: stats.tuples,
            memory_bytes: stats.bytes,
            waiting: stats.waiting,
            subscriptions: stats.subscriptions,
        }
    }
}

#[derive(Serialize)]
pub struct Summary {
    pub total_clusters: u32,
    pub total_nodes: u32,
    pub total_tenants: usize,
    pub total_applications: usize,
    pub actors_by_type: BTreeMap<String, usize>,
    pub since: String,
    pub until: String,
    pub node_id: String,
    pub version: &'static str,
}

/// Where the items of a list stand among all of them.
#[derive(Debug, Serialize)]
pub struct Page {
    pub total_size: usize,
    pub offset: usize,
    pub limit: usize,
    pub has_next: bool,
}

#[derive(Serialize)]
pub struct Nodes {
    pub nodes: Vec<Node>,
    pub page: Page,
}

#[derive(Serialize)]
pub struct Node {
    pub node_id: String,
    pub status: &'static str,
    pub degraded: Vec<Degraded>,
    pub version: &'static str,
    pub started_at: String,
    pub uptime_seconds: u64,
    pub application_count: usize,
    pub actor_count: usize,
}

#[derive(Serialize)]
pub struct PagedApplications {
    pub applications: Vec<Application>,
    pub page: Page,
}

#[derive(Serialize)]
pub struct Actors {
    pub actors: Vec<ListedActor>,
    pub page: Page,
}

/// An actor among those of other applications.
#[derive(Serialize)]
pub struct ListedActor {
    #[serde(flatten)]
    pub actor: Actor,
    pub application: String,
    pub namespace: String,
}

/// The machine and the process; `null` is what the system does not tell.
#[derive(Serialize)]
pub struct SystemInfo {
    pub version: &'static str,
    pub os: &'static str,
    pub arch: &'static str,
    pub cpu_count: usize,
    pub memory_total_bytes: Option<u64>,
    pub memory_available_bytes: Option<u64>,
    pub resident_bytes: Option<u64>,
    pub uptime_seconds: u64,
    pub data_dir_free_bytes: Option<u64>,
    pub engine: Vec<Engine>,
}

/// One size class of guests; `null` is what is not known of memory taken on demand.
#[derive(Serialize)]
pub struct Engine {
    pub class: &'static str,
    pub rung: String,
    pub slots: Option<u32>,
    pub memories: Option<usize>,
}

#[derive(Serialize)]
pub struct Health<'a> {
    pub status: &'static str,
    pub node_id: &'a str,
    pub version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    pub degraded: Vec<Degraded>,
}

/// A part of the node that does not work as it should, and why.
#[derive(Serialize)]
pub struct Degraded {
    pub component: String,
    pub reason: String,
}

#[derive(Serialize)]
pub struct Probe {
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

impl From<&Overview> for Application {
    fn from(overview: &Overview) -> Self {
        Self {
            application_id: overview.spec.application_id.to_string(),
            name: overview.spec.name.to_string(),
            version: overview.spec.version.to_string(),
            status: overview.status.name(),
            deployed_at: rfc3339(overview.deployed_at),
            module_hash: overview.digest.to_string(),
            kind: overview.kind,
            metrics: Metrics {
                actor_count: overview
                    .actors
                    .iter()
                    .filter(|actor| actor.state == ActorState::Running)
                    .count(),
                supervisor_count: overview.supervisors_running(),
                uptime_seconds: overview.uptime.as_secs(),
            },
            revival: overview.revival.as_ref().map(Into::into),
        }
    }
}

impl From<&application::Revival> for Revival {
    fn from(revival: &application::Revival) -> Self {
        Self {
            failures: revival.failures,
            last_error: revival.last_error.clone(),
            next_try_at: revival.next_try_at.map(rfc3339),
        }
    }
}

impl Detail {
    /// The part of an application that a page asks for.
    pub fn of(overview: &Overview, paging: Paging) -> Self {
        let (actors, page) = paging.cut(overview.actors.iter().collect());
        let shown: HashSet<&str> = actors.iter().map(|actor| &*actor.id).collect();
        let tree = overview.tree.as_ref();
        Self {
            application: overview.into(),
            spec: (&overview.spec).into(),
            error: overview.reason.clone(),
            previous: overview.previous.as_ref().map(|(version, hash)| Previous {
                version: version.to_string(),
                module_hash: hash.to_string(),
            }),
            on_probation: overview.on_probation,
            undone: overview.undone.as_ref().map(|undone| Undone {
                version: undone.version.to_string(),
                module_hash: undone.digest.to_string(),
                undone_at: rfc3339(undone.at),
                reason: undone.reason.clone(),
            }),
            tree: tree.and_then(|view| Branch::of(view, &shown)),
            actors: actors.into_iter().map(Actor::from).collect(),
            page,
        }
    }
}

impl From<&ActorOverview> for Actor {
    fn from(actor: &ActorOverview) -> Self {
        Self {
            actor_id: actor.id.clone(),
            actor_type: actor.actor_type.clone(),
            state: actor.state.name(),
            restarts: actor.restarts,
            mailbox_depth: actor.mailbox_depth,
            busy_seconds: actor.busy.map(|it| it.as_secs_f64()),
            messages_handled: actor.messages_handled,
            messages_failed: actor.messages_failed,
            memory_bytes: actor.memory_bytes,
            last_error: actor.last_error.clone(),
            supervisors: actor.supervisors.clone(),
            parent_id: actor.parent.clone(),
            labels: actor.labels.clone(),
        }
    }
}

impl From<gate::Degraded> for Degraded {
    fn from(degraded: gate::Degraded) -> Self {
        let gate::Degraded { component, reason } = degraded;
        Self { component, reason }
    }
}

impl From<&Pool> for Engine {
    fn from(pool: &Pool) -> Self {
        Self {
            class: pool.class,
            rung: pool.rung.clone(),
            slots: pool.slots,
            memories: pool.memories,
        }
    }
}

/// The answer to a blob that was put.
#[derive(Serialize)]
pub struct Stored<'a> {
    pub success: bool,
    pub blob: BlobMetadata<'a>,
}

/// A page of a bucket.
#[derive(Serialize)]
pub struct Blobs<'a> {
    pub blobs: Vec<BlobMetadata<'a>>,
    pub page: Page,
}

/// What is known of a blob.
#[derive(Serialize)]
pub struct BlobMetadata<'a> {
    pub blob_id: &'a str,
    pub tenant: &'a str,
    pub namespace: &'a str,
    pub bucket: &'a str,
    pub key: &'a str,
    pub size: u64,
    pub content_type: Option<&'a str>,
    pub etag: String,
    pub last_modified: String,
}

impl<'a> From<&'a Blob> for BlobMetadata<'a> {
    fn from(blob: &'a Blob) -> Self {
        let modified = Duration::from_millis(blob.modified_ms);
        Self {
            blob_id: &blob.id,
            tenant: &blob.place.tenant,
            namespace: &blob.place.namespace,
            bucket: &blob.bucket,
            key: &blob.key,
            size: blob.bytes,
            content_type: blob.content_type.as_deref(),
            etag: blob.digest.to_string(),
            last_modified: rfc3339(SystemTime::UNIX_EPOCH + modified),
        }
    }
}
