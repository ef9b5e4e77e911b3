//! Ask or tell an actor over HTTP, and embed its answer.

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode, header};

use super::gathered::Gathered;
use super::reply::{self, Body, heard};
use super::{Door, api};
use crate::budget::{Budget, Share};
use crate::gate::incoming;
use crate::gate::invocation::{self, Invocation, Target};
use crate::limits;
use crate::payload::Payload;
use crate::refusal::{Kind, Refusal};

/// GET POST PUT DELETE /api/v1/actors/{namespace}/{actor_type}, the same below a tenant, and POST to one by its id
pub async fn invoke(
    door: &Door,
    target: Target<'_>,
    parts: Parts,
    mut body: Incoming,
) -> Response<Body> {
    let prepared = Invocation::of(&parts).and_then(|it| Ok((door.address(target)?, it)));
    let (to, invocation) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return reply::refuse_early(refusal, &parts.headers, body),
    };
    if body.size_hint().lower() > limits::MESSAGE_BYTES_MAX as u64 {
        return reply::refuse_early(invocation::too_large(), &parts.headers, body);
    }
    let wants_octets = invocation::lists(&parts.headers, header::ACCEPT, OCTETS);
    // The head lies in the connection's buffer, which is free for the next request once nobody holds it.
    drop(parts);
    let budget = door.actors.budget();
    let (payload, share) = match invocation.payload {
        Some(payload) => (payload, budget.nothing()),
        None => match read(budget, &mut body).await {
            Ok(read) => read,
            Err(refusal) => {
                reply::drain(body);
                return told_to_wait(&refusal);
            }
        },
    };
    let from = door.http_sender.clone();
    let message = door
        .actors
        .message(from, &*invocation.message_type, payload);
    // From here on the mailbox counts it, which could not while it is counted here.
    drop(share);
    let id = message.id;
    match door.send(to.clone(), message, invocation.manner).await {
        Ok(None) => {
            let (success, message_id) = (true, id.to_string());
            let told = api::Told {
                success,
                message_id,
            };
            reply::json_with(StatusCode::ACCEPTED, &told)
        }
        Ok(Some(answer)) if wants_octets => counted(door, reply::content(OCTETS, answer)),
        Ok(Some(answer)) => counted(door, render(&to, &answer)),
        Err(refusal) => told_to_wait(&refusal),
    }
}

const OCTETS: &str = "application/octet-stream";

/// A payload with the share that it has of the node's bytes.
pub async fn read(budget: &Budget, body: &mut Incoming) -> Result<(Bytes, Share), Refusal> {
    let announced = body.size_hint().exact().map(|bytes| bytes as usize);
    let bytes_max = announced.unwrap_or(limits::MESSAGE_BYTES_MAX);
    let mut payload = Gathered::new(bytes_max.min(limits::MESSAGE_BYTES_MAX));
    let mut share = budget.nothing();
    let reading = incoming::pieces(body, &mut share, |piece| match payload.add(&piece) {
        true => Ok(()),
        false => Err(invocation::too_large()),
    });
    heard(reading).await??;
    Ok((payload.freeze(), share))
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

pub fn counted(door: &Door, mut answer: Response<Body>) -> Response<Body> {
    answer.body_mut().count(door.actors.budget());
    answer
}

/// A refusal, and when to try again where that helps.
pub fn told_to_wait(refusal: &Refusal) -> Response<Body> {
    let response = reply::refuse(refusal);
    match refusal.kind {
        Kind::Exhausted | Kind::Unavailable => reply::retry_after(response, 1),
        _ => response,
    }
}
