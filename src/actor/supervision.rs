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
    pub(super) nodes: Vec<Node>,
    pub(super) free: Vec<Key>,
    pub(super) now: Instant,
    pub(super) agenda: VecDeque<Task>,
    pub(super) actions: Vec<Action>,
}

/// What is still to be thought through before the answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// The next step of what this supervisor is doing.
    GoOn(Key),
    /// What waits for it, where it is doing nothing.
    Look(Key),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: ChildId,
    pub(super) parent: Option<Key>,
    pub(super) restart: Restart,
    pub(super) shutdown_timeout: Option<Duration>,
    pub(super) state: State,
    /// Not in the spec: it was started by an actor, and ends with its supervisor.
    pub(super) adopted: bool,
    pub(super) supervisor: Option<Supervisor>,
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
pub(super) struct Supervisor {
    pub(super) strategy: Strategy,
    pub(super) restarts_max: usize,
    pub(super) restart_window: Duration,
    /// Those of its spec, with which it begins.
    pub(super) born: Vec<Key>,
    pub(super) children: Vec<Key>,
    pub(super) recent: VecDeque<Instant>,
    pub(super) waiting: VecDeque<Notice>,
    pub(super) doing: Doing,
    /// When it must have stopped.
    pub(super) by: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Notice {
    Ended(Key),
    TryAgain(Key),
    /// An operator stops a child, until it is started again.
    Terminate(Key, Instant),
    /// An operator starts those that are down.
    StartMissing,
}

#[derive(Debug)]
pub(super) enum Doing {
    Nothing,
    /// Left to right.
    Starting(VecDeque<Key>, Occasion),
    /// Right to left.
    Stopping(Vec<Key>, Then),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    Birth,
    Restart,
}

#[derive(Clone, Debug)]
pub(super) enum Then {
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
