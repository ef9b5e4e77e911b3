//! Where actors meet: tables of tuples, locks, groups and topics, each of which answers whom to wake and what to tell.
//!
//! Everything is kept per place, in memory, some tuples on disk as well, and takes its bytes from the node's budget: at most half of it together, so
//! that tuples and locks never keep messages from being delivered.

mod alarm;
pub mod channels;
mod distinct;
pub mod durable;
mod guards;
mod interest;
mod json;
pub mod locks;
mod pattern;
pub mod process_groups;
pub mod registry;
mod space;
pub mod subscriptions;
mod tuple;
pub mod tuplespace;
pub mod waiting;

use crate::budget::Budget;
use crate::clock::Clock;

pub use channels::Topics;
pub use distinct::Distinct;
pub use json::{in_words, kind_of, pattern_of, read_pattern, read_tuple, tuple_of};
pub use locks::Locks;
pub use pattern::{FieldPattern, InvalidPattern, Pattern, Predicate};
pub use process_groups::ProcessGroups;
pub use registry::Registry;
pub use tuple::{Field, FieldType, Tuple};
pub use tuplespace::TupleSpaces;

/// The tables of one node; cloning is cheap.
#[derive(Clone)]
pub struct Coordination {
    pub tuples: TupleSpaces,
    pub locks: Locks,
    pub groups: ProcessGroups,
    pub topics: Topics,
    pub registry: Registry,
}

impl Coordination {
    /// Empty tables that take at most half of the budget, and any one place a quarter of it for its tuples.
    pub fn new(clock: &Clock, budget: &Budget) -> Self {
        let all = budget.part(budget.max() / 2);
        Self {
            tuples: TupleSpaces::new(all.clone(), budget.max() / 4),
            locks: Locks::new(clock.clone(), all.clone()),
            groups: ProcessGroups::new(all.clone()),
            registry: Registry::new(clock.clone(), all),
            topics: Topics::default(),
        }
    }
}
