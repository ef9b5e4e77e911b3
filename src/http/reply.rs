//! Values and refusals as responses: the one place where either becomes HTTP.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::time::timeout;

use super::api;
pub use super::body::Body;
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// 200 with a JSON body.
pub fn json(value: &impl Serialize) -> Response<Body> {
    json_with(StatusCode::OK, value)
}

pub fn json_with(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).expect("the shapes of this API are JSON");
    let mut response = content("application/json", text.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 200 with a body of this type.
pub fn content(media_type: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(bytes.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A refusal, by its kind's status and code.
pub fn refuse(refusal: &Refusal) -> Response<Body> {
    let status =
        StatusCode::from_u16(refusal.kind.status()).expect("the table holds HTTP statuses");
    let end = refusal.message.floor_char_boundary(limits::ERROR_BYTES_MAX);
    let error = api::Error {
        success: false,
        error: &refusal.message[..end],
        code: refusal.kind.code(),
    };
    let mut response = json_with(status, &error);
    if refusal.kind == Kind::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// A refusal of a request whose body was not read: some of it is read and dropped, so that a client that is still
/// sending gets to see the answer. One that waits for `100 Continue` sees it anyway.
pub fn refuse_early(refusal: Refusal, headers: &HeaderMap, body: Incoming) -> Response<Body> {
    if !headers.contains_key(header::EXPECT) {
        drain(body);
    }
    refuse(&refusal)
}

/// Reads what is left of a body in the background, within bounds, and drops it.
pub fn drain(mut body: Incoming) {
    tokio::spawn(timeout(limits::REFUSED_BODY_TIME_MAX, async move {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > limits::REFUSED_BODY_BYTES_MAX {
                break;
            }
        }
    }));
}

pub fn retry_after(mut response: Response<Body>, seconds: u64) -> Response<Body> {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The answer to HEAD: all of GET's headers, nothing else.
pub fn without_body(mut response: Response<Body>) -> Response<Body> {
    let bytes = hyper::body::Body::size_hint(response.body())
        .exact()
        .unwrap_or(0);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    *response.body_mut() = Body::empty();
    response
}

/// Waits for a piece of a body no longer than a body may be silent.
pub async fn heard<T>(piece: impl Future<Output = T>) -> Result<T, Silent> {
    timeout(limits::BODY_SILENCE_MAX, piece)
        .await
        .map_err(|_| Silent(limits::BODY_SILENCE_MAX))
}

/// The client stopped sending in the middle of its body.
#[derive(Debug, thiserror::Error)]
#[error("nothing more of the request's body came for {0:?}; send it again")]
pub struct Silent(Duration);
