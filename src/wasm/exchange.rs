//! How bytes pass between the node and a core module; every pointer a guest hands over is checked before it is used.

use std::borrow::Cow;

use bytes::Bytes;
use wasmtime::{
    AsContext, AsContextMut, Caller, ExternType, Instance, Memory, Module, Store, TypedFunc,
    ValType,
};

use super::GuestLimits;
use super::core_abi::callable;
use super::fault::lacks_room;
use super::host::bindings::types::{ActorError, ErrorCode};
use super::host::{Guest, actor_error};
use crate::limits::{self, KIB};

/// Names under which a guest may export its allocator: `(size) -> pointer`, the last one as the canonical ABI has it.
const ALLOCATORS: [&str; 2] = ["alloc", "malloc"];
const REALLOCATOR: &str = "cabi_realloc";

const MEMORY: &str = "memory";
const WASM_PAGE_BYTES: usize = 64 * KIB;

/// Whether bytes can pass at all: a memory, and a way to get some of it. The error says what to export.
pub fn check(module: &Module) -> Result<(), String> {
    let Some(ExternType::Memory(memory)) = module.get_export(MEMORY) else {
        return Err("it exports no memory; export its linear memory as \"memory\"".into());
    };
    let i32s = [ValType::I32, ValType::I32, ValType::I32, ValType::I32];
    let mut allocates = callable(module, REALLOCATOR, &i32s, &i32s[..1])?;
    for name in ALLOCATORS {
        allocates |= callable(module, name, &i32s[..1], &i32s[..1])?;
    }
    if !allocates && memory.maximum() == Some(memory.minimum()) {
        let pages = Buffer::capacity_for(limits::MESSAGE_BYTES_MAX + KIB) / WASM_PAGE_BYTES;
        return Err(format!(
            "it has no room for its messages: its memory cannot grow beyond {} pages, and it exports no allocator; \
             export alloc, or let the memory grow by {pages} pages for messages of any length",
            memory.minimum()
        ));
    }
    Ok(())
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
pub struct Buffer {
    pointer: usize,
    capacity: usize,
}

/// Why a host function does not do what it was called for.
pub enum Unmet {
    /// The guest broke the rules, and is ended.
    Trap(wasmtime::Error),
    /// It is told so.
    Refused(ActorError),
}

impl From<wasmtime::Error> for Unmet {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

impl From<ActorError> for Unmet {
    fn from(error: ActorError) -> Self {
        Self::Refused(error)
    }
}

/// At least 0 is done; -1-n is WIT's error code number n.
pub fn status(result: Result<(), Unmet>) -> wasmtime::Result<i32> {
    pointer(result.map(|()| 0))
}

/// A pointer, which is never negative, else a status.
pub fn pointer(result: Result<i32, Unmet>) -> wasmtime::Result<i32> {
    match result {
        Ok(number) => Ok(number),
        Err(Unmet::Refused(error)) => Ok(-1 - error.code as i32),
        Err(Unmet::Trap(error)) => Err(error),
    }
}

/// 1 for true, 0 for false, else a status.
pub fn truth(result: Result<bool, Unmet>) -> wasmtime::Result<i32> {
    match result {
        Ok(truth) => Ok(i32::from(truth)),
        Err(unmet) => status(Err(unmet)),
    }
}

/// A count or an id, else a status.
pub fn number(result: Result<u64, Unmet>) -> wasmtime::Result<i64> {
    match result {
        Ok(number) => Ok(number.cast_signed()),
        Err(unmet) => status(Err(unmet)).map(i64::from),
    }
}

/// Pointer and length as a guest passes them.
#[derive(Clone, Copy)]
pub struct Slice(pub i32, pub i32);

impl Slice {
    fn start(self) -> usize {
        self.0.cast_unsigned() as usize
    }

    pub fn len(self) -> usize {
        self.1.cast_unsigned() as usize
    }
}

/// The most that a guest passes at once: twice a message, so that one a little too long is told so and does not trap.
pub fn passed_bytes_max(limits: &GuestLimits) -> usize {
    limits.message_bytes_max.saturating_mul(2)
}

/// What a handler answered, copied before the guest can change it.
pub fn reply(store: &Store<Guest>, slice: Slice) -> wasmtime::Result<Bytes> {
    let max = passed_bytes_max(&store.data().limits);
    if slice.len() > max {
        let len = slice.len();
        return Err(wasmtime::Error::msg(format!(
            "the guest passed {len} bytes at once, at most {max} are read"
        )));
    }
    Ok(Bytes::copy_from_slice(view(store, slice)?))
}

/// The slice behind a pointer to `[u32 length][bytes]`.
pub fn prefixed(store: &Store<Guest>, pointer: i32) -> wasmtime::Result<Slice> {
    let prefix = view(store, Slice(pointer, 4))?;
    let len = u32::from_le_bytes(prefix.try_into().expect("four bytes were asked for"));
    Ok(Slice(pointer.wrapping_add(4), len.cast_signed()))
}

/// A payload that the guest passes to a host function. One above its limit is refused before it is copied.
pub fn payload(caller: &Caller<'_, Guest>, slice: Slice) -> Result<Vec<u8>, Unmet> {
    caller.data().fits(slice.len())?;
    Ok(view(caller, slice)?.to_vec())
}

/// A text, likewise; see `Passed::text`.
pub fn text(caller: &Caller<'_, Guest>, slice: Slice) -> wasmtime::Result<String> {
    Ok(Passed::to(caller)?.text(slice)?.into_owned())
}

/// The bytes of a slice, which must lie in the guest's memory.
fn view(store: &impl AsContext<Data = Guest>, slice: Slice) -> wasmtime::Result<&[u8]> {
    Passed::to(store)?.bytes(slice)
}

/// A guest's memory during a host function, to read what it passed where it lies.
#[derive(Clone, Copy)]
pub struct Passed<'a>(&'a [u8]);

impl<'a> Passed<'a> {
    fn to(store: &'a impl AsContext<Data = Guest>) -> wasmtime::Result<Self> {
        let store = store.as_context();
        Ok(Self(store.data().exchange()?.memory.data(store)))
    }

    /// With the state of the guest, which may be changed meanwhile.
    pub fn by(caller: &'a mut Caller<'_, Guest>) -> wasmtime::Result<(Self, &'a mut Guest)> {
        let memory = caller.data().exchange()?.memory;
        let (bytes, guest) = memory.data_and_store_mut(caller);
        Ok((Self(bytes), guest))
    }

    pub fn bytes(self, slice: Slice) -> wasmtime::Result<&'a [u8]> {
        let (start, len) = (slice.start(), slice.len());
        let end = start.checked_add(len);
        let bytes = end.and_then(|end| self.0.get(start..end));
        bytes.ok_or_else(|| self.outside(slice))
    }

    /// A text: what is not UTF-8 is replaced, and what is longer than any text may be is cut off.
    pub fn text(self, slice: Slice) -> wasmtime::Result<Cow<'a, str>> {
        let bytes = self.bytes(slice)?;
        let read = &bytes[..bytes.len().min(limits::GUEST_TEXT_BYTES_MAX)];
        let text = std::str::from_utf8(read).map(Cow::Borrowed);
        Ok(text.unwrap_or_else(|_| String::from_utf8_lossy(read)))
    }

    #[cold]
    fn outside(self, slice: Slice) -> wasmtime::Error {
        let (start, len, size) = (slice.start(), slice.len(), self.0.len());
        wasmtime::Error::msg(format!(
            "the guest passed {len} bytes at {start}, outside its memory of {size} bytes"
        ))
    }
}

/// Gives the guest bytes in fresh memory of its own, and writes their pointer and length at `answer_at`.
pub async fn answer(
    caller: &mut Caller<'_, Guest>,
    result: Result<impl AsRef<[u8]>, Unmet>,
    answer_at: i32,
) -> wasmtime::Result<i32> {
    status(match result {
        Ok(bytes) => give(caller, bytes.as_ref(), answer_at).await,
        Err(unmet) => Err(unmet),
    })
}

/// 1 and bytes where there are some, 0 where there are none, else a status.
pub async fn maybe(
    caller: &mut Caller<'_, Guest>,
    found: Result<Option<impl AsRef<[u8]>>, Unmet>,
    answer_at: i32,
) -> wasmtime::Result<i32> {
    let given = match found {
        Ok(None) => Ok(false),
        Ok(Some(bytes)) => give(caller, bytes.as_ref(), answer_at).await.map(|()| true),
        Err(unmet) => Err(unmet),
    };
    truth(given)
}

async fn give(caller: &mut Caller<'_, Guest>, bytes: &[u8], answer_at: i32) -> Result<(), Unmet> {
    let pointer = lay(caller, &[bytes]).await?;
    let mut place = [0; 8];
    place[..4].copy_from_slice(&word(pointer));
    place[4..].copy_from_slice(&word(bytes.len()));
    write(caller, answer_at, &place)
}

/// Gives the guest bytes in fresh memory of its own, behind their length, and answers with the pointer.
pub async fn give_prefixed(caller: &mut Caller<'_, Guest>, bytes: &[u8]) -> Result<i32, Unmet> {
    let pointer = lay(caller, &[&word(bytes.len()), bytes]).await?;
    Ok(u32::from_le_bytes(word(pointer)).cast_signed())
}

/// Writes where the guest asked for it.
pub fn write(caller: &mut Caller<'_, Guest>, at: i32, bytes: &[u8]) -> Result<(), Unmet> {
    let memory = caller.data().exchange()?.memory;
    let written = memory.write(caller, at.cast_unsigned() as usize, bytes);
    Ok(written.map_err(wasmtime::Error::from)?)
}

async fn lay(caller: &mut Caller<'_, Guest>, parts: &[&[u8]]) -> Result<usize, Unmet> {
    let exchange = caller.data().exchange()?.clone();
    let len = parts.iter().map(|part| part.len()).sum();
    let pointer = match exchange.allocate(&mut *caller, len).await {
        Err(error) if lacks_room(&error) => {
            let text = format!("the node has no room to ask the guest for memory: {error:#}");
            return Err(actor_error(ErrorCode::ResourceExhausted, text).into());
        }
        allocated => allocated?,
    };
    let mut at = pointer;
    for part in parts {
        let written = exchange.memory.write(&mut *caller, at, part);
        written.map_err(wasmtime::Error::from)?;
        at += part.len();
    }
    Ok(pointer)
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number)
        .expect("it lies in a 32-bit memory")
        .to_le_bytes()
}

impl Exchange {
    /// `None` for a guest that exports no memory.
    pub fn of(store: &mut Store<Guest>, instance: &Instance) -> Option<Self> {
        let memory = instance.get_memory(&mut *store, MEMORY)?;
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
        let Some(pointer) = asked? else {
            return self.append(store, len);
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

    fn append(
        &self,
        mut store: impl AsContextMut<Data = Guest>,
        len: usize,
    ) -> wasmtime::Result<usize> {
        let pages = len.div_ceil(WASM_PAGE_BYTES) as u64;
        let first = self.memory.grow(&mut store, pages);
        let first = first.map_err(|_| no_room(len))?;
        Ok(usize::try_from(first)? * WASM_PAGE_BYTES)
    }
}

fn no_room(len: usize) -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "the guest has no memory for {len} bytes; raise max_memory_bytes or free some"
    ))
}

impl Buffer {
    /// Writes `parts` one after the other; the guest borrows them for one call.
    pub async fn lend<const N: usize>(
        &mut self,
        store: &mut Store<Guest>,
        parts: [&[u8]; N],
    ) -> wasmtime::Result<[Slice; N]> {
        let len = parts.iter().map(|part| part.len()).sum();
        if len > self.capacity {
            Box::pin(self.enlarge(store, Self::capacity_for(len))).await?;
        }
        self.fill(store, parts)
    }

    fn fill<const N: usize>(
        &self,
        store: &mut Store<Guest>,
        parts: [&[u8]; N],
    ) -> wasmtime::Result<[Slice; N]> {
        let memory = store.data().exchange()?.memory;
        let len = parts.iter().map(|part| part.len()).sum();
        let room = memory.data_mut(store).get_mut(self.pointer..);
        let mut room = room
            .filter(|room| room.len() >= len)
            .ok_or_else(|| no_room(len))?;
        let mut at = u32::try_from(self.pointer)?;
        let mut slices = [Slice(0, 0); N];
        for (part, slice) in parts.iter().zip(&mut slices) {
            let (place, rest) = room.split_at_mut(part.len());
            place.copy_from_slice(part);
            let len = u32::try_from(part.len())?;
            *slice = Slice(at.cast_signed(), len.cast_signed());
            (room, at) = (rest, at + len);
        }
        Ok(slices)
    }

    async fn enlarge(&mut self, store: &mut Store<Guest>, capacity: usize) -> wasmtime::Result<()> {
        let exchange = store.data().exchange()?.clone();
        self.pointer = exchange.allocate(store, capacity).await?;
        self.capacity = capacity;
        Ok(())
    }

    fn capacity_for(len: usize) -> usize {
        len.next_power_of_two().max(KIB)
    }
}
