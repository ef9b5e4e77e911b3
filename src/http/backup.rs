//! A backup of the whole node, streamed as a tar archive.

use hyper::Response;
use hyper::header::{self, HeaderValue};
use tokio::sync::mpsc;

use super::Door;
use super::reply::{self, Body};
use crate::application::BrokenOff;
use crate::audit::Entry;

/// GET /api/v1/backup
pub async fn backup(door: &Door, entry: Entry) -> Response<Body> {
    let backup = door.applications.backup().await;
    entry.ended(backup.as_ref());
    let backup = match backup {
        Ok(backup) => backup,
        Err(refusal) => return reply::refuse(&refusal),
    };
    let (pieces, body) = mpsc::channel(4);
    tokio::spawn(async move {
        match backup.send(pieces).await {
            Ok(()) => {}
            Err(error @ BrokenOff::Storage(_)) => log::error!("a backup broke off: {error}"),
            Err(error) => log::warn!("a backup broke off: {error}"),
        }
    });
    let mut response = Response::new(Body::stream(body));
    let headers = response.headers_mut();
    let archive = HeaderValue::from_static("application/x-tar");
    headers.insert(header::CONTENT_TYPE, archive);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
