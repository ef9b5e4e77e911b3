//! What actors may ask of the node beside messages: the services, their events, and what an actor holds in them.
//!
//! Tables answer whom to wake; here they are woken, whether a guest called or a door.

mod events;
mod groups;
mod holdings;
mod registry;
mod tuples;
pub mod workflows;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use log::Level;

use crate::actor::{Actors, SendError};
use crate::coordination::Coordination;
use crate::id::ActorId;
use crate::message::Nature;
use crate::storage::Storage;

pub use events::{Event, Kind};
pub use holdings::{Holdings, Numbered};
use workflows::Workflows;

/// All services of this node, as guests and doors reach them; cloning is cheap.
#[derive(Clone)]
pub struct Services(Arc<All>);

/// What [`Services`] shares.
pub struct All {
    pub actors: Actors,
    pub storage: Storage,
    pub coordination: Coordination,
    pub workflows: Workflows,
    /// How many events an actor has missed; none of those that missed none.
    missed: Mutex<HashMap<Arc<str>, u64>>,
    /// What the registry lists of the node itself.
    listing: Mutex<Option<registry::Listing>>,
}

impl Deref for Services {
    type Target = All;

    fn deref(&self) -> &All {
        &self.0
    }
}

impl Services {
    pub fn new(actors: Actors, storage: Storage) -> Self {
        Self(Arc::new(All {
            coordination: Coordination::new(actors.clock(), actors.budget()),
            workflows: Workflows::new(actors.clone(), storage.clone()),
            actors,
            storage,
            missed: Mutex::default(),
            listing: Mutex::default(),
        }))
    }

    /// What an actor holds at the beginning of a life: nothing.
    pub fn holdings(&self, actor: &ActorId) -> Holdings {
        Holdings::new(actor.clone(), self.clone())
    }

    /// Puts an event into an actor's mailbox, and says whether it is there. One that finds the mailbox or the node full
    /// is lost to that actor: it is counted among the undelivered, and the application's log says so.
    pub fn notify(&self, to: &ActorId, event: &Event) -> bool {
        let from = format!("{}@{}", event.kind.service(), self.actors.node());
        let mut message =
            self.actors
                .message(from.into(), event.kind.name(), event.payload.clone());
        message.nature = Nature::Event;
        match self.actors.tell(to.address(), message) {
            Ok(_) => true,
            // It ended before its subscription did, a moment ago.
            Err(SendError::UnknownActor(_) | SendError::Stopped(_)) => false,
            Err(error) => {
                self.miss(to, event, &error);
                false
            }
        }
    }

    /// Says what is missed at the first, second, fourth event and so on, so that a flood does not become one of lines.
    fn miss(&self, actor: &ActorId, event: &Event, error: &SendError) {
        let mut missed = self.missed.lock().unwrap();
        let count = missed.entry(actor.address().clone()).or_default();
        *count += 1;
        if count.is_power_of_two() {
            let text = format!(
                "missed a {} event, {count} events so far: {error}",
                event.kind.name()
            );
            log::warn!("{actor} {text}");
            let logs = self.actors.logs();
            logs.say(
                actor.application(),
                Level::Warn,
                Some(actor.address()),
                &text,
            );
        }
    }
}
