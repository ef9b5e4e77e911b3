//! How events in a tree become actions: the rules of `supervisor(3)`, step by step.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::exit::Exit;
use super::spec::{Restart, Strategy};
use super::supervision::{
    Action, Doing, Ending, Key, Notice, Occasion, State, Supervision, Supervisor, Task, Then,
};

impl Supervision {
    pub(super) fn at(&mut self, now: Instant, change: impl FnOnce(&mut Self)) -> Vec<Action> {
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

    pub(super) fn go_on(&mut self, key: Key) {
        self.agenda.push_back(Task::GoOn(key));
    }

    pub(super) fn pump(&mut self, key: Key) {
        self.agenda.push_back(Task::Look(key));
    }

    pub(super) fn supervisor(&mut self, key: Key) -> &mut Supervisor {
        let supervisor = self.nodes[key].supervisor.as_mut();
        supervisor.expect("only supervisors have children")
    }

    /// A supervisor begins anew, with the children of its spec.
    pub(super) fn begin_supervisor(&mut self, key: Key) {
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

    pub(super) fn child_not_started(&mut self, key: Key, culprit: Key, why: Arc<str>) {
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
    pub(super) fn halt(&mut self, key: Key) {
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

    pub(super) fn child_ended(&mut self, key: Key, exit: Exit) {
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

    pub(super) fn notify(&mut self, child: Key, notice: Notice) {
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
