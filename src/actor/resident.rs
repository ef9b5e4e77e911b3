//! One actor as others reach it: its id, its mailbox, and through which it is told to stop. It outlives restarts.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Actors;
use super::control::Control;
use super::directory::Listing;
use super::exit::Exit;
use super::mailbox::{Bounds, Mailbox};
use crate::id::ActorId;
use crate::limits;
use crate::message::Envelope;

pub struct Resident {
    pub id: ActorId,
    pub mailbox: Arc<Mailbox>,
    pub control: Control,
    traps_exits: AtomicBool,
    shutdown_timeout: Mutex<Duration>,
}

/// An actor's being there. Dropped, it cannot be reached, and whoever was tied to it or waited for it hears of it.
pub struct Presence {
    resident: Arc<Resident>,
    actors: Actors,
    _listing: Listing,
}

impl Resident {
    pub fn new(id: ActorId, bounds: Bounds, actors: &Actors) -> Arc<Self> {
        let mailbox = Arc::new(Mailbox::new(bounds, actors.budget()));
        Arc::new(Self {
            id,
            control: Control::new(mailbox.clone()),
            mailbox,
            traps_exits: AtomicBool::new(false),
            shutdown_timeout: Mutex::new(limits::SHUTDOWN_GRACE),
        })
    }

    /// Whether another actor of the same application waits for the answer to this.
    pub fn is_asked_by_kin(&self, envelope: &Envelope) -> bool {
        let (from, application) = (&envelope.message.from, self.id.application());
        let rest = from.strip_prefix(&**application);
        envelope.reply.is_some() && rest.is_some_and(|rest| rest.starts_with(['/', '@']))
    }

    pub fn traps_exits(&self) -> bool {
        self.traps_exits.load(Relaxed)
    }

    /// What it gets to stop in order.
    pub fn shutdown_timeout(&self) -> Duration {
        *self.shutdown_timeout.lock().unwrap()
    }

    pub fn set_shutdown_timeout(&self, timeout: Duration) {
        *self.shutdown_timeout.lock().unwrap() = timeout;
    }

    pub fn set_traps_exits(&self, traps: bool) {
        self.traps_exits.store(traps, Relaxed);
    }
}

impl Presence {
    pub fn of(resident: &Arc<Resident>, actors: &Actors) -> Self {
        Self {
            resident: resident.clone(),
            actors: actors.clone(),
            _listing: actors.directory.list(resident.clone()),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.resident.mailbox.close();
        self.actors
            .announce(self.resident.id.address(), &Exit::Killed);
    }
}
