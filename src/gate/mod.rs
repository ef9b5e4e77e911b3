//! Where both doors are: two ports, who may hold a connection, who may come in, and what the node's standing is.
//!
//! A door is handed each request and answers it; what it is told here it need not know by itself.

mod body;
mod client;
mod connections;
mod ending;
mod guard;
pub mod incoming;
pub mod invocation;
mod search;
mod server;
mod standing;
mod wire;

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::{Method, Request, Uri};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::actor::Actors;
use crate::application::Applications;
use crate::audit::{self, Audit, Entry};
use crate::auth::Caller;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::services::Services;
use crate::shutdown::Shutdown;

pub use body::Body;
pub use client::Client;
pub use guard::{Access, Guard, TurnedAway};
pub use search::Search;
pub use server::{BindError, Doors, Listeners};
pub use standing::{Degraded, Phase};

/// What the handlers know. Each request has it, so cloning costs one count.
#[derive(Clone)]
pub struct Door(Arc<Hall>);

/// The handles that handlers call inward on, and the node's standing.
pub struct Hall {
    pub applications: Applications,
    pub actors: Actors,
    /// Who sends what comes over HTTP, as its receivers see it.
    pub http_sender: Arc<str>,
    pub services: Services,
    pub shutdown: Shutdown,
    pub started_at: SystemTime,
    started: Instant,
    /// Whether all that must come before the first request is done.
    serving: watch::Sender<bool>,
    /// Places for those who follow logs.
    pub followers: Arc<Semaphore>,
    guard: Guard,
    pub audit: Audit,
}

impl Deref for Door {
    type Target = Hall;

    fn deref(&self) -> &Hall {
        &self.0
    }
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
        Self(Arc::new(Hall {
            applications,
            http_sender: format!("http@{}", actors.node()).into(),
            actors,
            services,
            shutdown,
            started_at,
            started,
            serving: watch::Sender::default(),
            followers: Arc::new(Semaphore::new(limits::LOG_FOLLOWERS_MAX)),
            guard,
            audit: Audit::new(),
        }))
    }

    /// Opens the node's services: until then only health is answered.
    pub fn serve(&self) {
        self.serving.send_replace(true);
    }

    pub fn uptime(&self) -> Duration {
        self.actors.clock().now() - self.started
    }

    pub fn phase(&self) -> Phase {
        match (self.shutdown.has_begun(), *self.serving.borrow()) {
            (true, _) => Phase::Stopping,
            (false, true) => Phase::Serving,
            (false, false) => Phase::Starting,
        }
    }

    /// Resolves with the node's phase once that is no longer the one that was `seen`. None follows stopping.
    pub async fn phase_after(&self, seen: Phase) -> Phase {
        let mut serving = self.serving.subscribe();
        loop {
            let phase = self.phase();
            if phase != seen {
                return phase;
            }
            tokio::select! {
                () = self.shutdown.begun(), if phase != Phase::Stopping => {}
                // The sender lives in `self`, so the wait cannot fail.
                _ = serving.changed() => {}
            }
        }
    }

    /// Asks the guard, and leaves an audit line where it says no.
    pub fn admit<B>(
        &self,
        peer: SocketAddr,
        request: &Request<B>,
        access: Access,
    ) -> Result<Caller, Refusal> {
        let admitted = self.guard.admit(peer, request, access);
        admitted.map_err(|TurnedAway { caller, refusal }| {
            let call = call(request.method(), request.uri());
            self.audit.turned_away(&caller, peer, &call, &refusal);
            refusal
        })
    }

    /// Whether who came in may stay, for answers that go on and on.
    pub fn still_admits(&self, caller: &Caller) -> bool {
        self.guard.still_admits(caller)
    }

    /// Carries out a change, and closes its audit entry with how that ended, whether or not the client stays.
    pub async fn carry_out<T: Send + 'static>(
        &self,
        entry: Entry,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let audited = async move {
            let done = work.await;
            entry.ended(done.as_ref());
            done
        };
        self.to_its_end(audited).await
    }

    /// Runs `work` to its end, whether or not the client stays; should it panic, the caller is told so.
    pub async fn to_its_end<T: Send + 'static>(
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

/// A request as the audit trail names it.
pub fn call<'a>(method: &'a Method, uri: &'a Uri) -> audit::Call<'a> {
    audit::Call {
        method: method.as_str(),
        path: uri.path(),
    }
}
