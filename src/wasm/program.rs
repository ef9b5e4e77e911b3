//! A module compiled and linked once, ready to start many instances.

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::linkers::Linkers;
use super::room::Room;
use super::slices::Slices;
use super::{Kind, command, component, core_abi};
use crate::services::Services;

/// What a deploy makes of a module and every actor of it shares.
pub struct Program {
    kind: Kind,
    pub(super) form: Form,
    pub(super) engine: Engine,
    pub(super) room: Room,
    pub(super) slices: Slices,
    pub(super) services: Services,
}

pub(super) enum Form {
    Component(component::Linked),
    Core(core_abi::Linked),
    /// A `main` and no handler.
    Command(command::Linked),
}

impl Program {
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the module says which tree it wants.
    pub fn has_tree(&self) -> bool {
        match &self.form {
            Form::Component(linked) => linked.has_tree(),
            Form::Core(linked) => linked.has_tree(),
            Form::Command(_) => false,
        }
    }

    /// Links a component. The error says what it lacks or has that this node does not know.
    pub(super) fn component(
        linkers: &Linkers,
        component: &Component,
        slices: Slices,
        services: Services,
    ) -> Result<Self, String> {
        let engine = &linkers.engine;
        let handlers = component::handlers(engine, component)?;
        let form = match command::run_export(engine, component) {
            Some(run) if handlers.is_empty() => {
                let instance = component::resolve(linkers, component)?;
                Form::Command(command::Linked::Component(instance, run))
            }
            _ => Form::Component(component::link(linkers, component, handlers)?),
        };
        Ok(Self::of(form, linkers, slices, services))
    }

    /// Links a core module, likewise.
    pub(super) fn core(
        linkers: &Linkers,
        module: &Module,
        slices: Slices,
        services: Services,
    ) -> Result<Self, String> {
        let handlers = core_abi::handlers(module)?;
        let form = if handlers.is_empty() && command::is_command(module) {
            Form::Command(command::Linked::Core(core_abi::resolve(linkers, module)?))
        } else {
            Form::Core(core_abi::link(linkers, module, handlers)?)
        };
        Ok(Self::of(form, linkers, slices, services))
    }

    fn of(form: Form, linkers: &Linkers, slices: Slices, services: Services) -> Self {
        let kind = match form {
            Form::Component(_) => Kind::Component,
            Form::Core(_) => Kind::Core,
            Form::Command(_) => Kind::Command,
        };
        Self {
            kind,
            form,
            engine: linkers.engine.clone(),
            room: linkers.room.clone(),
            slices,
            services,
        }
    }
}
