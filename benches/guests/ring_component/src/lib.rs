//! One of a ring of actors `a0`, `a1`, …: hands each message on to the next, until it has made all of its hops.
//!
//! Asked `RING HOPS`, it sends a message of 64 bytes around a ring of that many actors, and answers once that has come
//! to its last hop, which must be here. A message of type `echo` it just answers.

use std::cell::RefCell;

use plexspaces::actor::{conversation, messaging};

wit_bindgen::generate!({ path: "../../../wit/plexspaces-actor", world: "deferring-request-actor" });

struct Actor;

export!(Actor);

const MESSAGE_BYTES: usize = 64;

#[derive(Default)]
struct Ring {
    next: String,
    /// Who waits for the last hop.
    asker: String,
}

thread_local! {
    static RING: RefCell<Ring> = RefCell::default();
}

impl Guest for Actor {
    fn handle_request(_from: String, kind: String, payload: Vec<u8>) -> Result<Vec<u8>, String> {
        if kind == "echo" {
            return Ok(payload);
        }
        RING.with_borrow_mut(|ring| match kind.as_str() {
            "hop" => ring.hop(payload),
            _ => ring.start(&payload),
        })?;
        Ok(Vec::new())
    }
}

impl Ring {
    fn start(&mut self, asked: &[u8]) -> Result<(), String> {
        let asked = String::from_utf8_lossy(asked);
        let (actors, hops) = asked.split_once(' ').ok_or("ask: RING HOPS")?;
        let actors: u32 = actors.parse().map_err(|_| "RING is a number of actors")?;
        let hops: u32 = hops.parse().map_err(|_| "HOPS is a number")?;
        self.asker = conversation::defer();
        let mut message = vec![0; MESSAGE_BYTES];
        message[..4].copy_from_slice(&hops.to_le_bytes());
        message[4..8].copy_from_slice(&actors.to_le_bytes());
        self.hop(message)
    }

    fn hop(&mut self, mut message: Vec<u8>) -> Result<(), String> {
        let word = |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().unwrap());
        let (left, actors) = (word(0), word(4));
        if left == 0 {
            return messaging::reply(&self.asker, b"done").map_err(|error| error.message);
        }
        if self.next.is_empty() {
            self.next = format!("a{}", (place(&messaging::self_id()) + 1) % actors);
        }
        message[..4].copy_from_slice(&(left - 1).to_le_bytes());
        let told = messaging::tell(&self.next, "hop", &message);
        told.map(drop).map_err(|error| error.message)
    }
}

/// The number in `APPLICATION/aNUMBER@NODE`.
fn place(id: &str) -> u32 {
    let own = id.split(['/', '@']).nth(1).unwrap_or_default();
    own.trim_start_matches('a').parse().unwrap_or_default()
}
