//! Where the runs of an application are carried out: what starts their actors, and for as long as it stands.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Workflows;
use super::run::Run;
use crate::actor::{Actors, Exit};
use crate::id::{ActorId, ApplicationName};
use crate::limits;

/// An actor that is being started.
pub type Starting = Pin<Box<dyn Future<Output = Result<ActorId, Unstarted>> + Send>>;
/// An actor that is being stopped, until it is gone.
pub type Stopping = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What starts actors in an application. What they are made of stands on the floors below, so it is handed up.
#[derive(Clone)]
pub struct Stage {
    /// The actor that carries out a run.
    pub run: Arc<dyn Fn(Arc<Run>) -> Starting + Send + Sync>,
    /// One of this type, for an activity that none is there for.
    pub activity: Arc<dyn Fn(&str) -> Starting + Send + Sync>,
    /// Ends one at once.
    pub stop: Arc<dyn Fn(ActorId) -> Stopping + Send + Sync>,
}

/// An actor that was started for one activity, and ends with this.
pub struct Hired {
    pub actor: ActorId,
    actors: Actors,
}

impl Stage {
    /// Starts an actor for one activity. It ends with whoever wanted it, also where that ends before it is there.
    pub async fn hire(&self, name: &str, actors: &Actors) -> Result<Hired, Unstarted> {
        let (starting, actors) = ((self.activity)(name), actors.clone());
        let hiring = tokio::spawn(async move {
            let actor = starting.await?;
            Ok(Hired { actor, actors })
        });
        let lost = |_| Err(Unstarted::NoRoom("its start was cut off".into()));
        hiring.await.unwrap_or_else(lost)
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        let at_once = Some(Duration::ZERO);
        self.actors
            .stop(self.actor.address(), at_once, Exit::Shutdown);
    }
}

/// Why there is no actor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unstarted {
    /// The application has no such type, or it is none that can run.
    #[error("{0}")]
    Unknown(String),
    /// It does not start.
    #[error("{0}")]
    Broken(String),
    /// There is no room now.
    #[error("{0}")]
    NoRoom(String),
}

/// The runs of an application go on for as long as this is kept.
pub struct Performance {
    pub(super) workflows: Workflows,
    pub(super) application: ApplicationName,
    /// Which stage of the application's this is.
    pub(super) number: u64,
}

impl Performance {
    /// Lets the runs come to rest, each at the end of its step, by this time at the latest.
    pub async fn pause(&self, by: Instant) {
        let time = by.saturating_duration_since(Instant::now());
        let time = time.min(limits::RUN_PAUSE_MAX);
        self.workflows.pause(&self.application, time).await;
    }
}

impl Drop for Performance {
    fn drop(&mut self) {
        self.workflows.abandon(&self.application, self.number);
    }
}
