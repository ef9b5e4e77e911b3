//! Bodies on their way in: read within bounds, waited for within bounds, or dropped.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::Share;
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// Hands the pieces of a body to `take` until it ends, each counted in `share`, which stands for all of them. A body
/// slower than [`limits::BODY_PACE_BYTES`] in [`limits::BODY_SILENCE_MAX`] is given up.
pub async fn pieces(
    body: &mut Incoming,
    share: &mut Share,
    mut take: impl FnMut(Bytes) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (mut due, mut came) = (Instant::now() + limits::BODY_SILENCE_MAX, 0);
    loop {
        let frame = timeout_at(due, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Silent(limits::BODY_SILENCE_MAX))? else {
            return Ok(());
        };
        let Ok(piece) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        came += piece.len();
        if came >= limits::BODY_PACE_BYTES {
            (due, came) = (Instant::now() + limits::BODY_SILENCE_MAX, 0);
        }
        if !share.grow(piece.len()) {
            let text = "this node keeps as many bytes in messages as it may; send again later";
            return Err(Refusal::new(Kind::Exhausted, text));
        }
        take(piece)?;
    }
}

/// A body that is taken piece by piece, so that who takes it sets the pace; the same is asked of it as of others.
pub struct Paced<'b> {
    body: &'b mut Incoming,
    due: Instant,
    came: usize,
    /// When the last piece was handed out.
    handed: Instant,
}

impl<'b> Paced<'b> {
    pub fn new(body: &'b mut Incoming) -> Self {
        let handed = Instant::now();
        let due = handed + limits::BODY_SILENCE_MAX;
        Self {
            body,
            due,
            came: 0,
            handed,
        }
    }

    /// The next piece, `None` at the end. What it took to deal with the one before is not the client's time.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        self.due += self.handed.elapsed();
        let piece = self.piece().await;
        self.handed = Instant::now();
        piece
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = timeout_at(self.due, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| Silent(limits::BODY_SILENCE_MAX))? else {
                return Ok(None);
            };
            let Ok(piece) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            self.came += piece.len();
            if self.came >= limits::BODY_PACE_BYTES {
                (self.due, self.came) = (Instant::now() + limits::BODY_SILENCE_MAX, 0);
            }
            return Ok(Some(piece));
        }
    }
}

/// Waits for a piece of a body no longer than a body may be silent.
pub async fn heard<T>(piece: impl Future<Output = T>) -> Result<T, Silent> {
    timeout(limits::BODY_SILENCE_MAX, piece)
        .await
        .map_err(|_| Silent(limits::BODY_SILENCE_MAX))
}

/// The client stopped sending in the middle of its body.
#[derive(Debug, thiserror::Error)]
#[error("nothing more of the request's body came for {0:?}; send it again")]
pub struct Silent(Duration);

impl From<Silent> for Refusal {
    fn from(silent: Silent) -> Self {
        Self::new(Kind::Malformed, silent.to_string())
    }
}

fn broken(error: hyper::Error) -> Refusal {
    let text = format!("the request's body broke off: {error}");
    Refusal::new(Kind::Malformed, text)
}

/// Reads what is left of a body in the background, within bounds, and drops it.
pub fn drain(mut body: Incoming) {
    tokio::spawn(timeout(limits::REFUSED_BODY_TIME_MAX, async move {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > limits::REFUSED_BODY_BYTES_MAX {
                break;
            }
        }
    }));
}
