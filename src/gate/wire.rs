//! A client's connection as hyper reads and writes it, with an eye on whether the client still sends.
//!
//! A client may close as soon as it has sent its request, wholly or its sending half only (RFC 9112, section 9.6): what
//! it asked is carried out, and answered as far as anybody reads. hyper therefore does not look for an end of what comes
//! while it answers, so this does, without reading: whose client is gone makes room for others, and is followed no more.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use rustix::io::{Errno, retry_on_intr};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::connections::Activity;
use super::ending::Ending;

pub struct Wire {
    stream: TcpStream,
    activity: Activity,
    left: bool,
    /// Something lies there that nobody has read, though the runtime was told otherwise.
    unread: bool,
    ending: Ending,
}

impl Wire {
    pub fn new(stream: TcpStream, activity: Activity) -> Self {
        Self {
            stream,
            activity,
            left: false,
            unread: false,
            ending: Ending::Unknown(0),
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

    /// What nobody reads any more goes nowhere: for HTTP/2 it is the reading that ends a connection.
    fn wrote(&self, written: Poll<io::Result<usize>>, bytes: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(_)) if self.ending.is_by_reading() => Poll::Ready(Ok(bytes)),
            written => written,
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
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if !self.ending.is_seen() {
            let read = ready!(self.read(context, buffer));
            // A connection that was reset has ended, too.
            if !self.ending.is_by_reading() {
                read?;
            }
        }
        let Self {
            ending, activity, ..
        } = &mut *self;
        ending.hears(&buffer.filled()[before..], activity);
        ending.poll_told(activity, context)
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
