//! Upload, download, list and remove blobs over HTTP: for the tools of a fleet; both ways are streamed.

use std::time::{Duration, SystemTime};

use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::paging::Paging;
use super::query::Query;
use super::range::{self, Range};
use super::reply::{self, Body};
use super::{Door, api, invoke};
use crate::application::Streaming;
use crate::audit::Entry;
use crate::budget::Share;
use crate::gate::incoming::{Paced, heard};
use crate::id::Scope;
use crate::limits;
use crate::place::Place;
use crate::refusal::{Kind, Refusal};
use crate::storage::{
    Blob, BlobError, BlobName, Deposit, Deposited, Label, Listed, Pieces, Wanted,
};

const OCTETS: &str = "application/octet-stream";
const BLOB_ID: HeaderName = HeaderName::from_static("x-blob-id");
/// Pieces of a download that wait for a slow client, the one being read and the one being sent included.
const PIECES_HELD: usize = 3;

/// PUT /api/v1/blobs/{bucket}/{key...}
pub async fn put(
    door: &Door,
    entry: Entry,
    parts: &Parts,
    mut body: Incoming,
    (bucket, key): (&str, &str),
) -> Response<Body> {
    let query = Query::of(parts.uri.query());
    let opened = async {
        let label = prepared(&query, &parts.headers, bucket, key)?;
        Ok((label, opened(door, &body).await?))
    };
    let (label, (streaming, deposit)) = match opened.await {
        Ok(opened) => opened,
        Err(refusal) => {
            entry.refused(&refusal);
            let patience = patience(&refusal);
            return patience(reply::refuse_early(refusal, &parts.headers, body));
        }
    };
    let received = received(&mut body, &query, streaming, deposit).await;
    let deposited = match received {
        Ok(deposited) => deposited,
        Err(refusal) => {
            entry.refused(&refusal);
            reply::drain(body);
            return patience(&refusal)(reply::refuse(&refusal));
        }
    };
    // From here on a client that leaves changes nothing.
    let keeping = async move { Ok(deposited.keep(label).await?) };
    match door.carry_out(entry, keeping).await {
        Ok(blob) => reply::json(&api::Stored {
            success: true,
            blob: (&blob).into(),
        }),
        Err(refusal) => invoke::told_to_wait(&refusal),
    }
}

/// What is added to the answer where it helps to try again.
fn patience(refusal: &Refusal) -> fn(Response<Body>) -> Response<Body> {
    match refusal.kind {
        Kind::Exhausted | Kind::Unavailable => {
            |response| reply::retry_after(response, limits::UPLOAD_RETRY_AFTER.as_secs())
        }
        _ => |response| response,
    }
}

fn prepared(query: &Query, headers: &HeaderMap, bucket: &str, key: &str) -> Result<Label, Refusal> {
    let place = query.place()?;
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| {
        let text = value.to_str().map(str::to_owned);
        text.map_err(|_| BlobError::ContentType)
    });
    // What tools put there counts as the namespace's.
    let owner = place.to_string();
    Ok(Label::parse(
        &place,
        &owner,
        bucket,
        key,
        content_type.transpose()?,
    )?)
}

/// A place among the uploads and on the disk, before anything of the body is asked for.
async fn opened(door: &Door, body: &Incoming) -> Result<(Streaming, Deposit), Refusal> {
    let streaming = door.applications.begin_stream()?;
    let blobs = &door.services.storage.blobs;
    let deposit = blobs.deposit(body.size_hint().exact()).await?;
    Ok((streaming, deposit))
}

/// Streams the body to the disk.
async fn received(
    body: &mut Incoming,
    query: &Query,
    streaming: Streaming,
    mut deposit: Deposit,
) -> Result<Deposited, Refusal> {
    let receiving = async {
        let mut paced = Paced::new(body);
        while let Some(chunk) = paced.next().await? {
            streaming.received(chunk.len());
            deposit.write(chunk).await?;
        }
        let deposited = deposit.finish().await?;
        query.check_digest(deposited.digest)?;
        Ok(deposited)
    };
    streaming.receive(receiving).await
}

/// GET /api/v1/blobs/{bucket}/{key...}
pub async fn fetch(door: &Door, parts: &Parts, (bucket, key): (&str, &str)) -> Response<Body> {
    let fetched = fetched(door, parts, bucket, key).await;
    fetched.unwrap_or_else(|refusal| invoke::told_to_wait(&refusal))
}

async fn fetched(
    door: &Door,
    parts: &Parts,
    bucket: &str,
    key: &str,
) -> Result<Response<Body>, Refusal> {
    let (place, name) = named(parts, bucket, key)?;
    let (blob, content) = door.services.storage.blobs.open(&place, &name).await?;
    let etag = format!("\"{}\"", blob.digest);
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), &blob, &etag);
    if range::names(&parts.headers, header::IF_NONE_MATCH, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let range = range::wanted(&parts.headers, &etag, blob.bytes);
    let (from, bytes) = match range {
        Range::Whole => (0, blob.bytes),
        Range::Part { from, bytes } => {
            let last = from + bytes - 1;
            let shown = format!("bytes {from}-{last}/{}", blob.bytes);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            put_text(response.headers_mut(), header::CONTENT_RANGE, &shown);
            (from, bytes)
        }
        Range::Beyond => return Ok(beyond(blob.bytes)),
    };
    if bytes > 0 {
        let share = door
            .actors
            .budget()
            .take(PIECES_HELD * limits::CHUNK_BYTES_MAX);
        let share = share.ok_or_else(|| {
            let text = "this node keeps as many bytes in messages as it may; ask again later";
            Refusal::new(Kind::Exhausted, text)
        })?;
        let pieces = content.part(from, bytes).await?;
        *response.body_mut() = sent(pieces, bytes, share);
    }
    Ok(response)
}

/// A task reads ahead, one piece at a time, and ends with the client's interest.
fn sent(mut pieces: Pieces, bytes: u64, share: Share) -> Body {
    let (sender, body) = mpsc::channel(1);
    tokio::spawn(async move {
        let _share = share;
        loop {
            match pieces.next().await {
                Ok(piece) if piece.is_empty() => return,
                Ok(piece) => match heard(sender.send(piece)).await {
                    Ok(Ok(())) => {}
                    // The client has left, or takes nothing any more.
                    Ok(Err(_)) | Err(_) => return,
                },
                // The answer ends short of its length, so the client knows.
                Err(error) => return log::error!("a download broke off: {error}"),
            }
        }
    });
    Body::stream_of(body, bytes)
}

fn beyond(bytes: u64) -> Response<Body> {
    let text = format!("the range begins past the end of the blob, which has {bytes} bytes");
    let mut response = reply::refuse(&Refusal::new(Kind::RangeNotSatisfiable, text));
    put_text(
        response.headers_mut(),
        header::CONTENT_RANGE,
        &format!("bytes */{bytes}"),
    );
    response
}

/// A browser that is led here must neither run nor show what somebody stored: it would do so as this node.
fn describe(headers: &mut HeaderMap, blob: &Blob, etag: &str) {
    let content_type = blob.content_type.as_deref().unwrap_or(OCTETS);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(blob.modified_ms);
    put_text(headers, header::CONTENT_TYPE, content_type);
    put_text(headers, header::ETAG, etag);
    put_text(headers, header::LAST_MODIFIED, &range::http_date(modified));
    put_text(headers, BLOB_ID, &blob.id);
    for (name, value) in [
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn put_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// DELETE /api/v1/blobs/{bucket}/{key...}
pub async fn delete(
    door: &Door,
    entry: Entry,
    parts: &Parts,
    (bucket, key): (&str, &str),
) -> Response<Body> {
    let (place, name) = match named(parts, bucket, key) {
        Ok(named) => named,
        Err(refusal) => {
            entry.refused(&refusal);
            return reply::refuse(&refusal);
        }
    };
    let blobs = door.services.storage.blobs.clone();
    let deleting = async move { Ok(blobs.delete(&place, &name).await?) };
    match door.carry_out(entry, deleting).await {
        Ok(()) => reply::json(&api::Done { success: true }),
        Err(refusal) => invoke::told_to_wait(&refusal),
    }
}

/// GET /api/v1/blobs/{bucket}
pub async fn list(door: &Door, query: Option<&str>, bucket: &str) -> Response<Body> {
    match listed(door, query, bucket).await {
        Ok((listed, page)) => {
            let blobs = listed.blobs.iter().map(api::BlobMetadata::from).collect();
            invoke::counted(door, reply::json(&api::Blobs { blobs, page }))
        }
        Err(refusal) => invoke::told_to_wait(&refusal),
    }
}

async fn listed(
    door: &Door,
    query: Option<&str>,
    bucket: &str,
) -> Result<(Listed, api::Page), Refusal> {
    let paging = Paging::of(query)?;
    let query = Query::of(query);
    let wanted = Wanted {
        bucket: Scope::parse("bucket", bucket)?,
        prefix: query.value("prefix").unwrap_or_default(),
        offset: paging.offset,
        limit: paging.limit,
        bytes_max: usize::MAX,
    };
    let blobs = &door.services.storage.blobs;
    let listed = blobs.list(&query.place()?, wanted).await?;
    let page = paging.page(listed.blobs.len(), listed.total);
    Ok((listed, page))
}

fn named(parts: &Parts, bucket: &str, key: &str) -> Result<(Place, BlobName), Refusal> {
    let place = Query::of(parts.uri.query()).place()?;
    Ok((place, BlobName::of("", bucket, key)?))
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        let kind = match error {
            BlobError::Bucket(_) | BlobError::Key | BlobError::ContentType => Kind::Malformed,
            BlobError::Unknown => Kind::NotFound,
            BlobError::TooLarge | BlobError::TooLong { .. } | BlobError::TooMany(_) => {
                Kind::TooLarge
            }
            BlobError::NoRoom => Kind::NoSpace,
            BlobError::Spent(_) => Kind::Exhausted,
            BlobError::Storage(error) => return error.into(),
        };
        Self::new(kind, error.to_string())
    }
}
