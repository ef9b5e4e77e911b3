//! What becomes of letters by the time: some come forth, some are over, and some have lost their queue.

use super::{At, Rows, SWEEP_BYTES_MAX, Stop, first};
use crate::limits;
use redb::ReadableTable;

/// What became of what was due.
pub struct Swept {
    /// Queues that have more to deliver.
    pub touched: Vec<u64>,
    pub next_ms: Option<u64>,
}

impl Rows<'_> {
    /// Lets what was held back come forth, and takes away what has expired or lost its queue; some at a time.
    pub fn sweep(&mut self) -> Result<Swept, Stop> {
        let mut touched = Vec::new();
        let mut left = limits::SWEEP_ITEMS_MAX;
        while left > 0 && first(&self.delayed)?.is_some_and(|at_ms| at_ms <= self.now_ms) {
            let Some((key, ())) = self.delayed.pop_first()?.map(|it| (it.0.value(), ())) else {
                break;
            };
            self.ready.insert((key.1, key.2), 0)?;
            self.count(key.1, 1, 0)?;
            touched.push(key.1);
            left -= 1;
        }
        while left > 0 && first(&self.expiries)?.is_some_and(|at_ms| at_ms <= self.now_ms) {
            let Some(key) = self.expiries.pop_first()?.map(|it| it.0.value()) else {
                break;
            };
            self.expire((key.1, key.2))?;
            left -= 1;
        }
        let unfinished = self.sweep_doomed(left)?;
        let next_ms = match unfinished {
            true => Some(self.now_ms),
            false => [first(&self.delayed)?, first(&self.expiries)?]
                .into_iter()
                .flatten()
                .min(),
        };
        touched.dedup();
        Ok(Swept { touched, next_ms })
    }

    /// What is lent stays so: it is dropped should it come back.
    fn expire(&mut self, at: At) -> Result<(), Stop> {
        if self.leased.get(at)?.is_some() {
            return Ok(());
        }
        let letter = self.letter(at)?;
        self.withdraw(at, &letter)?;
        self.forget(at, &letter)
    }

    /// Whether there is more to do.
    fn sweep_doomed(&mut self, mut left: usize) -> Result<bool, Stop> {
        let mut bytes = 0;
        loop {
            let doomed = self.doomed.first()?.map(|it| it.0.value());
            let Some(id) = doomed else {
                return Ok(false);
            };
            let first = self.letters.range((id, 0)..=(id, u64::MAX))?.next();
            let Some(at) = first.transpose()?.map(|it| it.0.value()) else {
                self.doomed.remove(id)?;
                continue;
            };
            if left == 0 || bytes > SWEEP_BYTES_MAX {
                return Ok(true);
            }
            let letter = self.letter(at)?;
            self.leased.remove(at)?;
            self.withdraw(at, &letter)?;
            self.forget(at, &letter)?;
            bytes += letter.weight();
            left -= 1;
        }
    }
}
