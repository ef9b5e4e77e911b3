//! The one redb file: opened with a check of every page, opened again after an error, and set aside when it is damaged.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;

use redb::{
    Builder, CompactionError, Database, DatabaseError, ReadTransaction, ReadableDatabase,
    TableDefinition, TableError, WriteTransaction,
};

use super::quarantine::Quarantine;
use super::room::Room;
use super::{StorageError, is_for_want_of_room};

/// Pages that redb may keep in memory; its own default is 1 GiB.
const CACHE_BYTES_MAX: usize = 1024 * 1024;

/// The file's name in the data directory.
pub const FILE: &str = "node.redb";

/// How many transactions were committed: after an error it tells whether the last one was.
const COMMITS: TableDefinition<(), u64> = TableDefinition::new("commits");

/// Opens the database; called again after each error.
type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

/// The database, closed between an error and the next use: redb answers nothing more once a write has failed.
pub struct Store {
    open: Opener,
    database: Option<Database>,
    room: Option<Room>,
}

impl Store {
    /// Opens the store at `path`. One that is damaged is set aside in the quarantine, and an empty one takes its place.
    pub fn open(path: PathBuf, quarantine: &Quarantine) -> Result<Self, StorageError> {
        let shown = path.display().to_string();
        let (aside, room) = (path.clone(), Room::of(path.clone()));
        let opener = Box::new(move || checked().create(&path));
        let mut store = Self::of(opener, Some(room));
        match store.reopen() {
            Ok(()) => {}
            Err(Trouble::Io(error)) => return Err(StorageError::io("opening the store")(error)),
            Err(Trouble::Damaged(what)) => {
                log::error!("the store {shown} is damaged: {what}");
                let set_aside = StorageError::io("setting the damaged store aside");
                quarantine.take(&aside, &what).map_err(&set_aside)?;
                let opened = store.reopen();
                opened.map_err(|trouble| set_aside(trouble.into_io()))?;
            }
        }
        store.hold_room();
        Ok(store)
    }

    fn of(open: Opener, room: Option<Room>) -> Self {
        Self {
            open,
            database: None,
            room,
        }
    }

    /// Opens what is closed. What a change left that was cut off may have to be written anew, and on a full disk that
    /// takes the room that is held back.
    fn reopen(&mut self) -> Result<(), Trouble> {
        if self.database.is_some() {
            return Ok(());
        }
        let opened = match attempt(&self.open) {
            Err(Trouble::Io(error)) if is_for_want_of_room(&error) => {
                self.release_room();
                attempt(&self.open)
            }
            opened => opened,
        };
        self.database = Some(opened?);
        Ok(())
    }

    /// Closes the file, which cuts off by how much a change that failed had let it grow; the next use opens it.
    fn close(&mut self) {
        let database = self.database.take();
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    /// Applies changes in one transaction that is on disk when this returns. After an error nothing of it is there,
    /// and on the disk there is the room that there was, unless the disk failed in the very last step and was still
    /// failing when the store asked what it holds: then nobody can tell until it is well again.
    pub fn write<T>(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        let written = self.try_to_write(change);
        self.hold_room();
        written
    }

    fn try_to_write<T>(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        let number = self.number()? + 1;
        let mut done = None;
        let committed = self.guarded("writing to the store", |database| {
            let mut transaction = database.begin_write()?;
            // With one phase, recovery takes a last commit that rotted on the disk for one that was never finished,
            // and forgets it in silence. The second fsync is what tells the two apart.
            transaction.set_two_phase_commit(true);
            done = Some(change(&transaction)?);
            transaction.open_table(COMMITS)?.insert((), number)?;
            Ok(transaction.commit()?)
        });
        if let Err(error) = committed {
            if matches!(error, StorageError::NoSpace(_)) {
                self.release_room();
            }
            if self.number().ok() != Some(number) {
                self.close();
                return Err(error);
            }
            // The disk has it, whatever failed after that.
        }
        Ok(done.expect("what is committed was applied"))
    }

    /// The same with the room that is held back: for changes that make room, or only note a wish. On a disk that fails
    /// for want of room others leave them some.
    pub fn write_with_reserve<T>(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        self.release_room();
        self.write(change)
    }

    fn hold_room(&mut self) {
        if let Some(room) = &mut self.room {
            room.take();
        }
    }

    fn release_room(&mut self) {
        if let Some(room) = &mut self.room {
            room.release();
        }
    }

    /// Whether the disk is so short of room that large changes might fail.
    pub fn is_short_of_room(&self) -> bool {
        self.room.as_ref().is_some_and(Room::is_short)
    }

    /// What the disk has left, where that is as good as nothing.
    pub fn has_full_disk(&self) -> Option<u64> {
        self.room.as_ref().and_then(Room::is_full)
    }

    /// Bytes that the disk has left, where that is known.
    pub fn free_bytes(&self) -> Option<u64> {
        self.room.as_ref().and_then(Room::free_bytes)
    }

    /// How many transactions were ever committed.
    fn number(&mut self) -> Result<u64, StorageError> {
        self.read(|transaction| match transaction.open_table(COMMITS) {
            Ok(table) => Ok(table.get(())?.map_or(0, |number| number.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(0),
            Err(error) => Err(error.into()),
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

    /// What is committed now, whole for as long as it is held, whatever is committed meanwhile; what goes on in the
    /// file cannot take the room of what is held. An error of the store ends it.
    pub fn snapshot(&mut self) -> Result<ReadTransaction, StorageError> {
        self.guarded("reading the store", |database| Ok(database.begin_read()?))
    }

    /// Gives back what deleted and rewritten values took, if that is more than what is left.
    pub fn compact(&mut self) -> Result<(), StorageError> {
        const WORTH_IT_BYTES: u64 = 1024 * 1024;
        self.guarded("compacting the store", |database| {
            let transaction = database.begin_write()?;
            let stats = transaction.stats()?;
            transaction.abort()?;
            if stats.fragmented_bytes() > stats.stored_bytes().max(WORTH_IT_BYTES) {
                match database.compact() {
                    // A backup is being read; there is another time.
                    Ok(_) | Err(CompactionError::TransactionInProgress) => {}
                    Err(error) => return Err(error.into()),
                }
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
        let opened = self.reopen();
        opened.map_err(|trouble| StorageError::io(doing)(trouble.into_io()))?;
        let mut database = self.database.take().expect("it is open");
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

/// A table, if anything was ever written to it.
pub fn there<T>(opened: Result<T, TableError>) -> Result<Option<T>, TableError> {
    match opened {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => opened.map(Some),
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

fn attempt(open: &Opener) -> Result<Database, Trouble> {
    match panic::catch_unwind(AssertUnwindSafe(open)) {
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

fn checked() -> Builder {
    let mut builder = Database::builder();
    builder
        .set_cache_size(CACHE_BYTES_MAX)
        .set_check_integrity_on_open(true);
    builder
}

#[cfg(test)]
pub mod tests {
    use redb::StorageBackend;

    use super::*;

    /// A store on any disk.
    pub fn on<B: StorageBackend>(disk: impl Fn() -> B + Send + 'static) -> Result<Store, String> {
        let opener = Box::new(move || checked().create_with_backend(disk()));
        let mut store = Store::of(opener, None);
        let opened = store.reopen();
        opened.map_err(|trouble| trouble.into_io().to_string())?;
        Ok(store)
    }
}
