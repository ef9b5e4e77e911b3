//! What a guest may see of the world: its environment, clocks and random bytes, as far as its capabilities go.
//!
//! What is withheld has no way to say so in WASI, and toolchains look at all three before `main`. So a guest is not
//! ended for looking: it sees no variables, clocks that stand still, and bytes that are the same at every start.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

use super::Capabilities;
use crate::id::ActorId;

/// The bytes after which withheld randomness begins anew. A prime, so that pieces of one size do not soon repeat.
const CYCLE_BYTES: usize = 8_191;

/// One guest's view, before it is built.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    pub actor: &'a ActorId,
    pub env: &'a [(String, String)],
    pub capabilities: Capabilities,
}

impl Sight<'_> {
    pub fn builder(&self) -> WasiCtxBuilder {
        let mut builder = WasiCtxBuilder::new();
        if self.capabilities.env {
            builder.envs(self.env);
        }
        if !self.capabilities.clocks {
            builder.wall_clock(Stopped).monotonic_clock(Stopped);
        }
        if !self.capabilities.random {
            let cycle = cycle_of(self.actor.address());
            builder
                .insecure_random_seed(u128::from_le_bytes(
                    cycle[..16].try_into().expect("16 bytes"),
                ))
                .insecure_random(Deterministic::new(cycle.clone()))
                .secure_random(Deterministic::new(cycle));
        }
        builder
    }
}

fn cycle_of(seed: &str) -> Vec<u8> {
    let block = |counter: u32| {
        Sha256::new()
            .chain_update(seed)
            .chain_update(counter.to_le_bytes())
    };
    let blocks = (0..).flat_map(|counter| block(counter).finalize());
    blocks.take(CYCLE_BYTES).collect()
}

/// A clock that stands at its beginning.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}
