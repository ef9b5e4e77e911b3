//! The members of a running tree, as its task and onlookers share them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::task::{self, AbortHandle};

use super::behavior::Start;
use super::cell::Vitals;
use super::place::{Kin, Place, Spawn, SpawnError};
use super::resident::{Presence, Resident};
use super::supervision::{Key, ROOT, State, Supervision};
use super::tree::Estate;
use super::{Actors, Bounds};
use crate::id::{ActorId, ChildId, child_of};

/// All members of a tree, as its task and onlookers share them.
pub(super) struct Grove {
    pub supervision: Supervision,
    pub members: HashMap<Key, Member>,
    pub by_id: HashMap<ChildId, Key>,
    /// Restarts of workers and of supervisors.
    pub restarts: HashMap<Key, u32>,
    pub on_probation: bool,
}

/// One worker of a tree.
pub(super) struct Member {
    pub resident: Arc<Resident>,
    /// There from its first start until it is left.
    pub presence: Option<Presence>,
    pub vitals: Arc<Vitals>,
    pub timers: Arc<AtomicU64>,
    pub parent: Option<Arc<str>>,
    pub labels: BTreeMap<String, String>,
    pub last_error: Option<String>,
    /// That error is the last that was heard of it; `false` where it has ended in order since.
    pub broke: bool,
    /// The task of its start or of its life.
    pub task: Option<(task::Id, AbortHandle)>,
    pub living: bool,
    /// How many messages it had handled well when its version began.
    pub proven_from: u64,
}

impl Estate {
    /// The id of a child. The worker of an application without a tree bears the application's own name.
    pub fn actor(&self, id: &ChildId, actor_type: Option<&ChildId>, actors: &Actors) -> ActorId {
        let own = id == &ChildId::of_application(&self.application);
        let actor_type = actor_type.or(self.worker_type.as_ref().filter(|_| own));
        let scopes = (&self.tenant, &self.namespace);
        ActorId::child(scopes, &self.application, id, actor_type, actors.node())
    }
}

impl Member {
    pub fn new(actor: ActorId, bounds: Bounds, actors: &Actors) -> Self {
        Self {
            resident: Resident::new(actor, bounds, actors),
            presence: None,
            vitals: Arc::default(),
            timers: Arc::default(),
            parent: None,
            labels: BTreeMap::new(),
            last_error: None,
            broke: false,
            task: None,
            living: false,
            proven_from: 0,
        }
    }

    pub fn renew(&mut self, bounds: Bounds, actors: &Actors) {
        let id = self.resident.id.clone();
        self.resident = Resident::new(id, bounds, actors);
    }

    pub fn place<S: Start>(&self, kin: &Kin<S>) -> Place<S> {
        Place {
            actor: self.resident.id.clone(),
            parent: self.parent.clone(),
            vitals: self.vitals.clone(),
            timers: self.timers.clone(),
            kin: kin.clone(),
        }
    }
}

impl Grove {
    pub fn key_of(&self, address: &str) -> Option<Key> {
        let key = *self.by_id.get(child_of(address))?;
        let member = self.members.get(&key)?;
        (&**member.resident.id.address() == address).then_some(key)
    }

    pub fn supervisor_for<S: Start>(&self, spawn: &Spawn<S>) -> Result<Key, SpawnError> {
        if let Some(id) = &spawn.supervisor {
            let found = self.supervision.supervisor_named(id);
            return found.ok_or_else(|| SpawnError::UnknownSupervisor(id.to_string()));
        }
        let parent = spawn.parent.as_deref().and_then(|it| self.key_of(it));
        Ok(parent.map_or(ROOT, |key| self.supervision.parent(key)))
    }

    pub fn running(&self) -> usize {
        let members = self.members.values();
        members.filter(|member| member.presence.is_some()).count()
    }

    pub fn lacks_some(&self) -> bool {
        let mut keys = self.members.keys();
        keys.any(|&key| *self.supervision.state(key) == State::Down)
    }

    /// Whether it is the one worker of an application without a tree.
    pub fn is_alone(&self) -> bool {
        self.members
            .values()
            .all(|member| member.resident.id.actor_type()[..] == **member.resident.id.application())
    }
}
