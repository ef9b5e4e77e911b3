//! What one actor holds in the services, from its start to its end by whatever way.
//!
//! It is kept with the actor's other commitments, so that it outlives the swap of one instance for another, and it is
//! dropped with the actor: each service's guard undoes there what the actor left behind.

use std::collections::{BTreeMap, HashMap};

use super::Services;
use crate::coordination::channels::Subscription;
use crate::coordination::locks::Holder;
use crate::coordination::process_groups::Memberships;
use crate::coordination::tuplespace::Subscriptions;
use crate::id::ActorId;
use crate::storage::{Lease, Watch};

/// One guard for each service that an actor can hold something in.
pub struct Holdings {
    pub subscriptions: Subscriptions,
    pub locks: Holder,
    pub memberships: Memberships,
    /// Messages received from queues and not answered for, by their ids.
    pub leases: HashMap<String, Lease>,
    pub watches: Numbered<Watch>,
    pub topics: Numbered<Subscription>,
    actor: ActorId,
    services: Services,
}

/// Guards by numbers of the actor's own, from 1 upwards.
pub struct Numbered<T> {
    last: u64,
    guards: BTreeMap<u64, T>,
}

impl Holdings {
    pub(super) fn new(actor: ActorId, services: Services) -> Self {
        let coordination = &services.coordination;
        Self {
            subscriptions: coordination.tuples.subscriptions(actor.clone()),
            locks: coordination.locks.holder(),
            memberships: coordination.groups.memberships(actor.clone()),
            leases: HashMap::new(),
            watches: Numbered::default(),
            topics: Numbered::default(),
            actor,
            services,
        }
    }
}
impl<T> Default for Numbered<T> {
    fn default() -> Self {
        let guards = BTreeMap::new();
        Self { last: 0, guards }
    }
}

impl<T> Numbered<T> {
    pub fn len(&self) -> usize {
        self.guards.len()
    }

    /// The number that the next guard gets.
    pub fn next(&self) -> u64 {
        self.last + 1
    }

    pub fn keep(&mut self, guard: T) -> u64 {
        self.last += 1;
        self.guards.insert(self.last, guard);
        self.last
    }

    /// Drops a guard. Whether there was one.
    pub fn end(&mut self, number: u64) -> bool {
        self.guards.remove(&number).is_some()
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        let mut missed = self.services.missed.lock().unwrap();
        missed.remove(self.actor.address());
    }
}
