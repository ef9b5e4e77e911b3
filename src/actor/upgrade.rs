//! One version of a tree in the place of another: the old one waits, the new one is started beside it, then all is
//! swapped at once; or nothing is.
//!
//! ```text
//! suspend all ──► start all new ──► (the owner records it) ──► swap: mailboxes, ids and ties stay
//!      │ late, no snapshot  │ does not start   │ not recorded
//!      └────────────────────┴──────────────────┴──► the new are dropped, the old go on
//! ```

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::behavior::{Fault, Start};
use super::control::Wish;
use super::driver::{Driver, late};
use super::exit::Exit;
use super::grove::Member;
use super::spec::{ChildSpec, TreeSpec};
use super::supervision::{Key, ROOT, Supervision};
use super::tree::{Left, NotStarted, Order, Standing};
use super::{Bounds, Tree, within};
use crate::id::ChildId;
use crate::limits;

/// Makes what a worker of the new version starts from: its id, the state it left, and, for one that was spawned, what
/// it started from before.
pub type Renew<S> = Box<dyn FnMut(&ChildId, Option<Bytes>, Option<&S>) -> S + Send>;

/// A new version, to be started beside the old one.
pub struct Prepare<S: Start> {
    spec: TreeSpec,
    bounds: Bounds,
    renew: Renew<S>,
    answer: oneshot::Sender<Result<Ready, UpgradeError>>,
}

/// A version that has failed is replaced by this one, without asking it for anything.
pub struct Replace<S: Start> {
    pub(super) spec: TreeSpec,
    pub(super) bounds: Bounds,
    pub(super) seeds: HashMap<ChildId, S>,
    pub(super) answer: oneshot::Sender<Result<(), NotStarted>>,
}

/// All new ones run beside the old, which wait. Dropped, the old go on.
pub struct Ready {
    /// The states with which the new ones began.
    pub left: Vec<Left>,
    decide: oneshot::Sender<oneshot::Sender<()>>,
}

/// Why a version stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    #[error("actor {0} did not finish its message within its shutdown timeout")]
    Late(String),
    #[error("actor {actor} cannot tell its state: {text}")]
    NoSnapshot { actor: String, text: String },
    #[error("actor {actor} broke as it told its state, and starts anew without it: {text}")]
    Broke { actor: String, text: String },
    #[error("an actor ended while the upgrade was under way; try again")]
    Disturbed,
    #[error("child {} does not start: {}", .0.child, .0.fault)]
    NotStarted(NotStarted),
}

impl Ready {
    /// Swaps. From here on it cannot be called off.
    pub async fn commit(self) {
        let (done, swapped) = oneshot::channel();
        if self.decide.send(done).is_ok() {
            let _ = swapped.await;
        }
    }
}

impl<S: Start> Tree<S> {
    /// Starts a new version beside this one.
    pub fn prepare(
        &self,
        spec: TreeSpec,
        bounds: Bounds,
        renew: Renew<S>,
    ) -> impl Future<Output = Result<Ready, UpgradeError>> + Send + use<S> {
        let orders = self.orders.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let prepare = Prepare {
                spec,
                bounds,
                renew,
                answer,
            };
            let sent = orders.send(Order::Prepare(prepare)).await;
            sent.map_err(|_| UpgradeError::Disturbed)?;
            answered.await.unwrap_or(Err(UpgradeError::Disturbed))
        }
    }

    /// Ends what is left of a version that failed, and starts this one in its place.
    pub fn replace(
        &self,
        spec: TreeSpec,
        bounds: Bounds,
        seeds: HashMap<ChildId, S>,
    ) -> impl Future<Output = Option<Result<(), NotStarted>>> + Send + use<S> {
        let orders = self.orders.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let replace = Replace {
                spec,
                bounds,
                seeds,
                answer,
            };
            orders.send(Order::Replace(replace)).await.ok()?;
            answered.await.ok()
        }
    }
}

/// What has been started of a new version.
pub(super) struct Drafts<S: Start> {
    pub supervision: Supervision,
    pub drafts: Vec<Draft<S>>,
    pub bounds: Bounds,
}

pub(super) struct Draft<S: Start> {
    pub key: Key,
    pub id: ChildId,
    pub seed: S,
    pub behavior: S::Behavior,
    /// Of one that was not there before.
    pub member: Option<Member>,
}

impl<S: Start> Driver<S> {
    pub async fn upgrade(&mut self, prepare: Prepare<S>, ordered: &mut mpsc::Receiver<Order<S>>) {
        let Prepare {
            spec,
            bounds,
            renew,
            answer,
        } = prepare;
        self.disturbed = false;
        let mut suspended = HashMap::new();
        let prepared = match self.suspend_all(&mut suspended, ordered).await {
            Ok(()) => {
                self.drafting = true;
                self.draft(spec, bounds, renew, &suspended, ordered).await
            }
            Err(error) => Err(error),
        };
        match prepared {
            Ok(drafts) => {
                self.await_decision(drafts, suspended, answer, ordered)
                    .await
            }
            Err(error) => {
                self.go_on_as_before();
                let _ = answer.send(Err(error));
            }
        }
        self.drafting = false;
        self.drafted.clear();
    }

    async fn await_decision(
        &mut self,
        drafts: Drafts<S>,
        suspended: HashMap<ChildId, Option<Bytes>>,
        answer: oneshot::Sender<Result<Ready, UpgradeError>>,
        ordered: &mut mpsc::Receiver<Order<S>>,
    ) {
        let (decide, decided) = oneshot::channel();
        let left = self.left(suspended);
        let _ = answer.send(Ok(Ready { left, decide }));
        match self.meanwhile(ordered, decided).await {
            // What ended in the meantime is not there to be swapped, but the new version is recorded: it begins all
            // the same.
            Ok(done) => {
                self.swap(drafts).await;
                let _ = done.send(());
            }
            Err(_) => {
                drop(drafts);
                self.go_on_as_before();
            }
        }
    }

    fn left(&self, suspended: HashMap<ChildId, Option<Bytes>>) -> Vec<Left> {
        let grove = self.grove.lock().unwrap();
        let states = suspended.into_iter().filter_map(|(id, state)| {
            let is_there = grove.by_id.contains_key(&id);
            Some((id.to_string(), state.filter(|_| is_there)?))
        });
        states.collect()
    }

    /// Every actor finishes its message and tells its state, within its shutdown timeout.
    async fn suspend_all(
        &mut self,
        suspended: &mut HashMap<ChildId, Option<Bytes>>,
        ordered: &mut mpsc::Receiver<Order<S>>,
    ) -> Result<(), UpgradeError> {
        let patience = self.actors.clock().now() + limits::START_TIME_MAX;
        self.come_to_rest(patience, ordered).await?;
        loop {
            if *self.standing.borrow() != Standing::Running {
                return Err(UpgradeError::Disturbed);
            }
            let next = self.to_suspend(suspended);
            if next.is_empty() {
                if self.is_calm() {
                    return Ok(());
                }
                // Somebody is starting; he is waited for.
                self.one_event(patience, ordered).await?;
                continue;
            }
            self.suspend(next, suspended, ordered).await?;
        }
    }

    /// Waits until no actor has a message in hand, nor waits for one that has.
    async fn come_to_rest(
        &mut self,
        patience: Instant,
        ordered: &mut mpsc::Receiver<Order<S>>,
    ) -> Result<(), UpgradeError> {
        loop {
            let now = self.actors.clock().now();
            let resting: Vec<_> = {
                let grove = self.grove.lock().unwrap();
                let members = grove.members.values();
                let living = members.filter(|it| it.living && it.task.is_some());
                living.map(|member| member.resident.clone()).collect()
            };
            let mut quiet: Vec<_> = resting.iter().map(|it| it.control.quiesce()).collect();
            for (resident, quiet) in resting.iter().zip(&mut quiet) {
                let by = now + resident.shutdown_timeout();
                let rests = tokio::time::timeout_at(by, quiet.wait_for(|quiet| *quiet));
                let late = self.meanwhile(ordered, rests).await.is_err();
                if self.disturbed || *self.standing.borrow() != Standing::Running {
                    return Err(UpgradeError::Disturbed);
                }
                if late {
                    return Err(UpgradeError::Late(resident.id.to_string()));
                }
            }
            let all_rest = quiet.iter().all(|quiet| *quiet.borrow());
            if all_rest && self.is_calm() {
                return Ok(());
            }
            if all_rest {
                self.one_event(patience, ordered).await?;
            }
        }
    }

    fn is_calm(&self) -> bool {
        self.births == 0 && self.grove.lock().unwrap().supervision.is_idle()
    }

    fn to_suspend(&self, suspended: &HashMap<ChildId, Option<Bytes>>) -> Vec<(ChildId, Key)> {
        let grove = self.grove.lock().unwrap();
        let living = grove.by_id.iter().filter(|(id, key)| {
            let member = grove.members.get(key);
            member.is_some_and(|it| it.living && it.task.is_some()) && !suspended.contains_key(*id)
        });
        living.map(|(id, key)| (id.clone(), *key)).collect()
    }

    async fn suspend(
        &mut self,
        next: Vec<(ChildId, Key)>,
        suspended: &mut HashMap<ChildId, Option<Bytes>>,
        ordered: &mut mpsc::Receiver<Order<S>>,
    ) -> Result<(), UpgradeError> {
        let now = self.actors.clock().now();
        let mut telling = Vec::new();
        {
            let grove = self.grove.lock().unwrap();
            for (id, key) in next {
                let resident = grove.members[&key].resident.clone();
                let by = now + grove.supervision.shutdown_timeout(key);
                telling.push((id, by, key, resident.control.suspend(), resident));
            }
        }
        for (id, by, key, tells, resident) in telling {
            let actor = || resident.id.to_string();
            let told = self.meanwhile(ordered, tokio::time::timeout_at(by, tells));
            let state = match told.await {
                Ok(Ok(Ok(state))) => state,
                Ok(Ok(Err(text))) => {
                    let actor = actor();
                    return Err(UpgradeError::NoSnapshot { actor, text });
                }
                Ok(Err(_)) => return Err(self.broken(key, actor(), by, ordered).await),
                Err(_) => return Err(UpgradeError::Late(actor())),
            };
            suspended.insert(id, state);
        }
        Ok(())
    }

    /// Why an actor that was to tell its state is silent: its end is heard of a moment later.
    async fn broken(
        &mut self,
        key: Key,
        actor: String,
        patience: Instant,
        ordered: &mut mpsc::Receiver<Order<S>>,
    ) -> UpgradeError {
        while !self.disturbed && self.one_event(patience, ordered).await.is_ok() {}
        let grove = self.grove.lock().unwrap();
        let member = grove.members.get(&key);
        match member.and_then(|it| it.last_error.clone().filter(|_| it.broke)) {
            Some(text) => UpgradeError::Broke { actor, text },
            None => UpgradeError::Disturbed,
        }
    }

    async fn one_event(
        &mut self,
        patience: Instant,
        ordered: &mut mpsc::Receiver<Order<S>>,
    ) -> Result<(), UpgradeError> {
        let before = self.events;
        while self.events == before {
            tokio::select! {
                () = tokio::time::sleep_until(patience) => return Err(UpgradeError::Disturbed),
                Some(done) = self.work.join_next_with_id() => self.note(done),
                Some(order) = ordered.recv() => self.take_or_keep(order),
            }
        }
        Ok(())
    }

    /// Does `work` while the tree goes on.
    async fn meanwhile<T>(
        &mut self,
        ordered: &mut mpsc::Receiver<Order<S>>,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(done) = self.work.join_next_with_id() => self.note(done),
                Some(order) = ordered.recv() => self.take_or_keep(order),
            }
        }
    }

    fn take_or_keep(&mut self, order: Order<S>) {
        match order {
            // Whoever is asked to finish its message may be waiting for this.
            Order::Spawn(..) => self.take(order),
            order => self.later.push_back(order),
        }
    }

    /// Starts the new version's workers, left to right.
    async fn draft(
        &mut self,
        spec: TreeSpec,
        bounds: Bounds,
        mut renew: Renew<S>,
        suspended: &HashMap<ChildId, Option<Bytes>>,
        ordered: &mut mpsc::Receiver<Order<S>>,
    ) -> Result<Drafts<S>, UpgradeError> {
        let root = ChildId::of_application(&self.estate.application);
        let mut supervision = Supervision::new(&spec, root, self.actors.clock().now());
        supervision.begun();
        let mut drafts = Vec::new();
        let left = |id: &ChildId| suspended.get(id).cloned().flatten();
        for key in 0..supervision.len() {
            if !supervision.is_supervisor(key) {
                let id = supervision.id(key).clone();
                let seed = renew(&id, left(&id), None);
                drafts.push(self.draft_one(key, id, seed, ordered).await?);
            }
        }
        for (id, child, supervisor) in self.adopted() {
            let Some(old) = self.grove.lock().unwrap().by_id.get(&id).copied() else {
                continue;
            };
            let new = supervision.supervisor_named(&supervisor).unwrap_or(ROOT);
            if drafts.iter().any(|draft: &Draft<S>| draft.id == id) || !suspended.contains_key(&id)
            {
                continue;
            }
            let key = supervision.adopt(new, &child).expect("it is idle");
            let seed = renew(&id, left(&id), self.seeds.get(&old));
            drafts.push(self.draft_one(key, id, seed, ordered).await?);
        }
        if self.disturbed {
            return Err(UpgradeError::Disturbed);
        }
        Ok(Drafts {
            supervision,
            drafts,
            bounds,
        })
    }

    async fn draft_one(
        &mut self,
        key: Key,
        id: ChildId,
        seed: S,
        ordered: &mut mpsc::Receiver<Order<S>>,
    ) -> Result<Draft<S>, UpgradeError> {
        let (place, member) = {
            let grove = self.grove.lock().unwrap();
            let known = grove.by_id.get(&id).and_then(|key| grove.members.get(key));
            match known {
                Some(member) => (member.place(&self.kin), None),
                None => {
                    let actor = self.estate.actor(&id, None, &self.actors);
                    let member = Member::new(actor, self.bounds, &self.actors);
                    (member.place(&self.kin), Some(member))
                }
            }
        };
        let starter = seed.clone();
        let start = async move { within(limits::START_TIME_MAX, starter.start(&place)).await };
        let started = self.meanwhile(ordered, start).await;
        match started.unwrap_or_else(|| Err(late())) {
            Ok(behavior) => Ok(Draft {
                key,
                id,
                seed,
                behavior,
                member,
            }),
            Err(fault) => Err(UpgradeError::NotStarted(NotStarted { child: id, fault })),
        }
    }

    /// Those that actors have spawned: id, how they are restarted, and under which supervisor.
    fn adopted(&self) -> Vec<(ChildId, ChildSpec, ChildId)> {
        let grove = self.grove.lock().unwrap();
        let supervision = &grove.supervision;
        let keys = grove
            .members
            .keys()
            .filter(|&&key| supervision.is_adopted(key));
        let adopted = keys.map(|&key| {
            let supervisor = supervision.id(supervision.parent(key)).clone();
            let child = supervision.as_child(key);
            (child.id.clone(), child, supervisor)
        });
        adopted.collect()
    }

    /// The old go on; of the new nothing stays.
    fn go_on_as_before(&mut self) {
        let grove = self.grove.lock().unwrap();
        for member in grove.members.values() {
            member.resident.control.release(Wish::Live);
        }
        for key in &self.drafted {
            if let Some(member) = grove.members.get(key) {
                member.resident.control.end(Exit::Killed);
            }
        }
    }
}

impl NotStarted {
    /// Whether it is for lack of room, and not for the child's own fault.
    pub fn lacks_room(&self) -> bool {
        matches!(self.fault, Fault::NoRoom(_))
    }
}
