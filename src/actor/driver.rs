//! The task of a tree: carries out what `supervision.rs` decides, and tells it what has come of that.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use log::Level;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;

use super::behavior::{Behavior, Fault, Start};
use super::birth::Birth;
use super::cell::{self, End};
use super::control::Farewell;
use super::exit::Exit;
use super::grove::{Grove, Member};
use super::place::Kin;
use super::resident::Presence;
use super::supervision::{Action, Ending, Key, ROOT, Supervision};
use super::tree::{Estate, Left, NotStarted, Order, Planting, Standing};
use super::{Actors, Bounds, within};
use crate::id::ChildId;
use crate::limits;
use crate::metrics::During;

pub(super) enum Done<B: Behavior> {
    Started(Result<B, Fault>),
    Ended(End<B::Estate>),
}

/// What a task of the tree's is for.
pub(super) enum Job<S: Start> {
    Of(Key),
    /// The start of one that is not in the tree yet.
    Birth(Box<Birth<S>>),
}

pub(super) struct Driver<S: Start> {
    pub actors: Actors,
    pub estate: Estate,
    pub grove: Arc<Mutex<Grove>>,
    pub seeds: HashMap<Key, S>,
    pub bounds: Bounds,
    pub work: JoinSet<Done<S::Behavior>>,
    pub jobs: HashMap<task::Id, Job<S>>,
    /// Those whose place a new version does not have.
    pub retired: HashMap<task::Id, Member>,
    pub births: usize,
    pub kin: Kin<S>,
    pub standing: watch::Sender<Standing>,
    pub begun: Option<oneshot::Sender<Result<(), NotStarted>>>,
    pub stopped: Option<oneshot::Sender<Vec<Left>>>,
    pub farewell: Farewell,
    pub left: Vec<Left>,
    /// Who waits for one child's end, and what it left.
    pub leaving: HashMap<Key, Vec<oneshot::Sender<Option<Bytes>>>>,
    /// Who waits until the stopped are there again.
    pub arriving: Vec<oneshot::Sender<()>>,
    /// The last start that failed, and the last exit that was one too many.
    pub last_fault: Option<Fault>,
    pub reason: String,
    /// Ends and starts in their number, so that an upgrade notices that something else has happened.
    pub events: u64,
    pub later: VecDeque<Order<S>>,
    /// Something ended since this was last set to false.
    pub disturbed: bool,
    /// A new version is being started: what is spawned now may have to be undone.
    pub drafting: bool,
    pub drafted: Vec<Key>,
    pub spawned: u64,
}

impl<S: Start> Driver<S> {
    pub fn new(
        actors: &Actors,
        estate: Estate,
        planting: Planting<S>,
        orders: mpsc::Sender<Order<S>>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        let root = ChildId::of_application(&estate.application);
        let supervision = Supervision::new(&planting.spec, root, actors.clock().now());
        let mut driver = Self {
            actors: actors.clone(),
            estate,
            grove: Arc::new(Mutex::new(Grove {
                supervision,
                members: HashMap::new(),
                by_id: HashMap::new(),
                restarts: HashMap::new(),
                on_probation: false,
            })),
            seeds: HashMap::new(),
            bounds: planting.bounds,
            work: JoinSet::new(),
            jobs: HashMap::new(),
            retired: HashMap::new(),
            births: 0,
            kin: Kin { orders },
            standing,
            begun: None,
            stopped: None,
            farewell: Farewell::Plain,
            left: Vec::new(),
            leaving: HashMap::new(),
            arriving: Vec::new(),
            last_fault: None,
            reason: String::new(),
            events: 0,
            later: VecDeque::new(),
            disturbed: false,
            drafting: false,
            drafted: Vec::new(),
            spawned: 0,
        };
        driver.people(planting.seeds, HashMap::new());
        driver
    }

    /// Gives each worker of the supervision a member and a seed; those that were there before keep theirs.
    pub fn people(&mut self, mut seeds: HashMap<ChildId, S>, mut known: HashMap<ChildId, Member>) {
        let mut grove = self.grove.lock().unwrap();
        let Grove {
            supervision,
            members,
            by_id,
            ..
        } = &mut *grove;
        for key in 0..supervision.len() {
            let id = supervision.id(key).clone();
            if key != ROOT {
                by_id.insert(id.clone(), key);
            }
            if supervision.is_supervisor(key) {
                continue;
            }
            let seed = seeds.remove(&id).expect("every worker has a seed");
            self.seeds.insert(key, seed);
            let member = known.remove(&id).unwrap_or_else(|| {
                let actor = self.estate.actor(&id, None, &self.actors);
                Member::new(actor, self.bounds, &self.actors)
            });
            members.insert(key, member);
        }
    }

    pub async fn run(mut self, mut ordered: mpsc::Receiver<Order<S>>) {
        let actions = self.decide(|it, now| it.begin(now));
        self.carry_out(actions);
        loop {
            if let Some(order) = self.later.pop_front() {
                self.obey(order, &mut ordered).await;
                continue;
            }
            tokio::select! {
                Some(done) = self.work.join_next_with_id() => self.note(done),
                Some(order) = ordered.recv() => self.obey(order, &mut ordered).await,
            }
            self.tell_of_arrivals();
        }
    }

    /// The stopped are there again, or were given up, once no supervisor has anything to do any more.
    fn tell_of_arrivals(&mut self) {
        if !self.arriving.is_empty() && self.grove.lock().unwrap().supervision.is_idle() {
            for answer in self.arriving.drain(..) {
                let _ = answer.send(());
            }
        }
    }

    async fn obey(&mut self, order: Order<S>, ordered: &mut mpsc::Receiver<Order<S>>) {
        match order {
            Order::Prepare(prepare) => self.upgrade(prepare, ordered).await,
            Order::Replace(replace) => self.replace(replace).await,
            order => self.take(order),
        }
    }

    /// Takes an order that is carried out while others come.
    pub fn take(&mut self, order: Order<S>) {
        match order {
            Order::Stop {
                by,
                farewell,
                answer,
            } => {
                self.farewell = farewell;
                if *self.standing.borrow() != Standing::Running {
                    let _ = answer.send(Vec::new());
                    return;
                }
                self.stopped = Some(answer);
                let actions = self.decide(|it, now| it.stop(by, now));
                self.carry_out(actions);
            }
            Order::StopOne {
                address,
                by,
                answer,
            } => self.stop_one(&address, by, answer),
            Order::StartMissing(answer) => {
                self.arriving.push(answer);
                let actions = self.decide(Supervision::start_missing);
                self.carry_out(actions);
            }
            Order::Spawn(spawn, answer) => self.bear(*spawn, answer),
            order @ (Order::Prepare(_) | Order::Replace(_)) => self.later.push_back(order),
        }
    }

    fn stop_one(
        &mut self,
        address: &str,
        by: Option<Instant>,
        answer: oneshot::Sender<Option<Bytes>>,
    ) {
        // Where it is not there, the answer is dropped.
        let key = self.grove.lock().unwrap().key_of(address);
        if let Some(key) = key {
            self.leaving.entry(key).or_default().push(answer);
            let actions = self.decide(|it, now| {
                let by = by.unwrap_or_else(|| now + it.shutdown_timeout(key));
                it.terminate(key, by, now)
            });
            self.carry_out(actions);
        }
    }

    pub fn decide(
        &self,
        decide: impl FnOnce(&mut Supervision, Instant) -> Vec<Action>,
    ) -> Vec<Action> {
        let now = self.actors.clock().now();
        decide(&mut self.grove.lock().unwrap().supervision, now)
    }

    pub fn carry_out(&mut self, actions: Vec<Action>) {
        let over = |action: &Action| matches!(action, Action::Over(Ending::GaveUp));
        // A version on probation that gives up is replaced, and its mailboxes stay.
        let keep = self.on_probation() && actions.iter().any(over);
        for action in actions {
            match action {
                Action::Start(key) => self.start(key),
                Action::Stop { key, by } => self.stop_life(key, by),
                Action::Leave(_) if keep => {}
                Action::Leave(key) => self.leave(key),
                Action::Restarts { key, after } => self.restarts(key, &after),
                Action::GivesUp {
                    supervisor,
                    key,
                    after,
                } => self.gives_up(supervisor, key, &after),
                Action::Runs => self.runs(),
                Action::Over(ending) => self.over(ending),
            }
        }
    }

    pub fn on_probation(&self) -> bool {
        self.grove.lock().unwrap().on_probation
    }

    fn runs(&mut self) {
        self.standing.send_replace(Standing::Running);
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(Ok(()));
        }
    }

    fn over(&mut self, ending: Ending) {
        match ending {
            Ending::Stopped => drop(self.standing.send_replace(Standing::Stopped)),
            Ending::GaveUp => self.fail(self.reason.clone()),
            Ending::NotStarted { key, why } => {
                let child = self.grove.lock().unwrap().supervision.id(key).clone();
                self.fail(format!("child {child} does not start: {why}"));
                let fault = self.last_fault.take();
                let fault = fault.unwrap_or(Fault::Broken(why.to_string()));
                if let Some(begun) = self.begun.take() {
                    let _ = begun.send(Err(NotStarted { child, fault }));
                }
            }
        }
        if let Some(stopped) = self.stopped.take() {
            let _ = stopped.send(std::mem::take(&mut self.left));
        }
    }

    pub fn fail(&mut self, reason: String) {
        self.standing.send_replace(Standing::Failed(reason));
    }

    fn start(&mut self, key: Key) {
        let seed = self.seeds[&key].clone();
        let mut grove = self.grove.lock().unwrap();
        let member = grove.members.get_mut(&key).expect("a worker is a member");
        if member.presence.is_none() {
            // It was left, and its mailbox closed.
            member.renew(self.bounds, &self.actors);
        }
        let place = member.place(&self.kin);
        let metrics = self.actors.metrics().clone();
        let task = self.work.spawn(async move {
            let started = within(limits::START_TIME_MAX, seed.start(&place)).await;
            if !matches!(started, Some(Ok(_))) {
                metrics.faults.count(During::Start);
            }
            Done::Started(started.unwrap_or_else(|| Err(late())))
        });
        self.jobs.insert(task.id(), Job::Of(key));
        member.living = false;
        member.task = Some((task.id(), task));
    }

    fn stop_life(&mut self, key: Key, by: Instant) {
        let farewell = match self.leaving.contains_key(&key) {
            true => Farewell::Snapshot,
            false => self.farewell,
        };
        let grove = self.grove.lock().unwrap();
        let member = &grove.members[&key];
        match (&member.task, member.living) {
            (Some(_), true) => member.resident.control.stop(by, Exit::Shutdown, farewell),
            (Some((_, start)), false) => start.abort(),
            (None, _) => {}
        }
    }

    pub fn says(&self, level: Level, actor: &str, text: &str) {
        let application = &self.estate.application;
        self.actors
            .logs()
            .say(application, level, Some(actor), text);
    }

    pub fn name_of(&self, key: Key) -> String {
        let grove = self.grove.lock().unwrap();
        match grove.members.get(&key) {
            Some(member) => member.resident.id.to_string(),
            None => {
                let id = grove.supervision.id(key).clone();
                self.estate.actor(&id, None, &self.actors).to_string()
            }
        }
    }
}

/// Starts the task of a life; the actor is there from now on.
pub(super) fn live<B: Behavior>(
    work: &mut JoinSet<Done<B>>,
    member: &mut Member,
    behavior: B,
    actors: &Actors,
) -> AbortHandle {
    let resident = member.resident.clone();
    resident.set_traps_exits(behavior.traps_exits());
    resident.control.begin();
    if member.presence.is_none() {
        member.presence = Some(Presence::of(&resident, actors));
    }
    let (vitals, metrics) = (member.vitals.clone(), actors.metrics().clone());
    work.spawn(async move { Done::Ended(cell::live(behavior, &resident, &vitals, &metrics).await) })
}

/// A task that did not end by itself: a panic is an error of the actor's, anything else was wanted.
pub(super) fn lost<B: Behavior>(error: &JoinError) -> Option<Done<B>> {
    error.is_panic().then(|| {
        let exit = Exit::error("it panicked; the node's log has more");
        let left = Ok(None);
        Done::Ended(End::Exit { exit, left })
    })
}

/// A start that waits for something that never comes is a fault like another.
pub(super) fn late() -> Fault {
    Fault::Broken(format!(
        "it did not start within {:?}",
        limits::START_TIME_MAX
    ))
}

/// An exit in the words of whoever caused it.
pub(super) fn reason(exit: &Exit) -> String {
    match exit {
        Exit::Error(text) => text.to_string(),
        exit => exit.to_string(),
    }
}
