//! Room on the disk that the store has for itself: what others fill leaves it what it needs to note and to forget.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::machine;

/// Held back for changes that make room or only note a wish: an undeploy rewrites some pages of each table.
const RESERVE_BYTES: u64 = 1024 * 1024;
/// The name of the file that holds it.
const RESERVE_FILE: &str = "reserve";
/// Where the disk has less than this, such changes are kept apart from others, which might need more than there is.
const SHORT_BYTES: u64 = 64 * 1024 * 1024;
/// Where it has less than this, it is full.
const FULL_BYTES: u64 = 256 * 1024;

/// The store's file and how much of it has blocks of its own, and the reserve. A database grows its file by leaving
/// holes, and a write into a hole fails on a full disk: then nothing could be undeployed to make room. A file system
/// that lets nobody take blocks ahead (no `fallocate`) leaves the store without either.
pub struct Room {
    path: PathBuf,
    taken_bytes: u64,
    reserve: PathBuf,
    reserved_bytes: u64,
}

impl Room {
    pub fn of(path: PathBuf) -> Self {
        let reserve = path.with_file_name(RESERVE_FILE);
        let reserved_bytes = blocks(&reserve);
        Self {
            path,
            taken_bytes: 0,
            reserve,
            reserved_bytes,
        }
    }

    /// What the disk has left besides; `None` where the system does not tell.
    pub fn free_bytes(&self) -> Option<u64> {
        machine::disk_free(&self.path).ok()
    }

    /// Whether a large change might find no room.
    pub fn is_short(&self) -> bool {
        self.free_bytes().is_some_and(|free| free < SHORT_BYTES)
    }

    /// What the disk has left, where that is as good as nothing.
    pub fn is_full(&self) -> Option<u64> {
        self.free_bytes().filter(|free| *free < FULL_BYTES)
    }

    /// Takes blocks for the reserve and for all of the file, as far as there are any. Where there are none, writes go on
    /// as they would have.
    pub fn take(&mut self) {
        if self.reserved_bytes < RESERVE_BYTES {
            self.reserved_bytes = self.try_to_reserve().unwrap_or_else(|error| {
                log::debug!("cannot reserve room: {error}");
                blocks(&self.reserve)
            });
        }
        if let Err(error) = self.try_to_fill() {
            log::debug!("cannot take room for {}: {error}", self.path.display());
        }
    }

    /// Gives the reserve back to the disk, for a change that is made now; `take` has it held again.
    pub fn release(&mut self) {
        if self.reserved_bytes > 0 {
            let _ = fs::remove_file(&self.reserve);
            self.reserved_bytes = 0;
        }
    }

    /// As much as there is, in steps: a part of it is worth more than none. A file system that has no such thing is not
    /// asked at every commit.
    fn try_to_reserve(&self) -> io::Result<u64> {
        const STEP_BYTES: u64 = 64 * 1024;
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&self.reserve)?;
        let mut bytes = RESERVE_BYTES;
        loop {
            match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                Ok(()) => return Ok(bytes),
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(RESERVE_BYTES),
                Err(error) if bytes <= STEP_BYTES => return Err(error.into()),
                Err(_) => bytes -= STEP_BYTES,
            }
        }
    }

    fn try_to_fill(&mut self) -> io::Result<()> {
        let bytes = fs::metadata(&self.path)?.len();
        if bytes > self.taken_bytes {
            let file = File::options().write(true).open(&self.path)?;
            fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes)?;
        }
        self.taken_bytes = bytes;
        Ok(())
    }
}

/// A part of a data directory's reserve that the disk has back for as long as this is held.
pub struct Lent {
    file: File,
    bytes: u64,
}

/// Lends what one small file needs, for somebody who has not the store: to revoke a token must not fail for want of room.
pub fn lend(dir: &Path) -> io::Result<Lent> {
    const LENT_BYTES: u64 = 64 * 1024;
    let file = File::options().write(true).open(dir.join(RESERVE_FILE))?;
    let bytes = file.metadata()?.len();
    file.set_len(bytes.saturating_sub(LENT_BYTES))?;
    Ok(Lent { file, bytes })
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Where that fails, the next node takes it.
        let _ = fallocate(&self.file, FallocateFlags::empty(), 0, self.bytes);
    }
}

/// What a file has of the disk; nothing where there is none.
fn blocks(path: &Path) -> u64 {
    const BLOCK_BYTES: u64 = 512;
    fs::metadata(path).map_or(0, |file| file.blocks() * BLOCK_BYTES)
}
