//! The end of a probation: on a node's directory, in this process, whose clock the tests move.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use plexspaces_node::actor::{Actors, SendError};
use plexspaces_node::application::{Applications, Overview, Status};
use plexspaces_node::clock::Clock;
use plexspaces_node::config::Profile;
use plexspaces_node::id::NodeId;
use plexspaces_node::limits;
use plexspaces_node::metrics::Metrics;
use plexspaces_node::services::Services;
use plexspaces_node::storage::Storage;
use plexspaces_node::wasm::Wasm;
use tempfile::TempDir;
use tokio::time::{self, Instant};

use crate::harness::{Node, node};
use crate::puppets::stateful;

/// A node without doors.
struct Inside {
    actors: Actors,
    applications: Applications,
}

impl Inside {
    /// What another node deployed is there again, and its code compiled.
    async fn restored(dir: &Path) -> Self {
        let storage = Storage::open(dir).unwrap();
        let actors = Actors::new(
            NodeId::parse("test-node").unwrap(),
            Clock::system(),
            Metrics::new(),
            storage.logs.clone(),
        );
        let services = Services::new(actors.clone(), storage.clone());
        let wasm = Wasm::new(services, Profile::Small, 10).unwrap();
        let never = Duration::from_secs(3_600);
        let applications = Applications::new(storage, actors.clone(), wasm, never);
        applications.restore().await;
        Self {
            actors,
            applications,
        }
    }

    fn look(&self) -> Overview {
        self.applications.list().remove(0)
    }

    fn version(&self) -> String {
        self.look().spec.version.to_string()
    }

    async fn ask(&self, payload: &'static str) -> Result<Bytes, SendError> {
        let payload = Bytes::from_static(payload.as_bytes());
        let message = self.actors.message("test".into(), "call", payload);
        let deadline = Instant::now() + Duration::from_secs(30);
        let asked = self.actors.ask("app@test-node", message, deadline);
        asked.await
    }

    /// Lets time pass at once, and what waited for it begin.
    async fn passes(&self, time: Duration) {
        time::pause();
        time::advance(time).await;
        time::resume();
    }

    async fn comes_to(&self, wanted: impl Fn(&Overview) -> bool) {
        let coming = async {
            while !wanted(&self.look()) {
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(60);
        let came = time::timeout(patience, coming).await;
        assert!(came.is_ok(), "never as wanted: {:?}", self.look());
    }
}

/// The directory of a node that was killed after an upgrade from version 1 to 2.
fn on_probation() -> TempDir {
    let node = node();
    for version in ["1", "2"] {
        let global = format!("(global (export \"version\") i32 (i32.const {version}))");
        let form = node.form("app", &stateful(&global));
        form.field("version", version).send().is_deployed();
    }
    node.kill()
}

/// What no version does that is on probation and goes on.
async fn breaks(inside: &Inside) {
    let broken = inside.ask("t").await;
    assert!(matches!(broken, Err(SendError::Failed(_))), "{broken:?}");
}

/// Does this on what is in a directory. Nothing has hold of that afterwards.
fn inside(dir: &TempDir, work: impl AsyncFnOnce(&Inside)) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let inside = Inside::restored(dir.path()).await;
        work(&inside).await;
        inside.applications.close().await;
    });
}

#[test]
fn a_version_that_has_lasted_a_minute_breaks_as_any_other_and_stays() {
    let dir = on_probation();
    inside(&dir, async |inside| {
        assert!(inside.look().on_probation);
        inside.passes(limits::PROBATION).await;
        inside.comes_to(|it| !it.on_probation).await;
        breaks(inside).await;
        inside.comes_to(|it| it.actors[0].restarts == 1).await;
        assert_eq!(inside.ask("on").await.unwrap(), "on");
        assert_eq!(inside.version(), "2");
        assert_eq!(inside.look().status, Status::Running);
    });
    let node = Node::again(dir);
    let seen = node.get("/api/v1/applications/app").json();
    assert_eq!(
        (&seen["version"], &seen["on_probation"]),
        (&"2".into(), &false.into())
    );
    let log = node.get("/api/v1/applications/app/logs").body;
    assert!(log.contains("version 2 has passed its probation"), "{log}");
    // The one before is there as long as no other is deployed.
    assert_eq!(node.wish("app", "rollback").status, 200);
    let seen = node.get("/api/v1/applications/app").json();
    assert_eq!(seen["version"], "1");
}

#[test]
fn a_version_that_breaks_in_its_first_minute_is_replaced_also_after_half_of_it() {
    let dir = on_probation();
    inside(&dir, async |inside| {
        inside.passes(limits::PROBATION / 2).await;
        breaks(inside).await;
        let is_back = |it: &Overview| it.status == Status::Running && *it.spec.version == *"1";
        inside.comes_to(is_back).await;
        assert!(inside.look().undone.is_some());
        assert!(!inside.look().on_probation);
        // The rest of the minute ends nothing of the version before.
        inside.passes(limits::PROBATION).await;
        assert_eq!(inside.ask("on").await.unwrap(), "on");
        assert_eq!(inside.version(), "1");
    });
}
