//! The core-module spelling: pointers in, bytes out; every pointer a guest hands over is checked before it is used.
//!
//! `docs/core-abi.md` has the whole of it for those who write such modules.

use bytes::Bytes;
use wasmtime::{
    AsContext, AsContextMut, Caller, Engine, ExternType, FuncType, ImportType, Instance,
    InstancePre, Linker, Memory, Module, Store, StoreContext, TypedFunc, ValType, WasmParams,
};

use super::called::{Arguments, Called, GuestError};
use super::exports::{self, Chosen, HANDLERS, HOOKS, Handler, Handlers, Hook, Hooks, INIT, Intent};
use super::host::bindings::types::ActorError;
use super::host::{Guest, conversation, logging, messaging};
use super::{GuestLimits, wasi};
use crate::limits::{self, KIB};

/// The import module of every host function.
pub const MODULE: &str = "plexspaces";

/// Names under which a guest may export its allocator: `(size) -> pointer`, the last one as the canonical ABI has it.
const ALLOCATORS: [&str; 2] = ["alloc", "malloc"];
const REALLOCATOR: &str = "cabi_realloc";

const WASM_PAGE_BYTES: usize = 64 * KIB;

/// The most bytes that an address may have, and it is the longest of names.
const NAME_BYTES_MAX: usize = 4 * limits::ADDRESS_CHARS_MAX;

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
    engine: &Engine,
    module: &Module,
    handlers: Handlers<Export>,
) -> Result<Linked, String> {
    let instance = resolve(engine, module)?;
    if handlers.is_empty() {
        return Err(exports::no_handler(&exported_functions(module)));
    }
    if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
        return Err("it exports no memory; export its linear memory as \"memory\"".into());
    }
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

/// Resolves a module's imports. The error names all that this node does not provide.
pub fn resolve(engine: &Engine, module: &Module) -> Result<InstancePre<Guest>, String> {
    let mut linker = Linker::new(engine);
    let linked = logging::add_to_core_linker(&mut linker)
        .and_then(|()| messaging::add_to_core_linker(&mut linker))
        .and_then(|()| conversation::add_to_core_linker(&mut linker))
        .and_then(|()| wasi::add_to_core_linker(&mut linker));
    linked.map_err(|error| format!("the node cannot link: {error:#}"))?;
    let missing = missing_imports(module);
    if !missing.is_empty() {
        return Err(format!(
            "it imports what this node does not provide: {}",
            exports::listed(&missing)
        ));
    }
    linker
        .instantiate_pre(module)
        .map_err(|error| format!("it does not link: {error:#}"))
}

fn exported_functions(module: &Module) -> Vec<String> {
    let functions = module
        .exports()
        .filter(|export| export.ty().func().is_some());
    functions.map(|export| export.name().to_owned()).collect()
}

fn missing_imports(module: &Module) -> Vec<String> {
    let own = [
        logging::CORE_FUNCTIONS,
        messaging::CORE_FUNCTIONS,
        conversation::CORE_FUNCTIONS,
    ]
    .concat();
    let lacks = |import: &ImportType<'_>| match import.module() {
        MODULE => !own.contains(&import.name()),
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
             it takes {parameters} i32 and gives one of {answers:?}; see docs/core-abi.md"
        )),
    }
}

/// One instance's functions and the buffer its arguments are passed in.
pub struct Bound {
    handlers: Handlers<Call<Pointers>>,
    hooks: Hooks<Call<()>>,
    init: Option<Call<(i32, i32)>>,
    arguments: Buffer,
}

/// Where host and guest exchange bytes; kept with the guest's state so that host functions find it.
#[derive(Clone)]
pub struct Exchange {
    memory: Memory,
    allocator: Option<Allocator>,
}

#[derive(Clone)]
enum Allocator {
    Alloc(TypedFunc<i32, i32>),
    Realloc(TypedFunc<(i32, i32, i32, i32), i32>),
}

/// The host's own part of the guest's memory. It only grows.
#[derive(Clone, Copy, Default)]
struct Buffer {
    pointer: usize,
    capacity: usize,
}

impl Linked {
    pub async fn start(&self, store: &mut Store<Guest>) -> wasmtime::Result<Bound> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        store.data_mut().exchange = Exchange::of(store, &instance);
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize") {
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
    /// Those that a message goes to, in their order.
    pub fn route(&self, intent: Intent, message_type: &str) -> Vec<Handler> {
        self.handlers.route(intent, message_type)
    }

    /// Whether the node keeps this guest's state for it.
    pub fn is_state_machine(&self) -> bool {
        self.handlers.is_state_machine()
    }

    /// Calls a handler that the guest has.
    pub async fn handle(
        &mut self,
        store: &mut Store<Guest>,
        handler: Handler,
        arguments: &Arguments,
    ) -> Called<Bytes> {
        let call = self.handlers.get(handler).expect("routing chose it");
        let parts = [
            arguments.from.as_bytes(),
            arguments.message_type.as_bytes(),
            &arguments.payload,
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

enum Call<P> {
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
                pointer => prefixed(&*store, pointer)?,
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
        copy(store, answer)
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

/// The slice behind a pointer to `[u32 length][bytes]`.
fn prefixed(store: &Store<Guest>, pointer: i32) -> wasmtime::Result<Slice> {
    let prefix = copy(store, Slice(pointer, 4))?;
    let len = u32::from_le_bytes(prefix[..].try_into().expect("four bytes were asked for"));
    Ok(Slice(pointer.wrapping_add(4), len.cast_signed()))
}

/// Pointer and length as a guest passes them.
#[derive(Clone, Copy)]
pub struct Slice(pub i32, pub i32);

impl Slice {
    fn start(self) -> usize {
        self.0.cast_unsigned() as usize
    }

    fn len(self) -> usize {
        self.1.cast_unsigned() as usize
    }
}

/// The most that a guest passes at once: twice a message, so that one a little too long is told so and does not trap.
pub fn passed_bytes_max(limits: &GuestLimits) -> usize {
    limits.message_bytes_max.saturating_mul(2)
}

fn copy(store: impl AsContext<Data = Guest>, slice: Slice) -> wasmtime::Result<Bytes> {
    let store = store.as_context();
    Ok(Bytes::copy_from_slice(lying_at(&store, slice)?))
}

/// The bytes themselves, once the guest has turned out to have them.
fn lying_at<'a>(store: &'a StoreContext<'_, Guest>, slice: Slice) -> wasmtime::Result<&'a [u8]> {
    let guest = store.data();
    let max = passed_bytes_max(&guest.limits);
    if slice.len() > max {
        return Err(wasmtime::Error::msg(format!(
            "the guest passed {} bytes at once, at most {max} are read",
            slice.len()
        )));
    }
    let memory = guest.exchange()?.memory.data(store);
    let bytes = slice
        .start()
        .checked_add(slice.len())
        .and_then(|end| memory.get(slice.start()..end));
    bytes.ok_or_else(|| {
        let (start, len, size) = (slice.start(), slice.len(), memory.len());
        wasmtime::Error::msg(format!(
            "the guest passed {len} bytes at {start}, outside its memory of {size} bytes"
        ))
    })
}

/// The payload that a guest passes to a host function. Of one above the actor's limit only so much is copied that it
/// is still above it.
pub fn payload(caller: &mut Caller<'_, Guest>, slice: Slice) -> wasmtime::Result<Vec<u8>> {
    let max = caller.data().limits.message_bytes_max;
    head(caller, slice, max + 1)
}

/// An address, a message type or an id, likewise; what is not UTF-8 is replaced.
pub fn name(caller: &mut Caller<'_, Guest>, slice: Slice) -> wasmtime::Result<String> {
    text(caller, slice, NAME_BYTES_MAX + 1)
}

/// The first bytes of a text.
pub fn text(
    caller: &mut Caller<'_, Guest>,
    slice: Slice,
    bytes_max: usize,
) -> wasmtime::Result<String> {
    let bytes = head(caller, slice, bytes_max)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The guest must have all of the bytes, though only the first are copied.
fn head(
    caller: &mut Caller<'_, Guest>,
    slice: Slice,
    bytes_max: usize,
) -> wasmtime::Result<Vec<u8>> {
    let store = caller.as_context();
    let bytes = lying_at(&store, slice)?;
    Ok(bytes[..bytes.len().min(bytes_max)].to_vec())
}

/// At least 0 is done; -1-n is WIT's error code number n.
pub fn status(result: Result<(), ActorError>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => -1 - error.code as i32,
    }
}

/// Gives the guest bytes in fresh memory of its own, and writes their pointer and length at `answer_at`.
pub async fn answer(
    caller: &mut Caller<'_, Guest>,
    result: Result<Bytes, ActorError>,
    answer_at: i32,
) -> wasmtime::Result<i32> {
    let bytes = match result {
        Ok(bytes) => bytes,
        Err(error) => return Ok(status(Err(error))),
    };
    let exchange = caller.data().exchange()?.clone();
    let pointer = exchange.allocate(&mut *caller, bytes.len()).await?;
    exchange.memory.write(&mut *caller, pointer, &bytes)?;
    let mut place = [0; 8];
    place[..4].copy_from_slice(&u32::try_from(pointer)?.to_le_bytes());
    place[4..].copy_from_slice(&u32::try_from(bytes.len())?.to_le_bytes());
    exchange
        .memory
        .write(&mut *caller, answer_at.cast_unsigned() as usize, &place)?;
    Ok(0)
}

impl Exchange {
    /// `None` for a guest that exports no memory.
    pub fn of(store: &mut Store<Guest>, instance: &Instance) -> Option<Self> {
        let memory = instance.get_memory(&mut *store, "memory")?;
        let alloc = ALLOCATORS
            .iter()
            .find_map(|name| instance.get_typed_func(&mut *store, name).ok());
        let allocator = alloc.map(Allocator::Alloc).or_else(|| {
            instance
                .get_typed_func(&mut *store, REALLOCATOR)
                .ok()
                .map(Allocator::Realloc)
        });
        Some(Self { memory, allocator })
    }

    /// What the guest's own allocator answers, if it has one.
    async fn ask_for(
        &self,
        store: &mut impl AsContextMut<Data = Guest>,
        size: i32,
    ) -> wasmtime::Result<Option<i32>> {
        Ok(match &self.allocator {
            Some(Allocator::Alloc(alloc)) => Some(alloc.call_async(store, size).await?),
            Some(Allocator::Realloc(realloc)) => {
                Some(realloc.call_async(store, (0, 0, 1, size)).await?)
            }
            None => None,
        })
    }

    /// Memory for `len` bytes: from the guest's allocator, else new pages that the guest does not know of.
    async fn allocate(
        &self,
        mut store: impl AsContextMut<Data = Guest>,
        len: usize,
    ) -> wasmtime::Result<usize> {
        let len = len.max(1);
        let size = i32::try_from(len)?;
        // The node's own asking must end before it asks again: each level would take another of the node's stacks.
        let mut context = store.as_context_mut();
        if std::mem::replace(&mut context.data_mut().asking_for_memory, true) {
            return Err(wasmtime::Error::msg(
                "the guest's allocator called the node, which asked it for memory again",
            ));
        }
        let asked = self.ask_for(&mut store, size).await;
        store.as_context_mut().data_mut().asking_for_memory = false;
        let pointer = match asked? {
            Some(pointer) => pointer,
            None => {
                let pages = len.div_ceil(WASM_PAGE_BYTES) as u64;
                let first = self
                    .memory
                    .grow(&mut store, pages)
                    .map_err(|_| no_room(len))?;
                return Ok(usize::try_from(first)? * WASM_PAGE_BYTES);
            }
        };
        let start = pointer.cast_unsigned() as usize;
        let inside = start
            .checked_add(len)
            .is_some_and(|end| end <= self.memory.data_size(&store));
        if pointer == 0 || !inside {
            return Err(no_room(len));
        }
        Ok(start)
    }
}

fn no_room(len: usize) -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "the guest has no memory for {len} bytes; raise max_memory_bytes or free some"
    ))
}

impl Buffer {
    /// Writes `parts` one after the other; the guest borrows them for one call.
    async fn lend<const N: usize>(
        &mut self,
        store: &mut Store<Guest>,
        parts: [&[u8]; N],
    ) -> wasmtime::Result<[Slice; N]> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let exchange = store.data().exchange()?.clone();
        if len > self.capacity {
            let capacity = len.next_power_of_two().max(limits::KIB);
            self.pointer = exchange.allocate(&mut *store, capacity).await?;
            self.capacity = capacity;
        }
        let mut at = self.pointer;
        let mut lent = [Slice(0, 0); N];
        for (part, slice) in parts.iter().zip(&mut lent) {
            exchange.memory.write(&mut *store, at, part)?;
            *slice = Slice(
                u32::try_from(at)?.cast_signed(),
                u32::try_from(part.len())?.cast_signed(),
            );
            at += part.len();
        }
        Ok(lent)
    }
}
