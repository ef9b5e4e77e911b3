//! The part of the published package that is not provided yet: it links, and each call answers `not-implemented`.

use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{Linker, Type, Val};

use super::Guest;

/// Interface by interface, in the order of `wit/`. An entry leaves this table when its service arrives.
#[rustfmt::skip]
pub const INTERFACES: &[(&str, &[&str])] = &[
    ("workflow", &[
        "start-workflow", "signal-workflow", "query-workflow", "await-workflow", "schedule-activity", "sleep",
        "get-workflow-context",
    ]),
];

pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for &(interface, functions) in INTERFACES {
        let mut instance = linker.instance(&format!("plexspaces:actor/{interface}@0.1.0"))?;
        for &function in functions {
            let logged = AtomicBool::new(false);
            instance.func_new(function, move |store, ty, _arguments, results| {
                if !logged.swap(true, Ordering::Relaxed) {
                    log::warn!(
                        "{} called {interface}.{function}, which this node does not provide yet",
                        actor(&store)
                    );
                }
                let name = format!("{interface}.{function}");
                let text = format!("this node does not provide {name} yet");
                refuse(&ty, results, text)
            })?;
        }
    }
    Ok(())
}

fn actor(store: &StoreContextMut<'_, Guest>) -> String {
    store.data().actor.to_string()
}

/// An error where the function's type has room for one; else the call fails, and with it the message.
fn refuse(ty: &ComponentFunc, results: &mut [Val], message: String) -> wasmtime::Result<()> {
    match (ty.results().next(), results) {
        (Some(Type::Result(_)), [result]) => {
            let error = Val::Record(vec![
                ("code".into(), Val::Enum("not-implemented".into())),
                ("message".into(), Val::String(message)),
                ("details".into(), Val::Option(None)),
            ]);
            *result = Val::Result(Err(Some(Box::new(error))));
            Ok(())
        }
        (Some(Type::Option(_)), [result]) => {
            *result = Val::Option(None);
            Ok(())
        }
        _ => Err(wasmtime::Error::msg(message)),
    }
}
