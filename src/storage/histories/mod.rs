//! Tests of keys and queues under many tasks at once, held against what one task alone would have seen.
//!
//! `PLEXSPACES_TEST_HISTORIES` says how many, `PLEXSPACES_TEST_SEED` where the dice begin; a failure prints the seed.

mod keys;
mod queues;

use std::env;

use redb::backends::InMemoryBackend;

use super::committer::Committer;
use super::due::Due;
use super::keyvalue::KeyValue;
use super::queues::Queues;
use super::steady::Steady;
use super::store::tests::on;
use crate::id::ApplicationName;

/// A store in memory, with its rooms, at the store's time 1,000,000.
struct Rooms {
    keyvalue: KeyValue,
    queues: Queues,
    due: Due,
}

fn rooms() -> Rooms {
    let store = on(InMemoryBackend::new).unwrap();
    let due = Due::new(Steady::begin(1_000_000, 0));
    let committer = Committer::start(store).unwrap();
    Rooms {
        keyvalue: KeyValue::new(committer.clone(), due.clone()),
        queues: Queues::new(committer, due.clone(), Vec::new()),
        due,
    }
}

fn owner() -> ApplicationName {
    ApplicationName::parse("app").unwrap()
}

/// A xorshift generator: the same seed throws the same dice.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn number(name: &str, or: u64) -> u64 {
    env::var(name).map_or(or, |text| text.parse().unwrap())
}
