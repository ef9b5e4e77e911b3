//! What one actor holds in the services, from its start to its end by whatever way.
//!
//! It is kept with the actor's other commitments, so that it outlives the swap of one instance for another, and it is
//! dropped with the actor: each service's guard undoes there what the actor left behind.

use super::Services;
use crate::coordination::locks::Holder;
use crate::coordination::process_groups::Memberships;
use crate::coordination::tuplespace::Subscriptions;
use crate::id::ActorId;

/// One guard for each service that an actor can hold something in.
pub struct Holdings {
    pub subscriptions: Subscriptions,
    pub locks: Holder,
    pub memberships: Memberships,
    actor: ActorId,
    services: Services,
}

impl Holdings {
    pub(super) fn new(actor: ActorId, services: Services) -> Self {
        let coordination = &services.coordination;
        Self {
            subscriptions: coordination.tuples.subscriptions(actor.clone()),
            locks: coordination.locks.holder(),
            memberships: coordination.groups.memberships(actor.clone()),
            actor,
            services,
        }
    }
}

impl Drop for Holdings {
    fn drop(&mut self) {
        let mut missed = self.services.missed.lock().unwrap();
        missed.remove(self.actor.address());
    }
}
