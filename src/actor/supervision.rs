//! What supervisors decide, as Erlang/OTP's do: a tree of states, events in, actions out. It waits for nothing and
//! starts nothing; `tree.rs` carries out what it says.
//!
//! ```text
//!                 its turn            started
//!   down ────────────────► starting ──────────► up ───ends by itself──► ended
//!    ▲                        │ fails           │                         │ its supervisor comes to it
//!    │                        ▼                 │ told to stop            ▼
//!    │      at first: all is undone       stopping              restart: stop those that go with it,
//!    │      else: tried again, counted          │               then start them, left to right
//!    └──────────────────────────────────────────┴◄── leave, or give up: stop all, right to left
//! ```
//!
//! A supervisor does one thing at a time. What ends meanwhile waits in its queue, as in the mailbox of OTP's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::exit::Exit;
use super::spec::{ChildSpec, Restart, Strategy, SupervisorSpec, TreeSpec};
use crate::id::ChildId;
use crate::limits;

/// A node's number in its tree; the root's is 0. One that is gone leaves its number to others.
pub type Key = usize;

pub const ROOT: Key = 0;

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start this worker; it is answered by `started` or `start_failed`.
    Start(Key),
    /// Stop this worker in order, and kill it at `by`; it is answered by `ended`. A later one may move `by`.
    Stop { key: Key, by: Instant },
    /// This worker does not come back by itself.
    Leave(Key),
    /// It ended so, and is about to be restarted.
    Restarts { key: Key, after: Exit },
    /// This supervisor had too much: `key` ended once too often.
    GivesUp {
        supervisor: Key,
        key: Key,
        after: Exit,
    },
    /// Every child runs.
    Runs,
    /// Nothing of the tree runs any more.
    Over(Ending),
}

/// How a whole tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Stopped,
    /// The first start failed at this child.
    NotStarted {
        key: Key,
        why: Arc<str>,
    },
    GaveUp,
}

/// The states of a tree's supervisors and workers.
#[derive(Debug)]
pub struct Supervision {
    nodes: Vec<Node>,
    free: Vec<Key>,
    now: Instant,
    agenda: VecDeque<Task>,
    actions: Vec<Action>,
}

/// What is still to be thought through before the answer.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// The next step of what this supervisor is doing.
    GoOn(Key),
    /// What waits for it, where it is doing nothing.
    Look(Key),
}

#[derive(Debug)]
struct Node {
    id: ChildId,
    parent: Option<Key>,
    restart: Restart,
    shutdown_timeout: Option<Duration>,
    state: State,
    /// Not in the spec: it was started by an actor, and ends with its supervisor.
    adopted: bool,
    supervisor: Option<Supervisor>,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Down,
    Starting,
    Up,
    /// By itself; its supervisor has not come to it yet.
    Ended(Exit),
    /// A restart failed, and is about to be tried again.
    Failing(Exit),
    Stopping,
    /// No longer its supervisor's child.
    Gone,
}

#[derive(Debug)]
struct Supervisor {
    strategy: Strategy,
    restarts_max: usize,
    restart_window: Duration,
    /// Those of its spec, with which it begins.
    born: Vec<Key>,
    children: Vec<Key>,
    recent: VecDeque<Instant>,
    waiting: VecDeque<Notice>,
    doing: Doing,
    /// When it must have stopped.
    by: Option<Instant>,
}

#[derive(Debug)]
enum Notice {
    Ended(Key),
    TryAgain(Key),
    /// An operator stops a child, until it is started again.
    Terminate(Key, Instant),
    /// An operator starts those that are down.
    StartMissing,
}

#[derive(Debug)]
enum Doing {
    Nothing,
    /// Left to right.
    Starting(VecDeque<Key>, Occasion),
    /// Right to left.
    Stopping(Vec<Key>, Then),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    Birth,
    Restart,
}

#[derive(Clone, Debug)]
enum Then {
    /// Those from here on.
    StartFrom(Key),
    Leave(Key),
    End(Ending),
}

impl Supervision {
    /// A tree of which nothing runs yet.
    pub fn new(spec: &TreeSpec, root: ChildId, now: Instant) -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            free: Vec::new(),
            now,
            agenda: VecDeque::new(),
            actions: Vec::new(),
        };
        let supervisor = tree.plant(spec.root());
        tree.nodes.insert(ROOT, Node::root(root, supervisor));
        tree.plant_children(ROOT, spec.root());
        tree
    }

    fn plant(&mut self, spec: &SupervisorSpec) -> Supervisor {
        Supervisor {
            strategy: spec.strategy,
            restarts_max: spec.restarts_max,
            restart_window: spec.restart_window,
            born: Vec::new(),
            children: Vec::new(),
            recent: VecDeque::new(),
            waiting: VecDeque::new(),
            doing: Doing::Nothing,
            by: None,
        }
    }

    fn plant_children(&mut self, parent: Key, spec: &SupervisorSpec) {
        for child in &spec.children {
            let key = self.nodes.len();
            let supervisor = child.supervisor.as_ref().map(|it| self.plant(it));
            self.nodes.push(Node::child(child, parent, supervisor));
            self.supervisor(parent).born.push(key);
            if let Some(supervisor) = &child.supervisor {
                self.plant_children(key, supervisor);
            }
        }
    }

    /// Starts all of it.
    pub fn begin(&mut self, now: Instant) -> Vec<Action> {
        self.at(now, |tree| tree.begin_supervisor(ROOT))
    }

    /// Takes all of it for running: its workers were started elsewhere.
    pub fn begun(&mut self) {
        for key in 0..self.nodes.len() {
            self.nodes[key].state = State::Up;
            if let Some(supervisor) = &mut self.nodes[key].supervisor {
                supervisor.children = supervisor.born.clone();
            }
        }
    }

    /// A worker that was to start runs.
    pub fn started(&mut self, key: Key, now: Instant) -> Vec<Action> {
        self.at(now, |tree| {
            tree.nodes[key].state = State::Up;
            tree.go_on(tree.parent(key));
        })
    }

    pub fn start_failed(&mut self, key: Key, why: Arc<str>, now: Instant) -> Vec<Action> {
        self.at(now, |tree| tree.child_not_started(key, key, why))
    }

    /// A worker that ran, or that was told to stop while it started, is no more.
    pub fn ended(&mut self, key: Key, exit: Exit, now: Instant) -> Vec<Action> {
        self.at(now, |tree| tree.child_ended(key, exit))
    }

    /// Stops all of it, by this time.
    pub fn stop(&mut self, by: Instant, now: Instant) -> Vec<Action> {
        self.at(now, |tree| {
            tree.supervisor(ROOT).by = Some(by);
            tree.halt(ROOT);
        })
    }

    /// Stops one worker, which stays down until it is started again with `start_missing`.
    pub fn terminate(&mut self, key: Key, by: Instant, now: Instant) -> Vec<Action> {
        self.at(now, |tree| tree.notify(key, Notice::Terminate(key, by)))
    }

    /// Starts the children of running supervisors that are down.
    pub fn start_missing(&mut self, now: Instant) -> Vec<Action> {
        self.at(now, |tree| {
            for key in 0..tree.nodes.len() {
                if tree.nodes[key].state == State::Up && tree.nodes[key].supervisor.is_some() {
                    tree.supervisor(key).waiting.push_back(Notice::StartMissing);
                    tree.pump(key);
                }
            }
        })
    }

    /// Takes a worker that runs already as the last child of this supervisor. `None` where that is stopping children.
    pub fn adopt(&mut self, supervisor: Key, child: &ChildSpec) -> Option<Key> {
        if !self.takes_children(supervisor) {
            return None;
        }
        let mut node = Node::child(child, supervisor, None);
        (node.state, node.adopted) = (State::Up, true);
        let key = match self.free.pop() {
            Some(key) => {
                self.nodes[key] = node;
                key
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.supervisor(supervisor).children.push(key);
        Some(key)
    }

    fn takes_children(&self, key: Key) -> bool {
        let node = &self.nodes[key];
        let stops = |it: &Supervisor| matches!(it.doing, Doing::Stopping(..));
        let lives = matches!(node.state, State::Up | State::Starting);
        lives && node.supervisor.as_ref().is_some_and(|it| !stops(it))
    }

    /// The supervisor of this id.
    pub fn supervisor_named(&self, id: &str) -> Option<Key> {
        let found = |node: &Node| &*node.id == id && node.supervisor.is_some();
        self.nodes.iter().position(found)
    }

    pub fn parent(&self, key: Key) -> Key {
        self.nodes[key].parent.expect("only the root has no parent")
    }

    pub fn id(&self, key: Key) -> &ChildId {
        &self.nodes[key].id
    }

    pub fn state(&self, key: Key) -> &State {
        &self.nodes[key].state
    }

    /// Whether it was not in the spec.
    pub fn is_adopted(&self, key: Key) -> bool {
        self.nodes[key].adopted
    }

    /// A worker as a spec would have it.
    pub fn as_child(&self, key: Key) -> ChildSpec {
        let node = &self.nodes[key];
        ChildSpec {
            restart: node.restart,
            shutdown_timeout: node.shutdown_timeout,
            ..ChildSpec::temporary(node.id.clone())
        }
    }

    pub fn restart(&self, key: Key) -> Restart {
        self.nodes[key].restart
    }

    pub fn shutdown_timeout(&self, key: Key) -> Duration {
        let timeout = self.nodes[key].shutdown_timeout;
        timeout.unwrap_or(limits::SHUTDOWN_GRACE)
    }

    /// Those that a supervisor has now, in their order; empty for a worker.
    pub fn children(&self, key: Key) -> &[Key] {
        let supervisor = self.nodes[key].supervisor.as_ref();
        supervisor.map_or(&[], |it| &it.children)
    }

    /// Strategy, restarts allowed, and their window, of a supervisor.
    pub fn terms(&self, key: Key) -> Option<(Strategy, usize, Duration)> {
        let supervisor = self.nodes[key].supervisor.as_ref()?;
        Some((
            supervisor.strategy,
            supervisor.restarts_max,
            supervisor.restart_window,
        ))
    }

    /// How many numbers were given.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_supervisor(&self, key: Key) -> bool {
        self.nodes[key].supervisor.is_some()
    }

    /// Whether no supervisor is in the middle of something.
    pub fn is_idle(&self) -> bool {
        self.nodes.iter().all(|node| {
            let busy =
                |it: &Supervisor| !matches!(it.doing, Doing::Nothing) || !it.waiting.is_empty();
            node.state == State::Gone || !node.supervisor.as_ref().is_some_and(busy)
        })
    }
}

/// How events become actions.
impl Supervision {
    fn at(&mut self, now: Instant, change: impl FnOnce(&mut Self)) -> Vec<Action> {
        self.now = now;
        change(self);
        while let Some(task) = self.agenda.pop_front() {
            match task {
                Task::GoOn(key) => self.step(key),
                Task::Look(key) => self.look(key),
            }
        }
        std::mem::take(&mut self.actions)
    }

    fn go_on(&mut self, key: Key) {
        self.agenda.push_back(Task::GoOn(key));
    }

    fn pump(&mut self, key: Key) {
        self.agenda.push_back(Task::Look(key));
    }

    fn supervisor(&mut self, key: Key) -> &mut Supervisor {
        let supervisor = self.nodes[key].supervisor.as_mut();
        supervisor.expect("only supervisors have children")
    }

    /// A supervisor begins anew, with the children of its spec.
    fn begin_supervisor(&mut self, key: Key) {
        self.nodes[key].state = State::Starting;
        let supervisor = self.supervisor(key);
        supervisor.recent.clear();
        supervisor.waiting.clear();
        supervisor.by = None;
        supervisor.children = supervisor.born.clone();
        let order: VecDeque<Key> = supervisor.born.iter().copied().collect();
        supervisor.doing = Doing::Starting(order.clone(), Occasion::Birth);
        for child in order {
            self.nodes[child].state = State::Down;
        }
        self.go_on(key);
    }

    fn step(&mut self, key: Key) {
        match &mut self.supervisor(key).doing {
            Doing::Nothing => {}
            Doing::Starting(order, occasion) => {
                let occasion = *occasion;
                match order.pop_front() {
                    Some(child) => self.start_next(key, child),
                    None => self.all_started(key, occasion),
                }
            }
            Doing::Stopping(order, _) => match order.pop() {
                Some(child) => self.stop_next(key, child),
                None => self.all_stopped(key),
            },
        }
    }

    fn start_next(&mut self, key: Key, child: Key) {
        match self.nodes[child].state {
            State::Down | State::Ended(_) | State::Failing(_) => {}
            // An adopted one runs already.
            _ => return self.go_on(key),
        }
        if self.is_supervisor(child) {
            return self.begin_supervisor(child);
        }
        self.nodes[child].state = State::Starting;
        self.actions.push(Action::Start(child));
    }

    fn all_started(&mut self, key: Key, occasion: Occasion) {
        self.supervisor(key).doing = Doing::Nothing;
        if occasion == Occasion::Birth {
            self.nodes[key].state = State::Up;
            match self.nodes[key].parent {
                Some(parent) => self.go_on(parent),
                None => self.actions.push(Action::Runs),
            }
        }
        self.pump(key);
    }

    fn child_not_started(&mut self, key: Key, culprit: Key, why: Arc<str>) {
        if self.nodes[key].state != State::Starting {
            // It was told to stop meanwhile.
            return self.child_ended(key, Exit::Error(why));
        }
        let parent = self.parent(key);
        let failed = Exit::Error(why.clone());
        let supervisor = self.supervisor(parent);
        match supervisor.doing {
            Doing::Starting(_, Occasion::Birth) => {
                let started = supervisor.children.clone();
                let ending = Ending::NotStarted { key: culprit, why };
                supervisor.doing = Doing::Stopping(started, Then::End(ending));
                self.nodes[key].state = State::Down;
                self.go_on(parent);
            }
            _ => {
                supervisor.doing = Doing::Nothing;
                supervisor.waiting.push_back(Notice::TryAgain(key));
                self.nodes[key].state = State::Failing(failed);
                self.pump(parent);
            }
        }
    }

    fn stop_next(&mut self, key: Key, child: Key) {
        match self.nodes[child].state {
            State::Up | State::Starting => self.stop_child(key, child),
            State::Stopping => {}
            State::Down | State::Ended(_) | State::Failing(_) | State::Gone => {
                self.nodes[child].state = State::Down;
                self.go_on(key);
            }
        }
    }

    /// Tells a child to stop within its own time, and within that of its supervisors.
    fn stop_child(&mut self, key: Key, child: Key) {
        let at_the_latest = self.supervisor(key).by;
        if self.is_supervisor(child) {
            let own = self.nodes[child].shutdown_timeout.map(|it| self.now + it);
            self.supervisor(child).by = own.into_iter().chain(at_the_latest).min();
            return self.halt(child);
        }
        self.nodes[child].state = State::Stopping;
        let own = self.now + self.shutdown_timeout(child);
        let by = at_the_latest.map_or(own, |it| it.min(own));
        self.actions.push(Action::Stop { key: child, by });
    }

    /// Stops a supervisor, whatever it is doing.
    fn halt(&mut self, key: Key) {
        if matches!(self.nodes[key].state, State::Down | State::Gone) {
            return;
        }
        self.nodes[key].state = State::Stopping;
        let children = self.supervisor(key).children.clone();
        let stopping = children
            .iter()
            .copied()
            .find(|&child| self.nodes[child].state == State::Stopping);
        let supervisor = self.supervisor(key);
        supervisor.doing = Doing::Stopping(children, Then::End(Ending::Stopped));
        match stopping {
            // It is on its way already, but its time may have become shorter.
            Some(child) => self.stop_child(key, child),
            None => self.go_on(key),
        }
    }

    fn all_stopped(&mut self, key: Key) {
        let doing = std::mem::replace(&mut self.supervisor(key).doing, Doing::Nothing);
        let Doing::Stopping(_, then) = doing else {
            unreachable!("only a supervisor that stops its children has stopped them")
        };
        match then {
            Then::StartFrom(first) => self.start_from(key, first),
            Then::Leave(child) => {
                self.leave(child);
                self.pump(key);
            }
            Then::End(ending) => self.end(key, ending),
        }
    }

    /// Starts a child and those after it. Temporary ones are not started a second time.
    fn start_from(&mut self, key: Key, first: Key) {
        let children = &self.supervisor(key).children;
        let from = children.iter().position(|&child| child == first);
        let rest = children[from.unwrap_or(children.len())..].to_vec();
        let (gone, order): (Vec<Key>, Vec<Key>) = rest
            .into_iter()
            .partition(|&child| self.nodes[child].restart == Restart::Temporary);
        for child in gone {
            self.leave(child);
        }
        self.supervisor(key).doing = Doing::Starting(order.into(), Occasion::Restart);
        self.go_on(key);
    }

    /// A supervisor whose children are all down is down too.
    fn end(&mut self, key: Key, ending: Ending) {
        self.forget_adopted(key);
        if self.nodes[key].parent.is_none() {
            self.nodes[key].state = State::Down;
            self.leave_all(key);
            return self.actions.push(Action::Over(ending));
        }
        match ending {
            Ending::NotStarted { key: culprit, why } => {
                self.child_not_started(key, culprit, why);
            }
            Ending::Stopped | Ending::GaveUp => self.child_ended(key, Exit::Shutdown),
        }
    }

    fn child_ended(&mut self, key: Key, exit: Exit) {
        let parent = self.parent(key);
        match self.nodes[key].state {
            State::Stopping => {
                self.nodes[key].state = State::Down;
                self.go_on(parent);
            }
            State::Up | State::Starting => {
                self.nodes[key].state = State::Ended(exit);
                self.notify(key, Notice::Ended(key));
            }
            _ => {}
        }
    }

    fn notify(&mut self, child: Key, notice: Notice) {
        let parent = self.parent(child);
        self.supervisor(parent).waiting.push_back(notice);
        self.pump(parent);
    }

    /// Comes to what waits, if there is time for it.
    fn look(&mut self, key: Key) {
        if self.nodes[key].state == State::Up
            && let Some(supervisor) = &mut self.nodes[key].supervisor
            && matches!(supervisor.doing, Doing::Nothing)
            && let Some(notice) = supervisor.waiting.pop_front()
        {
            self.come_to(key, notice);
            self.pump(key);
        }
    }

    fn come_to(&mut self, key: Key, notice: Notice) {
        match notice {
            Notice::Ended(child) => {
                if let State::Ended(exit) = &self.nodes[child].state {
                    let exit = exit.clone();
                    match returns(self.nodes[child].restart, &exit) {
                        true => self.restart_child(key, child, exit),
                        false => self.leave(child),
                    }
                }
            }
            Notice::TryAgain(child) => {
                if let State::Failing(exit) = &self.nodes[child].state {
                    let exit = exit.clone();
                    self.restart_child(key, child, exit);
                }
            }
            Notice::Terminate(child, by) => {
                if matches!(self.nodes[child].state, State::Up) {
                    self.nodes[child].state = State::Stopping;
                    self.supervisor(key).doing = Doing::Stopping(vec![], Then::Leave(child));
                    self.actions.push(Action::Stop { key: child, by });
                } else if !matches!(self.nodes[child].state, State::Gone) {
                    self.leave(child);
                }
            }
            Notice::StartMissing => {
                let order = self.supervisor(key).children.iter().copied().collect();
                self.supervisor(key).doing = Doing::Starting(order, Occasion::Restart);
                self.go_on(key);
            }
        }
    }

    fn restart_child(&mut self, key: Key, child: Key, exit: Exit) {
        if !self.may_restart(key) {
            self.nodes[child].state = State::Down;
            self.actions.push(Action::GivesUp {
                supervisor: key,
                key: child,
                after: exit,
            });
            let supervisor = self.supervisor(key);
            let children = supervisor.children.clone();
            supervisor.doing = Doing::Stopping(children, Then::End(Ending::GaveUp));
            return self.go_on(key);
        }
        self.actions.push(Action::Restarts {
            key: child,
            after: exit,
        });
        self.nodes[child].state = State::Down;
        let supervisor = self.supervisor(key);
        let place = supervisor.children.iter().position(|&it| it == child);
        let after = place.map_or(0, |place| place + 1);
        supervisor.doing = match supervisor.strategy {
            Strategy::OneForOne => Doing::Starting([child].into(), Occasion::Restart),
            Strategy::RestForOne => {
                let rest = supervisor.children[after..].to_vec();
                Doing::Stopping(rest, Then::StartFrom(child))
            }
            Strategy::OneForAll => {
                let all = supervisor.children.clone();
                let first = all[0];
                Doing::Stopping(all, Then::StartFrom(first))
            }
        };
        self.go_on(key);
    }

    /// Counts one more restart, against those that still count.
    fn may_restart(&mut self, key: Key) -> bool {
        let now = self.now;
        let supervisor = self.supervisor(key);
        let window = supervisor.restart_window;
        supervisor
            .recent
            .retain(|&at| now.duration_since(at) <= window);
        supervisor.recent.push_back(now);
        supervisor.recent.len() <= supervisor.restarts_max
    }

    /// A child stays down. A temporary one is forgotten.
    fn leave(&mut self, key: Key) {
        self.nodes[key].state = State::Down;
        match self.is_supervisor(key) {
            true => self.leave_all(key),
            false => self.actions.push(Action::Leave(key)),
        }
        if self.nodes[key].restart == Restart::Temporary
            && let Some(parent) = self.nodes[key].parent
        {
            self.nodes[key].state = State::Gone;
            let supervisor = self.supervisor(parent);
            supervisor.children.retain(|&child| child != key);
            if self.nodes[key].adopted {
                self.free.push(key);
            }
        }
    }

    /// None of those below a supervisor comes back by itself.
    fn leave_all(&mut self, key: Key) {
        self.forget_adopted(key);
        let children = self.supervisor(key).born.clone();
        for child in children {
            match self.is_supervisor(child) {
                true => self.leave_all(child),
                false => self.actions.push(Action::Leave(child)),
            }
        }
    }

    /// Those that were not in its spec do not begin again with it.
    fn forget_adopted(&mut self, key: Key) {
        let supervisor = self.supervisor(key);
        let born = supervisor.born.clone();
        let children = std::mem::replace(&mut supervisor.children, born);
        for child in children {
            if self.nodes[child].adopted {
                self.nodes[child].state = State::Gone;
                self.free.push(child);
                self.actions.push(Action::Leave(child));
            }
        }
    }
}

/// Whether a child that ended so is started again.
fn returns(restart: Restart, exit: &Exit) -> bool {
    match restart {
        Restart::Permanent => true,
        Restart::Transient => exit.is_abnormal(),
        Restart::Temporary => false,
    }
}

impl Node {
    fn root(id: ChildId, supervisor: Supervisor) -> Self {
        Self {
            id,
            parent: None,
            restart: Restart::Temporary,
            shutdown_timeout: None,
            state: State::Down,
            adopted: false,
            supervisor: Some(supervisor),
        }
    }

    fn child(spec: &ChildSpec, parent: Key, supervisor: Option<Supervisor>) -> Self {
        Self {
            id: spec.id.clone(),
            parent: Some(parent),
            restart: spec.restart,
            shutdown_timeout: spec.shutdown_timeout,
            state: State::Down,
            adopted: false,
            supervisor,
        }
    }
}
