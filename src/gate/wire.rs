//! A client's connection as hyper reads and writes it, with an eye on whether the client still sends.
//!
//! A client may close as soon as it has sent its request, wholly or its sending half only (RFC 9112, section 9.6): what
//! it asked is carried out, and answered as far as anybody reads. hyper therefore does not look for an end of what comes
//! while it answers, so this does, without reading: whose client is gone makes room for others, and is followed no more.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use rustix::io::{Errno, retry_on_intr};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::connections::Activity;
use crate::limits;

pub struct Wire {
    stream: TcpStream,
    activity: Activity,
    left: bool,
    /// Something lies there that nobody has read, though the runtime was told otherwise.
    unread: bool,
    protocol: Protocol,
}

/// What the client speaks, as its first bytes say.
enum Protocol {
    Unknown,
    Http1,
    Http2,
    /// HTTP/2 that has ended, which is kept from hyper for a while: it would drop what it has read before.
    Ended {
        /// Whether what came before has had a turn to begin.
        begun: bool,
        pause: Pin<Box<Sleep>>,
    },
}

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4), as far as HTTP/1 has nothing like it.
const HTTP2_BEGINS: &[u8] = b"PRI * HTTP/2";

impl Wire {
    pub fn new(stream: TcpStream, activity: Activity) -> Self {
        Self {
            stream,
            activity,
            left: false,
            unread: false,
            protocol: Protocol::Unknown,
        }
    }

    /// Notes that the client will send nothing more, once that is so; until then it is waited for.
    fn watch(&mut self, context: &mut Context<'_>) {
        while !self.left && self.stream.poll_read_ready(context).is_ready() {
            match self.stream.ready(Interest::READABLE).now_or_never() {
                Some(Ok(ready)) => self.left = ready.is_read_closed(),
                _ => return,
            }
            if self.left {
                self.activity.client_left();
                // A body that goes on was asked for its next piece before this.
                context.waker().wake_by_ref();
            } else {
                self.pass_over();
            }
        }
    }

    /// What lies there unread would hide the end behind it: for the runtime it is read, until more comes.
    fn pass_over(&mut self) {
        let nothing_read = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.stream.try_io(Interest::READABLE, nothing_read);
        self.unread = true;
    }

    fn read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread {
            let before = buffer.filled().len();
            self.read_unread(buffer)?;
            // Without a byte there is either nothing more to read, or the end.
            if self.unread {
                self.unread = buffer.filled().len() > before;
                return Poll::Ready(Ok(()));
            }
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }

    /// Hears which protocol is spoken, and when HTTP/2 ends.
    fn listen(&mut self, said: &[u8]) {
        match self.protocol {
            Protocol::Unknown if said.starts_with(HTTP2_BEGINS) => self.protocol = Protocol::Http2,
            Protocol::Unknown => self.protocol = Protocol::Http1,
            Protocol::Http2 if said.is_empty() => {
                self.activity.client_left();
                let pause = Box::pin(tokio::time::sleep(limits::LEAVING_TIME_MAX));
                self.protocol = Protocol::Ended {
                    begun: false,
                    pause,
                };
            }
            _ => {}
        }
    }

    /// Whether an end may be told now. What came whole before it is to be begun first, which takes another turn, and
    /// read; after that it is carried out, whoever has left.
    fn may_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.protocol {
            Protocol::Ended { begun, .. } if !*begun => {
                *begun = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Protocol::Ended { pause, .. } if self.activity.is_busy() => {
                pause.as_mut().poll(context).map(Ok)
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// What nobody reads any more goes nowhere: for HTTP/2 it is the reading that ends a connection.
    fn wrote(&self, written: Poll<io::Result<usize>>, bytes: usize) -> Poll<io::Result<usize>> {
        match (written, &self.protocol) {
            (Poll::Ready(Err(_)), Protocol::Http2 | Protocol::Ended { .. }) => {
                Poll::Ready(Ok(bytes))
            }
            (written, _) => written,
        }
    }

    /// Reads what was passed over, of which the runtime does not know.
    fn read_unread(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let (stream, unfilled) = (&self.stream, buffer.initialize_unfilled());
        match retry_on_intr(|| rustix::io::read(stream, &mut *unfilled)) {
            Ok(bytes) => buffer.advance(bytes),
            Err(Errno::AGAIN) => self.unread = false,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !matches!(self.protocol, Protocol::Ended { .. }) {
            let read = ready!(self.read(context, buffer));
            // A connection that was reset has ended, too.
            if !matches!(self.protocol, Protocol::Http2) {
                read?;
            }
        }
        self.listen(&buffer.filled()[before..]);
        self.may_end(context)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(written, slices.iter().map(|slice| slice.len()).sum())
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
