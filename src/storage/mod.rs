//! What survives: one private directory, locked by one node, with uploads under way, modules by digest, compiled code,
//! tokens, and a store of records that one thread writes.

mod addresses;
mod artifacts;
mod audit;
mod backup;
mod blob_rows;
mod blobs;
mod committer;
mod deployments;
mod directory;
mod due;
mod entries;
#[cfg(test)]
mod fault_histories;
#[cfg(test)]
pub mod faults;
mod files;
#[cfg(test)]
mod histories;
mod journal;
mod keyvalue;
mod letters;
mod lines;
mod logs;
mod modules;
mod quarantine;
mod queues;
mod refill;
mod room;
mod rows;
mod runs;
mod starts;
mod steady;
mod store;
mod tokens;
mod tuples;
mod usage;
mod values;
mod watches;
mod wellness;
mod workflows;

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::limits;
use crate::machine;
use crate::refusal::{Kind, Refusal};

pub use artifacts::{Artifact, Artifacts, Upload};
pub use backup::{Moment, Piece, Pieces};
pub use blobs::{
    Blob, BlobError, BlobName, Blobs, Content, Deposit, Deposited, Label, Listed, Wanted,
};
pub use committer::Committer;
pub use deployments::{Deployments, Left};
pub use directory::Resident;
pub use files::Files;
pub use journal::{Entry, Event, Head, JournalError, Journals, Span};
pub use keyvalue::{KeyValue, KeyValueError};
pub use letters::Return;
pub use logs::{Line, Logs};
pub use modules::Modules;
pub use quarantine::Quarantine;
pub use queues::{Delivery, Lease, Parcel, QueueError, QueueName, Queues, Settings};
pub use refill::{Look, Records, Refill, RefillError, excerpt};
pub use runs::{
    Head as RunHead, Outcome, Record as RunRecord, Refused, Status as RunStatus, Step, StepKind,
    Taken, Wanted as RunsWanted,
};
pub use starts::Starts;
pub use tokens::{Tokens, TokensError};
pub use tuples::{StoredField, StoredTuple, StoredValue, TupleAt, TupleRows};
pub use watches::{Happened, Watch};
pub use wellness::Wellness;
pub use workflows::{Ending, WorkflowError, Workflows};

use directory::{Found, private_dir};
use due::Due;
use steady::Steady;
use store::{Store, there};

/// The data directory, held for as long as any clone lives.
#[derive(Clone)]
pub struct Storage {
    pub artifacts: Artifacts,
    pub blobs: Blobs,
    pub deployments: Deployments,
    pub files: Files,
    pub journals: Journals,
    pub keyvalue: KeyValue,
    pub logs: Logs,
    pub modules: Modules,
    pub quarantine: Quarantine,
    pub queues: Queues,
    pub starts: Starts,
    pub tokens: Tokens,
    pub tuples: TupleRows,
    pub wellness: Wellness,
    pub workflows: Workflows,
    /// Those of them that had not ended when the node started: application, id and head.
    pub runs_begun: Arc<Vec<(String, String, RunHead)>>,
    /// Applications whose start the process before this one did not outlive.
    pub unfinished_starts: Vec<String>,
    /// Where compiled code lies; everything in it may be deleted at any time.
    pub compiled: PathBuf,
    /// Keys the seal on compiled code. It never leaves the directory.
    pub seal_key: Arc<[u8; 32]>,
    committer: Committer,
    due: Due,
    _lock: Arc<File>,
}

impl Storage {
    /// Opens or creates the directory, takes its lock, and sweeps away what a crash left half uploaded.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let context = |doing| move |error| StorageError::directory(path, doing, error);
        private_dir(path).map_err(context("create"))?;
        let lock = directory::lock(path)?;
        let found = directory::format(path)?;
        let (uploads, modules, compiled, logs, blobs) = (
            path.join("uploads"),
            path.join("artifacts"),
            path.join("compiled"),
            path.join("logs"),
            path.join("blobs"),
        );
        let _ = fs::remove_dir_all(&uploads);
        if found == Found::Older {
            // Format 1 recorded no deployments, so its modules belong to nobody.
            let _ = fs::remove_dir_all(&modules);
        }
        for dir in [&uploads, &modules, &compiled, &logs, &blobs] {
            private_dir(dir).map_err(context("create a folder in"))?;
        }
        sweep_drafts(&compiled).map_err(context("sweep"))?;
        let quarantine = Quarantine::in_dir(path);
        let mut store = open_store(path, found, &quarantine)?;
        if found != Found::Current {
            directory::write_format(path).map_err(context("write the format of"))?;
        }
        let files = Files::start().map_err(context("start the file worker for"))?;
        blob_rows::settle(&mut store, &blobs)?;
        if store.read(addresses::any)? {
            store.write_with_reserve(addresses::to_ids)?;
        }
        let (noted_ms, lent) = store.read(unsettled)?;
        let heads = store.read(entries::heads)?;
        let runs_begun = Arc::new(store.read(runs::running)?);
        let due = Due::new(Steady::begin(Clock::system().wall_ms(), noted_ms));
        // Whatever became due while the node was off is done at once.
        due.at(0);
        let committer = Committer::start(store).map_err(context("start the committer for"))?;
        let guests = committer.for_guests();
        let journals = Journals::new(committer.clone(), guests.clone(), heads);
        let (starts, unfinished_starts) = Starts::open(path, files.clone(), committer.clone());
        let artifacts = Artifacts::new(uploads, modules, files.clone(), committer.clone());
        Ok(Self {
            blobs: Blobs::new(blobs, artifacts.clone(), files.clone(), guests.clone()),
            artifacts,
            deployments: Deployments::new(committer.clone(), journals.clone()),
            journals,
            logs: Logs::in_dir(logs, files.clone()),
            modules: Modules::new(committer.clone()),
            files,
            keyvalue: KeyValue::new(guests.clone(), due.clone()),
            quarantine,
            tuples: TupleRows::new(guests.clone(), due.clone()),
            queues: Queues::new(guests.clone(), due.clone(), lent),
            workflows: Workflows::new(committer.clone(), guests, due.steady),
            runs_begun,
            starts,
            tokens: Tokens::in_dir(path),
            unfinished_starts,
            wellness: committer.wellness.clone(),
            compiled,
            seal_key: Arc::new(directory::seal_key(path).map_err(context("read the seal key of"))?),
            committer,
            due,
            _lock: Arc::new(lock),
        })
    }

    /// Bytes that the directory may still take; `None` where the system does not tell.
    pub async fn free_bytes(&self) -> Option<u64> {
        let path = self.compiled.clone();
        self.files.run(move || machine::disk_free(&path).ok()).await
    }

    /// Does what is due in keys and queues, each at its time, for as long as it is polled; sleeps meanwhile.
    pub async fn keep_time(&self) -> Infallible {
        loop {
            self.due.wait().await;
            for swept in [self.keyvalue.sweep().await, self.queues.sweep().await] {
                match swept {
                    Ok(next_ms) => next_ms.into_iter().for_each(|at_ms| self.due.at(at_ms)),
                    Err(error) => {
                        log::warn!("what has expired stays for now: {error}");
                        self.due.after(limits::SWEEP_RETRY);
                    }
                }
            }
        }
    }

    /// Commits what waits and closes the store. Nothing is written after that.
    pub async fn close(&self) {
        self.committer.close().await;
    }
}

/// The store's time when it was last noted, and the messages that were on loan.
fn unsettled(transaction: &redb::ReadTransaction) -> Result<(u64, Vec<letters::At>), redb::Error> {
    let noted = there(transaction.open_table(steady::NOTED))?;
    let noted = noted.map_or(Ok(None), |table| table.get(()))?;
    let noted_ms = noted.map_or(0, |noted| noted.value());
    Ok((noted_ms, letters::leased(transaction)?))
}

/// A store that is gone from a directory that had one is damage too: the node must not start empty in silence.
fn open_store(dir: &Path, found: Found, quarantine: &Quarantine) -> Result<Store, StorageError> {
    let path = dir.join(store::FILE);
    let empty = fs::metadata(&path).map_or(true, |it| it.len() == 0);
    if found == Found::Current && empty {
        log::error!("the store {} is missing or empty", path.display());
        quarantine
            .take(&path, "the store was missing or empty")
            .map_err(StorageError::io("noting that the store is missing"))?;
    }
    Store::open(path, quarantine)
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot {doing} data directory {}: {error}; {}", .dir.display(), remedy(error))]
    Directory {
        dir: PathBuf,
        doing: &'static str,
        error: io::Error,
    },
    #[error("data directory {} is in use by {holder}; stop that node or choose another --data-dir", .dir.display())]
    Locked { dir: PathBuf, holder: String },
    #[error(
        "data directory {} has format {found:?}, this node knows up to {known}; \
         run the newer node or choose another --data-dir", .dir.display()
    )]
    NewerFormat {
        dir: PathBuf,
        found: String,
        known: u32,
    },
    #[error("no space left in the data directory while {0}; free some and send it again")]
    NoSpace(&'static str),
    #[error(
        "the data directory became read-only while {0}; look at the disk, then start the node again"
    )]
    ReadOnly(&'static str),
    #[error("{0} failed: {1}; look at the disk")]
    Io(&'static str, io::Error),
    #[error("too many changes wait for the disk; try again in a moment")]
    Busy,
    #[error("the store is closed: the node is stopping")]
    Closed,
}

/// Whether a file system refused something because it, or its user's part of it, is full.
fn is_for_want_of_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What to do about a data directory that cannot be had.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "give it to the user that the node runs as (chown), or choose another --data-dir"
        }
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "a file is in its way: choose a directory as --data-dir"
        }
        _ if is_for_want_of_room(error) => {
            "free some space on its disk, or choose another --data-dir"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "its disk is read-only: mount it for writing, or choose another --data-dir"
        }
        _ => "look at its disk, or choose another --data-dir",
    }
}

impl StorageError {
    fn directory(dir: &Path, doing: &'static str, error: io::Error) -> Self {
        Self::Directory {
            dir: dir.into(),
            doing,
            error,
        }
    }

    /// What an error of the disk means for who was `doing` something there.
    pub fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| match error.kind() {
            _ if is_for_want_of_room(&error) => Self::NoSpace(doing),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(doing),
            _ => Self::Io(doing, error),
        }
    }

    /// The same once more, for all who shared what failed.
    fn to_everyone(&self) -> Self {
        match self {
            Self::NoSpace(doing) => Self::NoSpace(doing),
            Self::ReadOnly(doing) => Self::ReadOnly(doing),
            Self::Io(doing, error) => Self::Io(doing, io::Error::other(error.to_string())),
            Self::Busy => Self::Busy,
            other => Self::Io("writing to the store", io::Error::other(other.to_string())),
        }
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        let kind = match error {
            StorageError::NoSpace(_) => Kind::NoSpace,
            StorageError::Busy | StorageError::Closed => Kind::Unavailable,
            _ => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_that_cannot_be_had_has_its_remedy() {
        let check = |kind: io::ErrorKind, word: &str| {
            let error = StorageError::directory("/data".as_ref(), "create", kind.into());
            let said = error.to_string();
            let begins = said.starts_with("cannot create data directory /data: ");
            assert!(begins && said.contains(word), "{said}");
        };
        check(
            io::ErrorKind::PermissionDenied,
            "the user that the node runs as",
        );
        check(io::ErrorKind::NotADirectory, "a file is in its way");
        check(io::ErrorKind::AlreadyExists, "a file is in its way");
        check(io::ErrorKind::StorageFull, "free some space");
        check(io::ErrorKind::ReadOnlyFilesystem, "read-only");
        check(io::ErrorKind::Other, "look at its disk");
    }
}
