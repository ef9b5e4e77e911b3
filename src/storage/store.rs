//! The one redb file: opened with a check of every page, opened again after an error, and set aside when it is damaged.

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::StorageError;
use super::quarantine::Quarantine;

/// Pages that redb may keep in memory; its own default is 1 GiB.
const CACHE_BYTES_MAX: usize = 1024 * 1024;

/// The file's name in the data directory.
pub const FILE: &str = "node.redb";

/// The database, closed between an error and the next use: redb answers nothing more once a write has failed.
pub struct Store {
    path: PathBuf,
    database: Option<Database>,
}

impl Store {
    /// Opens the store. One that is damaged is set aside in the quarantine, and an empty one takes its place.
    pub fn open(path: PathBuf, quarantine: &Quarantine) -> Result<Self, StorageError> {
        let database = match open(&path) {
            Ok(database) => database,
            Err(Trouble::Damaged(what)) => {
                log::error!("the store {} is damaged: {what}", path.display());
                quarantine
                    .take(&path, &what)
                    .and_then(|()| open(&path).map_err(Trouble::into_io))
                    .map_err(StorageError::io("setting the damaged store aside"))?
            }
            Err(Trouble::Io(error)) => return Err(StorageError::Io("opening the store", error)),
        };
        Ok(Self {
            path,
            database: Some(database),
        })
    }

    /// Applies changes in one transaction that is on disk when this returns.
    pub fn write<T>(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        self.guarded("writing to the store", |database| {
            let mut transaction = database.begin_write()?;
            // With one phase, recovery takes a last commit that rotted on the disk for one that was never finished,
            // and forgets it in silence. The second fsync is what tells the two apart.
            transaction.set_two_phase_commit(true);
            let done = change(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    pub fn read<T>(
        &mut self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        self.guarded("reading the store", |database| {
            look(&database.begin_read()?)
        })
    }

    /// Gives back what deleted and rewritten values took, if that is more than half of the file.
    pub fn compact(&mut self) -> Result<(), StorageError> {
        const WORTH_IT_BYTES: u64 = 1024 * 1024;
        let path = self.path.clone();
        self.guarded("compacting the store", |database| {
            let stats = {
                let transaction = database.begin_write()?;
                let stats = transaction.stats()?;
                transaction.abort()?;
                stats
            };
            let held = fs::metadata(path)?.len();
            if held > WORTH_IT_BYTES && stats.stored_bytes() + stats.metadata_bytes() < held / 2 {
                database.compact()?;
            }
            Ok(())
        })
    }

    /// redb panics where it meets what it never wrote; that must not end the thread. Whatever fails closes the file.
    fn guarded<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&mut Database) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        let mut database = match self.database.take() {
            Some(database) => database,
            None => {
                open(&self.path).map_err(|trouble| StorageError::io(doing)(trouble.into_io()))?
            }
        };
        match panic::catch_unwind(AssertUnwindSafe(|| work(&mut database))) {
            Ok(Ok(done)) => {
                self.database = Some(database);
                Ok(done)
            }
            Ok(Err(redb::Error::Io(error))) => Err(StorageError::io(doing)(error)),
            Ok(Err(error)) => Err(StorageError::io(doing)(io::Error::other(error))),
            Err(_) => Err(StorageError::io(doing)(io::Error::other(
                "the store is damaged; start the node again to have it set aside",
            ))),
        }
    }
}

/// Why a store does not open.
enum Trouble {
    /// What it holds is not what was written.
    Damaged(String),
    /// It cannot be read, or not be written.
    Io(io::Error),
}

impl Trouble {
    fn into_io(self) -> io::Error {
        match self {
            Self::Damaged(what) => io::Error::other(what),
            Self::Io(error) => error,
        }
    }
}

fn open(path: &Path) -> Result<Database, Trouble> {
    let open = || {
        Database::builder()
            .set_cache_size(CACHE_BYTES_MAX)
            .set_check_integrity_on_open(true)
            .create(path)
    };
    match panic::catch_unwind(open) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::Storage(redb::StorageError::Io(error))))
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Err(Trouble::Io(error))
        }
        Ok(Err(error)) => Err(Trouble::Damaged(error.to_string())),
        Err(_) => Err(Trouble::Damaged("redb does not understand it".into())),
    }
}
