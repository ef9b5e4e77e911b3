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
    Unknown,
    OfHttp1,
    OfHttp2,
    /// It was seen, and is not told yet.
    Seen {
        /// Whether what came before has had a turn to begin.
        begun: bool,
        pause: Pin<Box<Sleep>>,
    },
}

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4), as far as HTTP/1 has nothing like it.
const HTTP2_BEGINS: &[u8] = b"PRI * HTTP/2";

impl Ending {
    pub fn is_seen(&self) -> bool {
        matches!(self, Self::Seen { .. })
    }

    /// Whether it is reading alone that ends the connection, and not an error.
    pub fn is_by_reading(&self) -> bool {
        matches!(self, Self::OfHttp2 | Self::Seen { .. })
    }

    /// Hears what was read: nothing is the end.
    pub fn hears(&mut self, said: &[u8], activity: &Activity) {
        match self {
            Self::Unknown if said.starts_with(HTTP2_BEGINS) => *self = Self::OfHttp2,
            Self::Unknown => *self = Self::OfHttp1,
            Self::OfHttp2 if said.is_empty() => {
                activity.client_left();
                *self = Self::Seen {
                    begun: false,
                    pause: Box::pin(tokio::time::sleep(limits::LEAVING_TIME_MAX)),
                };
            }
            _ => {}
        }
    }

    /// Resolves where what was read may be told, an end included.
    pub fn poll_told(
        &mut self,
        activity: &Activity,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Seen { begun: true, pause } if activity.is_busy() => {
                pause.as_mut().poll(context).map(Ok)
            }
            Self::Seen { begun, .. } if !*begun => {
                *begun = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}
