//! A message's payload on its way in: a small one lies on the heap, a large one in a mapping of its own.
//!
//! What many large payloads took of the heap would stay with the process: something small that lives on lies above
//! it. A mapping goes back to the system with its payload.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use memmap2::MmapMut;

use super::reply::heard;
use crate::budget::{Budget, Share};
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// Reads a body of at most [`limits::MESSAGE_BYTES_MAX`], with the share that it has of the node's bytes.
pub async fn read(budget: &Budget, body: &mut Incoming) -> Result<(Bytes, Share), Refusal> {
    let announced = body.size_hint().exact();
    let announced = announced.and_then(|it| usize::try_from(it).ok());
    let bytes_max = announced.map_or(limits::MESSAGE_BYTES_MAX, |it| {
        it.min(limits::MESSAGE_BYTES_MAX)
    });
    let (mut payload, mut share) = (Payload::Small(BytesMut::new()), budget.nothing());
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if payload.len() + piece.len() > bytes_max {
                return Err(too_large());
            }
            if !share.grow(piece.len()) {
                return Err(no_room());
            }
            payload.extend(&piece, bytes_max);
        }
        Ok(())
    };
    let read = heard(reading).await;
    read.map_err(|silent| Refusal::new(Kind::Malformed, silent.to_string()))??;
    Ok((payload.freeze(), share))
}

pub fn too_large() -> Refusal {
    let text = format!(
        "Payload too large: a message has at most {} bytes",
        limits::MESSAGE_BYTES_MAX
    );
    Refusal::new(Kind::TooLarge, text)
}

enum Payload {
    Small(BytesMut),
    Large(Mapped),
}

struct Mapped {
    pages: MmapMut,
    /// Of the pages, as many bytes are the payload's.
    bytes: usize,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.pages[..self.bytes]
    }
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(mapped) => mapped.bytes,
        }
    }

    /// Adds a piece to what comes to at most `bytes_max`. A mere announcement takes nothing: who has sent much will
    /// send the rest.
    fn extend(&mut self, piece: &[u8], bytes_max: usize) {
        if let Self::Small(bytes) = self
            && bytes.len() + piece.len() > limits::CHUNK_BYTES_MAX
            && let Some(mapped) = Mapped::holding(bytes, bytes_max)
        {
            *self = Self::Large(mapped);
        }
        match self {
            // Without a mapping the heap does as well.
            Self::Small(bytes) => bytes.extend_from_slice(piece),
            Self::Large(mapped) => mapped.extend(piece),
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Small(bytes) => bytes.freeze(),
            Self::Large(mapped) => Bytes::from_owner(mapped),
        }
    }
}

impl Mapped {
    /// Pages for `bytes_max`, the first of them filled. `None` where the system has none.
    fn holding(bytes: &[u8], bytes_max: usize) -> Option<Self> {
        let pages = MmapMut::map_anon(bytes_max).ok()?;
        let mut mapped = Self { pages, bytes: 0 };
        mapped.extend(bytes);
        Some(mapped)
    }

    fn extend(&mut self, piece: &[u8]) {
        let end = self.bytes + piece.len();
        self.pages[self.bytes..end].copy_from_slice(piece);
        self.bytes = end;
    }
}

fn broken(error: hyper::Error) -> Refusal {
    Refusal::new(
        Kind::Malformed,
        format!("the request's body broke off: {error}"),
    )
}

fn no_room() -> Refusal {
    let text = "this node keeps as many bytes in messages as it may; send again later";
    Refusal::new(Kind::Exhausted, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_what_its_pieces_were_wherever_it_lies() {
        let check = |pieces: &[usize], bytes_max: usize, large: bool| {
            let mut payload = Payload::Small(BytesMut::new());
            let mut whole = Vec::new();
            for (number, &bytes) in pieces.iter().enumerate() {
                let piece = vec![number as u8; bytes];
                payload.extend(&piece, bytes_max);
                whole.extend(piece);
                assert_eq!(payload.len(), whole.len(), "{pieces:?}");
            }
            assert_eq!(matches!(payload, Payload::Large(_)), large, "{pieces:?}");
            assert!(payload.freeze() == whole, "{pieces:?}");
        };
        let (chunk, max) = (limits::CHUNK_BYTES_MAX, limits::MESSAGE_BYTES_MAX);
        check(&[], 0, false);
        check(&[1, 2, 3], 6, false);
        check(&[chunk], max, false);
        check(&[chunk, 1], chunk + 1, true);
        check(&[1, chunk, chunk], max, true);
        check(&[max / 2, max / 2], max, true);
        check(&[max], max, true);
    }
}
