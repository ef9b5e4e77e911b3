//! The message being handled: what it is, who waits for its answer, and answering or failing it otherwise than by a result.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::{Caller, Linker};

use super::Guest;
use super::bindings::conversation::Host;
use super::bindings::types;
use crate::actor::Deferred;
use crate::limits;
use crate::message::{Envelope, Failure, Message, Reply};
use crate::wasm::core_abi;
use crate::wasm::exchange::{self, Slice};

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &["current-message", "defer"];

/// The same as core modules spell them, and `fail`, which components say by their result.
pub const CORE_FUNCTIONS: &[&str] = &["message_id", "correlation_id", "sent_at", "defer", "fail"];

/// Who waits for an answer of this actor.
#[derive(Default)]
pub struct Conversation {
    current: Option<Arc<Message>>,
    /// The asker of the current message, until it is answered, deferred or forwarded.
    asker: Option<Reply>,
    deferred: Deferred,
}

/// Where an open ask is kept.
pub enum Place {
    Current,
    Deferred(Arc<str>),
}

impl Conversation {
    /// A message is about to be handled.
    pub fn begin(&mut self, envelope: Envelope) -> Arc<Message> {
        self.asker = envelope.reply;
        self.current.insert(envelope.message).clone()
    }

    /// It has been handled. Gives the asker if nobody has answered.
    pub fn end(&mut self) -> Option<Reply> {
        self.current = None;
        self.asker.take()
    }

    /// It broke the guest. Gives the asker, also one who was to be answered later: there will be no later.
    pub fn broken(&mut self) -> Option<Reply> {
        let correlation = self
            .current
            .take()
            .and_then(|message| message.correlation.clone());
        let deferred = correlation.and_then(|id| self.deferred.close(&id));
        self.asker.take().or(deferred)
    }

    /// Takes the ask of this id; the empty id is the current one's.
    pub fn close(&mut self, correlation: &str) -> Option<(Reply, Place)> {
        if (correlation.is_empty() || self.is_current(correlation))
            && let Some(asker) = self.asker.take()
        {
            return Some((asker, Place::Current));
        }
        let reply = self.deferred.close(correlation)?;
        Some((reply, Place::Deferred(correlation.into())))
    }

    /// Undoes `close`.
    pub fn reopen(&mut self, reply: Reply, place: Place) {
        match place {
            Place::Current => self.asker = Some(reply),
            Place::Deferred(correlation) => {
                if let Err(reply) = self.deferred.open(correlation, reply) {
                    refuse(reply);
                }
            }
        }
    }

    /// Leaves the current ask open under the id returned. Where nobody waits, the id is of no use; where too many
    /// wait already, the asker is told so.
    fn defer(&mut self) -> Option<Arc<str>> {
        let current = self.current.as_ref()?;
        let Some(correlation) = current.correlation.clone() else {
            return Some(current.id.to_string().into());
        };
        if let Some(asker) = self.asker.take()
            && let Err(asker) = self.deferred.open(correlation.clone(), asker)
        {
            refuse(asker);
        }
        Some(correlation)
    }

    /// Takes the asks that an earlier instance of the same actor left open.
    pub fn absorb(&mut self, earlier: Self) {
        self.deferred.absorb(earlier.deferred);
    }

    fn is_current(&self, correlation: &str) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|message| message.correlation.as_deref() == Some(correlation))
    }
}

fn refuse(asker: Reply) {
    let text = format!(
        "this actor keeps {} asks open already, its most; ask again later",
        limits::DEFERRED_ASKS_MAX
    );
    asker.send(Err(Failure::NoRoom(text)));
}

impl Host for Guest {
    fn current_message(&mut self) -> wasmtime::Result<Option<types::Message>> {
        let sees_clocks = self.capabilities.clocks;
        Ok(self.conversation.current.as_ref().map(|message| {
            let seen = types::Message::from(&**message);
            let timestamp = if sees_clocks { seen.timestamp } else { 0 };
            types::Message { timestamp, ..seen }
        }))
    }

    fn defer(&mut self) -> wasmtime::Result<String> {
        let correlation = self.conversation.defer();
        let correlation = correlation.ok_or_else(|| {
            wasmtime::Error::msg("defer was called while no message is being handled")
        })?;
        Ok(correlation.to_string())
    }
}

impl From<&Message> for types::Message {
    fn from(message: &Message) -> Self {
        Self {
            id: message.id.to_string(),
            from_actor: message.from.to_string(),
            msg_type: message.message_type.to_string(),
            payload: message.payload.to_vec(),
            correlation_id: message.correlation.as_deref().map(str::to_owned),
            timestamp: message.sent_at_ms,
            headers: message.headers.clone(),
        }
    }
}

/// The same for core modules. Outside of a message, ids are empty and the time is 0.
pub fn add_to_core_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        core_abi::MODULE,
        "message_id",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let current = caller.data().conversation.current.as_ref();
                let id = current.map_or(String::new(), |message| message.id.to_string());
                exchange::answer(&mut caller, Ok(id), answer_at).await
            })
        },
    )?;
    linker.func_wrap_async(
        core_abi::MODULE,
        "correlation_id",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let current = caller.data().conversation.current.as_ref();
                let id = current.and_then(|message| message.correlation.as_deref());
                let id = Bytes::copy_from_slice(id.unwrap_or_default().as_bytes());
                exchange::answer(&mut caller, Ok(id), answer_at).await
            })
        },
    )?;
    linker.func_wrap(core_abi::MODULE, "sent_at", |caller: Caller<'_, Guest>| {
        let guest = caller.data();
        let current = guest.conversation.current.as_ref();
        let seen = current.filter(|_| guest.capabilities.clocks);
        seen.map_or(0, |message| message.sent_at_ms.cast_signed())
    })?;
    linker.func_wrap_async(
        core_abi::MODULE,
        "defer",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let id = caller.data_mut().defer()?;
                exchange::answer(&mut caller, Ok(id), answer_at).await
            })
        },
    )?;
    linker.func_wrap(
        core_abi::MODULE,
        "fail",
        |mut caller: Caller<'_, Guest>, text: i32, len: i32| {
            let text = exchange::text(&caller, Slice(text, len))?;
            caller.data_mut().failure = Some(text);
            Ok(())
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Actors;
    use crate::clock::Clock;
    use crate::id::NodeId;
    use crate::storage::Logs;
    use tokio::sync::oneshot::Receiver;

    type Asked = Receiver<Result<Bytes, Failure>>;

    fn ask(conversation: &mut Conversation) -> Asked {
        let actors = Actors::new(
            NodeId::parse("n").unwrap(),
            Clock::system(),
            crate::metrics::Metrics::new(),
            Logs::nowhere(),
        );
        let (reply, answer) = Reply::channel();
        let message = actors.message("asker".into(), "call", Bytes::new());
        conversation.begin(Envelope::ask(message, reply));
        answer
    }

    #[test]
    fn a_deferred_ask_is_not_the_handlers_to_answer() {
        let mut conversation = Conversation::default();
        let _asked = ask(&mut conversation);
        let id = conversation.defer().unwrap();
        assert_eq!(conversation.defer(), Some(id.clone()), "again is the same");
        assert!(conversation.close("").is_none());
        assert!(conversation.end().is_none());
        assert!(conversation.close(&id).is_some());
        assert!(conversation.close(&id).is_none());
    }

    #[test]
    fn a_broken_guest_owes_its_asker_the_reason_deferred_or_not() {
        let mut conversation = Conversation::default();
        let _deferred = ask(&mut conversation);
        conversation.defer().unwrap();
        assert!(conversation.broken().is_some());
        let _open = ask(&mut conversation);
        assert!(conversation.broken().is_some());
        assert!(conversation.end().is_none());
    }

    #[test]
    fn an_ask_reopened_is_where_it_was() {
        let mut conversation = Conversation::default();
        let _asked = ask(&mut conversation);
        let (reply, place) = conversation.close("").unwrap();
        conversation.reopen(reply, place);
        let id = conversation.defer().unwrap();
        let (reply, place) = conversation.close(&id).unwrap();
        conversation.reopen(reply, place);
        assert!(conversation.end().is_none(), "it stays deferred");
        assert!(conversation.close(&id).is_some());
    }

    #[test]
    fn one_ask_too_many_is_told_so() {
        let mut conversation = Conversation::default();
        let defer = |conversation: &mut Conversation| {
            let asked = ask(conversation);
            conversation.defer().unwrap();
            asked
        };
        let _open: Vec<Asked> = (0..limits::DEFERRED_ASKS_MAX)
            .map(|_| defer(&mut conversation))
            .collect();
        let told = defer(&mut conversation).try_recv().unwrap();
        assert!(matches!(told, Err(Failure::NoRoom(_))), "{told:?}");
    }
}
