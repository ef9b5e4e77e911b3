//! Ask an actor and embed its answer.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use std::time::Duration;

use super::reply::{self, Body, heard};
use super::{Door, api};
use crate::actor::{Match, SendError};
use crate::id::{ActorId, Scope};
use crate::limits;
use crate::message::Failure;
use crate::refusal::{Kind, Refusal};

/// POST /api/v1/actors/{namespace}/{actor_type}
pub async fn invoke(
    door: &Door,
    namespace: &str,
    actor_type: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> Response<Body> {
    let (actor, call) =
        match find(door, namespace, actor_type).and_then(|actor| Ok((actor, Call::of(headers)?))) {
            Ok(found) => found,
            Err(refusal) => return reply::refuse_early(refusal, headers, body),
        };
    if body.size_hint().lower() > limits::MESSAGE_BYTES_MAX as u64 {
        return reply::refuse_early(too_large(), headers, body);
    }
    let payload = match read(body).await {
        Ok(payload) => payload,
        Err(refusal) => return reply::refuse(&refusal),
    };
    let actors = door.actors.clone();
    let message = actors.message(
        format!("http@{}", actors.node()).into(),
        &call.message_type,
        payload,
    );
    let deadline = actors.clock().now() + call.timeout;
    let address = actor.address().clone();
    // From here on a client that leaves changes nothing.
    let asked = door
        .shutdown
        .finish(async move { actors.ask(&address, message, deadline).await })
        .await;
    match asked.expect("an ask does not panic") {
        Ok(answer) => render(&actor, &answer),
        Err(error) => refused(error),
    }
}

/// How an ask is to be made, by the request's headers.
struct Call {
    message_type: String,
    timeout: Duration,
}

impl Call {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let header = |name| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap_or("\0"))
        };
        let message_type = header("x-message-type").unwrap_or("call");
        let chars = message_type.chars().count();
        if !(1..=limits::MESSAGE_TYPE_CHARS_MAX).contains(&chars)
            || message_type.contains(char::is_control)
        {
            let text = format!(
                "X-Message-Type has 1 to {} printable characters",
                limits::MESSAGE_TYPE_CHARS_MAX
            );
            return Err(Refusal::new(Kind::Malformed, text));
        }
        let longest = limits::ASK_TIME_MAX.as_millis() as u64;
        let timeout = match header("x-timeout-ms").map(str::parse) {
            None => limits::ASK_TIME_DEFAULT,
            Some(Ok(ms)) if (1..=longest).contains(&ms) => Duration::from_millis(ms),
            Some(_) => {
                let text = format!("X-Timeout-Ms is a number of milliseconds from 1 to {longest}");
                return Err(Refusal::new(Kind::Malformed, text));
            }
        };
        Ok(Self {
            message_type: message_type.to_owned(),
            timeout,
        })
    }
}

fn find(door: &Door, namespace: &str, actor_type: &str) -> Result<ActorId, Refusal> {
    match door.actors.find(&Scope::default(), namespace, actor_type) {
        Match::One(actor) => Ok(actor),
        Match::None => {
            let shown = |text: &str| text.chars().take(128).collect::<String>();
            let text = format!(
                "no actor of type {:?} in namespace or application {:?}; GET /api/v1/applications lists those deployed",
                shown(actor_type),
                shown(namespace)
            );
            Err(Refusal::new(Kind::NotFound, text))
        }
        Match::Several(actors) => {
            let ids: Vec<String> = actors.iter().map(ActorId::to_string).collect();
            let text = format!(
                "several applications have such an actor: {}; name the application",
                ids.join(", ")
            );
            Err(Refusal::new(Kind::FailedPrecondition, text))
        }
    }
}

async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let limited = Limited::new(body, limits::MESSAGE_BYTES_MAX);
    match heard(limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Refusal::new(
            Kind::Malformed,
            format!("the request's body broke off: {error}"),
        )),
        Err(silent) => Err(Refusal::new(Kind::Malformed, silent.to_string())),
    }
}

fn render(actor: &ActorId, answer: &[u8]) -> Response<Body> {
    let (payload, payload_encoding) = api::Payload::of(answer);
    let headers = std::collections::BTreeMap::new();
    reply::json(&api::Invoked {
        success: true,
        payload,
        payload_encoding,
        headers,
        actor_id: actor.address(),
    })
}

fn refused(error: SendError) -> Response<Body> {
    let kind = match &error {
        SendError::UnknownActor(_) => Kind::NotFound,
        SendError::MailboxFull(_) | SendError::Failed(Failure::NoRoom(_)) => Kind::Exhausted,
        SendError::Stopped(_) => Kind::Unavailable,
        SendError::DeadlineExceeded(_) => Kind::DeadlineExceeded,
        SendError::Failed(Failure::Unhandled(_)) => Kind::Unprocessable,
        SendError::Failed(_) => Kind::GuestFailed,
    };
    let response = reply::refuse(&Refusal::new(kind, error.to_string()));
    match kind {
        Kind::Exhausted | Kind::Unavailable => reply::retry_after(response, 1),
        _ => response,
    }
}

fn too_large() -> Refusal {
    let text = format!(
        "Payload too large: a message has at most {} bytes",
        limits::MESSAGE_BYTES_MAX
    );
    Refusal::new(Kind::TooLarge, text)
}
