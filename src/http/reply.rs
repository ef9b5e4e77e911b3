//! Values and refusals as responses: the one place where either becomes HTTP.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::api;
pub use crate::gate::Body;
pub use crate::gate::incoming::{Silent, drain, heard};
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// 200 with a JSON body.
pub fn json(value: &impl Serialize) -> Response<Body> {
    json_with(StatusCode::OK, value)
}

/// Most answers are no longer.
const JSON_BYTES_USUAL: usize = 256;

pub fn json_with(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut text = Vec::with_capacity(JSON_BYTES_USUAL);
    serde_json::to_writer(&mut text, value).expect("the shapes of this API are JSON");
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
