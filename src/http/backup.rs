//! A backup of the whole node, streamed as a tar archive.

use hyper::Response;
use hyper::header::{self, HeaderValue};
use tokio::sync::{mpsc, oneshot};

use super::Door;
use super::reply::{self, Body};
use crate::application::BrokenOff;
use crate::audit::Entry;

/// GET /api/v1/backup
pub async fn backup(door: &Door, entry: Entry) -> Response<Body> {
    let (entry, backup) = match entry.prepared(door.applications.backup().await) {
        Ok(begun) => begun,
        Err(refusal) => return reply::refuse(&refusal),
    };
    let (pieces, body) = mpsc::channel(4);
    let (whole, told) = oneshot::channel();
    tokio::spawn(async move {
        // The answer has begun by then: where this breaks off it ends without its end, and the trail tells why.
        match backup.send(pieces).await {
            Ok(()) => {
                let _ = whole.send(());
                entry.ended(Ok(()));
            }
            Err(BrokenOff::Storage(error)) => {
                log::error!("a backup broke off: {error}");
                entry.refused(&error.into());
            }
            // Dropped, the entry says that it was abandoned.
            Err(left) => log::warn!("a backup broke off: {left}"),
        }
    });
    let mut response = Response::new(Body::stream_until(body, told));
    let headers = response.headers_mut();
    let archive = HeaderValue::from_static("application/x-tar");
    headers.insert(header::CONTENT_TYPE, archive);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
