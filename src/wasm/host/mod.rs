//! What one guest may ask of the node: the state behind its host functions. `catalogue` lists them.

mod activity;
pub mod blob;
mod catalogue;
pub mod channels;
pub mod conversation;
pub mod core_channels;
pub mod core_durability;
pub mod core_keyvalue;
pub mod core_lives;
pub mod core_messaging;
pub mod core_tuplespace;
pub mod durability;
mod habits;
pub mod keyvalue;
pub mod lives;
pub mod locks;
pub mod logging;
mod memory;
pub mod messaging;
mod older;
pub mod process_groups;
pub mod registry;
mod taken;
pub mod tuplespace;
pub mod workflow;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::exchange::Exchange;
use super::starter::Starter;
use super::wasi::World;
use super::{Capabilities, GuestLimits};
use crate::actor::{self, Actors, Timers};
use crate::id::ActorId;
use crate::place::{Elsewhere, Place};
use crate::services::workflows::Seat;
use crate::services::{Holdings, Services};
use conversation::Conversation;
use habits::Habits;
use logging::GuestLog;
use memory::MemoryLimiter;

pub use catalogue::{add_to_core_linker, add_to_linker, core_linker_for, provides, provides_core};

/// The Rust side of the interfaces that this node provides.
pub mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/plexspaces-actor",
        inline: "
            package plexspaces:node;
            world provided {
                import plexspaces:actor/logging@0.1.0;
                import plexspaces:actor/messaging@0.1.0;
                import plexspaces:actor/conversation@0.1.0;
                import plexspaces:actor/keyvalue@0.1.0;
                import plexspaces:actor/blob@0.1.0;
                import plexspaces:actor/channels@0.1.0;
                import plexspaces:actor/tuplespace@0.1.0;
                import plexspaces:actor/locks@0.1.0;
                import plexspaces:actor/process-groups@0.1.0;
                import plexspaces:actor/durability@0.1.0;
                import plexspaces:actor/registry@0.1.0;
                import plexspaces:actor/workflow@0.1.0;
            }
        ",
        imports: {
            "plexspaces:actor/messaging.ask": async | trappable,
            "plexspaces:actor/messaging.spawn": async | trappable,
            "plexspaces:actor/messaging.sleep": async | trappable,
            "plexspaces:actor/keyvalue.get": async | trappable,
            "plexspaces:actor/keyvalue.put": async | trappable,
            "plexspaces:actor/keyvalue.put-with-ttl": async | trappable,
            "plexspaces:actor/keyvalue.delete": async | trappable,
            "plexspaces:actor/keyvalue.exists": async | trappable,
            "plexspaces:actor/keyvalue.list-keys": async | trappable,
            "plexspaces:actor/keyvalue.compare-and-swap": async | trappable,
            "plexspaces:actor/keyvalue.increment": async | trappable,
            "plexspaces:actor/blob.upload": async | trappable,
            "plexspaces:actor/blob.download": async | trappable,
            "plexspaces:actor/blob.delete": async | trappable,
            "plexspaces:actor/blob.exists": async | trappable,
            "plexspaces:actor/blob.list-blobs": async | trappable,
            "plexspaces:actor/blob.metadata": async | trappable,
            "plexspaces:actor/blob.copy": async | trappable,
            "plexspaces:actor/channels.send-to-queue": async | trappable,
            "plexspaces:actor/channels.send-to-queue-with-options": async | trappable,
            "plexspaces:actor/channels.receive-from-queue": async | trappable,
            "plexspaces:actor/channels.ack": async | trappable,
            "plexspaces:actor/channels.nack": async | trappable,
            "plexspaces:actor/channels.create-queue": async | trappable,
            "plexspaces:actor/channels.delete-queue": async | trappable,
            "plexspaces:actor/channels.queue-depth": async | trappable,
            "plexspaces:actor/tuplespace.write": async | trappable,
            "plexspaces:actor/tuplespace.write-with-ttl": async | trappable,
            "plexspaces:actor/tuplespace.take": async | trappable,
            "plexspaces:actor/tuplespace.compare-and-swap": async | trappable,
            "plexspaces:actor/tuplespace.read-blocking": async | trappable,
            "plexspaces:actor/tuplespace.take-blocking": async | trappable,
            "plexspaces:actor/locks.acquire": async | trappable,
            "plexspaces:actor/durability.persist": async | trappable,
            "plexspaces:actor/durability.persist-batch": async | trappable,
            "plexspaces:actor/durability.cache-side-effect": async | trappable,
            "plexspaces:actor/durability.read-journal": async | trappable,
            "plexspaces:actor/durability.compact": async | trappable,
            "plexspaces:actor/workflow.start-workflow": async | trappable,
            "plexspaces:actor/workflow.signal-workflow": async | trappable,
            "plexspaces:actor/workflow.query-workflow": async | trappable,
            "plexspaces:actor/workflow.await-workflow": async | trappable,
            "plexspaces:actor/workflow.schedule-activity": async | trappable,
            "plexspaces:actor/workflow.sleep": async | trappable,
            default: trappable,
        },
    });
    pub use plexspaces::actor::{
        blob, channels, conversation, durability, keyvalue, locks, logging, messaging,
        process_groups, registry, tuplespace, types, workflow,
    };
}

use bindings::types::{ActorError, Context, ErrorCode};

/// Everything the node knows about one running guest.
pub struct Guest {
    pub actor: ActorId,
    pub actors: Actors,
    pub services: Services,
    /// Where in its tree it lives.
    pub place: actor::Place<Starter>,
    /// What it was started from, and its children can be.
    pub starter: Starter,
    pub log: GuestLog,
    pub spans: logging::Spans,
    pub limits: GuestLimits,
    pub capabilities: Capabilities,
    /// The message being handled, and who waits for an answer.
    pub conversation: Conversation,
    pub habits: Habits,
    pub timers: Timers,
    pub holdings: Holdings,
    /// What it is about to do with its journal.
    pub journal: durability::Seat,
    /// The run of a workflow that it carries out.
    pub seat: Option<Seat>,
    /// The message that a core module received last, but for its payload.
    pub received: core_channels::Received,
    /// What the guest said by `fail` during the current call.
    pub failure: Option<String>,
    pub memory: MemoryLimiter,
    /// It has come to the end of its `init` and what belongs to it.
    pub has_begun: bool,
    /// How bytes are exchanged with a core module; a component needs none.
    pub exchange: Option<Exchange>,
    /// The node is waiting for the guest's allocator.
    pub asking_for_memory: bool,
    /// What it sees of WASI, from its first look on: most actors never look.
    pub world: Option<Box<World>>,
}

/// What an actor keeps when one instance of its guest follows another.
pub struct Commitments {
    pub conversation: Conversation,
    pub timers: Timers,
    pub holdings: Holdings,
}

impl Commitments {
    /// Takes those of an earlier instance of the same actor.
    pub fn absorb(&mut self, earlier: Self) {
        earlier.pass_to(&mut self.conversation, &mut self.timers, &mut self.holdings);
    }

    fn pass_to(
        self,
        conversation: &mut Conversation,
        timers: &mut Timers,
        holdings: &mut Holdings,
    ) {
        conversation.absorb(self.conversation);
        timers.absorb(self.timers);
        holdings.absorb(self.holdings);
    }
}

impl Guest {
    pub fn new(
        starter: Starter,
        place: actor::Place<Starter>,
        log: GuestLog,
        world: Option<Box<World>>,
        commitments: Commitments,
    ) -> Self {
        let (limits, capabilities) = (starter.setting.limits, starter.setting.capabilities);
        let memory = MemoryLimiter::new(&limits);
        let services = starter.program.services.clone();
        let run = starter.run.clone();
        let seat = run.map(|run| Seat::new(run, services.workflows.clone()));
        Self {
            actor: place.actor.clone(),
            actors: services.actors.clone(),
            services,
            place,
            starter,
            log,
            spans: logging::Spans::default(),
            limits,
            capabilities,
            conversation: commitments.conversation,
            habits: Habits::default(),
            timers: commitments.timers,
            holdings: commitments.holdings,
            journal: Default::default(),
            seat,
            received: Default::default(),
            failure: None,
            memory,
            has_begun: false,
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
            holdings: self.holdings,
        }
    }

    pub fn inherit(&mut self, earlier: Commitments) {
        earlier.pass_to(&mut self.conversation, &mut self.timers, &mut self.holdings);
    }

    /// Its view of WASI, made at the first look.
    pub fn wasi(&mut self) -> &mut WasiP1Ctx {
        let (starter, actor, log) = (&self.starter, &self.place.actor, &self.log);
        let anew = || Box::new(World::of_actor(&starter.sight(actor), log));
        &mut self.world.get_or_insert_with(anew).wasi
    }

    /// Logs the lines that it has begun on its standard streams and not ended.
    pub fn flush(&self) {
        if let Some(world) = &self.world {
            world.flush();
        }
    }

    /// A message begins: what it last said to standard error belongs to another.
    pub fn forget_last_words(&self) {
        if self.world.is_some() {
            self.log.take_stderr_tail();
        }
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

    /// The place that a call is about.
    pub fn place(&self, context: &Context) -> Result<Place, ActorError> {
        let home = Place::of(&self.actor);
        let named = home.named(&context.tenant_id, &context.namespace);
        named.map_err(|error| {
            let code = match error {
                Elsewhere::Foreign(_) => ErrorCode::NotPermitted,
                Elsewhere::Invalid(_) => ErrorCode::InvalidMessage,
            };
            actor_error(code, error.to_string())
        })
    }

    /// Waits for something that has no limit of its own: for so long, where that is not zero, or until it comes. An actor
    /// that is to be stopped or swapped meanwhile gets the error `timeout`. One that is still starting does not: its
    /// start has a limit, and what is wanted is wanted of the instance whose place it may take.
    pub fn patiently<W: Future + Send>(
        &self,
        timeout: Duration,
        wait: W,
    ) -> impl Future<Output = Result<Option<W::Output>, ActorError>> + Send + use<W> {
        let interrupted = self.actors.interrupted(&self.actor);
        let has_begun = self.has_begun;
        let interrupted = async move {
            match has_begun {
                true => interrupted.await,
                false => std::future::pending().await,
            }
        };
        let time_is_up = async move {
            match timeout {
                Duration::ZERO => std::future::pending().await,
                timeout => tokio::time::sleep(timeout).await,
            }
        };
        async move {
            tokio::select! {
                biased;
                waited = wait => Ok(Some(waited)),
                () = interrupted => {
                    let text = "the actor is being stopped or upgraded, so it waits no longer";
                    Err(actor_error(ErrorCode::Timeout, text))
                }
                () = time_is_up => Ok(None),
            }
        }
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
        self.wasi().ctx()
    }
}

/// The context of an application's own place, which is all that core modules name.
fn own_place() -> Context {
    Context {
        tenant_id: String::new(),
        namespace: String::new(),
    }
}

/// Refuses what the application's config does not grant.
pub fn permitted(capability: bool, key: &str) -> Result<(), ActorError> {
    if capability {
        return Ok(());
    }
    let text = format!("{key} is off for this application; its config has [capabilities]");
    Err(actor_error(ErrorCode::NotPermitted, text))
}

pub fn actor_error(code: ErrorCode, message: impl Into<String>) -> ActorError {
    ActorError {
        code,
        message: message.into(),
        details: None,
    }
}
