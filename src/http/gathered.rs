//! A message's bytes as they come in: few lie on the heap, many in a mapping of their own.
//!
//! What many large messages took of the heap would stay with the process: something small that lives on lies above
//! it. A mapping goes back to the system with its bytes.

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;

use crate::limits;

/// The bytes that came so far, of at most as many as were announced.
pub struct Gathered {
    place: Place,
    bytes_max: usize,
}

enum Place {
    Heap(BytesMut),
    Pages(Mapped),
}

struct Mapped {
    pages: MmapMut,
    /// Of the pages, as many bytes came.
    bytes: usize,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.pages[..self.bytes]
    }
}

impl Gathered {
    pub fn new(bytes_max: usize) -> Self {
        let place = Place::Heap(BytesMut::new());
        Self { place, bytes_max }
    }

    /// Adds a piece. False, and nothing is added, where that would be more than may come.
    #[must_use]
    pub fn add(&mut self, piece: &[u8]) -> bool {
        let bytes = self.len() + piece.len();
        if bytes > self.bytes_max {
            return false;
        }
        // A mere announcement takes nothing: who has sent much will send the rest.
        if let Place::Heap(few) = &self.place
            && bytes > limits::CHUNK_BYTES_MAX
            && let Some(mapped) = Mapped::holding(few, self.bytes_max)
        {
            self.place = Place::Pages(mapped);
        }
        match &mut self.place {
            // Without a mapping the heap does as well.
            Place::Heap(few) => few.extend_from_slice(piece),
            Place::Pages(mapped) => mapped.extend(piece),
        }
        true
    }

    pub fn freeze(self) -> Bytes {
        match self.place {
            Place::Heap(few) => few.freeze(),
            Place::Pages(mapped) => Bytes::from_owner(mapped),
        }
    }

    fn len(&self) -> usize {
        match &self.place {
            Place::Heap(few) => few.len(),
            Place::Pages(mapped) => mapped.bytes,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_what_its_pieces_were_wherever_it_lies() {
        let check = |pieces: &[usize], bytes_max: usize, mapped: bool| {
            let mut gathered = Gathered::new(bytes_max);
            let mut whole = Vec::new();
            for (number, &bytes) in pieces.iter().enumerate() {
                let piece = vec![number as u8; bytes];
                assert!(gathered.add(&piece), "{pieces:?}");
                whole.extend(piece);
            }
            let lies = matches!(gathered.place, Place::Pages(_));
            assert_eq!(lies, mapped, "{pieces:?}");
            assert!(!gathered.add(&vec![0; bytes_max - whole.len() + 1]));
            assert!(gathered.freeze() == whole, "{pieces:?}");
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
