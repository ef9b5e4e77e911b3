//! A module compiled and linked once, ready to start many instances.

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::slices::Slices;
use super::{Kind, component, core_abi};
use crate::actor::Actors;

/// What a deploy makes of a module and every actor of it shares.
pub struct Program {
    pub(super) form: Form,
    pub(super) engine: Engine,
    pub(super) slices: Slices,
    pub(super) actors: Actors,
}

pub(super) enum Form {
    Component(component::Linked),
    Core(core_abi::Linked),
}

impl Program {
    pub fn kind(&self) -> Kind {
        match self.form {
            Form::Component(_) => Kind::Component,
            Form::Core(_) => Kind::Core,
        }
    }

    /// Links a component. The error says what it lacks or has that this node does not know.
    pub(super) fn component(
        engine: &Engine,
        component: &Component,
        slices: Slices,
        actors: Actors,
    ) -> Result<Self, String> {
        let form = Form::Component(component::link(engine, component)?);
        Ok(Self {
            form,
            engine: engine.clone(),
            slices,
            actors,
        })
    }

    /// Links a core module, likewise.
    pub(super) fn core(
        engine: &Engine,
        module: &Module,
        slices: Slices,
        actors: Actors,
    ) -> Result<Self, String> {
        let form = Form::Core(core_abi::link(engine, module)?);
        Ok(Self {
            form,
            engine: engine.clone(),
            slices,
            actors,
        })
    }
}
