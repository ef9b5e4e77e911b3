//! The data directory that a restore fills: whether it may, and what is taken away again where it fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

use crate::storage::Resident;

/// What a node puts into a directory; the lock last, so that no other node begins there before all else is gone.
const MADE: [&str; 13] = [
    "artifacts",
    "blobs",
    "compiled",
    "format",
    "format.draft",
    "logs",
    "node.redb",
    "quarantine",
    "reserve",
    "seal.key",
    "starting",
    "uploads",
    "lock",
];

/// A directory that may be filled.
pub struct Ground {
    dir: PathBuf,
    /// Whether nothing of a node was there.
    was_nobodys: bool,
    was_there: bool,
}

impl Ground {
    /// One that holds other things than a node's data is refused.
    pub fn of(dir: &Path) -> anyhow::Result<Self> {
        let shown = dir.display();
        let resident = Resident::of(dir).map_err(|error| {
            anyhow!("cannot look into {shown}: {error}; run this as the node's user, or as root")
        })?;
        // What is no directory is told by whoever opens it.
        if resident == Resident::Others && dir.is_dir() {
            bail!(
                "{shown} holds other things than a node's data; restore into an empty directory, with --data-dir"
            );
        }
        Ok(Self {
            dir: dir.into(),
            was_nobodys: resident == Resident::Nobody,
            was_there: dir.exists(),
        })
    }

    /// Takes away what has come since, where nothing of a node was there before. Whoever calls this still holds the
    /// directory, and writes nothing any more.
    pub fn clear(self) {
        if !self.was_nobodys {
            return;
        }
        for name in MADE {
            let path = self.dir.join(name);
            let _ = match path.is_dir() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
        }
        if !self.was_there {
            // Where somebody else has put something there, it stays.
            let _ = fs::remove_dir(&self.dir);
        }
    }
}
