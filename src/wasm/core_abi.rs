//! The core-module spelling: functions found by name and chosen by type, called with pointers, answering in bytes.
//!
//! `docs/core-abi.md` has the whole of it for those who write such modules.

use bytes::Bytes;
use wasmtime::{
    Engine, ExternType, FuncType, ImportType, Instance, InstancePre, Linker, Module, Store,
    TypedFunc, ValType, WasmParams,
};

use super::called::{Called, GuestError};
use super::exchange::{self, Buffer, Exchange, Slice};
use super::exports::{self, Chosen, HANDLERS, HOOKS, Handler, Handlers, Hook, Hooks, INIT};
use super::host::Guest;
use super::linkers::Linkers;
use super::{host, wasi};
use crate::message::Message;

/// The import module of every host function.
pub const MODULE: &str = "plexspaces";

/// What runs before all else, for toolchains that make one.
const INITIALIZE: &str = "_initialize";

/// (from, type, payload), each as pointer and length.
type Pointers = (i32, i32, i32, i32, i32, i32);

/// A core module with its imports resolved and its exports chosen.
pub struct Linked {
    instance: InstancePre<Guest>,
    handlers: Handlers<Export>,
    hooks: Hooks<Export>,
    init: Option<Export>,
}

/// One exported function that the node knows how to call.
#[derive(Clone)]
pub struct Export {
    name: String,
    answer: Answer,
}

/// The listed results of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    /// A pointer to a little-endian length and that many bytes; 0 is the empty answer.
    Pointer,
    /// Length in the upper half, pointer in the lower.
    Packed,
    /// Pointer and length as two results.
    Pair,
}

/// The handlers among a module's exports. The error names one whose type the node does not call.
pub fn handlers(module: &Module) -> Result<Handlers<Export>, String> {
    Chosen::find(&HANDLERS, |_, name| find(module, name, 6, &Answer::ALL))
}

/// Resolves a module's imports and chooses its other exports. The error lists what does not fit.
pub fn link(
    linkers: &Linkers,
    module: &Module,
    handlers: Handlers<Export>,
) -> Result<Linked, String> {
    let instance = resolve(linkers, module)?;
    if handlers.is_empty() {
        return Err(exports::no_handler(&exported_functions(module)));
    }
    exchange::check(module)?;
    callable(module, INITIALIZE, &[], &[])?;
    let hooks = Chosen::find(&HOOKS, |hook, name| {
        let answers = if hook.gives_bytes() {
            &Answer::ALL[..]
        } else {
            &Answer::STATUS
        };
        find(module, name, 0, answers)
    });
    Ok(Linked {
        instance,
        handlers,
        hooks: hooks?,
        init: find(module, INIT, 2, &Answer::STATUS)?,
    })
}

/// All that a module may import.
pub fn linker(engine: &Engine) -> Result<Linker<Guest>, String> {
    let mut linker = Linker::new(engine);
    let linked =
        host::add_to_core_linker(&mut linker).and_then(|()| wasi::add_to_core_linker(&mut linker));
    linked.map_err(|error| format!("the node cannot link: {error:#}"))?;
    Ok(linker)
}

/// Resolves a module's imports. The error names all that this node does not provide.
pub fn resolve(linkers: &Linkers, module: &Module) -> Result<InstancePre<Guest>, String> {
    let missing = missing_imports(module);
    if !missing.is_empty() {
        return Err(format!(
            "it imports what this node does not provide: {}",
            exports::listed(&missing)
        ));
    }
    let linker = host::core_linker_for(linkers.modules()?, module);
    linker
        .and_then(|linker| linker.instantiate_pre(module))
        .map_err(|error| format!("it does not link: {error:#}"))
}

fn exported_functions(module: &Module) -> Vec<String> {
    let functions = module
        .exports()
        .filter(|export| export.ty().func().is_some());
    functions.map(|export| export.name().to_owned()).collect()
}

fn missing_imports(module: &Module) -> Vec<String> {
    let lacks = |import: &ImportType<'_>| match import.module() {
        MODULE => !host::provides_core(import.name()),
        wasi::CORE_MODULE => !wasi::CORE_FUNCTIONS.contains(&import.name()),
        _ => true,
    };
    module
        .imports()
        .filter(lacks)
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect()
}

impl Answer {
    const ALL: [Self; 4] = [Self::Nothing, Self::Pointer, Self::Packed, Self::Pair];
    /// Nothing, or a number that is 0 for success.
    const STATUS: [Self; 2] = [Self::Nothing, Self::Pointer];

    fn in_words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Pointer => "i32",
            Self::Packed => "i64",
            Self::Pair => "i32 i32",
        }
    }

    fn of(ty: &FuncType) -> Option<Self> {
        let results: Vec<ValType> = ty.results().collect();
        match results.as_slice() {
            [] => Some(Self::Nothing),
            [ValType::I32] => Some(Self::Pointer),
            [ValType::I64] => Some(Self::Packed),
            [ValType::I32, ValType::I32] => Some(Self::Pair),
            _ => None,
        }
    }
}

/// The function exported under this name must have this type, if there is one; the error shows both.
pub(super) fn callable(
    module: &Module,
    name: &str,
    params: &[ValType],
    results: &[ValType],
) -> Result<bool, String> {
    let Some(ExternType::Func(ty)) = module.get_export(name) else {
        return Ok(false);
    };
    let expected = FuncType::new(module.engine(), params.to_vec(), results.to_vec());
    if ty.matches(&expected) {
        return Ok(true);
    }
    Err(format!(
        "its export {name} has the type {ty}, and the node calls it as {expected}; see docs/core-abi.md"
    ))
}

fn find(
    module: &Module,
    wit_name: &str,
    parameters: usize,
    answers: &[Answer],
) -> Result<Option<Export>, String> {
    let name = wit_name.replace('-', "_");
    let Some(ExternType::Func(ty)) = module.get_export(&name) else {
        return Ok(None);
    };
    let takes_i32s =
        ty.params().len() == parameters && ty.params().all(|param| matches!(param, ValType::I32));
    match Answer::of(&ty) {
        Some(answer) if takes_i32s && answers.contains(&answer) => {
            Ok(Some(Export { name, answer }))
        }
        _ => Err(format!(
            "its export {name} has the type {ty}, which this node does not call: \
             it takes {parameters} i32 and gives {}; see docs/core-abi.md",
            answers
                .iter()
                .map(|it| it.in_words())
                .collect::<Vec<_>>()
                .join(" or ")
        )),
    }
}

/// One instance's functions and the buffer its arguments are passed in.
pub struct Bound {
    pub handlers: Handlers<Call<Pointers>>,
    hooks: Hooks<Call<()>>,
    init: Option<Call<(i32, i32)>>,
    arguments: Buffer,
}

impl Linked {
    /// Whether it says which tree it wants.
    pub fn has_tree(&self) -> bool {
        self.hooks.get(Hook::SupervisorTree).is_some()
    }

    pub async fn start(&self, store: &mut Store<Guest>) -> wasmtime::Result<Bound> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        store.data_mut().exchange = Exchange::of(store, &instance);
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, INITIALIZE) {
            initialize.call_async(&mut *store, ()).await?;
        }
        let handlers = self
            .handlers
            .bind(|export| Call::bind(store, &instance, export))?;
        let init = self
            .init
            .as_ref()
            .map(|export| Call::bind(store, &instance, export))
            .transpose()?;
        let hooks = self
            .hooks
            .bind(|export| Call::bind(store, &instance, export))?;
        Ok(Bound {
            handlers,
            hooks,
            init,
            arguments: Buffer::default(),
        })
    }
}

impl Bound {
    /// Calls a handler that the guest has.
    pub async fn handle(
        &mut self,
        store: &mut Store<Guest>,
        handler: Handler,
        message: &Message,
    ) -> Called<Bytes> {
        let call = self.handlers.get(handler).expect("routing chose it");
        let parts = [
            message.from.as_bytes(),
            message.message_type.as_bytes(),
            &message.payload,
        ];
        let [from, kind, payload] = self.arguments.lend(store, parts).await?;
        let pointers = (from.0, from.1, kind.0, kind.1, payload.0, payload.1);
        let answer = call.call(store, pointers).await?;
        Ok(unless_failed(store, answer))
    }

    /// A result other than 0 is a failure.
    pub async fn init(&mut self, store: &mut Store<Guest>, state: Bytes) -> Called<()> {
        let Some(init) = &self.init else {
            return Ok(Ok(()));
        };
        let [state] = self.arguments.lend(store, [&state[..]]).await?;
        let status = init.call_for_status(store, (state.0, state.1)).await?;
        let done = unless_failed(store, ());
        Ok(done.and_then(|()| succeeded(INIT, status)))
    }

    pub fn has(&self, hook: Hook) -> bool {
        self.hooks.has(hook)
    }

    /// `None` where the guest does not have it.
    pub async fn hook(&self, store: &mut Store<Guest>, hook: Hook) -> Option<Called<Bytes>> {
        let call = self.hooks.get(hook)?;
        Some(call_hook(call, store, hook).await)
    }
}

async fn call_hook(call: &Call<()>, store: &mut Store<Guest>, hook: Hook) -> Called<Bytes> {
    if hook.gives_bytes() {
        let answer = call.call(store, ()).await?;
        return Ok(unless_failed(store, answer));
    }
    let status = call.call_for_status(store, ()).await?;
    let done = unless_failed(store, Bytes::new());
    Ok(done.and_then(|empty| succeeded("it", status).map(|()| empty)))
}

fn succeeded(who: &str, status: i32) -> Result<(), GuestError> {
    match status {
        0 => Ok(()),
        status => Err(GuestError::Failed(format!("{who} answered {status}"))),
    }
}

/// The answer of a call during which the guest did not call `fail`.
fn unless_failed<T>(store: &mut Store<Guest>, answer: T) -> Result<T, GuestError> {
    match store.data_mut().failure.take() {
        Some(text) => Err(GuestError::Failed(text)),
        None => Ok(answer),
    }
}

pub enum Call<P> {
    Nothing(TypedFunc<P, ()>),
    Pointer(TypedFunc<P, i32>),
    Packed(TypedFunc<P, i64>),
    Pair(TypedFunc<P, (i32, i32)>),
}

impl<P: WasmParams + Sync> Call<P> {
    fn bind(
        store: &mut Store<Guest>,
        instance: &Instance,
        export: &Export,
    ) -> wasmtime::Result<Self> {
        let name = &export.name;
        Ok(match export.answer {
            Answer::Nothing => Self::Nothing(instance.get_typed_func(store, name)?),
            Answer::Pointer => Self::Pointer(instance.get_typed_func(store, name)?),
            Answer::Packed => Self::Packed(instance.get_typed_func(store, name)?),
            Answer::Pair => Self::Pair(instance.get_typed_func(store, name)?),
        })
    }

    /// Calls, and copies the answer out before the guest can change it.
    async fn call(&self, store: &mut Store<Guest>, arguments: P) -> wasmtime::Result<Bytes> {
        let answer = match self {
            Self::Nothing(function) => {
                function.call_async(&mut *store, arguments).await?;
                return Ok(Bytes::new());
            }
            Self::Pointer(function) => match function.call_async(&mut *store, arguments).await? {
                0 => return Ok(Bytes::new()),
                pointer => exchange::prefixed(&*store, pointer)?,
            },
            Self::Packed(function) => {
                let packed = function
                    .call_async(&mut *store, arguments)
                    .await?
                    .cast_unsigned();
                Slice(
                    (packed as u32).cast_signed(),
                    ((packed >> 32) as u32).cast_signed(),
                )
            }
            Self::Pair(function) => {
                let (pointer, len) = function.call_async(&mut *store, arguments).await?;
                Slice(pointer, len)
            }
        };
        exchange::reply(store, answer)
    }

    async fn call_for_status(
        &self,
        store: &mut Store<Guest>,
        arguments: P,
    ) -> wasmtime::Result<i32> {
        match self {
            Self::Pointer(function) => function.call_async(store, arguments).await,
            _ => self.call(store, arguments).await.map(|_| 0),
        }
    }
}
