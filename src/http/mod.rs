//! The HTTP door: one flat route table (`router.rs`), who may come in (`guard.rs`), and one file per subject.
//!
//! A request passes server → guard → router → its handler, which makes one call inward and renders the answer.

mod api;
mod applications;
mod dashboard;
mod deploy;
mod guard;
mod health;
mod invoke;
mod multipart;
mod reply;
mod router;
mod server;

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Semaphore;

use crate::actor::Actors;
use crate::application::Applications;
use crate::audit::Audit;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::shutdown::Shutdown;

pub use guard::Guard;
pub use server::{BindError, Doors, Listeners};

/// What the handlers know: the two handles they call inward on, and the node's standing.
#[derive(Clone)]
pub struct Door {
    pub applications: Applications,
    pub actors: Actors,
    pub shutdown: Shutdown,
    started_at: SystemTime,
    uploads: Arc<Semaphore>,
    guard: Arc<Guard>,
    audit: Audit,
}

impl Door {
    pub fn new(
        applications: Applications,
        actors: Actors,
        shutdown: Shutdown,
        guard: Guard,
    ) -> Self {
        let started_at = actors.clock().wall();
        Self {
            applications,
            actors,
            shutdown,
            started_at,
            uploads: Arc::new(Semaphore::new(limits::UPLOADS_MAX)),
            guard: Arc::new(guard),
            audit: Audit::new(),
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
