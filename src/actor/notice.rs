//! What actors hear of each other's ends, and how one ends another.
//!
//! An end is told to those who watch, as `DOWN`, and to those who are linked, as `EXIT`. An actor without a handler
//! for notices hears of no `EXIT`: it ends with whoever it is linked to, unless that ended in order.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Actors;
use super::control::Farewell;
use super::exit::Exit;
use super::ties::{Hearer, TieError};
use crate::message::{Envelope, Message, Nature};

/// Under which type a notice arrives; what it is says its payload.
const NOTICE_TYPE: &str = "info";

#[derive(Serialize)]
struct Notice<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#ref: Option<u64>,
    actor: &'a str,
    reason: String,
}

impl Actors {
    /// Ties two actors together, of which the second is there.
    pub fn link(&self, one: &Arc<str>, other: &Arc<str>) -> Result<(), TieError> {
        self.ties.link(one, other)
    }

    pub fn unlink(&self, one: &str, other: &str) {
        self.ties.unlink(one, other);
    }

    /// Lets `watcher` hear of the end of `watched`, which is there.
    pub fn monitor(&self, watcher: &Arc<str>, watched: &Arc<str>) -> Result<u64, TieError> {
        self.ties.monitor(watcher, watched)
    }

    pub fn demonitor(&self, watcher: &str, reference: u64) -> Result<(), TieError> {
        self.ties.demonitor(watcher, reference)
    }

    /// How many actors are linked, watch or are watched.
    pub fn tied(&self) -> usize {
        self.ties.len()
    }

    /// Tells an actor to stop in order, and to be ended after `grace`; without one, after its own shutdown timeout. Its
    /// supervisor does what its restart type says. `false` where there is none of this address.
    pub fn stop(&self, address: &str, grace: Option<Duration>, exit: Exit) -> bool {
        let Some(resident) = self.directory.resolve(address, &self.node) else {
            return false;
        };
        let grace = grace.unwrap_or_else(|| resident.shutdown_timeout());
        let by = self.clock.now() + grace;
        resident.control.stop(by, exit, Farewell::Plain);
        true
    }

    /// A life at this address has ended: its ties are dissolved, and those at their other ends hear of it.
    pub(super) fn announce(&self, address: &Arc<str>, exit: &Exit) {
        for hearer in self.ties.dissolve(address) {
            match hearer {
                Hearer::Watching { actor, reference } => {
                    self.tell_notice(&actor, "DOWN", Some(reference), address, exit);
                }
                Hearer::Linked(actor) => self.spread(&actor, address, exit),
            }
        }
    }

    fn spread(&self, to: &str, ended: &Arc<str>, exit: &Exit) {
        let Some(resident) = self.directory.resolve(to, &self.node) else {
            return;
        };
        if resident.traps_exits() {
            self.tell_notice(to, "EXIT", None, ended, exit);
        } else if exit.is_abnormal() {
            let text = format!("it was linked to {ended}, which ended: {exit}");
            resident.control.end(Exit::error(text));
        }
    }

    fn tell_notice(
        &self,
        to: &str,
        kind: &'static str,
        reference: Option<u64>,
        ended: &Arc<str>,
        exit: &Exit,
    ) {
        let Some(resident) = self.directory.resolve(to, &self.node) else {
            return;
        };
        let notice = Notice {
            r#type: kind,
            r#ref: reference,
            actor: ended,
            reason: exit.to_string(),
        };
        let payload = serde_json::to_vec(&notice).expect("texts and a number");
        let message = Message {
            nature: Nature::Notice,
            ..self.message(ended.clone(), NOTICE_TYPE, payload.into())
        };
        resident.mailbox.push_notice(Envelope::tell(message));
    }
}
