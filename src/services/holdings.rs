//! What one actor holds in the services, from its start to its end by whatever way.
//!
//! It is kept with the actor's other commitments, so that it outlives the swap of one instance for another, and it is
//! dropped with the actor: each service's guard undoes there what the actor left behind.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Services;
use crate::coordination::channels::Subscription;
use crate::coordination::locks::Holder;
use crate::coordination::process_groups::Memberships;
use crate::coordination::subscriptions::Subscriptions;
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

/// Guards by numbers that no other guard of this node has: an upgrade brings those of two instances together.
pub struct Numbered<T> {
    guards: BTreeMap<u64, T>,
}

impl Holdings {
    pub(super) fn new(actor: ActorId, services: Services) -> Self {
        let coordination = &services.coordination;
        Self {
            subscriptions: coordination.tuples.subscriptions(actor.clone()),
            locks: coordination.locks.holder(actor.address().clone()),
            memberships: coordination.groups.memberships(actor.clone()),
            leases: HashMap::new(),
            watches: Numbered::default(),
            topics: Numbered::default(),
            actor,
            services,
        }
    }

    /// Takes what an earlier instance of the same actor holds.
    ///
    /// What every life begins with, by its `init`, is there once and not twice then: what this instance has asked for
    /// already takes the place of the like that the earlier one had.
    pub fn absorb(&mut self, mut earlier: Self) {
        self.subscriptions.absorb(&mut earlier.subscriptions);
        self.locks.absorb(&mut earlier.locks);
        self.memberships.absorb(&mut earlier.memberships);
        self.leases.extend(std::mem::take(&mut earlier.leases));
        let watches = std::mem::take(&mut earlier.watches);
        self.watches.absorb(watches, Watch::is_like);
        let topics = std::mem::take(&mut earlier.topics);
        self.topics.absorb(topics, Subscription::is_like);
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        let guards = BTreeMap::new();
        Self { guards }
    }
}

impl<T> Numbered<T> {
    pub fn count(&self) -> usize {
        self.guards.len()
    }

    /// A number for a guard, from 1 upwards.
    pub fn number() -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        LAST.fetch_add(1, Relaxed) + 1
    }

    pub fn keep(&mut self, number: u64, guard: T) {
        self.guards.insert(number, guard);
    }

    /// Takes earlier ones, but for one like each that is here.
    fn absorb(&mut self, mut earlier: Self, alike: fn(&T, &T) -> bool) {
        for anew in self.guards.values() {
            let mut theirs = earlier.guards.iter();
            let like = theirs.find(|(_, guard)| alike(guard, anew));
            if let Some(number) = like.map(|(&number, _)| number) {
                earlier.end(number);
            }
        }
        self.guards.append(&mut earlier.guards);
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
