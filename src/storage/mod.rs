//! What survives: one private directory, locked by one node, with uploads under way, modules by digest, compiled code,
//! and tokens.

mod artifacts;
mod files;
mod tokens;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use crate::machine;
use crate::refusal::{Kind, Refusal};

pub use artifacts::{Artifact, Artifacts, Upload};
pub use files::Files;
pub use tokens::{Tokens, TokensError};

/// The layout of the data directory that this binary reads and writes.
const FORMAT: u32 = 1;

/// The data directory, held for as long as any clone lives.
#[derive(Clone)]
pub struct Storage {
    pub artifacts: Artifacts,
    pub files: Files,
    pub tokens: Tokens,
    /// Where compiled code lies; everything in it may be deleted at any time.
    pub compiled: PathBuf,
    /// Keys the seal on compiled code. It never leaves the directory.
    pub seal_key: Arc<[u8; 32]>,
    _lock: Arc<File>,
}

impl Storage {
    /// Opens or creates the directory, takes its lock, and sweeps away what a crash left half uploaded.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let context = |doing| move |error| StorageError::directory(path, doing, error);
        private_dir(path).map_err(context("create"))?;
        let lock = lock(path)?;
        check_format(path)?;
        let (uploads, modules, compiled) = (
            path.join("uploads"),
            path.join("artifacts"),
            path.join("compiled"),
        );
        // Deployments are not recorded yet, so a module from an earlier life belongs to nobody either.
        for dir in [&uploads, &modules] {
            let _ = fs::remove_dir_all(dir);
        }
        for dir in [&uploads, &modules, &compiled] {
            private_dir(dir).map_err(context("create a folder in"))?;
        }
        sweep_drafts(&compiled).map_err(context("sweep"))?;
        let files = Files::start().map_err(context("start the file worker for"))?;
        Ok(Self {
            artifacts: Artifacts::new(uploads, modules, files.clone()),
            files,
            tokens: Tokens::in_dir(path),
            compiled,
            seal_key: Arc::new(seal_key(path).map_err(context("read the seal key of"))?),
            _lock: Arc::new(lock),
        })
    }

    /// Bytes that the directory may still take; `None` where the system does not tell.
    pub async fn free_bytes(&self) -> Option<u64> {
        let path = self.compiled.clone();
        self.files.run(move || machine::disk_free(&path).ok()).await
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot {doing} data directory {}: {error}", .dir.display())]
    Directory {
        dir: PathBuf,
        doing: &'static str,
        error: io::Error,
    },
    #[error("data directory {} is in use by {holder}; stop that node or choose another --data-dir", .dir.display())]
    Locked { dir: PathBuf, holder: String },
    #[error(
        "data directory {} has format {found:?}, this node knows up to {FORMAT}; \
         run the newer node or choose another --data-dir", .dir.display()
    )]
    NewerFormat { dir: PathBuf, found: String },
    #[error("no space left in the data directory while {0}; free some and send it again")]
    NoSpace(&'static str),
    #[error("{0} failed: {1}")]
    Io(&'static str, io::Error),
}

impl StorageError {
    fn directory(dir: &Path, doing: &'static str, error: io::Error) -> Self {
        Self::Directory {
            dir: dir.into(),
            doing,
            error,
        }
    }

    fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(doing),
            _ => Self::Io(doing, error),
        }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        let kind = match error {
            StorageError::NoSpace(_) => Kind::NoSpace,
            _ => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// The kernel drops the lock with the process, however that ends; the file's text only says who holds it.
fn lock(dir: &Path) -> Result<File, StorageError> {
    let path = dir.join("lock");
    let open = || {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
    };
    let mut file = open().map_err(|error| StorageError::directory(dir, "lock", error))?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let holder = if holder.is_empty() {
            "another node".into()
        } else {
            holder
        };
        return Err(StorageError::Locked {
            dir: dir.into(),
            holder,
        });
    }
    let note = format!("process {}", std::process::id());
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all(note.as_bytes()));
    written.map_err(|error| StorageError::directory(dir, "lock", error))?;
    Ok(file)
}

fn check_format(dir: &Path) -> Result<(), StorageError> {
    let path = dir.join("format");
    let found = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return write_format(dir, &path)
                .map_err(|error| StorageError::directory(dir, "write the format of", error));
        }
        Err(error) => return Err(StorageError::directory(dir, "read the format of", error)),
    };
    match found.trim().parse::<u32>() {
        Ok(1..=FORMAT) => Ok(()),
        _ => Err(StorageError::NewerFormat {
            dir: dir.into(),
            found: found.trim().into(),
        }),
    }
}

/// Whole or not at all, whenever the power goes.
fn write_format(dir: &Path, path: &Path) -> io::Result<()> {
    let draft = dir.join("format.draft");
    fs::write(&draft, FORMAT.to_string())?;
    File::open(&draft)?.sync_all()?;
    fs::rename(draft, path)?;
    File::open(dir)?.sync_all()
}

/// Compiled code that nobody lived to seal.
fn sweep_drafts(compiled: &Path) -> io::Result<()> {
    for entry in fs::read_dir(compiled)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "draft") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn seal_key(dir: &Path) -> io::Result<[u8; 32]> {
    let path = dir.join("seal.key");
    if let Ok(bytes) = fs::read(&path)
        && let Ok(key) = <[u8; 32]>::try_from(bytes)
    {
        return Ok(key);
    }
    // Missing or damaged: a new key only means that compiled code is made again.
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}
