//! Whether the node serves.

use hyper::{Response, StatusCode};

use super::reply::{self, Body};
use super::{Door, api};

/// GET /health
pub fn health(door: &Door) -> Response<Body> {
    let stopping = door.shutdown.has_begun();
    let (code, status, reason) = if stopping {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not_serving",
            Some("the node is stopping"),
        )
    } else {
        (StatusCode::OK, "healthy", None)
    };
    let health = api::Health {
        status,
        node_id: door.actors.node(),
        version: env!("CARGO_PKG_VERSION"),
        reason,
    };
    reply::json_with(code, &health)
}
