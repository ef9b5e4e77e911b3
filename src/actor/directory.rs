//! Who is where: an address leads to a mailbox, a type to the actors that bear it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::resident::Resident;
use crate::id::{ActorId, NodeId, Scope};

#[derive(Clone, Default)]
pub(super) struct Directory {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    by_address: HashMap<Arc<str>, Arc<Resident>>,
    by_type: HashMap<Arc<str>, Vec<ActorId>>,
    /// Counts searches, so that several actors of one application take turns.
    searches: usize,
}

/// What a search by type found. Of several that belong to one application, each gets its turn.
#[derive(Debug)]
pub enum Match {
    None,
    One(ActorId),
    /// Several applications have such an actor, so the caller must say which it means.
    Several(Vec<ActorId>),
}

/// How many actors there are, and what waits for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub actors: usize,
    pub waiting: usize,
    /// The most that wait for one actor.
    pub waiting_max: usize,
    pub waiting_bytes: usize,
}

/// An actor's place in the directory, which ends with the guard.
pub(super) struct Listing {
    id: ActorId,
    directory: Directory,
}

impl Directory {
    pub fn list(&self, resident: Arc<Resident>) -> Listing {
        let id = resident.id.clone();
        let mut state = self.state.lock().unwrap();
        state
            .by_type
            .entry(id.actor_type().into())
            .or_default()
            .push(id.clone());
        state.by_address.insert(id.address().clone(), resident);
        Listing {
            id,
            directory: self.clone(),
        }
    }

    /// An address as a sender wrote it, with or without `@NODE`.
    pub fn resolve(&self, address: &str, node: &NodeId) -> Option<Arc<Resident>> {
        let state = self.state.lock().unwrap();
        if address.contains('@') {
            return state.by_address.get(address).cloned();
        }
        state
            .by_address
            .get(format!("{address}@{node}").as_str())
            .cloned()
    }

    pub fn census(&self) -> Census {
        let state = self.state.lock().unwrap();
        let mut census = Census::default();
        for resident in state.by_address.values() {
            let (waiting, bytes) = resident.mailbox.load();
            census.actors += 1;
            census.waiting += waiting;
            census.waiting_max = census.waiting_max.max(waiting);
            census.waiting_bytes += bytes;
        }
        census
    }

    pub fn find(&self, tenant: &Scope, namespace: &str, actor_type: &str) -> Match {
        let mut state = self.state.lock().unwrap();
        state.searches = state.searches.wrapping_add(1);
        let bearers = state
            .by_type
            .get(actor_type)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let meant = |id: &&ActorId| {
            id.tenant() == tenant
                && (&**id.namespace() == namespace || &**id.application() == namespace)
        };
        let found: Vec<&ActorId> = bearers.iter().filter(meant).collect();
        match found.as_slice() {
            [] => Match::None,
            [first, rest @ ..]
                if rest
                    .iter()
                    .all(|id| id.application() == first.application()) =>
            {
                Match::One(found[state.searches % found.len()].clone())
            }
            _ => Match::Several(found.into_iter().cloned().collect()),
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let mut state = self.directory.state.lock().unwrap();
        state.by_address.remove(self.id.address());
        if let Some(bearers) = state.by_type.get_mut(self.id.actor_type()) {
            bearers.retain(|id| id.address() != self.id.address());
            if bearers.is_empty() {
                state.by_type.remove(self.id.actor_type());
            }
        }
    }
}
