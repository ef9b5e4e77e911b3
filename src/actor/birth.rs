//! Actors that are spawned into a running tree.

use tokio::sync::oneshot;

use super::behavior::Start;
use super::driver::{Done, Driver, Job, late};
use super::grove::Member;
use super::place::{Spawn, SpawnError};
use super::spec::ChildSpec;
use super::supervision::Key;
use super::within;
use crate::id::{ActorId, ChildId};
use crate::limits;

pub(super) struct Birth<S: Start> {
    spawn: Spawn<S>,
    id: ChildId,
    member: Member,
    answer: oneshot::Sender<Result<ActorId, SpawnError>>,
}

impl<S: Start> Driver<S> {
    /// Begins the start of one more actor.
    pub fn bear(&mut self, spawn: Spawn<S>, answer: oneshot::Sender<Result<ActorId, SpawnError>>) {
        let id = match self.may_grow().and_then(|()| self.id_for(&spawn)) {
            Ok(id) => id,
            Err(error) => return drop(answer.send(Err(error))),
        };
        self.births += 1;
        let actor = self
            .estate
            .actor(&id, spawn.actor_type.as_ref(), &self.actors);
        let mut member = Member::new(actor, spawn.bounds, &self.actors);
        member.parent = spawn.parent.clone();
        member.labels = spawn.labels.clone();
        let (seed, place) = (spawn.seed.clone(), member.place(&self.kin));
        let task = self.work.spawn(async move {
            let started = within(limits::START_TIME_MAX, seed.start(&place)).await;
            Done::Started(started.unwrap_or_else(|| Err(late())))
        });
        // Its id is taken from here on.
        self.grove
            .lock()
            .unwrap()
            .by_id
            .insert(id.clone(), Key::MAX);
        let birth = Birth {
            spawn,
            id,
            member,
            answer,
        };
        self.jobs.insert(task.id(), Job::Birth(Box::new(birth)));
    }

    /// A tree that is being stopped takes nobody in, else those that stop could stretch that at will.
    fn may_grow(&self) -> Result<(), SpawnError> {
        match self.stopped {
            Some(_) => Err(SpawnError::Busy),
            None => Ok(()),
        }
    }

    fn id_for(&mut self, spawn: &Spawn<S>) -> Result<ChildId, SpawnError> {
        let grove = self.grove.lock().unwrap();
        if grove.members.len() + self.births >= limits::TREE_ACTORS_MAX {
            let text = format!(
                "this application has {} actors, its most",
                limits::TREE_ACTORS_MAX
            );
            return Err(SpawnError::NoRoom(text));
        }
        grove.supervisor_for(spawn)?;
        match &spawn.id {
            Some(id) if grove.by_id.contains_key(id) => Err(SpawnError::Taken(id.to_string())),
            Some(id) => Ok(id.clone()),
            None => loop {
                self.spawned += 1;
                let id = spawn.stem.numbered(self.spawned);
                if !grove.by_id.contains_key(&id) {
                    return Ok(id);
                }
            },
        }
    }

    /// One that was spawned has started, or not.
    pub fn born(&mut self, birth: Birth<S>, done: Option<Done<S::Behavior>>) {
        self.births -= 1;
        let Birth {
            spawn,
            id,
            member,
            answer,
        } = birth;
        let started = match done {
            Some(Done::Started(started)) => started.map_err(SpawnError::from),
            _ => Err(SpawnError::Busy),
        };
        let adopted = started.and_then(|behavior| {
            self.may_grow()?;
            let mut grove = self.grove.lock().unwrap();
            let supervisor = grove.supervisor_for(&spawn)?;
            let child = ChildSpec {
                restart: spawn.restart,
                shutdown_timeout: spawn.shutdown_timeout,
                ..ChildSpec::temporary(id.clone())
            };
            let key = grove.supervision.adopt(supervisor, &child);
            Ok((behavior, key.ok_or(SpawnError::Busy)?))
        });
        let (behavior, key) = match adopted {
            Ok(adopted) => adopted,
            Err(error) => {
                self.grove.lock().unwrap().by_id.remove(&id);
                return drop(answer.send(Err(error)));
            }
        };
        let actor = member.resident.id.clone();
        let mut grove = self.grove.lock().unwrap();
        grove.by_id.insert(id, key);
        grove.members.insert(key, member);
        drop(grove);
        if self.drafting && spawn.parent.is_some() {
            self.drafted.push(key);
        }
        self.seeds.insert(key, spawn.seed);
        self.animate(key, behavior);
        // One whose parent has left meanwhile lives on: it belongs to the application.
        let _ = answer.send(Ok(actor));
    }
}
