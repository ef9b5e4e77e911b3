//! When hyper is told that a connection has ended: of HTTP/2 not before what came whole ahead of that is begun and read.
//!
//! It would drop all streams with the connection, also those that it has read in the same moment. What is read runs to
//! its end, whoever has left.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use super::connections::Activity;
use crate::limits;

/// What a client speaks, as its first bytes say, and whether it has ended.
pub enum Ending {
    /// So many bytes are those of HTTP/2.
    Unknown(usize),
    OfHttp1,
    OfHttp2,
    /// It was seen, and is not told yet.
    Seen(Turn, Pin<Box<Sleep>>),
}

/// How far what came before the end has come.
#[derive(Clone, Copy)]
pub enum Turn {
    ToBegin,
    Begun,
    /// It is being answered: for as long as the pause lasts, what is written finds those who only stopped sending.
    Answered,
}

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4), as far as HTTP/1 has nothing like it.
const HTTP2_BEGINS: &[u8] = b"PRI * HTTP/2";

impl Ending {
    pub fn is_seen(&self) -> bool {
        matches!(self, Self::Seen(..))
    }

    /// Whether it is reading alone that ends the connection, and not an error.
    pub fn is_by_reading(&self) -> bool {
        matches!(self, Self::OfHttp2 | Self::Seen(..))
    }

    /// Hears what was read: nothing is the end.
    pub fn hears(&mut self, said: &[u8], activity: &Activity) {
        match self {
            Self::Unknown(heard) => *self = Self::told_by(*heard, said),
            Self::OfHttp2 if said.is_empty() => {
                activity.client_left();
                let pause = tokio::time::sleep(limits::LEAVING_TIME_MAX);
                *self = Self::Seen(Turn::ToBegin, Box::pin(pause));
            }
            _ => {}
        }
    }

    fn told_by(heard: usize, said: &[u8]) -> Self {
        let expected = &HTTP2_BEGINS[heard..];
        let compared = expected.len().min(said.len());
        match expected[..compared] == said[..compared] {
            true if compared == expected.len() => Self::OfHttp2,
            true if compared > 0 => Self::Unknown(heard + compared),
            _ => Self::OfHttp1,
        }
    }

    /// Resolves where what was read may be told, an end included.
    pub fn poll_told(
        &mut self,
        activity: &Activity,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Self::Seen(turn, pause) = self else {
            return Poll::Ready(Ok(()));
        };
        match *turn {
            Turn::ToBegin => {
                *turn = Turn::Begun;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Turn::Begun if !activity.is_busy() => Poll::Ready(Ok(())),
            Turn::Begun | Turn::Answered => {
                *turn = Turn::Answered;
                pause.as_mut().poll(context).map(Ok)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_2_is_known_in_whatever_pieces_it_begins() {
        let check = |pieces: &[&[u8]], is_http2: bool| {
            let (mut ending, activity) = (Ending::Unknown(0), Activity::new());
            pieces
                .iter()
                .for_each(|piece| ending.hears(piece, &activity));
            assert_eq!(matches!(ending, Ending::OfHttp2), is_http2, "{pieces:?}");
        };
        check(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], true);
        check(&[b"P", b"RI * HTT", b"P/2.0", b"\r\n"], true);
        check(&[b"PRI * HTTP/1.1\r\n"], false);
        check(&[b"P", b"OST / HTTP/2"], false);
        check(&[b"PRI", b"", b" * HTTP/2.0"], false);
    }
}
