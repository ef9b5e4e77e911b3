//! A small model of Erlang/OTP's supervisors, written from their documentation and knowing nothing of the node's code:
//! what `supervisor(3)` says happens when children end, one event at a time.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    OneForOne,
    OneForAll,
    RestForOne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Permanent,
    Transient,
    Temporary,
}

/// A child specification.
#[derive(Clone, Debug)]
pub struct Spec {
    pub id: String,
    pub restart: Restart,
    /// `None` for a worker.
    pub supervisor: Option<SupervisorSpec>,
}

#[derive(Clone, Debug)]
pub struct SupervisorSpec {
    pub strategy: Strategy,
    /// At most so many restarts within so many milliseconds.
    pub intensity: usize,
    pub period_ms: u64,
    pub children: Vec<Spec>,
}

/// Which starts of workers fail, by the worker's id and the number of its start from 1.
pub type Failing = Box<dyn Fn(&str, usize) -> bool>;

/// Everything that happened, in words: `start ID`, `stop ID`.
pub struct World {
    pub trace: Vec<String>,
    starts: BTreeMap<String, usize>,
    failing: Failing,
    now_ms: u64,
}

/// A supervisor process.
pub struct Supervisor {
    spec: SupervisorSpec,
    children: Vec<Child>,
    restarts_ms: Vec<u64>,
}

struct Child {
    spec: Spec,
    process: Process,
}

enum Process {
    Undefined,
    Worker,
    Supervisor(Box<Supervisor>),
}

/// How an event ended for a supervisor.
enum After {
    GoesOn,
    /// It terminated, with the reason `shutdown`.
    Shutdown,
}

/// What a worker ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Normal,
    Error,
}

impl World {
    pub fn new(failing: Failing) -> Self {
        Self {
            trace: Vec::new(),
            starts: BTreeMap::new(),
            failing,
            now_ms: 0,
        }
    }

    fn start(&mut self, id: &str) -> bool {
        let number = self.starts.entry(id.to_owned()).or_default();
        *number += 1;
        let number = *number;
        self.trace.push(format!("start {id}"));
        !(self.failing)(id, number)
    }
}

impl Supervisor {
    /// "The supervisor starts its children in the order of the specifications. If one fails, all started are
    /// terminated", and the start of the supervisor fails. The error is the worker's id.
    pub fn start(spec: &SupervisorSpec, world: &mut World) -> Result<Self, String> {
        let mut supervisor = Self {
            children: spec
                .children
                .iter()
                .map(|spec| Child {
                    spec: spec.clone(),
                    process: Process::Undefined,
                })
                .collect(),
            spec: spec.clone(),
            restarts_ms: Vec::new(),
        };
        for index in 0..supervisor.children.len() {
            if let Err(culprit) = supervisor.children[index].start(world) {
                supervisor.terminate_from(0, world);
                return Err(culprit);
            }
        }
        Ok(supervisor)
    }

    /// The ids of the workers that live.
    pub fn alive(&self) -> Vec<String> {
        let mut alive = Vec::new();
        for child in &self.children {
            match &child.process {
                Process::Undefined => {}
                Process::Worker => alive.push(child.spec.id.clone()),
                Process::Supervisor(below) => alive.extend(below.alive()),
            }
        }
        alive
    }

    /// A worker ends at this time. `false` if the whole tree has terminated with it.
    pub fn exit(&mut self, id: &str, reason: Reason, now_ms: u64, world: &mut World) -> bool {
        world.now_ms = now_ms;
        if reason == Reason::Normal {
            world.trace.push(format!("stop {id}"));
        }
        matches!(self.route(id, reason, world), Some(After::GoesOn))
    }

    fn route(&mut self, id: &str, reason: Reason, world: &mut World) -> Option<After> {
        for index in 0..self.children.len() {
            let child = &mut self.children[index];
            match &mut child.process {
                Process::Worker if child.spec.id == id => {
                    child.process = Process::Undefined;
                    return Some(self.ended(index, reason == Reason::Error, world));
                }
                Process::Supervisor(below) => match below.route(id, reason, world) {
                    None => {}
                    Some(After::GoesOn) => return Some(After::GoesOn),
                    Some(After::Shutdown) => {
                        // "shutdown" is not abnormal.
                        self.children[index].process = Process::Undefined;
                        return Some(self.ended(index, false, world));
                    }
                },
                _ => {}
            }
        }
        None
    }

    /// "permanent: always restarted. temporary: never. transient: only if it terminates abnormally."
    fn ended(&mut self, index: usize, abnormal: bool, world: &mut World) -> After {
        match self.children[index].spec.restart {
            Restart::Permanent => self.restart(index, world),
            Restart::Transient if abnormal => self.restart(index, world),
            Restart::Transient => After::GoesOn,
            Restart::Temporary => {
                self.children.remove(index);
                After::GoesOn
            }
        }
    }

    /// "If more than intensity restarts occur in the last period seconds, the supervisor terminates all the child
    /// processes and then itself." A restart whose start fails is tried again, which counts.
    fn restart(&mut self, mut index: usize, world: &mut World) -> After {
        loop {
            let now = world.now_ms;
            let period = self.spec.period_ms;
            self.restarts_ms.push(now);
            self.restarts_ms.retain(|&at| now - at <= period);
            if self.restarts_ms.len() > self.spec.intensity {
                self.terminate_from(0, world);
                return After::Shutdown;
            }
            let from = match self.spec.strategy {
                Strategy::OneForOne => match self.children[index].start(world) {
                    Ok(()) => return After::GoesOn,
                    Err(_) => continue,
                },
                Strategy::OneForAll => 0,
                Strategy::RestForOne => index,
            };
            self.terminate_from(from, world);
            // "Temporary children are not restarted", also as siblings.
            let mut position = 0;
            self.children.retain(|child| {
                position += 1;
                position <= from || child.spec.restart != Restart::Temporary
            });
            match (from..self.children.len()).find(|&at| self.children[at].start(world).is_err()) {
                None => return After::GoesOn,
                Some(failed) => index = failed,
            }
        }
    }

    /// Terminates the children from here on, the last one first.
    fn terminate_from(&mut self, from: usize, world: &mut World) {
        for child in self.children[from..].iter_mut().rev() {
            child.terminate(world);
        }
    }

    pub fn terminate(&mut self, world: &mut World) {
        self.terminate_from(0, world);
    }
}

impl Child {
    fn start(&mut self, world: &mut World) -> Result<(), String> {
        self.process = match &self.spec.supervisor {
            Some(spec) => Process::Supervisor(Box::new(Supervisor::start(spec, world)?)),
            None if world.start(&self.spec.id) => Process::Worker,
            None => return Err(self.spec.id.clone()),
        };
        Ok(())
    }

    fn terminate(&mut self, world: &mut World) {
        match std::mem::replace(&mut self.process, Process::Undefined) {
            Process::Undefined => {}
            Process::Worker => world.trace.push(format!("stop {}", self.spec.id)),
            Process::Supervisor(mut below) => below.terminate(world),
        }
    }
}
