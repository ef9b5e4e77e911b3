//! What the node gives to guests, linked once for each engine and shared by all its programs.

use std::sync::OnceLock;

use wasmtime::Engine;

use super::host::Guest;
use super::room::Room;
use super::{component, core_abi};

/// The linkers of one engine, each made when the first module of its kind comes.
pub struct Linkers {
    pub engine: Engine,
    pub room: Room,
    components: OnceLock<Result<wasmtime::component::Linker<Guest>, String>>,
    modules: OnceLock<Result<wasmtime::Linker<Guest>, String>>,
}

impl Linkers {
    /// For an engine with a pool of so many slots, if it has one.
    pub fn new(engine: Engine, slots: Option<u32>) -> Self {
        Self {
            room: Room::new(engine.clone(), slots),
            engine,
            components: OnceLock::new(),
            modules: OnceLock::new(),
        }
    }

    pub fn components(&self) -> Result<&wasmtime::component::Linker<Guest>, String> {
        let linker = || component::linker(&self.engine);
        self.components
            .get_or_init(linker)
            .as_ref()
            .map_err(Clone::clone)
    }

    pub fn modules(&self) -> Result<&wasmtime::Linker<Guest>, String> {
        let linker = || core_abi::linker(&self.engine);
        self.modules
            .get_or_init(linker)
            .as_ref()
            .map_err(Clone::clone)
    }
}
