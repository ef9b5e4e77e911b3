//! Data directories that commands are given: who lives there, and one that a restore fills and leaves where it fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::storage::Resident;

/// Whose data lies in a directory.
pub fn resident(dir: &Path) -> anyhow::Result<Resident> {
    Resident::of(dir).map_err(|error| {
        let shown = dir.display();
        anyhow!("cannot look into {shown}: {error}; run this as the node's user, or as root")
    })
}

/// That those who live there are not to be mixed with a node's data.
pub fn taken(dir: &Path, remedy: &str) -> anyhow::Error {
    let shown = dir.display();
    anyhow!("{shown} holds other things than a node's data; {remedy}")
}

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
        let resident = resident(dir)?;
        // What is no directory is told by whoever opens it.
        if resident == Resident::Others && dir.is_dir() {
            return Err(taken(
                dir,
                "restore into an empty directory, with --data-dir",
            ));
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
        Resident::evict(&self.dir);
        if !self.was_there {
            // Where somebody else has put something there, it stays.
            let _ = fs::remove_dir(&self.dir);
        }
    }
}
