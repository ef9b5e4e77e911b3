//! Messages between actors: the meaning once, as the WIT trait; `core_messaging` spells it for core modules.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::bindings::messaging::Host;
use super::bindings::types::{self, ActorError, ErrorCode, SpawnOptions};
use super::{Guest, actor_error, permitted};
use crate::actor::{Recipient, SendError, TimerError};
use crate::limits;
use crate::message::{Failure, Message, MessageId};
use crate::metrics::Undelivered;

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "tell",
    "ask",
    "reply",
    "forward",
    "spawn",
    "stop",
    "link",
    "unlink",
    "monitor",
    "demonitor",
    "self-id",
    "parent-id",
    "now",
    "sleep",
    "send-after",
    "cancel-timer",
];

pub type Answer<T> = wasmtime::Result<Result<T, ActorError>>;

impl Host for Guest {
    fn tell(&mut self, to: String, message_type: String, payload: Vec<u8>) -> Answer<String> {
        Ok(self
            .post(&to, &message_type, payload.into())
            .map(|id| id.to_string()))
    }

    async fn ask(
        &mut self,
        to: String,
        message_type: String,
        payload: Vec<u8>,
        timeout_ms: u64,
    ) -> Answer<Vec<u8>> {
        let (to, message) = match self.outgoing(&to, &message_type, payload.into()) {
            Ok(outgoing) => outgoing,
            Err(error) => return Ok(Err(error)),
        };
        let deadline = deadline(timeout_ms);
        let answer = self.actors.ask_of(&to, message, deadline).await;
        Ok(answer.map(|payload| payload.to_vec()).map_err(Into::into))
    }

    fn reply(&mut self, correlation_id: String, payload: Vec<u8>) -> Answer<()> {
        let payload = match self.bounded(payload) {
            Ok(payload) => payload,
            Err(error) => return Ok(Err(error)),
        };
        Ok(match self.conversation.close(&correlation_id) {
            Some((reply, _)) => {
                reply.send(Ok(payload));
                Ok(())
            }
            None => Err(nobody_waits(&correlation_id)),
        })
    }

    fn forward(
        &mut self,
        to: String,
        message_type: String,
        payload: Vec<u8>,
        original_sender: String,
        correlation_id: Option<String>,
    ) -> Answer<String> {
        let forwarded = self
            .forwarded(&to, &message_type, payload.into(), &original_sender)
            .and_then(|(to, message)| self.hand_on(&to, message, correlation_id.as_deref()));
        Ok(forwarded.map(|id| id.to_string()))
    }

    async fn spawn(
        &mut self,
        module_ref: String,
        initial_state: Vec<u8>,
        options: SpawnOptions,
    ) -> Answer<String> {
        let child = permitted(self.capabilities.spawn_actors, "allow_spawn_actors")
            .and_then(|()| self.bounded(initial_state))
            .and_then(|state| self.offspring(&module_ref, state, options));
        let child = match child {
            Ok(child) => child,
            Err(error) => return Ok(Err(error)),
        };
        let Some(_room) = child.seed.program.room.for_one_more() else {
            let text = "what is left of this node's room is kept for deploys and restarts; stop some actors first";
            return Ok(Err(actor_error(ErrorCode::ResourceExhausted, text)));
        };
        let spawned = self.place.kin.spawn(child).await;
        Ok(spawned.map(|id| id.to_string()).map_err(Into::into))
    }

    fn stop(&mut self, actor_id: String, timeout_ms: u64) -> Answer<()> {
        Ok(self.stop_other(&actor_id, timeout_ms))
    }

    fn link(&mut self, actor_id: String) -> Answer<()> {
        Ok(self.acquaintance(&actor_id).and_then(|other| {
            let linked = self.actors.link(self.actor.address(), &other);
            linked.map_err(Into::into)
        }))
    }

    fn unlink(&mut self, actor_id: String) -> Answer<()> {
        // One that is gone is not linked any more, which is all that is wanted.
        if let Ok(other) = self.acquaintance(&actor_id) {
            self.actors.unlink(self.actor.address(), &other);
        }
        Ok(Ok(()))
    }

    fn monitor(&mut self, actor_id: String) -> Answer<u64> {
        Ok(self.acquaintance(&actor_id).and_then(|watched| {
            let watching = self.actors.monitor(self.actor.address(), &watched);
            watching.map_err(Into::into)
        }))
    }

    fn demonitor(&mut self, monitor_ref: u64) -> Answer<()> {
        let ended = self.actors.demonitor(self.actor.address(), monitor_ref);
        Ok(ended.map_err(Into::into))
    }

    fn self_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.actor.to_string())
    }

    fn parent_id(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.place.parent.as_deref().map(str::to_owned))
    }

    fn now(&mut self) -> wasmtime::Result<u64> {
        let sees_clocks = self.capabilities.clocks;
        Ok(if sees_clocks {
            self.actors.clock().wall_ms()
        } else {
            0
        })
    }

    async fn sleep(&mut self, duration_ms: u64) -> wasmtime::Result<()> {
        tokio::time::sleep(Duration::from_millis(duration_ms)).await;
        Ok(())
    }

    fn send_after(&mut self, delay_ms: u64, message_type: String, payload: Vec<u8>) -> Answer<u64> {
        let checked = self
            .may_send()
            .and_then(|()| checked_type(&message_type))
            .and_then(|()| self.bounded(payload));
        Ok(checked.and_then(|payload| {
            let delay = Duration::from_millis(delay_ms);
            Ok(self.timers.start(delay, &message_type, payload)?)
        }))
    }

    fn cancel_timer(&mut self, timer_id: u64) -> Answer<()> {
        Ok(if self.timers.cancel(timer_id) {
            Ok(())
        } else {
            let text = format!("no timer {timer_id} waits: it has fired, or never was");
            Err(actor_error(ErrorCode::InvalidMessage, text))
        })
    }
}

impl types::Host for Guest {}

impl Guest {
    /// Tells another actor something.
    pub(super) fn post(
        &mut self,
        to: &str,
        message_type: &str,
        payload: Bytes,
    ) -> Result<MessageId, ActorError> {
        let (to, message) = self.outgoing(to, message_type, payload)?;
        Ok(self.actors.send(&to, message)?)
    }

    fn outgoing(
        &mut self,
        to: &str,
        message_type: &str,
        payload: Bytes,
    ) -> Result<(Recipient, Message), ActorError> {
        let to = self.receiver(to)?;
        let from = self.actor.address().clone();
        Ok((to, self.message_from(from, message_type, payload)?))
    }

    fn forwarded(
        &mut self,
        to: &str,
        message_type: &str,
        payload: Bytes,
        sender: &str,
    ) -> Result<(Recipient, Message), ActorError> {
        let to = self.receiver(to)?;
        let chars = sender.chars().count();
        if !(1..=limits::ADDRESS_CHARS_MAX).contains(&chars) {
            let text = format!(
                "the original sender has 1 to {} characters",
                limits::ADDRESS_CHARS_MAX
            );
            return Err(actor_error(ErrorCode::InvalidMessage, text));
        }
        Ok((to, self.message_from(sender.into(), message_type, payload)?))
    }

    fn message_from(
        &mut self,
        from: Arc<str>,
        message_type: &str,
        payload: Bytes,
    ) -> Result<Message, ActorError> {
        let message_type = self.habits.message_type(message_type, checked_type)?;
        self.fits(payload.len())?;
        Ok(self.actors.message(from, message_type, payload))
    }

    pub fn may_send(&self) -> Result<(), ActorError> {
        permitted(self.capabilities.send_messages, "allow_send_messages")
    }

    /// Who is to get a message. Where nobody is, that counts as one more message undelivered.
    fn receiver(&mut self, to: &str) -> Result<Recipient, ActorError> {
        self.reach(to).inspect_err(|error| {
            if error.code == ErrorCode::ActorNotFound {
                self.actors
                    .metrics()
                    .undelivered
                    .count(Undelivered::UnknownActor);
            }
        })
    }

    /// The actor that it calls so, if it may send at all: the actors of other tenants are none of its business.
    pub fn reach(&mut self, to: &str) -> Result<Recipient, ActorError> {
        self.may_send()?;
        let edition = self.actors.edition();
        if let Some(known) = self.habits.recipient(to, edition) {
            return Ok(known);
        }
        let found = self.actors.recipient_for(&self.actor, to)?;
        if found.id().tenant() != self.actor.tenant() {
            let text = "the actor belongs to another tenant";
            return Err(actor_error(ErrorCode::NotPermitted, text));
        }
        self.habits.sends(to, edition, &found);
        Ok(found)
    }

    /// Without a correlation id a tell; with one, whoever asked waits for the new receiver.
    fn hand_on(
        &mut self,
        to: &Recipient,
        message: Message,
        correlation: Option<&str>,
    ) -> Result<MessageId, ActorError> {
        let Some(correlation) = correlation else {
            return Ok(self.actors.send(to, message)?);
        };
        let open = self.conversation.close(correlation);
        let (reply, place) = open.ok_or_else(|| nobody_waits(correlation))?;
        let forwarded = self.actors.forward(to, message, reply);
        forwarded.map_err(|(error, reply)| {
            self.conversation.reopen(reply, place);
            error.into()
        })
    }
}

pub(super) fn checked_type(message_type: &str) -> Result<(), ActorError> {
    if message_type.chars().count() <= limits::MESSAGE_TYPE_CHARS_MAX {
        return Ok(());
    }
    let text = format!(
        "a message type has at most {} characters",
        limits::MESSAGE_TYPE_CHARS_MAX
    );
    Err(actor_error(ErrorCode::InvalidMessage, text))
}

fn nobody_waits(correlation: &str) -> ActorError {
    let text = match correlation {
        "" => "nobody waits for a reply to the current message".into(),
        id => format!(
            "nobody waits for a reply to {:?}",
            id.chars().take(64).collect::<String>()
        ),
    };
    actor_error(ErrorCode::InvalidMessage, text)
}

impl From<TimerError> for ActorError {
    fn from(error: TimerError) -> Self {
        let code = match error {
            TimerError::TooLong => ErrorCode::InvalidMessage,
            TimerError::TooMany | TimerError::NodeFull => ErrorCode::ResourceExhausted,
        };
        actor_error(code, error.to_string())
    }
}

impl From<SendError> for ActorError {
    fn from(error: SendError) -> Self {
        let code = match &error {
            SendError::UnknownActor(_) => ErrorCode::ActorNotFound,
            SendError::TooLong { .. }
            | SendError::MailboxFull(_)
            | SendError::NodeFull(_)
            | SendError::Failed(Failure::NoRoom(_)) => ErrorCode::ResourceExhausted,
            SendError::Stopped(_) | SendError::Failed(Failure::Trapped(_)) => {
                ErrorCode::DeliveryFailed
            }
            SendError::DeadlineExceeded(_) => ErrorCode::Timeout,
            SendError::Failed(Failure::Refused(_)) => ErrorCode::Unknown,
            SendError::Failed(Failure::Unhandled(_) | Failure::NotImplemented(_)) => {
                ErrorCode::NotImplemented
            }
        };
        actor_error(code, error.to_string())
    }
}

/// 0 is the default; no ask waits longer than the longest that a door allows.
fn deadline(timeout_ms: u64) -> Instant {
    let wait = match timeout_ms {
        0 => limits::ASK_TIME_DEFAULT,
        ms => Duration::from_millis(ms).min(limits::ASK_TIME_MAX),
    };
    Instant::now() + wait
}
