//! The bodies of answers: most are whole, a few go on for as long as somebody listens.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{mpsc, oneshot};

use super::connections::Busy;
use crate::budget::{Budget, Share};

/// What an answer carries.
pub enum Body {
    /// `None` once it is sent.
    Whole(Option<Bytes>),
    /// What a task sends until it ends; it ends when the client has left.
    Stream(Stream),
    /// What another library makes, perhaps with trailers.
    Foreign(Foreign),
}

/// The body of an answer that is made elsewhere.
pub struct Foreign {
    body: Pin<Box<dyn HttpBody<Data = Bytes, Error = Broken> + Send>>,
    /// What is counted until it is sent.
    _share: Option<Share>,
    /// Kept so that its connection is not taken for an idle one.
    _busy: Option<Busy>,
}

type Broken = Box<dyn Error + Send + Sync>;

/// An answer that goes on.
pub struct Stream {
    pieces: mpsc::Receiver<Bytes>,
    end: End,
    /// Kept so that its connection is not taken for an idle one.
    busy: Option<Busy>,
}

/// What ends an answer that goes on.
enum End {
    /// Whoever sends its pieces.
    Sender,
    /// The same, after so many bytes that are still to come; it is broken off where it ends before.
    After(u64),
    /// The same, once it is told that all was sent; it is broken off where it ends without.
    Told(oneshot::Receiver<()>),
    /// Its client: it would go on for ever.
    Client,
}

/// Bytes with the share that they have of the node's.
struct Counted {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body {
    /// What a task sends, until it drops the other end.
    pub fn stream(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self::ending(pieces, End::Sender)
    }

    /// The same, with so many bytes altogether.
    pub fn stream_of(pieces: mpsc::Receiver<Bytes>, bytes: u64) -> Self {
        Self::ending(pieces, End::After(bytes))
    }

    /// The same, until the other end is dropped and `whole` is told; where that never is, the client sees it break off.
    pub fn stream_until(pieces: mpsc::Receiver<Bytes>, whole: oneshot::Receiver<()>) -> Self {
        Self::ending(pieces, End::Told(whole))
    }

    /// The same, of something that goes on until its client leaves.
    pub fn endless(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self::ending(pieces, End::Client)
    }

    fn ending(pieces: mpsc::Receiver<Bytes>, end: End) -> Self {
        Self::Stream(Stream {
            pieces,
            end,
            busy: None,
        })
    }

    /// What another library makes; `share` is what it weighs until it is sent, as far as that is known.
    pub fn foreign<B>(body: B, share: Option<Share>) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Broken>,
    {
        Self::Foreign(Foreign {
            body: Box::pin(body.map_err(Into::into)),
            _share: share,
            _busy: None,
        })
    }

    /// Holds `busy` for as long as it goes on.
    pub fn keep(&mut self, busy: Busy) {
        match self {
            Self::Whole(_) => {}
            Self::Stream(stream) => stream.busy = Some(busy),
            Self::Foreign(foreign) => foreign._busy = Some(busy),
        }
    }

    /// Counts against the node's bytes until it is sent: a client may be slow to read it.
    pub fn count(&mut self, budget: &Budget) {
        if let Self::Whole(Some(bytes)) = self {
            let _share = budget.overdraw(bytes.len());
            let bytes = std::mem::take(bytes);
            *self = Self::Whole(Some(Bytes::from_owner(Counted { bytes, _share })));
        }
    }

    pub fn empty() -> Self {
        Self::Whole(None)
    }
}

impl Stream {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if matches!(self.end, End::Client) && self.busy.as_ref().is_some_and(Busy::has_left) {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(context));
        match (piece, &mut self.end) {
            (Some(piece), end) => {
                if let End::After(left) = end {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                Poll::Ready(Some(Ok(piece)))
            }
            (None, End::Told(whole)) => match ready!(Pin::new(whole).poll(context)) {
                Ok(()) => Poll::Ready(None),
                Err(_) => Poll::Ready(Some(Err("it broke off".into()))),
            },
            (None, _) => Poll::Ready(None),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let bytes = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Stream(stream) => stream.poll(context),
            Self::Foreign(foreign) => return foreign.body.as_mut().poll_frame(context),
        };
        bytes.map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(_) => false,
            Self::Foreign(foreign) => foreign.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(stream) => match stream.end {
                End::After(left) => SizeHint::with_exact(left),
                _ => SizeHint::default(),
            },
            Self::Foreign(foreign) => foreign.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_not_told_to_be_whole_breaks_off() {
        for is_whole in [true, false] {
            let (pieces, coming) = mpsc::channel(1);
            let (whole, told) = oneshot::channel();
            let mut body = Body::stream_until(coming, told);
            pieces.send(Bytes::from_static(b"a part")).await.unwrap();
            assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
            drop(pieces);
            match is_whole {
                true => whole.send(()).unwrap(),
                false => drop(whole),
            }
            let end = body.frame().await;
            assert_eq!(end.is_none(), is_whole);
            assert!(end.is_none_or(|end| end.is_err()));
        }
    }
}
