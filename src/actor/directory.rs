//! Who is where: an address leads to a mailbox, a type to the actors that bear it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::bearers::{Bearers, Match};
use super::resident::Resident;
use crate::id::{self, ActorId, ApplicationName, NodeId, Scope};

#[derive(Clone, Default)]
pub(super) struct Directory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Counts comings and goings.
    edition: AtomicU64,
}

#[derive(Default)]
struct State {
    by_address: HashMap<Arc<str>, Arc<Resident>>,
    bearers: Bearers,
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
        self.change(|state| {
            state.bearers.add(&id);
            state.by_address.insert(id.address().clone(), resident);
        });
        Listing {
            id,
            directory: self.clone(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap());
        self.0.edition.fetch_add(1, Relaxed);
    }

    /// While this stays the same, every address leads to where it led before.
    pub fn edition(&self) -> u64 {
        self.0.edition.load(Relaxed)
    }

    /// An address as a sender wrote it, with or without `@NODE`.
    pub fn resolve(&self, address: &str, node: &NodeId) -> Option<Arc<Resident>> {
        match address.contains('@') {
            true => self.at(address),
            false => self.at(&format!("{address}@{node}")),
        }
    }

    fn at(&self, whole: &str) -> Option<Arc<Resident>> {
        let state = self.0.state.lock().unwrap();
        state.by_address.get(whole).cloned()
    }

    /// An address as an actor of this application wrote it: short within it, else as any other sender writes it.
    pub fn resolve_within(
        &self,
        application: &ApplicationName,
        address: &str,
        node: &NodeId,
    ) -> Option<Arc<Resident>> {
        let short = id::local(address, node).filter(|it| !it.is_empty() && !it.contains('/'));
        let sibling =
            short.and_then(|short| self.at(&[application, "/", short, "@", node].concat()));
        sibling.or_else(|| self.resolve(address, node))
    }

    pub fn census(&self) -> Census {
        let state = self.0.state.lock().unwrap();
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
        let mut state = self.0.state.lock().unwrap();
        state.bearers.find(tenant, namespace, actor_type)
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.directory.change(|state| {
            state.by_address.remove(self.id.address());
            state.bearers.remove(&self.id);
        });
    }
}
