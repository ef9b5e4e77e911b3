//! The bodies of answers: most are whole, a few go on for as long as somebody listens.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
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
}

/// An answer that goes on.
pub struct Stream {
    pieces: mpsc::Receiver<Bytes>,
    /// Kept so that its connection is not taken for an idle one.
    _busy: Option<Busy>,
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
            _busy: None,
        })
    }

    /// The same, with `busy` held for as long as it goes on.
    pub fn keeping(self, busy: Busy) -> Self {
        match self {
            Self::Whole(bytes) => Self::Whole(bytes),
            Self::Stream(stream) => Self::Stream(Stream {
                _busy: Some(busy),
                ..stream
            }),
        }
    }

    /// The same, counted against the node's bytes until it is sent: a client may be slow to read it.
    pub fn counted(self, budget: &Budget) -> Self {
        match self {
            Self::Whole(Some(bytes)) => {
                let _share = budget.overdraw(bytes.len());
                Self::Whole(Some(Bytes::from_owner(Counted { bytes, _share })))
            }
            other => other,
        }
    }

    pub fn empty() -> Self {
        Self::Whole(None)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Stream(stream) => stream.pieces.poll_recv(context),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
