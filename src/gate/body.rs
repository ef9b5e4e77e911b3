//! The bodies of answers: most are whole, a few go on for as long as somebody listens.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

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
    /// Bytes that are still to come, where that is known; an answer that ends before is broken off.
    left: Option<u64>,
    /// Whether it would go on for ever, and so ends with its client.
    endless: bool,
    /// Kept so that its connection is not taken for an idle one.
    busy: Option<Busy>,
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
        Self::Stream(Stream {
            pieces,
            left: None,
            endless: false,
            busy: None,
        })
    }

    /// The same, with so many bytes altogether.
    pub fn stream_of(pieces: mpsc::Receiver<Bytes>, bytes: u64) -> Self {
        let mut body = Self::stream(pieces);
        if let Self::Stream(stream) = &mut body {
            stream.left = Some(bytes);
        }
        body
    }

    /// The same, of something that goes on until its client leaves.
    pub fn endless(pieces: mpsc::Receiver<Bytes>) -> Self {
        let mut body = Self::stream(pieces);
        if let Self::Stream(stream) = &mut body {
            stream.endless = true;
        }
        body
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
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.endless && self.busy.as_ref().is_some_and(Busy::client_left) {
            return Poll::Ready(None);
        }
        let piece = self.pieces.poll_recv(context);
        if let (Poll::Ready(Some(piece)), Some(left)) = (&piece, &mut self.left) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        piece
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
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Stream(stream) => stream.poll(context),
            Self::Foreign(foreign) => return foreign.body.as_mut().poll_frame(context),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
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
            Self::Stream(stream) => stream
                .left
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Foreign(foreign) => foreign.body.size_hint(),
        }
    }
}
