//! The dashboard: static pages built into the binary, and the figures they show.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hyper::Response;
use hyper::header::{self, HeaderValue};

use super::reply::{self, Body};
use super::{Door, api};
use crate::clock::rfc3339;

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

/// GET /api/v1/dashboard/summary
pub fn summary(door: &Door) -> Response<Body> {
    let applications = door.applications.list();
    let tenants: BTreeSet<String> = applications
        .iter()
        .map(|overview| overview.spec.tenant.to_string())
        .collect();
    let mut actors_by_type = BTreeMap::new();
    for actor in applications.iter().flat_map(|overview| &overview.actors) {
        *actors_by_type.entry(actor.actor_type.clone()).or_default() += 1;
    }
    let clock = door.actors.clock();
    reply::json(&api::Summary {
        total_clusters: 0,
        total_nodes: 1,
        total_tenants: tenants.len(),
        total_applications: applications.len(),
        actors_by_type,
        since: rfc3339(door.started_at),
        until: rfc3339(clock.wall()),
        node_id: door.actors.node().to_string(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

fn asset(media_type: &'static str, bytes: &'static [u8]) -> Response<Body> {
    let mut response = reply::content(media_type, Bytes::from_static(bytes));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
