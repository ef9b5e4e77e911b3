//! Where in its tree an actor lives: what every life of it has in common, and through which it gets children.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Bounds;
use super::behavior::{Fault, Start};
use super::cell::Vitals;
use super::spec::Restart;
use super::tree::Order;
use crate::id::{ActorId, ChildId};

/// One actor's place. Cloning is cheap.
pub struct Place<S: Start> {
    pub actor: ActorId,
    /// The actor that spawned it, where one did.
    pub parent: Option<Arc<str>>,
    pub vitals: Arc<Vitals>,
    /// The number of its last timer. No two of its timers have the same, whatever life they belong to.
    pub timers: Arc<AtomicU64>,
    pub kin: Kin<S>,
}

/// Through which an actor of a tree gets children.
pub struct Kin<S: Start> {
    pub(super) orders: mpsc::Sender<Order<S>>,
}

/// A child that an actor, or a door, wants.
pub struct Spawn<S: Start> {
    pub seed: S,
    /// `None` makes one of the stem and a number.
    pub id: Option<ChildId>,
    pub stem: ChildId,
    /// What callers find it by; its own id where there is none.
    pub actor_type: Option<ChildId>,
    pub parent: Option<Arc<str>>,
    /// By its id; the root where there is neither this nor a parent.
    pub supervisor: Option<ChildId>,
    pub restart: Restart,
    /// How long it may take to end when its supervisor stops it; `None` is the usual grace.
    pub shutdown_timeout: Option<Duration>,
    pub bounds: Bounds,
    pub labels: BTreeMap<String, String>,
}

/// Why there is no new actor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpawnError {
    #[error("this application has an actor {0:?} already")]
    Taken(String),
    #[error("this application has no supervisor {0:?}")]
    UnknownSupervisor(String),
    #[error("{0}")]
    NoRoom(String),
    #[error("it does not start: {0}")]
    NotStarted(String),
    #[error("the application is stopping, or its supervisor is restarting others; try again")]
    Busy,
}

impl<S: Start> Kin<S> {
    /// Starts one more actor under a supervisor of the tree, and answers with its id once it runs.
    pub async fn spawn(&self, spawn: Spawn<S>) -> Result<ActorId, SpawnError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Spawn(Box::new(spawn), answer);
        self.orders.try_send(order).map_err(|_| SpawnError::Busy)?;
        answered.await.unwrap_or(Err(SpawnError::Busy))
    }

    /// Ends an actor of the tree by this time, and answers once it is gone.
    pub async fn stop(&self, address: Arc<str>, by: Instant) {
        let (answer, answered) = oneshot::channel();
        let order = Order::StopOne {
            address,
            by: Some(by),
            answer,
        };
        if self.orders.send(order).await.is_ok() {
            let _ = answered.await;
        }
    }
}

impl<S: Start> Place<S> {
    /// A place in no tree, for a life that is not to last.
    pub fn outside(actor: ActorId) -> Self {
        let (orders, _) = mpsc::channel(1);
        Self {
            actor,
            parent: None,
            vitals: Arc::default(),
            timers: Arc::default(),
            kin: Kin { orders },
        }
    }
}

impl<S: Start> Clone for Kin<S> {
    fn clone(&self) -> Self {
        let orders = self.orders.clone();
        Self { orders }
    }
}

impl<S: Start> Clone for Place<S> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            parent: self.parent.clone(),
            vitals: self.vitals.clone(),
            timers: self.timers.clone(),
            kin: self.kin.clone(),
        }
    }
}

impl From<Fault> for SpawnError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken(text) => Self::NotStarted(text),
            Fault::NoRoom(text) => Self::NoRoom(text),
        }
    }
}
