//! multipart/form-data as it streams: multer reads it, behind a guard that feeds it little at a time.
//!
//! multer swallows whatever its stream has ready and searches all of it again for each piece, without a bound on
//! preamble and part headers. The guard hands over one measured piece at a time and counts what multer took without
//! making anything of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap};
use multer::{Field, Multipart};

use super::reply::{Silent, heard};
use crate::limits::{self, KIB};
use crate::refusal::{Kind, Refusal};

/// The least that multer gets at once. It must come within the silence limit, so this is also the slowest pace of
/// an upload: 1 KiB a second over 30 s.
const PIECE_BYTES_MIN: usize = 30 * KIB;

/// A form on its way in, part by part.
pub struct Form {
    multipart: Multipart<'static>,
    progress: Progress,
    parts: usize,
}

/// One part of the form; read it to its end before the next.
pub struct Part {
    field: Field<'static>,
    progress: Progress,
}

impl Form {
    /// Reads `body` as the form that its headers announce.
    pub fn new(headers: &HeaderMap, body: Arc<Mutex<Incoming>>) -> Result<Self, Refusal> {
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).map_err(|error| {
            let text =
                format!("Failed to parse multipart/form-data: {error}; send the form with curl -F");
            Refusal::new(Kind::UnsupportedMedia, text)
        })?;
        let progress = Progress::default();
        let guarded = Guarded {
            body,
            progress: progress.clone(),
            piece: BytesMut::new(),
            resting: false,
        };
        Ok(Self {
            multipart: Multipart::new(guarded, boundary),
            progress,
            parts: 0,
        })
    }

    pub async fn next(&mut self) -> Result<Option<Part>, Refusal> {
        let field = heard(self.multipart.next_field())
            .await
            .map_err(silent)?
            .map_err(broken)?;
        self.progress.made();
        self.parts += 1;
        if self.parts > limits::PARTS_MAX {
            let text = format!(
                "Failed to parse multipart/form-data: more than {} parts",
                limits::PARTS_MAX
            );
            return Err(Refusal::new(Kind::Malformed, text));
        }
        Ok(field.map(|field| Part {
            field,
            progress: self.progress.clone(),
        }))
    }
}

impl Part {
    /// The part's name, empty if it has none.
    pub fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        let chunk = heard(self.field.chunk())
            .await
            .map_err(silent)?
            .map_err(broken)?;
        self.progress.made();
        Ok(chunk)
    }

    /// The whole part as text of at most `bytes_max`.
    pub async fn text(mut self, bytes_max: usize) -> Result<String, Refusal> {
        let mut text = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            text.extend_from_slice(&chunk);
            if text.len() > bytes_max {
                let text = format!(
                    "Payload too large: the field {} has more than {bytes_max} bytes",
                    self.name()
                );
                return Err(Refusal::new(Kind::TooLarge, text));
            }
        }
        String::from_utf8(text).map_err(|_| {
            Refusal::new(
                Kind::Malformed,
                format!("the field {} is not UTF-8 text", self.name()),
            )
        })
    }
}

fn silent(error: Silent) -> Refusal {
    Refusal::new(
        Kind::Malformed,
        format!("Failed to parse multipart/form-data: {error}"),
    )
}

fn broken(error: multer::Error) -> Refusal {
    let text = match error {
        multer::Error::StreamReadFailed(cause) => cause.to_string(),
        other => other.to_string(),
    };
    let text =
        format!("Failed to parse multipart/form-data: {text}; send the whole form with curl -F");
    Refusal::new(Kind::Malformed, text)
}

/// Bytes that multer took since it last made something of them.
#[derive(Clone, Default)]
struct Progress(Arc<Mutex<usize>>);

impl Progress {
    fn made(&self) {
        *self.0.lock().unwrap() = 0;
    }

    fn taken(&self, bytes: usize) -> Result<(), GuardError> {
        let mut taken = self.0.lock().unwrap();
        *taken += bytes;
        if *taken > limits::PART_HEADERS_BYTES_MAX {
            Err(GuardError::HeadersTooLong)
        } else {
            Ok(())
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum GuardError {
    #[error("a preamble or the headers of a part have no end within {} KiB", limits::PART_HEADERS_BYTES_MAX / KIB)]
    HeadersTooLong,
    #[error("the request's body broke off: {0}")]
    Body(hyper::Error),
}

/// The request's body in pieces, resting after each, so that multer looks at it before it asks for more.
struct Guarded {
    body: Arc<Mutex<Incoming>>,
    progress: Progress,
    piece: BytesMut,
    resting: bool,
}

impl Stream for Guarded {
    type Item = Result<Bytes, GuardError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.resting) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.piece.len() < PIECE_BYTES_MIN {
            let polled = Pin::new(&mut *self.body.lock().unwrap()).poll_frame(context);
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.piece.extend_from_slice(&data);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(GuardError::Body(error))));
                }
                Poll::Ready(None) if self.piece.is_empty() => return Poll::Ready(None),
                Poll::Ready(None) => break,
            }
        }
        self.resting = true;
        let bytes = self.piece.len().min(limits::CHUNK_BYTES_MAX);
        let piece = self.piece.split_to(bytes).freeze();
        Poll::Ready(Some(self.progress.taken(piece.len()).map(|()| piece)))
    }
}
