//! Modules by the digest of their bytes: streamed in, hashed on the way, kept by a rename once somebody wants them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::committer::Committer;
use super::{Files, StorageError};
use crate::id::Digest;

/// The store of modules.
#[derive(Clone)]
pub struct Artifacts {
    uploads: PathBuf,
    modules: PathBuf,
    files: Files,
    committer: Committer,
}

impl Artifacts {
    pub(super) fn new(
        uploads: PathBuf,
        modules: PathBuf,
        files: Files,
        committer: Committer,
    ) -> Self {
        Self {
            uploads,
            modules,
            files,
            committer,
        }
    }

    /// Opens a file for a module that is on its way.
    pub async fn upload(&self) -> Result<Upload, StorageError> {
        let temporary = self.temporary();
        let path = temporary.path.clone();
        let file = self.files.run(move || create_private(&path)).await;
        let file = temporary.noted(file, "opening an upload")?;
        Ok(Upload {
            writer: Some(Writer {
                file,
                hasher: Sha256::new(),
            }),
            bytes: 0,
            temporary,
        })
    }

    /// A module that is kept, as if it had just come once more.
    pub async fn again(&self, digest: Digest, bytes: u64) -> Result<Artifact, StorageError> {
        let temporary = self.temporary();
        let (from, to) = (self.path(digest), temporary.path.clone());
        let linked = self.files.run(move || fs::hard_link(from, to)).await;
        linked.map_err(StorageError::io("linking a module"))?;
        Ok(Artifact {
            digest,
            bytes,
            temporary,
        })
    }

    /// A path for an upload, and what is there goes with the guard.
    fn temporary(&self) -> Temporary {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        Temporary {
            path: self.uploads.join(format!("{number}.part")),
            files: self.files.clone(),
            committer: self.committer.clone(),
        }
    }

    /// A path among the uploads that nothing else has; what is there is swept away at the next start.
    pub fn scratch(&self) -> PathBuf {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        self.uploads.join(format!("backup-{number}"))
    }

    /// Where all of them lie.
    pub fn dir(&self) -> &Path {
        &self.modules
    }

    /// Where the module of this digest lies once it is kept.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.modules.join(format!("{digest}.wasm"))
    }

    /// Keeps an uploaded module under its digest, durably.
    pub async fn keep(&self, artifact: Artifact) -> Result<(), StorageError> {
        let (to, dir) = (self.path(artifact.digest), self.modules.clone());
        let job =
            move || fs::rename(artifact.path(), to).and_then(|()| File::open(dir)?.sync_all());
        self.files
            .run(job)
            .await
            .map_err(StorageError::io("keeping a module"))
    }

    /// Forgets every module but these.
    pub async fn collect(&self, used: HashSet<Digest>) {
        let dir = self.modules.clone();
        let job = move || {
            for entry in fs::read_dir(dir)? {
                let path = entry?.path();
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                if !stem
                    .and_then(Digest::parse)
                    .is_some_and(|it| used.contains(&it))
                {
                    log::info!("nothing refers to {}; it is removed", path.display());
                    fs::remove_file(path)?;
                }
            }
            io::Result::Ok(())
        };
        if let Err(error) = self.files.run(job).await {
            log::warn!("cannot look for modules that nothing refers to: {error}");
        }
    }

    /// Forgets a module. One that is not there is not an error.
    pub async fn remove(&self, digest: Digest) {
        let path = self.path(digest);
        let removed = self.files.run(move || fs::remove_file(path)).await;
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("cannot remove module {digest}: {error}");
        }
    }
}

/// A module on its way to the disk. Dropped before `finish`, it leaves nothing.
pub struct Upload {
    /// Away while the file worker writes a chunk.
    writer: Option<Writer>,
    bytes: u64,
    temporary: Temporary,
}

struct Writer {
    file: File,
    hasher: Sha256,
}

impl Upload {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a chunk and answers once it is written. After an error the upload is of no more use.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        self.bytes += chunk.len() as u64;
        let mut writer = self.writer.take().expect("no write follows a failed one");
        let job = move || {
            writer.hasher.update(&chunk);
            writer.file.write_all(&chunk).map(|()| writer)
        };
        let written = self.temporary.files.run(job).await;
        self.writer = Some(self.temporary.noted(written, "writing an upload")?);
        Ok(())
    }

    /// Makes the bytes durable and names them.
    pub async fn finish(mut self) -> Result<Artifact, StorageError> {
        let writer = self
            .writer
            .take()
            .expect("no finish follows a failed write");
        let job = move || writer.file.sync_all().map(|()| Digest::of(writer.hasher));
        let finished = self.temporary.files.run(job).await;
        let digest = self.temporary.noted(finished, "finishing an upload")?;
        Ok(Artifact {
            digest,
            bytes: self.bytes,
            temporary: self.temporary,
        })
    }
}

/// A whole module on disk that nobody has kept yet. Dropped, it is gone.
pub struct Artifact {
    pub digest: Digest,
    pub bytes: u64,
    temporary: Temporary,
}

impl Artifact {
    pub fn path(&self) -> &Path {
        &self.temporary.path
    }
}

struct Temporary {
    path: PathBuf,
    files: Files,
    committer: Committer,
}

impl Temporary {
    /// What became of something with the file; where the disk had no room for it, its keeper is told.
    fn noted<T>(&self, done: io::Result<T>, doing: &'static str) -> Result<T, StorageError> {
        let done = done.map_err(StorageError::io(doing));
        if let Err(StorageError::NoSpace(_)) = done {
            self.committer.file_was_refused();
        }
        done
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.files.discard(self.path.clone());
    }
}

pub fn create_private(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
