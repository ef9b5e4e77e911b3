//! Ask or tell an actor over HTTP, and embed its answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::gathered::Gathered;
use super::reply::{self, Body, heard};
use super::{Door, api};
use crate::actor::{Match, SendError};
use crate::budget::{Budget, Share};
use crate::id::{ActorId, Scope};
use crate::limits;
use crate::message::Failure;
use crate::payload::Payload;
use crate::refusal::{Kind, Refusal};

/// Which actor a path means.
pub enum Target<'a> {
    Type {
        tenant: Scope,
        namespace: &'a str,
        actor_type: &'a str,
    },
    Id(&'a str),
}

/// GET POST PUT DELETE /api/v1/actors/{namespace}/{actor_type}, the same below a tenant, and POST to one by its id
pub async fn invoke(
    door: &Door,
    target: Target<'_>,
    parts: &Parts,
    mut body: Incoming,
) -> Response<Body> {
    let prepared = Call::of(parts).and_then(|call| Ok((address(door, target)?, call)));
    let (address, call) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return reply::refuse_early(refusal, &parts.headers, body),
    };
    if body.size_hint().lower() > limits::MESSAGE_BYTES_MAX as u64 {
        return reply::refuse_early(too_large(), &parts.headers, body);
    }
    let actors = door.actors.clone();
    let (payload, share) = match call.payload {
        Some(payload) => (payload, actors.budget().nothing()),
        None => match read(actors.budget(), &mut body).await {
            Ok(read) => read,
            Err(refusal) => {
                reply::drain(body);
                return told_to_wait(&refusal);
            }
        },
    };
    let message = actors.message(
        format!("http@{}", actors.node()).into(),
        &call.message_type,
        payload,
    );
    // From here on the mailbox counts it, which could not while it is counted here.
    drop(share);
    match call.manner {
        Manner::Tell => match actors.tell(&address, message) {
            Ok(id) => reply::json_with(
                StatusCode::ACCEPTED,
                &api::Told {
                    success: true,
                    message_id: id.to_string(),
                },
            ),
            Err(error) => refused(error),
        },
        Manner::Ask { timeout, raw } => {
            let deadline = actors.clock().now() + timeout;
            let to = address.clone();
            // From here on a client that leaves changes nothing.
            let asking = async move { Ok(actors.ask(&to, message, deadline).await) };
            match door.to_its_end(asking).await {
                Ok(Ok(answer)) if raw => counted(door, reply::content(OCTETS, answer)),
                Ok(Ok(answer)) => counted(door, render(&address, &answer)),
                Ok(Err(error)) => refused(error),
                Err(refusal) => reply::refuse(&refusal),
            }
        }
    }
}

const OCTETS: &str = "application/octet-stream";
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What a request asks for, by its method, query and headers.
struct Call {
    message_type: String,
    manner: Manner,
    /// The query as JSON, where the method has no body.
    payload: Option<Bytes>,
}

enum Manner {
    /// Answered as soon as the message lies in the mailbox.
    Tell,
    Ask {
        timeout: Duration,
        /// The reply's bytes as they are, not embedded in JSON.
        raw: bool,
    },
}

impl Call {
    fn of(parts: &Parts) -> Result<Self, Refusal> {
        let given = |name: &str| {
            let value = parts.headers.get(name);
            value.map(|value| value.to_str().unwrap_or("\0"))
        };
        let query: Vec<_> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).collect();
        let has_body = matches!(parts.method, Method::POST | Method::PUT);
        let option = |name: &str, in_query: &str| {
            let queried = query
                .iter()
                .rev()
                .find(|(key, _)| has_body && key == in_query)
                .map(|(_, value)| &**value);
            queried.or_else(|| given(name)).map(str::to_owned)
        };
        let message_type = message_type(option("x-message-type", "type"))?;
        let timeout = timeout(option("x-timeout-ms", "timeout_ms"))?;
        let manner = if lists(&parts.headers, PREFER, "respond-async") {
            Manner::Tell
        } else {
            let raw = lists(&parts.headers, header::ACCEPT, OCTETS);
            Manner::Ask { timeout, raw }
        };
        Ok(Self {
            message_type,
            manner,
            payload: (!has_body).then(|| as_json(&query)),
        })
    }
}

/// Whether a header that holds a list, in one line or several, has this item, whatever the parameters behind it.
fn lists(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let lines = headers.get_all(name).into_iter();
    let mut items = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    items.any(|item| {
        let item = item.split(';').next().unwrap_or_default();
        item.trim().eq_ignore_ascii_case(wanted)
    })
}

fn message_type(given: Option<String>) -> Result<String, Refusal> {
    let message_type = given.unwrap_or_else(|| "call".to_owned());
    let chars = message_type.chars().count();
    if (1..=limits::MESSAGE_TYPE_CHARS_MAX).contains(&chars)
        && !message_type.contains(char::is_control)
    {
        return Ok(message_type);
    }
    let text = format!(
        "X-Message-Type (or ?type=) has 1 to {} printable characters",
        limits::MESSAGE_TYPE_CHARS_MAX
    );
    Err(Refusal::new(Kind::Malformed, text))
}

fn timeout(given: Option<String>) -> Result<Duration, Refusal> {
    let longest = limits::ASK_TIME_MAX.as_millis() as u64;
    match given.as_deref().map(str::parse) {
        None => Ok(limits::ASK_TIME_DEFAULT),
        Some(Ok(ms)) if (1..=longest).contains(&ms) => Ok(Duration::from_millis(ms)),
        Some(_) => {
            let text = format!(
                "X-Timeout-Ms (or ?timeout_ms=) is a number of milliseconds from 1 to {longest}"
            );
            Err(Refusal::new(Kind::Malformed, text))
        }
    }
}

/// A query as a JSON object of strings; a key that is repeated becomes a list.
fn as_json(query: &[(Cow<'_, str>, Cow<'_, str>)]) -> Bytes {
    let mut object = serde_json::Map::new();
    for (key, value) in query {
        let value = Value::from(&**value);
        match object.get_mut(&**key) {
            None => drop(object.insert(key.to_string(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    serde_json::to_vec(&object)
        .expect("a map of strings is JSON")
        .into()
}

fn address(door: &Door, target: Target<'_>) -> Result<Arc<str>, Refusal> {
    let (tenant, namespace, actor_type) = match target {
        Target::Id(id) => {
            let unknown = || refusal_of(SendError::UnknownActor(id.chars().take(255).collect()));
            return door.actors.address(id).ok_or_else(unknown);
        }
        Target::Type {
            tenant,
            namespace,
            actor_type,
        } => (tenant, namespace, actor_type),
    };
    match door.actors.find(&tenant, namespace, actor_type) {
        Match::One(actor) => Ok(actor.address().clone()),
        Match::None => {
            if let Some(refusal) = door.applications.why_silent(namespace, actor_type) {
                return Err(refusal);
            }
            let shown = |text: &str| text.chars().take(128).collect::<String>();
            let of_tenant = match tenant == Scope::default() {
                true => String::new(),
                false => format!(" of tenant {:?}", shown(&tenant)),
            };
            let text = format!(
                "no actor of type {:?} in namespace or application {:?}{of_tenant}; \
                 GET /api/v1/applications lists those deployed",
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

/// A payload with the share that it has of the node's bytes.
pub async fn read(budget: &Budget, body: &mut Incoming) -> Result<(Bytes, Share), Refusal> {
    let announced = body.size_hint().exact().map(|bytes| bytes as usize);
    let bytes_max = announced.unwrap_or(limits::MESSAGE_BYTES_MAX);
    let mut payload = Gathered::new(bytes_max.min(limits::MESSAGE_BYTES_MAX));
    let mut share = budget.nothing();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(broken)?;
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if !share.grow(piece.len()) {
                return Err(no_room());
            }
            if !payload.add(&piece) {
                return Err(too_large());
            }
        }
        Ok(())
    };
    let read = heard(reading).await;
    read.map_err(|silent| Refusal::new(Kind::Malformed, silent.to_string()))??;
    Ok((payload.freeze(), share))
}

fn broken(error: hyper::Error) -> Refusal {
    Refusal::new(
        Kind::Malformed,
        format!("the request's body broke off: {error}"),
    )
}

fn no_room() -> Refusal {
    let text = "this node keeps as many bytes in messages as it may; send again later";
    Refusal::new(Kind::Exhausted, text)
}

fn render(address: &str, answer: &[u8]) -> Response<Body> {
    let (payload, payload_encoding) = Payload::of(answer);
    let headers = std::collections::BTreeMap::new();
    reply::json(&api::Invoked {
        success: true,
        payload,
        payload_encoding,
        headers,
        actor_id: address,
    })
}

pub fn counted(door: &Door, answer: Response<Body>) -> Response<Body> {
    answer.map(|body| body.counted(door.actors.budget()))
}

fn refused(error: SendError) -> Response<Body> {
    told_to_wait(&refusal_of(error))
}

/// A refusal, and when to try again where that helps.
pub fn told_to_wait(refusal: &Refusal) -> Response<Body> {
    let response = reply::refuse(refusal);
    match refusal.kind {
        Kind::Exhausted | Kind::Unavailable => reply::retry_after(response, 1),
        _ => response,
    }
}

fn refusal_of(error: SendError) -> Refusal {
    let kind = match &error {
        SendError::UnknownActor(_) => Kind::NotFound,
        SendError::TooLong { .. } => Kind::TooLarge,
        SendError::MailboxFull(_)
        | SendError::NodeFull(_)
        | SendError::Failed(Failure::NoRoom(_)) => Kind::Exhausted,
        SendError::Stopped(_) => Kind::Unavailable,
        SendError::DeadlineExceeded(_) => Kind::DeadlineExceeded,
        SendError::Failed(Failure::Unhandled(_)) => Kind::Unprocessable,
        SendError::Failed(_) => Kind::GuestFailed,
    };
    Refusal::new(kind, error.to_string())
}

fn too_large() -> Refusal {
    let text = format!(
        "Payload too large: a message has at most {} bytes",
        limits::MESSAGE_BYTES_MAX
    );
    Refusal::new(Kind::TooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_lists_what_any_of_its_lines_does() {
        let check = |lines: &[&'static str], expected: bool| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, line.parse().unwrap());
            }
            let listed = lists(&headers, PREFER, "respond-async");
            assert_eq!(listed, expected, "{lines:?}");
        };
        check(&["respond-async"], true);
        check(&["Respond-Async"], true);
        check(&["handling=lenient", "wait=10, respond-async"], true);
        check(&["respond-async;x=1"], true);
        check(&["handling=lenient"], false);
        check(&["x;respond-async"], false);
        check(&[], false);
    }

    #[test]
    fn a_query_becomes_an_object_and_a_repeated_key_a_list() {
        let check = |query: &str, expected: &str| {
            let parsed: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            assert_eq!(as_json(&parsed), expected, "{query}");
        };
        check("", "{}");
        check("a=1&b=two%20words", r#"{"a":"1","b":"two words"}"#);
        check("a=1&a=2&a=3&b", r#"{"a":["1","2","3"],"b":""}"#);
    }
}
