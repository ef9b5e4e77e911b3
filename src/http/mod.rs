//! The HTTP door: one flat route table (`router.rs`), who may come in (`guard.rs`), and one file per subject.
//!
//! A request passes server → guard → router → its handler, which makes one call inward and renders the answer.

mod api;
mod applications;
mod backup;
mod body;
mod connections;
mod dashboard;
mod deploy;
mod figures;
mod gathered;
mod guard;
mod health;
mod invoke;
mod logs;
mod metrics;
mod multipart;
mod paging;
mod reply;
mod router;
mod server;
mod spec;
mod tuplespace;
mod uploads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::actor::Actors;
use crate::application::Applications;
use crate::audit::Audit;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::services::Services;
use crate::shutdown::Shutdown;

use health::Phase;
use uploads::Uploads;

pub use guard::Guard;
pub use server::{BindError, Doors, Listeners};

/// What the handlers know: the handles they call inward on, and the node's standing.
#[derive(Clone)]
pub struct Door {
    pub applications: Applications,
    pub actors: Actors,
    pub services: Services,
    pub shutdown: Shutdown,
    started_at: SystemTime,
    started: Instant,
    /// Whether all that must come before the first request is done.
    serving: Arc<AtomicBool>,
    uploads: Uploads,
    followers: Arc<Semaphore>,
    guard: Arc<Guard>,
    audit: Audit,
}

impl Door {
    pub fn new(
        applications: Applications,
        services: Services,
        shutdown: Shutdown,
        guard: Guard,
    ) -> Self {
        let actors = services.actors.clone();
        let (started_at, started) = (actors.clock().wall(), actors.clock().now());
        Self {
            applications,
            actors,
            services,
            shutdown,
            started_at,
            started,
            serving: Arc::default(),
            uploads: Uploads::default(),
            followers: Arc::new(Semaphore::new(limits::LOG_FOLLOWERS_MAX)),
            guard: Arc::new(guard),
            audit: Audit::new(),
        }
    }

    /// Opens the node's services: until then only health is answered.
    pub fn serve(&self) {
        self.serving.store(true, Relaxed);
    }

    fn uptime(&self) -> Duration {
        self.actors.clock().now() - self.started
    }

    fn phase(&self) -> Phase {
        match (self.shutdown.has_begun(), self.serving.load(Relaxed)) {
            (true, _) => Phase::Stopping,
            (false, true) => Phase::Serving,
            (false, false) => Phase::Starting,
        }
    }

    /// Runs `work` to its end, whether or not the client stays; should it panic, the caller is told so.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.shutdown.finish(work).await.unwrap_or_else(|_| {
            let text =
                "this request broke something in the node, which goes on; its log has the details";
            Err(Refusal::new(Kind::Internal, text))
        })
    }
}
