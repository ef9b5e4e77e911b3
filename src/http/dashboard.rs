//! The dashboard: static pages built into the binary. The figures they show come from `figures.rs` and `health.rs`.

use bytes::Bytes;
use hyper::Response;
use hyper::header::{self, HeaderValue};

use super::reply::{self, Body};

/// Nothing from elsewhere, nothing inline, nowhere to send anything but here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// GET /, /dashboard and /dashboard/node/{id}
pub fn page() -> Response<Body> {
    let mut response = asset(
        "text/html; charset=utf-8",
        include_bytes!("assets/index.html"),
    );
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

/// GET /assets/dashboard.js
pub fn script() -> Response<Body> {
    asset(
        "text/javascript; charset=utf-8",
        include_bytes!("assets/dashboard.js"),
    )
}

/// GET /assets/dashboard.css
pub fn style() -> Response<Body> {
    asset(
        "text/css; charset=utf-8",
        include_bytes!("assets/dashboard.css"),
    )
}

/// GET /assets/icon.svg
pub fn icon() -> Response<Body> {
    asset("image/svg+xml", include_bytes!("assets/icon.svg"))
}

fn asset(media_type: &'static str, bytes: &'static [u8]) -> Response<Body> {
    let mut response = reply::content(media_type, Bytes::from_static(bytes));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
