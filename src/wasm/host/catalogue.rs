//! Every interface that guests may import, for both kinds of guests, and what of it the node provides.

use std::borrow::Cow;

use wasmtime::Linker as CoreLinker;
use wasmtime::component::{HasSelf, Linker};

use super::{Guest, bindings};
use super::{
    blob, channels, conversation, core_channels, core_durability, core_keyvalue, core_messaging,
    core_tuplespace, durability, keyvalue, locks, logging, messaging, older, process_groups,
    registry, tuplespace, workflow,
};

/// One interface, for both kinds of guests.
struct Interface {
    /// Its name in `plexspaces:actor`.
    name: &'static str,
    /// Its functions, as components name them.
    functions: &'static [&'static str],
    link: fn(&mut Linker<Guest>) -> wasmtime::Result<()>,
    /// The same for core modules.
    core_functions: &'static [&'static str],
    link_core: fn(&mut CoreLinker<Guest>) -> wasmtime::Result<()>,
}

/// What is provided: the whole published package.
const INTERFACES: &[Interface] = &[
    Interface {
        name: "logging",
        functions: logging::FUNCTIONS,
        link: |linker| bindings::logging::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: logging::CORE_FUNCTIONS,
        link_core: logging::add_to_core_linker,
    },
    Interface {
        name: "messaging",
        functions: messaging::FUNCTIONS,
        link: |linker| bindings::messaging::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: core_messaging::FUNCTIONS,
        link_core: core_messaging::add_to_linker,
    },
    Interface {
        name: "conversation",
        functions: conversation::FUNCTIONS,
        link: |linker| {
            bindings::conversation::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
        },
        core_functions: conversation::CORE_FUNCTIONS,
        link_core: conversation::add_to_core_linker,
    },
    Interface {
        name: "keyvalue",
        functions: keyvalue::FUNCTIONS,
        link: |linker| bindings::keyvalue::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: core_keyvalue::FUNCTIONS,
        link_core: core_keyvalue::add_to_linker,
    },
    Interface {
        name: "blob",
        functions: blob::FUNCTIONS,
        link: |linker| bindings::blob::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: &[],
        link_core: |_| Ok(()),
    },
    Interface {
        name: "channels",
        functions: channels::FUNCTIONS,
        link: |linker| bindings::channels::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: core_channels::FUNCTIONS,
        link_core: core_channels::add_to_linker,
    },
    Interface {
        name: "tuplespace",
        functions: tuplespace::FUNCTIONS,
        link: |linker| bindings::tuplespace::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: core_tuplespace::FUNCTIONS,
        link_core: core_tuplespace::add_to_linker,
    },
    Interface {
        name: "locks",
        functions: locks::FUNCTIONS,
        link: |linker| bindings::locks::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: locks::CORE_FUNCTIONS,
        link_core: locks::add_to_core_linker,
    },
    Interface {
        name: "process-groups",
        functions: process_groups::FUNCTIONS,
        link: |linker| {
            bindings::process_groups::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
        },
        core_functions: process_groups::CORE_FUNCTIONS,
        link_core: process_groups::add_to_core_linker,
    },
    Interface {
        name: "durability",
        functions: durability::FUNCTIONS,
        link: |linker| bindings::durability::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: core_durability::FUNCTIONS,
        link_core: core_durability::add_to_linker,
    },
    Interface {
        name: "registry",
        functions: registry::FUNCTIONS,
        link: |linker| bindings::registry::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: &[],
        link_core: |_| Ok(()),
    },
    Interface {
        name: "workflow",
        functions: workflow::FUNCTIONS,
        link: |linker| bindings::workflow::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: &[],
        link_core: |_| Ok(()),
    },
    Interface {
        name: "host",
        functions: older::FUNCTIONS,
        link: |linker| older::bindings::host::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest),
        core_functions: &[],
        link_core: |_| Ok(()),
    },
];

/// Links the whole published package.
pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for interface in INTERFACES {
        (interface.link)(linker)?;
    }
    Ok(())
}

/// Links every function that a core module may import from the node.
pub fn add_to_core_linker(linker: &mut CoreLinker<Guest>) -> wasmtime::Result<()> {
    for interface in INTERFACES {
        (interface.link_core)(linker)?;
    }
    Ok(())
}

/// The linker for this module: the one for all, unless it imports a function by another of its types.
pub fn core_linker_for<'a>(
    linker: &'a CoreLinker<Guest>,
    module: &wasmtime::Module,
) -> wasmtime::Result<Cow<'a, CoreLinker<Guest>>> {
    if !core_channels::wants_short_timeout(module) {
        return Ok(Cow::Borrowed(linker));
    }
    let mut linker = linker.clone();
    core_channels::take_short_timeout(&mut linker)?;
    Ok(Cow::Owned(linker))
}

/// Whether a component may import this function of this interface.
pub fn provides(interface: &str, function: &str) -> bool {
    let Some(name) = interface
        .strip_prefix("plexspaces:actor/")
        .and_then(|rest| rest.strip_suffix("@0.1.0"))
    else {
        return false;
    };
    let mut interfaces = INTERFACES.iter();
    interfaces.any(|it| it.name == name && it.functions.contains(&function))
}

/// Whether a core module may import this function.
pub fn provides_core(function: &str) -> bool {
    let mut interfaces = INTERFACES.iter();
    interfaces.any(|it| it.core_functions.contains(&function))
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Module};

    use super::*;
    use crate::wasm::core_abi;
    use crate::wasm::linkers::Linkers;

    const HEADER: &str = include_str!("../../../examples/simple/core_modules/c/plexspaces.h");
    const PAGE: &str = include_str!("../../../docs/core-abi.md");

    /// A declaration of the header as an import: what is 64 bits wide in C is so here, and all else a pointer or a word.
    fn import(declaration: &str) -> (&str, String) {
        let (name, rest) = declaration.split_once(") ").unwrap();
        let (result, rest) = rest.split_once(" ps_").unwrap();
        let arguments = rest.split_once('(').unwrap().1.strip_suffix(");").unwrap();
        let wasm = |ty: &str| match ty {
            _ if ty.contains('*') => "i32",
            _ if ty.contains("int64_t") => "i64",
            _ => "i32",
        };
        let arguments = arguments.split(", ").filter(|it| *it != "void");
        let params: Vec<_> = arguments.map(wasm).collect();
        let result = match result {
            "void" => String::new(),
            ty => format!("(result {})", wasm(ty)),
        };
        let params = params.join(" ");
        (
            name,
            format!("(import \"plexspaces\" \"{name}\" (func (param {params}) {result}))"),
        )
    }

    #[test]
    fn the_c_header_declares_every_core_function_as_it_is() {
        let lines = HEADER
            .lines()
            .filter_map(|line| line.strip_prefix("PLEXSPACES_IMPORT("));
        let (mut declared, imports): (Vec<_>, Vec<_>) = lines.map(import).unzip();
        let handler = "(memory (export \"memory\") 1)
            (func (export \"handle_request\") (param i32 i32 i32 i32 i32 i32))";
        let text = format!("(module {} {handler})", imports.join("\n"));
        let engine = Engine::default();
        let module = Module::new(&engine, wat::parse_str(&text).unwrap()).unwrap();
        let linkers = Linkers::new(engine, None);
        core_abi::resolve(&linkers, &module).map(drop).unwrap();
        let functions = INTERFACES.iter().flat_map(|it| it.core_functions);
        let mut provided: Vec<_> = functions.copied().collect();
        declared.sort_unstable();
        provided.sort_unstable();
        assert_eq!(declared, provided);
        for name in provided {
            assert!(
                PAGE.contains(&format!("`{name}(")),
                "docs/core-abi.md lacks {name}"
            );
        }
    }
}
