//! A backup of the whole node, streamed as a tar archive.

use hyper::Response;
use hyper::header::{self, HeaderValue};
use tokio::sync::mpsc;

use super::Door;
use super::reply::{self, Body};
use crate::application::BrokenOff;
use crate::audit::Entry;
use crate::refusal::{Kind, Refusal};

/// GET /api/v1/backup
pub async fn backup(door: &Door, entry: Entry) -> Response<Body> {
    let (entry, backup) = match entry.prepared(door.applications.backup().await) {
        Ok(begun) => begun,
        Err(refusal) => return reply::refuse(&refusal),
    };
    let (pieces, body) = mpsc::channel(4);
    tokio::spawn(async move {
        let sent = backup.send(pieces).await;
        match &sent {
            Ok(()) => {}
            Err(error @ BrokenOff::Storage(_)) => log::error!("a backup broke off: {error}"),
            Err(error) => log::warn!("a backup broke off: {error}"),
        }
        // The answer had begun by then, so that only the trail tells of it.
        entry.ended(sent.map_err(refusal).as_ref());
    });
    let mut response = Response::new(Body::stream(body));
    let headers = response.headers_mut();
    let archive = HeaderValue::from_static("application/x-tar");
    headers.insert(header::CONTENT_TYPE, archive);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refusal(broken_off: BrokenOff) -> Refusal {
    match broken_off {
        BrokenOff::Storage(error) => error.into(),
        error @ (BrokenOff::Left | BrokenOff::Silent | BrokenOff::Slow) => {
            Refusal::new(Kind::Malformed, error.to_string())
        }
    }
}
