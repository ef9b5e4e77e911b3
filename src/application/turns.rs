//! Who may wait for the compiler: it serves one deploy at a time, and each that waits holds a module on the disk.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;
use crate::refusal::{Kind, Refusal};

/// The deploys under way, from before their upload to their end.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

/// One deploy's right to be under way, given back when it is dropped.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(limits::DEPLOYS_MAX)))
    }

    pub fn take(&self) -> Result<Turn, Refusal> {
        let permit = self.0.clone().try_acquire_owned();
        let permit = permit.map_err(|_| {
            let text = format!(
                "{} deploys are under way or wait for the compiler, the most at a time; try again soon",
                limits::DEPLOYS_MAX
            );
            Refusal::new(Kind::Unavailable, text)
        })?;
        Ok(Turn { _permit: permit })
    }
}
