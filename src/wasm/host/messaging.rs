//! Messages between actors: the meaning once, as the WIT trait; the core modules' spelling below it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wasmtime::{Caller, Linker};

use super::bindings::messaging::Host;
use super::bindings::types::{self, ActorError, ErrorCode, SpawnOptions};
use super::{Guest, actor_error};
use crate::actor::SendError;
use crate::limits;
use crate::message::{Failure, Message};
use crate::wasm::core_abi::{self, Slice};

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

/// The same as core modules spell them.
pub const CORE_FUNCTIONS: &[&str] = &[
    "send_message",
    "tell",
    "ask",
    "reply",
    "self_id",
    "now",
    "sleep",
];

type Answer<T> = wasmtime::Result<Result<T, ActorError>>;

impl Host for Guest {
    fn tell(&mut self, to: String, message_type: String, payload: Vec<u8>) -> Answer<String> {
        let message = match self.outgoing(&message_type, payload) {
            Ok(message) => message,
            Err(error) => return Ok(Err(error)),
        };
        let sent = self.actors.tell(&to, message);
        Ok(sent.map(|id| id.to_string()).map_err(Into::into))
    }

    async fn ask(
        &mut self,
        to: String,
        message_type: String,
        payload: Vec<u8>,
        timeout_ms: u64,
    ) -> Answer<Vec<u8>> {
        let message = match self.outgoing(&message_type, payload) {
            Ok(message) => message,
            Err(error) => return Ok(Err(error)),
        };
        let answer = self.actors.ask(&to, message, deadline(timeout_ms)).await;
        Ok(answer.map(|payload| payload.to_vec()).map_err(Into::into))
    }

    fn reply(&mut self, correlation_id: String, payload: Vec<u8>) -> Answer<()> {
        if !correlation_id.is_empty() {
            return not_yet("reply to an earlier ask");
        }
        let payload = match self.bounded(payload) {
            Ok(payload) => payload,
            Err(error) => return Ok(Err(error)),
        };
        Ok(match self.asker.take() {
            Some(asker) => {
                asker.send(Ok(payload));
                Ok(())
            }
            None => Err(actor_error(
                ErrorCode::InvalidMessage,
                "nobody waits for a reply to the current message",
            )),
        })
    }

    fn forward(
        &mut self,
        _: String,
        _: String,
        _: Vec<u8>,
        _: String,
        _: Option<String>,
    ) -> Answer<String> {
        not_yet("forward")
    }

    fn spawn(&mut self, _: String, _: Vec<u8>, _: SpawnOptions) -> Answer<String> {
        not_yet("spawn")
    }

    fn stop(&mut self, _: String, _: u64) -> Answer<()> {
        not_yet("stop")
    }

    fn link(&mut self, _: String) -> Answer<()> {
        not_yet("link")
    }

    fn unlink(&mut self, _: String) -> Answer<()> {
        not_yet("unlink")
    }

    fn monitor(&mut self, _: String) -> Answer<u64> {
        not_yet("monitor")
    }

    fn demonitor(&mut self, _: u64) -> Answer<()> {
        not_yet("demonitor")
    }

    fn self_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.actor.to_string())
    }

    /// No actor spawns another yet, so none has a parent.
    fn parent_id(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }

    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.actors.clock().wall_ms())
    }

    async fn sleep(&mut self, duration_ms: u64) -> wasmtime::Result<()> {
        tokio::time::sleep(Duration::from_millis(duration_ms)).await;
        Ok(())
    }

    fn send_after(&mut self, _: u64, _: String, _: Vec<u8>) -> Answer<u64> {
        not_yet("send-after")
    }

    fn cancel_timer(&mut self, _: u64) -> Answer<()> {
        not_yet("cancel-timer")
    }
}

impl types::Host for Guest {}

impl Guest {
    fn outgoing(&self, message_type: &str, payload: Vec<u8>) -> Result<Message, ActorError> {
        if message_type.chars().count() > limits::MESSAGE_TYPE_CHARS_MAX {
            let text = format!(
                "a message type has at most {} characters",
                limits::MESSAGE_TYPE_CHARS_MAX
            );
            return Err(actor_error(ErrorCode::InvalidMessage, text));
        }
        let payload = self.bounded(payload)?;
        Ok(self
            .actors
            .message(Arc::clone(self.actor.address()), message_type, payload))
    }
}

impl From<SendError> for ActorError {
    fn from(error: SendError) -> Self {
        let code = match &error {
            SendError::UnknownActor(_) => ErrorCode::ActorNotFound,
            SendError::MailboxFull(_) => ErrorCode::ResourceExhausted,
            SendError::Stopped(_) | SendError::Failed(Failure::Trapped(_)) => {
                ErrorCode::DeliveryFailed
            }
            SendError::DeadlineExceeded(_) => ErrorCode::Timeout,
            SendError::Failed(Failure::Refused(_)) => ErrorCode::Unknown,
            SendError::Failed(Failure::Unhandled(_)) => ErrorCode::NotImplemented,
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

fn not_yet<T>(what: &str) -> Answer<T> {
    Ok(Err(actor_error(
        ErrorCode::NotImplemented,
        format!("this node does not provide messaging.{what} yet"),
    )))
}

/// The same functions for core modules, which pass text and bytes as (pointer, length).
pub fn add_to_core_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        core_abi::MODULE,
        "send_message",
        |mut caller: Caller<'_, Guest>, to: i32, to_len: i32, message: i32, message_len: i32| {
            let to = core_abi::text(&mut caller, Slice(to, to_len))?;
            let payload = core_abi::bytes(&mut caller, Slice(message, message_len))?;
            let sent = caller
                .data_mut()
                .tell(to, "message".into(), payload.to_vec())?;
            Ok(core_abi::status(sent.map(drop)))
        },
    )?;
    linker.func_wrap(
        core_abi::MODULE,
        "tell",
        |mut caller: Caller<'_, Guest>,
         to: i32,
         to_len: i32,
         kind: i32,
         kind_len: i32,
         payload: i32,
         len: i32| {
            let to = core_abi::text(&mut caller, Slice(to, to_len))?;
            let kind = core_abi::text(&mut caller, Slice(kind, kind_len))?;
            let payload = core_abi::bytes(&mut caller, Slice(payload, len))?;
            let sent = caller.data_mut().tell(to, kind, payload.to_vec())?;
            Ok(core_abi::status(sent.map(drop)))
        },
    )?;
    type AskArguments = (i32, i32, i32, i32, i32, i32, i64, i32);
    linker.func_wrap_async(
        core_abi::MODULE,
        "ask",
        |mut caller: Caller<'_, Guest>, arguments: AskArguments| {
            let (to, to_len, kind, kind_len, payload, len, timeout_ms, answer_at) = arguments;
            Box::new(async move {
                let to = core_abi::text(&mut caller, Slice(to, to_len))?;
                let kind = core_abi::text(&mut caller, Slice(kind, kind_len))?;
                let payload = core_abi::bytes(&mut caller, Slice(payload, len))?;
                let answer = caller
                    .data_mut()
                    .ask(to, kind, payload.to_vec(), timeout_ms.cast_unsigned())
                    .await?;
                core_abi::answer(&mut caller, answer.map(Bytes::from), answer_at).await
            })
        },
    )?;
    linker.func_wrap(
        core_abi::MODULE,
        "reply",
        |mut caller: Caller<'_, Guest>, payload: i32, len: i32| {
            let payload = core_abi::bytes(&mut caller, Slice(payload, len))?;
            let replied = caller.data_mut().reply(String::new(), payload.to_vec())?;
            Ok(core_abi::status(replied))
        },
    )?;
    linker.func_wrap_async(
        core_abi::MODULE,
        "self_id",
        |mut caller: Caller<'_, Guest>, (answer_at,): (i32,)| {
            Box::new(async move {
                let id = caller.data_mut().self_id()?;
                core_abi::answer(&mut caller, Ok(Bytes::from(id)), answer_at).await
            })
        },
    )?;
    linker.func_wrap(core_abi::MODULE, "now", |mut caller: Caller<'_, Guest>| {
        Ok(caller.data_mut().now()?.cast_signed())
    })?;
    linker.func_wrap_async(
        core_abi::MODULE,
        "sleep",
        |mut caller: Caller<'_, Guest>, (duration_ms,): (i64,)| {
            Box::new(async move { caller.data_mut().sleep(duration_ms.cast_unsigned()).await })
        },
    )?;
    Ok(())
}
