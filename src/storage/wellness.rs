//! Whether the store takes changes, for onlookers: a node whose disk refuses them serves on, and says so.

use std::sync::{Arc, Mutex};

use super::StorageError;

/// What onlookers share with the thread that writes.
#[derive(Clone, Default)]
pub struct Wellness(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    failing: Option<String>,
    failed_writes: u64,
}

const NO_SPACE: &str = "no space left in the data directory: changes that need more are refused, and what waits for them \
     stands still; free some";

impl Wellness {
    /// Why changes are refused, in words for an operator; `None` where they are not.
    pub fn says(&self) -> Option<String> {
        self.0.lock().unwrap().failing.clone()
    }

    /// Transactions that the disk has refused since the node started.
    pub fn failed_writes(&self) -> u64 {
        self.0.lock().unwrap().failed_writes
    }

    pub(super) fn fails(&self, error: &StorageError) {
        let mut state = self.0.lock().unwrap();
        state.failed_writes += 1;
        state.failing = Some(match error {
            StorageError::NoSpace(_) => NO_SPACE.into(),
            error => format!("changes are refused: {error}"),
        });
    }

    /// The disk is full, which shows before a change is refused.
    pub(super) fn is_full(&self) {
        self.0.lock().unwrap().failing = Some(NO_SPACE.into());
    }

    pub(super) fn recovers(&self) {
        self.0.lock().unwrap().failing = None;
    }
}
