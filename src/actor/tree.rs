//! A running supervision tree: one task that carries out what `supervision.rs` decides, and its owner's handle on it.
//!
//! Each life of an actor is a task of its own. They all belong to the tree's task, and end with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::behavior::{Fault, Start};
use super::control::Farewell;
use super::driver::Driver;
use super::grove::Grove;
use super::place::{Kin, Spawn, SpawnError};
use super::spec::TreeSpec;
use super::supervision::ROOT;
use super::upgrade::{Prepare, Replace};
use super::view::View;
use super::{Actors, Bounds};
use crate::id::{ActorId, ApplicationName, ChildId, Scope};
use crate::limits;

/// The owner's handle on a tree. Dropped, it ends all of it at once.
pub struct Tree<S: Start> {
    pub(super) orders: mpsc::Sender<Order<S>>,
    grove: Arc<Mutex<Grove>>,
    standing: watch::Receiver<Standing>,
    task: JoinHandle<()>,
}

/// How a whole tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Running,
    /// The root gave up, or a version on probation broke; with the reason.
    Failed(String),
    Stopped,
}

/// Whose tree it is.
#[derive(Clone, Debug)]
pub struct Estate {
    pub tenant: Scope,
    pub namespace: Scope,
    pub application: ApplicationName,
    /// What callers find the one worker of an application without a tree by, where it is not its own id.
    pub worker_type: Option<ChildId>,
}

/// What a tree is planted from.
pub struct Planting<S> {
    pub spec: TreeSpec,
    /// For each worker of the spec, by its id.
    pub seeds: HashMap<ChildId, S>,
    pub bounds: Bounds,
}

/// Why a tree does not start: the child at which it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarted {
    pub child: ChildId,
    pub fault: Fault,
}

/// The state that an actor left, by its id within the application.
pub type Left = (String, Bytes);

/// What is asked of a tree.
pub enum Order<S: Start> {
    Stop {
        by: Instant,
        farewell: Farewell,
        answer: oneshot::Sender<Vec<Left>>,
    },
    StopOne {
        address: Arc<str>,
        by: Option<Instant>,
        answer: oneshot::Sender<Option<Bytes>>,
    },
    StartMissing(oneshot::Sender<()>),
    Spawn(Box<Spawn<S>>, oneshot::Sender<Result<ActorId, SpawnError>>),
    Prepare(Prepare<S>),
    Replace(Replace<S>),
}

impl<S: Start> Tree<S> {
    /// Starts all of it, left to right. What started is undone if one does not, or if nobody waits any more.
    pub async fn plant(
        actors: &Actors,
        estate: Estate,
        planting: Planting<S>,
    ) -> Result<Self, NotStarted> {
        let (orders, ordered) = mpsc::channel(limits::TREE_ORDERS_MAX);
        let (begun, begins) = oneshot::channel();
        let (standing, seen) = watch::channel(Standing::Running);
        let mut driver = Driver::new(actors, estate, planting, orders.clone(), standing);
        driver.begun = Some(begun);
        let grove = driver.grove.clone();
        let task = tokio::spawn(driver.run(ordered));
        let mut tree = Self {
            orders,
            grove,
            standing: seen,
            task,
        };
        match begins.await {
            Ok(Ok(())) => Ok(tree),
            Ok(Err(not_started)) => {
                // What was being spawned goes with it.
                tree.task.abort();
                let _ = (&mut tree.task).await;
                Err(not_started)
            }
            Err(_) => unreachable!("a tree says how its start went"),
        }
    }

    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until the tree has failed. Owned: the wait may outlive the handle, and then never ends.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + use<S> {
        let mut standing = self.standing.clone();
        async move {
            let failed = |standing: &Standing| matches!(standing, Standing::Failed(_));
            if standing.wait_for(failed).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// What an onlooker sees of it.
    pub fn view(&self) -> View {
        self.grove.lock().unwrap().view(ROOT)
    }

    /// How many actors run, without looking at each.
    pub fn actors(&self) -> usize {
        self.grove.lock().unwrap().running()
    }

    /// Whether an actor of the tree was stopped or has ended, and does not come back by itself.
    pub fn lacks_some(&self) -> bool {
        self.grove.lock().unwrap().lacks_some()
    }

    pub fn kin(&self) -> Kin<S> {
        Kin {
            orders: self.orders.clone(),
        }
    }

    /// Stops all of it, right to left, each child within its own time and none later than `by`. Answers with what
    /// those leave that are asked for it.
    pub async fn stop(self, by: Instant, farewell: Farewell) -> Vec<Left> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Stop {
            by,
            farewell,
            answer,
        };
        if self.orders.send(order).await.is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }

    /// Stops one actor until it is started again, at the latest `by` then; without that, within its shutdown timeout.
    /// Answers with the state that it left.
    pub fn stop_one(
        &self,
        address: Arc<str>,
        by: Option<Instant>,
    ) -> impl Future<Output = Option<Bytes>> + Send + use<S> {
        let orders = self.orders.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let order = Order::StopOne {
                address,
                by,
                answer,
            };
            orders.send(order).await.ok()?;
            answered.await.ok()?
        }
    }

    /// Starts those of the spec that are down. Resolves once they are there, or were given up.
    pub fn start_missing(&self) -> impl Future<Output = ()> + Send + use<S> {
        let (orders, (answer, arrived)) = (self.orders.clone(), oneshot::channel());
        async move {
            if orders.send(Order::StartMissing(answer)).await.is_ok() {
                let _ = arrived.await;
            }
        }
    }

    /// Whether an actor at this address is there.
    pub fn has(&self, address: &str) -> bool {
        let grove = self.grove.lock().unwrap();
        let key = grove.key_of(address);
        key.is_some_and(|key| grove.members[&key].presence.is_some())
    }

    /// From now on one break of an actor that has done nothing yet is the tree's failure.
    pub fn begin_probation(&self) {
        self.grove.lock().unwrap().on_probation = true;
    }

    /// From now on what breaks breaks as usual.
    pub fn end_probation(&self) {
        self.grove.lock().unwrap().on_probation = false;
    }
}

impl<S: Start> Drop for Tree<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
