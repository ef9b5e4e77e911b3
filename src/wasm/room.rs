//! Room for actors that guests spawn: they leave a part of the pool to deploys, upgrades and restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use wasmtime::Engine;

use crate::limits;

/// The slots of one pool, as those see them who want one more.
#[derive(Clone)]
pub struct Room {
    engine: Engine,
    /// `None` where memory is taken on demand.
    slots: Option<u32>,
    /// Spawns under way, which may not have their slots yet.
    coming: Arc<AtomicUsize>,
}

/// One spawn under way.
pub struct Coming(Arc<AtomicUsize>);

impl Room {
    pub fn new(engine: Engine, slots: Option<u32>) -> Self {
        Self {
            engine,
            slots,
            coming: Arc::default(),
        }
    }

    /// Room for one more spawned actor, for as long as its start takes. `None` where only the part is left that is
    /// kept from spawned ones.
    pub fn for_one_more(&self) -> Option<Coming> {
        let used = self.engine.pooling_allocator_metrics();
        let used = used.map_or(0, |used| used.memories()) + self.coming.load(Relaxed);
        if self
            .slots
            .is_some_and(|slots| used >= open_to_spawned(slots))
        {
            return None;
        }
        self.coming.fetch_add(1, Relaxed);
        Some(Coming(self.coming.clone()))
    }
}

/// Slots of so many that may be taken when a guest spawns.
fn open_to_spawned(slots: u32) -> usize {
    (slots - slots.div_ceil(limits::POOL_RESERVED_SHARE)) as usize
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spawned_actors_leave_one_slot_in_eight_and_at_least_one() {
        let check = |slots: u32, expected: usize| {
            assert_eq!(open_to_spawned(slots), expected, "of {slots}");
        };
        check(1_000, 875);
        check(60, 52);
        check(4, 3);
        check(1, 0);
    }
}
