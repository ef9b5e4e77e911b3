//! A call's message on its way in: read whole, within its bounds, before the generated code gets to see it.
//!
//! That code takes memory for what a frame announces and waits for it without end. So here the announcement is held
//! against the limit first, what comes is counted in the node's budget, and a client that falls silent is given up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};

use super::methods::{self, Intake, Method};
use crate::application::{Streaming, Turn};
use crate::audit::{self, Audit, Entry};
use crate::auth::Caller;
use crate::budget::{Budget, Share};
use crate::gate::incoming::{heard, pieces};
use crate::gate::{Client, Door};
use crate::refusal::{Kind, Refusal};

/// What a handler knows of a call beside its message.
#[derive(Clone)]
pub struct Arrival {
    pub method: &'static Method,
    pub client: Client,
    held: Arc<Mutex<Held>>,
}

/// What a call holds of the node for as long as its message is here.
#[derive(Default)]
struct Held {
    /// Of a change; dropped, it says that the client has left.
    entry: Option<Entry>,
    turn: Option<Turn>,
    streaming: Option<Streaming>,
    share: Option<Share>,
}

/// An answer's share of the node's bytes, until it is sent.
#[derive(Clone)]
pub struct Sent(Arc<Mutex<Option<Share>>>);

impl Sent {
    pub fn new(share: Option<Share>) -> Self {
        Self(Arc::new(Mutex::new(share)))
    }

    pub fn share(&self) -> Option<Share> {
        self.0.lock().unwrap().take()
    }
}

/// A message that has come whole, in the pieces in which it came.
pub struct Message(VecDeque<Bytes>);

impl Arrival {
    /// Opens the audit entry of a change.
    pub fn new(audit: &Audit, caller: &Caller, client: Client, method: &'static Method) -> Self {
        let path = format!("/{}/{}", method.service, method.name);
        let called = audit::Call {
            method: "POST",
            path: &path,
        };
        let changes = method.access == methods::DEPLOY;
        let held = Held {
            entry: changes.then(|| audit.change(caller, client.address, &called)),
            ..Default::default()
        };
        Self {
            method,
            client,
            held: Arc::new(Mutex::new(held)),
        }
    }

    /// That of a request which came through this door.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        let arrival = request.extensions().get::<Self>();
        arrival
            .expect("the door puts one into each request")
            .clone()
    }

    /// The audit entry, for whoever carries the change out.
    pub fn entry(&self) -> Entry {
        let entry = self.held.lock().unwrap().entry.take();
        entry.expect("a change has an entry, and is carried out once")
    }

    /// Leaves word of a change that ends before the applications hear of it; they count other deploys.
    pub fn turned_down(&self, door: &Door, refusal: &Refusal) {
        if self.method.name == "DeployApplication" {
            door.actors.metrics().deploys.count(refusal.kind.into());
        }
        if let Some(entry) = self.held.lock().unwrap().entry.take() {
            entry.refused(refusal);
        }
    }

    /// Takes what the message needs of the node, and reads it.
    pub async fn receive(&self, door: &Door, body: &mut Incoming) -> Result<Message, Refusal> {
        if self.method.intake == Intake::Module {
            let (turn, streaming) = door.applications.begin_upload()?;
            let mut held = self.held.lock().unwrap();
            (held.turn, held.streaming) = (Some(turn), Some(streaming));
        }
        self.read(body, door.actors.budget()).await
    }

    /// The deploy's turn, for the task that ends it.
    pub fn turn(&self) -> Option<Turn> {
        self.held.lock().unwrap().turn.take()
    }

    /// Gives back what was held for the message: it lies on the disk by now, or in a mailbox that counts it.
    pub fn passed_on(&self) {
        let mut held = self.held.lock().unwrap();
        (held.streaming, held.share) = (None, None);
    }

    async fn read(&self, body: &mut Incoming, budget: &Budget) -> Result<Message, Refusal> {
        let streaming = self.held.lock().unwrap().streaming.take();
        let reading = read(body, budget, self.method.intake, |bytes| {
            if let Some(streaming) = &streaming {
                streaming.received(bytes);
            }
        });
        let (message, share) = match &streaming {
            Some(streaming) => streaming.receive(reading).await?,
            None => heard(reading).await??,
        };
        let mut held = self.held.lock().unwrap();
        (held.streaming, held.share) = (streaming, Some(share));
        Ok(message)
    }
}

async fn read(
    body: &mut Incoming,
    budget: &Budget,
    intake: Intake,
    mut count: impl FnMut(usize),
) -> Result<(Message, Share), Refusal> {
    let mut message = Unread::default();
    let mut share = match intake {
        // What strangers may send takes nothing from others' messages.
        Intake::Bare => Budget::new(usize::MAX).nothing(),
        _ => budget.nothing(),
    };
    let reading = pieces(body, &mut share, |piece| {
        count(piece.len());
        message.take(piece, intake)
    });
    reading.await?;
    Ok((message.whole()?, share))
}

/// A message that is coming, with the head of its frame.
#[derive(Default)]
struct Unread {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    head: Vec<u8>,
}

/// Compressed or not, and the length.
const HEAD_BYTES: usize = 5;

impl Unread {
    fn take(&mut self, piece: Bytes, intake: Intake) -> Result<(), Refusal> {
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend(piece.iter().take(missing));
        self.bytes += piece.len();
        let announced = self.announced().unwrap_or(0);
        if announced.max(self.bytes.saturating_sub(HEAD_BYTES)) > intake.bytes_max() {
            return Err(intake.too_large());
        }
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
        Ok(())
    }

    /// The length that the frame says it has, once its head is here.
    fn announced(&self) -> Option<usize> {
        match *self.head.as_slice() {
            [_, a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d]) as usize),
            _ => None,
        }
    }

    fn whole(self) -> Result<Message, Refusal> {
        let malformed = |text: String| Refusal::new(Kind::Malformed, text);
        let announced = self.announced();
        let announced = announced.ok_or_else(|| {
            malformed("the call has no message; send one, an empty one if need be".into())
        })?;
        match self.bytes - HEAD_BYTES {
            whole if whole == announced && self.head[0] == 0 => Ok(Message(self.pieces)),
            _ if self.head[0] != 0 => {
                let text = "this node reads no compressed messages; send it as it is";
                // UNIMPLEMENTED is what the protocol wants said.
                Err(Refusal::new(Kind::MethodNotAllowed, text))
            }
            came => Err(malformed(format!(
                "the call's message announces {announced} bytes and has {came}; send one message, whole"
            ))),
        }
    }
}

impl Body for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Each piece is given away, so that the message is in memory once, not twice.
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_held_against_its_head() {
        let check = |pieces: &[&[u8]], expected: Result<usize, &str>| {
            let mut unread = Unread::default();
            let mut taken = pieces
                .iter()
                .map(|piece| unread.take(Bytes::copy_from_slice(piece), Intake::Stream));
            let taken = taken.find(Result::is_err).unwrap_or(Ok(()));
            let read = taken.and_then(|()| unread.whole());
            match (read, expected) {
                (Ok(message), Ok(number)) => assert_eq!(message.0.len(), number),
                (Err(refusal), Err(word)) => {
                    assert!(refusal.message.contains(word), "{refusal}");
                }
                (read, expected) => panic!("{pieces:?}: {:?}, not {expected:?}", read.err()),
            }
        };
        check(&[&[0, 0, 0, 0, 2, 7, 7]], Ok(1));
        check(&[&[0, 0, 0], &[0, 2, 7], &[7], &[]], Ok(3));
        check(&[&[0, 0, 0, 0, 0]], Ok(1));
        check(&[], Err("no message"));
        check(&[&[0, 0, 0, 0]], Err("no message"));
        check(
            &[&[0, 0, 0, 0, 3, 7, 7]],
            Err("announces 3 bytes and has 2"),
        );
        check(
            &[&[0, 0, 0, 0, 1, 7, 7]],
            Err("announces 1 bytes and has 2"),
        );
        check(&[&[1, 0, 0, 0, 2, 7, 7]], Err("compressed"));
        check(&[&[0, 255, 0, 0, 0]], Err("Message length too large"));
    }
}
