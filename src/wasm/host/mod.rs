//! What one guest may ask of the node: the state behind its host functions, and their catalogue.

pub mod conversation;
pub mod core_lives;
pub mod core_messaging;
pub mod lives;
pub mod logging;
pub mod messaging;
mod planned;

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{ResourceLimiter, StoreLimits};
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::exchange::Exchange;
use super::starter::Starter;
use super::wasi::World;
use super::{Capabilities, GuestLimits};
use crate::actor::{Actors, Place, Timers};
use crate::id::ActorId;
use conversation::Conversation;
use logging::GuestLog;

/// The Rust side of the interfaces that this node provides in full.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/plexspaces-actor",
        inline: "
            package plexspaces:node;
            world provided {
                import plexspaces:actor/logging@0.1.0;
                import plexspaces:actor/messaging@0.1.0;
                import plexspaces:actor/conversation@0.1.0;
            }
        ",
        imports: {
            "plexspaces:actor/messaging.ask": async | trappable,
            "plexspaces:actor/messaging.spawn": async | trappable,
            "plexspaces:actor/messaging.sleep": async | trappable,
            default: trappable,
        },
    });
    pub use plexspaces::actor::{conversation, logging, messaging, types};
}

use bindings::types::{ActorError, ErrorCode};

/// Everything the node knows about one running guest.
pub struct Guest {
    pub actor: ActorId,
    pub actors: Actors,
    /// Where in its tree it lives.
    pub place: Place<Starter>,
    /// What it was started from, and its children can be.
    pub starter: Starter,
    pub log: GuestLog,
    pub spans: logging::Spans,
    pub limits: GuestLimits,
    pub capabilities: Capabilities,
    /// The message being handled, and who waits for an answer.
    pub conversation: Conversation,
    pub timers: Timers,
    /// What the guest said by `fail` during the current call.
    pub failure: Option<String>,
    pub memory: MemoryLimiter,
    /// How bytes are exchanged with a core module; a component needs none.
    pub exchange: Option<Exchange>,
    /// The node is waiting for the guest's allocator.
    pub asking_for_memory: bool,
    pub world: World,
}

/// What an actor keeps when one instance of its guest follows another.
pub struct Commitments {
    pub conversation: Conversation,
    pub timers: Timers,
}

impl Commitments {
    /// Takes those of an earlier instance of the same actor.
    pub fn absorb(&mut self, earlier: Self) {
        self.conversation.absorb(earlier.conversation);
        self.timers.absorb(earlier.timers);
    }
}

impl Guest {
    pub fn new(
        starter: Starter,
        place: Place<Starter>,
        log: GuestLog,
        world: World,
        commitments: Commitments,
    ) -> Self {
        let (limits, capabilities) = (starter.setting.limits, starter.setting.capabilities);
        let memory = MemoryLimiter::new(&limits);
        Self {
            actor: place.actor.clone(),
            actors: starter.program.actors.clone(),
            place,
            starter,
            log,
            spans: logging::Spans::default(),
            limits,
            capabilities,
            conversation: commitments.conversation,
            timers: commitments.timers,
            failure: None,
            memory,
            exchange: None,
            asking_for_memory: false,
            world,
        }
    }

    /// What stays with the actor when another instance takes the place of this one.
    pub fn into_commitments(self) -> Commitments {
        Commitments {
            conversation: self.conversation,
            timers: self.timers,
        }
    }

    pub fn inherit(&mut self, earlier: Commitments) {
        self.conversation.absorb(earlier.conversation);
        self.timers.absorb(earlier.timers);
    }

    /// Lets onlookers see how much memory it holds.
    pub fn shows_memory(&self) {
        let bytes = self.memory.memory_bytes;
        self.place.vitals.memory_bytes.store(bytes, Relaxed);
    }

    pub fn exchange(&self) -> wasmtime::Result<&Exchange> {
        let exchange = self.exchange.as_ref();
        exchange.ok_or_else(|| {
            wasmtime::Error::msg(
                "host functions need an exported memory, and cannot be called before the module has started",
            )
        })
    }

    /// Refuses a payload above the actor's own limit.
    fn bounded(&self, payload: Vec<u8>) -> Result<Bytes, ActorError> {
        self.fits(payload.len())?;
        Ok(Bytes::from(payload))
    }

    /// Whether a payload of so many bytes is within the actor's own limit.
    pub fn fits(&self, bytes: usize) -> Result<(), ActorError> {
        let max = self.limits.message_bytes_max;
        if bytes > max {
            let text = format!("a message of {bytes} bytes is over this actor's limit of {max}");
            return Err(actor_error(ErrorCode::ResourceExhausted, text));
        }
        Ok(())
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.world.wasi.ctx()
    }
}

/// Links the whole published package: what is provided, and what only answers `not-implemented` so far.
pub fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    bindings::logging::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    bindings::messaging::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    bindings::conversation::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    planned::add_to_linker(linker)
}

/// Whether a component may import this function of this interface.
pub fn provides(interface: &str, function: &str) -> bool {
    let Some(name) = interface
        .strip_prefix("plexspaces:actor/")
        .and_then(|rest| rest.strip_suffix("@0.1.0"))
    else {
        return false;
    };
    let listed = |functions: &[&str]| functions.contains(&function);
    match name {
        "logging" => listed(logging::FUNCTIONS),
        "messaging" => listed(messaging::FUNCTIONS),
        "conversation" => listed(conversation::FUNCTIONS),
        _ => planned::INTERFACES
            .iter()
            .any(|(planned, functions)| *planned == name && listed(functions)),
    }
}

pub fn actor_error(code: ErrorCode, message: impl Into<String>) -> ActorError {
    ActorError {
        code,
        message: message.into(),
        details: None,
    }
}

/// Bounds all memories of one actor together, and each of its tables.
pub struct MemoryLimiter {
    memory_bytes: u64,
    memory_bytes_max: u64,
    /// The growth granted last, in case it comes to nothing.
    granted_bytes: u64,
    /// Counts and tables are wasmtime's own to check.
    others: StoreLimits,
}

impl MemoryLimiter {
    fn new(limits: &GuestLimits) -> Self {
        let others = wasmtime::StoreLimitsBuilder::new()
            .table_elements(limits.table_elements_max)
            .build();
        Self {
            memory_bytes: 0,
            granted_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            others,
        }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = (desired - current) as u64;
        self.granted_bytes = 0;
        if self.memory_bytes + wanted > self.memory_bytes_max {
            return Ok(false);
        }
        self.memory_bytes += wanted;
        self.granted_bytes = wanted;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes -= std::mem::take(&mut self.granted_bytes);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.others.table_growing(current, desired, maximum)
    }
}
