//! What has come of a tree's tasks: starts that went well or not, and lives that ended.

use std::sync::Arc;

use bytes::Bytes;
use log::Level;
use tokio::task::{self, JoinError};

use super::behavior::{Fault, Start};
use super::cell::End;
use super::control::Told;
use super::driver::{Done, Driver, Job, live, lost, reason};
use super::exit::Exit;
use super::parting::{STATE_LOST, brief};
use super::supervision::{Action, Key, State};
use crate::metrics::During;

impl<S: Start> Driver<S> {
    /// A task of the tree's has ended.
    pub fn note(&mut self, done: Result<(task::Id, Done<S::Behavior>), JoinError>) {
        self.events += 1;
        let (id, done) = match done {
            Ok(done) => (done.0, Some(done.1)),
            Err(error) => (error.id(), lost(&error)),
        };
        if let Some(member) = self.retired.remove(&id) {
            return drop(member);
        }
        match self.jobs.remove(&id) {
            Some(Job::Birth(birth)) => self.born(*birth, done),
            Some(Job::Of(key)) => self.note_of(key, id, done),
            None => {}
        }
    }

    fn note_of(&mut self, key: Key, id: task::Id, done: Option<Done<S::Behavior>>) {
        let lived = {
            let mut grove = self.grove.lock().unwrap();
            let Some(member) = grove.members.get_mut(&key) else {
                return;
            };
            if member.task.as_ref().is_none_or(|(task, _)| *task != id) {
                return;
            }
            member.task = None;
            member.living
        };
        match done {
            Some(Done::Started(Ok(behavior))) => self.started(key, behavior),
            Some(Done::Started(Err(fault))) => self.not_started(key, fault),
            Some(Done::Ended(End::Exit { exit, .. })) if !lived => {
                self.not_started(key, Fault::Broken(reason(&exit)));
            }
            Some(Done::Ended(End::Exit { exit, left })) => self.ended(key, exit, left),
            Some(Done::Ended(End::Succeeded(_))) => {}
            None => self.ended(key, Exit::Killed, Ok(None)),
        }
    }

    fn started(&mut self, key: Key, behavior: S::Behavior) {
        let stopping = *self.grove.lock().unwrap().supervision.state(key) == State::Stopping;
        if stopping {
            drop(behavior);
            return self.ended(key, Exit::Killed, Ok(None));
        }
        self.animate(key, behavior);
        let actions = self.decide(|it, now| it.started(key, now));
        self.carry_out(actions);
    }

    /// Gives a behavior its life.
    pub fn animate(&mut self, key: Key, behavior: S::Behavior) {
        let mut grove = self.grove.lock().unwrap();
        let timeout = grove.supervision.shutdown_timeout(key);
        let member = grove.members.get_mut(&key).expect("a worker is a member");
        member.resident.set_shutdown_timeout(timeout);
        let task = live(&mut self.work, member, behavior, &self.actors);
        self.jobs.insert(task.id(), Job::Of(key));
        member.living = true;
        member.task = Some((task.id(), task));
    }

    fn not_started(&mut self, key: Key, fault: Fault) {
        self.disturbed = true;
        let why: Arc<str> = fault.to_string().into();
        self.error_of(key, &why);
        self.last_fault = Some(fault);
        let actions = self.decide(|it, now| it.start_failed(key, why, now));
        self.carry_out(actions);
    }

    fn ended(&mut self, key: Key, exit: Exit, left: Told) {
        self.disturbed = true;
        let parting = self.part_with(key, &exit);
        let address = parting.id.address();
        match &exit {
            Exit::Error(text) => {
                self.actors.metrics().faults.count(During::Message);
                self.error_of(key, text);
            }
            _ => self.in_order(key),
        }
        self.actors.announce(address, &exit);
        match left {
            Ok(None) => {}
            Ok(Some(left)) => self.keep(key, parting.id.child_id(), left),
            Err(why) => self.warns(address, STATE_LOST, &why),
        }
        if self.on_probation() && !parting.proven && matches!(exit, Exit::Error(_)) {
            return self.fail(format!(
                "{address} broke before it had done anything: {}",
                reason(&exit)
            ));
        }
        let actions = self.decide(|it, now| it.ended(key, exit.clone(), now));
        self.tell_of(&parting, actions.contains(&Action::Leave(key)));
        self.carry_out(actions);
    }

    /// The state that an actor left is what its next life begins with.
    fn keep(&mut self, key: Key, child: &str, left: Bytes) {
        if let Some(seed) = self.seeds.get_mut(&key) {
            seed.resume(left.clone());
        }
        self.left.push((child.to_owned(), left));
    }

    fn error_of(&mut self, key: Key, text: &str) {
        let mut grove = self.grove.lock().unwrap();
        if let Some(member) = grove.members.get_mut(&key) {
            member.last_error = Some(text.to_owned());
            member.broke = true;
        }
    }

    fn in_order(&mut self, key: Key) {
        let mut grove = self.grove.lock().unwrap();
        if let Some(member) = grove.members.get_mut(&key) {
            member.broke = false;
        }
    }

    /// It does not come back by itself, so nobody can reach it.
    pub fn leave(&mut self, key: Key) {
        let mut grove = self.grove.lock().unwrap();
        // A temporary one of the spec is there again when its supervisor begins anew.
        let gone =
            grove.supervision.is_adopted(key) && *grove.supervision.state(key) == State::Gone;
        let Some(member) = grove.members.get_mut(&key) else {
            return;
        };
        let actor = member.resident.id.clone();
        let unread = member.resident.mailbox.depth();
        let (presence, task) = (member.presence.take(), member.task.take());
        if gone {
            let id = grove.supervision.id(key).clone();
            if grove.by_id.get(&id) == Some(&key) {
                grove.by_id.remove(&id);
            }
            grove.members.remove(&key);
            grove.restarts.remove(&key);
            self.seeds.remove(&key);
        }
        drop(grove);
        drop(presence);
        if unread > 0 {
            let text = format!("ended with {unread} messages unread; who asked is told");
            self.says(Level::Warn, actor.address(), &text);
        }
        if let Some((_, task)) = task {
            task.abort();
        }
        let child = actor.child_id();
        for waiting in self.leaving.remove(&key).into_iter().flatten() {
            let left = self.left.iter().rev().find(|(actor, _)| *actor == child);
            let _ = waiting.send(left.map(|(_, left)| left.clone()));
        }
        if self.stopped.is_none() {
            self.left.retain(|(actor, _)| *actor != child);
        }
    }

    pub fn restarts(&mut self, key: Key, after: &Exit) {
        let name = self.name_of(key);
        *self.grove.lock().unwrap().restarts.entry(key).or_default() += 1;
        self.actors.metrics().restarts.inc();
        let why = reason(after);
        log::warn!("actor {name} is restarted: {}", brief(&why));
        self.says(Level::Warn, &name, &format!("restarted: {why}"));
    }

    pub fn gives_up(&mut self, supervisor: Key, key: Key, after: &Exit) {
        let name = self.name_of(key);
        let terms = self.grove.lock().unwrap().supervision.terms(supervisor);
        let (_, max, window) = terms.expect("a supervisor has terms");
        let why = reason(after);
        self.actors.metrics().given_up.inc();
        log::error!(
            "actor {name} has failed: more than {max} restarts within {window:?}, the last one: {}",
            brief(&why)
        );
        let text = format!("given up after more than {max} restarts within {window:?}: {why}");
        self.says(Level::Error, &name, &text);
        let own = matches!(after, Exit::Error(_));
        // Of a supervisor that gave up, the reason is that of whoever broke below it.
        if own || self.reason.is_empty() {
            self.reason = match self.grove.lock().unwrap().is_alone() {
                true => why,
                false => format!("{name} broke too often: {why}"),
            };
        }
    }
}
