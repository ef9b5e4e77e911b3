//! What an invoke asks for: which actor, what kind of message, and whether somebody waits for the answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::request::Parts;
use serde_json::Value;

use super::Door;
use crate::actor::{Match, SendError};
use crate::id::{ActorId, Scope};
use crate::limits;
use crate::message::{Failure, Message};
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

const PREFER: HeaderName = HeaderName::from_static("prefer");
const MESSAGE_TYPE: HeaderName = HeaderName::from_static("x-message-type");
const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-timeout-ms");

/// What a request asks for, by its method, query and headers.
pub struct Invocation {
    pub message_type: String,
    pub manner: Manner,
    /// The query as JSON, where the method has no body.
    pub payload: Option<Bytes>,
}

/// Whether somebody waits for the answer.
pub enum Manner {
    /// Answered as soon as the message lies in the mailbox.
    Tell,
    Ask {
        timeout: Duration,
    },
}

impl Invocation {
    pub fn of(parts: &Parts) -> Result<Self, Refusal> {
        let given = |name: HeaderName| {
            let value = parts.headers.get(name);
            value.map(|value| value.to_str().unwrap_or("\0"))
        };
        let query: Vec<_> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).collect();
        let has_body = matches!(parts.method, Method::POST | Method::PUT);
        let option = |name: HeaderName, in_query: &str| {
            let queried = query
                .iter()
                .rev()
                .find(|(key, _)| has_body && key == in_query)
                .map(|(_, value)| &**value);
            queried.or_else(|| given(name)).map(str::to_owned)
        };
        let message_type = message_type(option(MESSAGE_TYPE, "type"))?;
        let timeout = timeout(option(TIMEOUT_MS, "timeout_ms"))?;
        let manner = if lists(&parts.headers, PREFER, "respond-async") {
            Manner::Tell
        } else {
            Manner::Ask { timeout }
        };
        Ok(Self {
            message_type,
            manner,
            payload: (!has_body).then(|| as_json(&query)),
        })
    }
}

/// Whether a header that holds a list, in one line or several, has this item, whatever the parameters behind it.
pub fn lists(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let lines = headers.get_all(name).into_iter();
    let mut items = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    items.any(|item| {
        let item = item.split(';').next().unwrap_or_default();
        item.trim().eq_ignore_ascii_case(wanted)
    })
}

/// How refusals name what callers of HTTP give a message. The other doors put names of their own in their place.
pub const TYPE_GIVEN: &str = "X-Message-Type (or ?type=)";
pub const TIMEOUT_GIVEN: &str = "X-Timeout-Ms (or ?timeout_ms=)";

/// Whether callers may give a message this type: 1 to [`limits::MESSAGE_TYPE_CHARS_MAX`] printable characters.
pub fn is_message_type(text: &str) -> bool {
    let chars = text.chars().count();
    (1..=limits::MESSAGE_TYPE_CHARS_MAX).contains(&chars) && !text.contains(char::is_control)
}

/// The type of a message that names none is `call`.
pub fn message_type(given: Option<String>) -> Result<String, Refusal> {
    let message_type = given.unwrap_or_else(|| "call".to_owned());
    if is_message_type(&message_type) {
        return Ok(message_type);
    }
    let text = format!(
        "{TYPE_GIVEN} has 1 to {} printable characters",
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
            let text = format!("{TIMEOUT_GIVEN} is a number of milliseconds from 1 to {longest}");
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

impl Door {
    /// The whole address of the actor that a request means. Of one that is down by the wish of somebody, the refusal says
    /// how it comes back.
    pub fn address(&self, target: Target<'_>) -> Result<Arc<str>, Refusal> {
        let (tenant, namespace, actor_type) = match target {
            Target::Id(id) => {
                let unknown = || SendError::UnknownActor(id.chars().take(255).collect()).into();
                let absent = || self.applications.why_absent(id).unwrap_or_else(unknown);
                return self.actors.address(id).ok_or_else(absent);
            }
            Target::Type {
                tenant,
                namespace,
                actor_type,
            } => (tenant, namespace, actor_type),
        };
        match self.actors.find(&tenant, namespace, actor_type) {
            Match::One(actor) => Ok(actor.address().clone()),
            Match::None => {
                if let Some(refusal) = self.applications.why_silent(&tenant, namespace, actor_type)
                {
                    return Err(refusal);
                }
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

    /// Delivers a message, and waits for the answer where one is asked for. A client that leaves meanwhile changes
    /// nothing.
    pub async fn send(
        &self,
        to: Arc<str>,
        message: Message,
        manner: Manner,
    ) -> Result<Option<Bytes>, Refusal> {
        match manner {
            Manner::Tell => {
                self.actors.tell(&to, message)?;
                Ok(None)
            }
            Manner::Ask { timeout } => {
                let (door, deadline) = (self.clone(), self.actors.clock().now() + timeout);
                let asking = async move { Ok(door.actors.ask(&to, message, deadline).await?) };
                self.shutdown.outlast(asking).await.map(Some)
            }
        }
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
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
        let mut text = error.to_string();
        if let SendError::DeadlineExceeded(address) = &error {
            let application = address.split(['/', '@']).next().unwrap_or_default();
            text.push_str(&format!(
                "; give it longer with {TIMEOUT_GIVEN}, or see whether it is busy: \
                 GET /api/v1/applications/{application}"
            ));
        }
        Refusal::new(kind, text)
    }
}

/// The answer to a message over its limit.
pub fn too_large() -> Refusal {
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
