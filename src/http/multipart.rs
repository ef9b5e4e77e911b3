//! multipart/form-data as it streams: multer reads it, behind a guard that feeds it little at a time.
//!
//! multer swallows whatever its stream has ready and searches all of it again for each piece, without a bound on
//! preamble and part headers. The guard hands over one measured piece at a time and counts what multer took without
//! making anything of it.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use hyper::body::Body;
use hyper::header::{self, HeaderMap};
use multer::{Field, Multipart};

use super::reply::{Silent, heard};
use crate::limits::{self, KIB};
use crate::refusal::{Kind, Refusal};

/// The least that multer gets at once: what must come within the silence limit.
const PIECE_BYTES_MIN: usize = limits::BODY_PACE_BYTES;

/// The longest boundary that the standard allows (RFC 2046, 5.1.1).
const BOUNDARY_CHARS_MAX: usize = 70;

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
    pub fn new<B: Readable>(headers: &HeaderMap, body: Arc<Mutex<B>>) -> Result<Self, Refusal> {
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let boundary = multer::parse_boundary(content_type).map_err(|error| {
            let text =
                format!("Failed to parse multipart/form-data: {error}; send the form with curl -F");
            Refusal::new(Kind::UnsupportedMedia, text)
        })?;
        if !(1..=BOUNDARY_CHARS_MAX).contains(&boundary.len()) {
            let text = format!(
                "Failed to parse multipart/form-data: a boundary has 1 to {BOUNDARY_CHARS_MAX} characters; \
                 send the form with curl -F"
            );
            return Err(Refusal::new(Kind::UnsupportedMedia, text));
        }
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

/// A request's body, as a connection or a test gives it.
pub trait Readable:
    Body<Data = Bytes, Error: Error + Send + Sync + 'static> + Send + Unpin + 'static
{
}

impl<B> Readable for B where
    B: Body<Data = Bytes, Error: Error + Send + Sync + 'static> + Send + Unpin + 'static
{
}

#[derive(Debug, thiserror::Error)]
enum GuardError {
    #[error("a preamble or the headers of a part have no end within {} KiB", limits::PART_HEADERS_BYTES_MAX / KIB)]
    HeadersTooLong,
    #[error("the request's body broke off: {0}")]
    Body(Box<dyn Error + Send + Sync>),
}

/// The request's body in pieces, resting after each, so that multer looks at it before it asks for more.
struct Guarded<B> {
    body: Arc<Mutex<B>>,
    progress: Progress,
    piece: BytesMut,
    resting: bool,
}

impl<B: Readable> Stream for Guarded<B> {
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
                    return Poll::Ready(Some(Err(GuardError::Body(error.into()))));
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use hyper::body::Frame;
    use tokio::sync::mpsc;

    use super::*;

    /// A body whose pieces come when the test sends them.
    struct Trickle(mpsc::UnboundedReceiver<Vec<u8>>);

    impl Body for Trickle {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.0.poll_recv(context);
            piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes.into()))))
        }
    }

    fn form_of(body: impl Readable) -> Form {
        let mut headers = HeaderMap::new();
        let form = "multipart/form-data; boundary=x".parse().unwrap();
        headers.insert(header::CONTENT_TYPE, form);
        Form::new(&headers, Arc::new(Mutex::new(body))).unwrap()
    }

    /// Sends a file of 300 KiB, `bytes` of it each second, and reads it. Answers with what was read, or the refusal.
    async fn read_at(bytes: usize) -> Result<usize, Refusal> {
        let (send, receive) = mpsc::unbounded_channel();
        let mut form = form_of(Trickle(receive));
        tokio::spawn(async move {
            let head = b"--x\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n".to_vec();
            let body = [head, vec![b'a'; 300 * KIB], b"\r\n--x--\r\n".to_vec()].concat();
            for piece in body.chunks(bytes) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if send.send(piece.to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut part = form.next().await?.expect("the form has a part");
        let mut read = 0;
        while let Some(chunk) = part.chunk().await? {
            read += chunk.len();
        }
        Ok(read)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_at_the_least_pace_is_read() {
        assert_eq!(read_at(KIB + 64).await, Ok(300 * KIB));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_rests_but_crawls_is_given_up() {
        let refusal = read_at(KIB - 64).await.unwrap_err();
        assert_eq!(refusal.kind, Kind::Malformed);
        assert!(refusal.message.contains("30s"), "{refusal}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_boundary_is_found_wherever_the_pieces_part() {
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        // Almost boundaries inside, and enough in front that multer gets the rest in a piece of its own.
        let value = "a".repeat(PIECE_BYTES_MIN - 90) + "\r\n--y\r\n-\r\n--";
        let body = part("first", &value) + &part("second", "2") + "--x--\r\n";
        for cut in PIECE_BYTES_MIN - 120..body.len() {
            let (send, receive) = mpsc::unbounded_channel();
            send.send(body.as_bytes()[..cut].to_vec()).unwrap();
            send.send(body.as_bytes()[cut..].to_vec()).unwrap();
            drop(send);
            let mut form = form_of(Trickle(receive));
            let first = form.next().await.unwrap().unwrap();
            assert_eq!(
                first.text(limits::CONFIG_BYTES_MAX).await.unwrap(),
                value,
                "{cut}"
            );
            let second = form.next().await.unwrap().unwrap();
            assert_eq!(second.name(), "second");
            assert_eq!(second.text(9).await.unwrap(), "2");
            assert!(form.next().await.unwrap().is_none(), "{cut}");
        }
    }
}
