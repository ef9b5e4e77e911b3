//! Room on the disk that the store's file has taken for good: a disk that others fill leaves it what it needs to forget.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};

use crate::machine;

/// The store's file and how much of it has blocks of its own. A database grows its file by leaving holes, and a write
/// into a hole fails on a full disk: then nothing could be undeployed to make room.
pub struct Room {
    path: PathBuf,
    taken_bytes: u64,
}

impl Room {
    pub fn of(path: PathBuf) -> Self {
        Self {
            path,
            taken_bytes: 0,
        }
    }

    /// What the disk has left besides; `None` where the system does not tell.
    pub fn free_bytes(&self) -> Option<u64> {
        machine::disk_free(&self.path).ok()
    }

    /// Takes blocks for all of the file, if it has grown. Where that fails, writes go on as they would have.
    pub fn take(&mut self) {
        if let Err(error) = self.try_to() {
            log::debug!("cannot take room for {}: {error}", self.path.display());
        }
    }

    fn try_to(&mut self) -> io::Result<()> {
        let bytes = fs::metadata(&self.path)?.len();
        if bytes > self.taken_bytes {
            let file = File::options().write(true).open(&self.path)?;
            fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes)?;
        }
        self.taken_bytes = bytes;
        Ok(())
    }
}
