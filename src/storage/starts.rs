//! Which applications are being started right now, on disk: what is found there at the next start took the node down.
//!
//! The file is written without fsync. It must outlive the process, not the machine: a power cut is nobody's fault.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::committer::Committer;
use super::{Files, StorageError};

/// The starts under way.
#[derive(Clone)]
pub struct Starts {
    path: PathBuf,
    files: Files,
    committer: Committer,
    under_way: Arc<Mutex<BTreeSet<String>>>,
}

impl Starts {
    /// Reads what an earlier process left, and begins anew.
    pub(super) fn open(dir: &Path, files: Files, committer: Committer) -> (Self, Vec<String>) {
        let path = dir.join("starting");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let starts = Self {
            path,
            files,
            committer,
            under_way: Arc::default(),
        };
        (starts, text.lines().map(str::to_owned).collect())
    }

    pub async fn begin(&self, name: &str) {
        self.under_way.lock().unwrap().insert(name.to_owned());
        self.write().await;
    }

    pub async fn end(&self, name: &str) {
        self.under_way.lock().unwrap().remove(name);
        self.write().await;
    }

    /// The node stops in order: what it cuts off is not to blame.
    pub async fn clear(&self) {
        self.under_way.lock().unwrap().clear();
        self.write().await;
    }

    async fn write(&self) {
        let names: Vec<_> = self.under_way.lock().unwrap().iter().cloned().collect();
        let (path, text) = (self.path.clone(), names.join("\n"));
        let written = self.files.run(move || fs::write(path, text)).await;
        let written = written.map_err(StorageError::io("noting which applications start"));
        if let Err(StorageError::NoSpace(_)) = written {
            self.committer.file_was_refused();
        }
        if let Err(error) = written {
            log::warn!("{error}");
        }
    }
}
