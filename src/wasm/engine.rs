//! The engine of each size class: one set of tunables per class, one pool behind it, and a ladder for when the pool is too big.
//!
//! Compiled code depends on a class's tunables, never on how many slots its pool has: a rung of the ladder
//! changes counts only, so that no machine needs a module compiled anew because it is small.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::config::Profile;
use crate::limits::{self, KIB, MIB};
use crate::machine;
use crate::maps;

/// How large the slots are in which a module's memories lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// 64 MiB slots, enough for every guest with the default limit; close together, so that many actors stay fast.
    Small,
    /// 4 GiB slots, without bounds checks, for guests that start large or are allowed to grow large.
    Large,
}

/// A module whose memories start above this is placed among the large.
const SMALL_START_BYTES_MAX: u64 = 8 * MIB as u64;

/// What a pool leaves of a limit on data, for threads, messages and everything else. The pools' stacks and tables count
/// as data from the start, used or not.
const DATA_LEFT_BYTES_MIN: u64 = 24 * MIB as u64;

/// How many slots a pool should have, from the top; below the last one memory is taken on demand.
fn rungs(most: u32) -> impl Iterator<Item = u32> {
    let maps_max = machine::memory_maps_max();
    (0..3)
        .map(move |rung| most >> (2 * rung))
        .filter(move |&slots| slots > 0 && maps::needed(slots) <= maps_max)
}

/// Bytes of an empty slot's memory that stay in RAM: the next actor starts sooner for it, but all slots together are not
/// to hold more than 64 MiB. Where each would get a page or two only, that is no gain, and all of it goes back.
fn kept(slots: u32) -> usize {
    match 64 * MIB / slots as usize {
        ..PAGES_WORTH_KEEPING => 0,
        each => each.min(64 * KIB),
    }
}

const PAGES_WORTH_KEEPING: usize = 16 * KIB;

impl Class {
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// The class for a module that declares `start_bytes` of memory and may grow to `limit_bytes`.
    pub fn of(start_bytes: u64, limit_bytes: u64) -> Self {
        if start_bytes <= SMALL_START_BYTES_MAX && limit_bytes <= Self::Small.slot_bytes() {
            Self::Small
        } else {
            Self::Large
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    pub fn slot_bytes(self) -> u64 {
        match self {
            Self::Small => 64 * MIB as u64,
            Self::Large => 4096 * MIB as u64,
        }
    }

    fn guard_bytes(self) -> u64 {
        match self {
            Self::Small => 2 * MIB as u64,
            Self::Large => 32 * MIB as u64,
        }
    }

    /// What the compiler and the node must agree on, to the letter.
    pub fn tunables(self) -> Config {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .memory_reservation(self.slot_bytes())
            .memory_reservation_for_growth(0)
            .memory_guard_size(self.guard_bytes())
            .memory_may_move(false)
            .max_wasm_stack(limits::GUEST_STACK_BYTES)
            .async_stack_size(limits::GUEST_STACK_BYTES + MIB);
        config
    }

    /// Names this class's compiled code: equal names load each other's files.
    pub fn compatibility(self, engine: &Engine) -> String {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        format!("{self}-{:016x}", hasher.finish())
    }

    /// How many actors of this class a node has room for at most.
    pub fn slots_max(self, profile: Profile, actors_max: u32) -> u32 {
        match (self, profile) {
            (Self::Small, _) => actors_max,
            (Self::Large, Profile::Standard) => 64,
            (Self::Large, Profile::Small) => 16,
            (Self::Large, Profile::Tiny) => 4,
        }
    }

    /// An engine on the highest rung that this machine bears, and that rung.
    pub fn engine(self, slots_max: u32) -> wasmtime::Result<(Engine, Rung)> {
        for slots in rungs(slots_max) {
            let mut config = self.tunables();
            // Else a stack that was used once stays in RAM.
            config.async_stack_zeroing(kept(slots) == 0);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(self.pool(slots)));
            match Engine::new(&config) {
                Ok(_)
                    if machine::data_left_bytes()
                        .is_some_and(|left| left < DATA_LEFT_BYTES_MIN) =>
                {
                    log::info!(
                        "a pool of {slots} {self} slots leaves the rest of the node too little memory"
                    );
                }
                Ok(engine) => return Ok((engine, self.rung(Some(slots)))),
                Err(error) => log::info!(
                    "a pool of {slots} {self} slots is too much for this machine: {error:#}"
                ),
            }
        }
        Ok((Engine::new(&self.tunables())?, self.rung(None)))
    }

    fn rung(self, slots: Option<u32>) -> Rung {
        Rung { class: self, slots }
    }

    fn pool(self, slots: u32) -> PoolingAllocationConfig {
        // A Python component brings more than 20 core instances with it, a Rust one about three.
        let (instances_each, tables_each) = match self {
            Self::Small => (8, 4),
            Self::Large => (64, 16),
        };
        let mut pool = PoolingAllocationConfig::new();
        pool.total_memories(slots)
            .total_tables(slots * tables_each / 2)
            .total_core_instances(slots * instances_each / 2)
            .total_component_instances(slots)
            .max_core_instances_per_component(64)
            .max_memories_per_component(16)
            .max_tables_per_component(16)
            .max_memories_per_module(4)
            .max_tables_per_module(16)
            .table_elements(limits::GUEST_TABLE_ELEMENTS_MAX)
            .max_memory_size(usize::try_from(self.slot_bytes()).unwrap_or(usize::MAX))
            .total_stacks(maps::stacks(slots))
            .linear_memory_keep_resident(kept(slots))
            .table_keep_resident(kept(slots).min(4 * KIB));
        pool
    }
}

/// Where on its ladder a class's engine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    class: Class,
    /// Slots of its pool; `None` at the bottom, where memory is taken on demand.
    pub slots: Option<u32>,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, slots } = self;
        match slots {
            Some(slots) => {
                let slot_mib = class.slot_bytes() / MIB as u64;
                write!(f, "{slots} {class} slots of {slot_mib} MiB")
            }
            None => write!(f, "{class} memories on demand"),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_follows_what_a_module_declares_and_may_grow_to() {
        let mib = |n: u64| n * MIB as u64;
        assert_eq!(Class::of(mib(1), mib(64)), Class::Small);
        assert_eq!(Class::of(mib(12), mib(64)), Class::Large);
        assert_eq!(Class::of(mib(1), mib(65)), Class::Large);
    }

    #[test]
    fn a_rung_of_the_ladder_never_needs_a_module_compiled_anew() {
        for class in Class::ALL {
            let (pooled, _) = class.engine(64).unwrap();
            let on_demand = Engine::new(&class.tunables()).unwrap();
            assert_eq!(
                class.compatibility(&pooled),
                class.compatibility(&on_demand)
            );
        }
    }
}
