//! A client's connection as hyper reads and writes it, with an eye on whether the client still sends.
//!
//! A client may close as soon as it has sent its request, wholly or its sending half only (RFC 9112, section 9.6): what
//! it asked is carried out, and answered as far as anybody reads. hyper therefore does not look for an end of what comes
//! while it answers, so this does, without reading: whose client is gone makes room for others, and is followed no more.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::connections::Activity;

pub struct Wire {
    stream: TcpStream,
    activity: Activity,
    left: bool,
}

impl Wire {
    pub fn new(stream: TcpStream, activity: Activity) -> Self {
        Self {
            stream,
            activity,
            left: false,
        }
    }

    /// Notes that the client will send nothing more, once that is so; until then it is waited for, unless something
    /// lies there unread.
    fn watch(&mut self, context: &mut Context<'_>) {
        if self.left || self.stream.poll_read_ready(context).is_pending() {
            return;
        }
        if let Some(Ok(ready)) = self.stream.ready(Interest::READABLE).now_or_never() {
            self.left = ready.is_read_closed();
        }
        if self.left {
            self.activity.client_left();
            // A body that goes on was asked for its next piece before this.
            context.waker().wake_by_ref();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes each time it is woken, whatever it waits for.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(context);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
