//! One moment of the data directory, held still while the node runs on: rows, modules, blobs and tokens.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::ReadTransaction;

use super::rows::{self, Stored};
use super::{Files, Records, Storage, StorageError, Tokens};
use super::{blob_rows, deployments, directory::private_dir, modules};
use crate::id::Digest;
use crate::limits;

/// What was there at one moment. Dropped, it is let go.
pub struct Moment {
    /// A folder with a second link to each file: removing one does not take it away from here.
    dir: PathBuf,
    /// Until all rows are read: as long as it is held, the store's file grows with what changes.
    snapshot: Option<ReadTransaction>,
    tables: Vec<Box<dyn Stored>>,
    /// The last key that was read, and which of the table's pieces comes next.
    after: Option<Vec<u8>>,
    piece: u32,
    /// The modules' sizes in bytes.
    pub modules: Vec<(Digest, u64)>,
    /// The blobs' ids and sizes in bytes.
    pub blobs: Vec<(String, u64)>,
    pub tokens: Option<Bytes>,
    /// What refers to the modules.
    pub records: Records,
    files: Files,
}

/// Rows of one table.
pub struct Piece {
    pub table: String,
    /// From 0 upwards within the table.
    pub number: u32,
    pub rows: Bytes,
}

impl Storage {
    /// Holds this moment. Whoever changes something meanwhile does not wait.
    pub async fn moment(&self) -> Result<Moment, StorageError> {
        let dir = self.artifacts.scratch();
        let mut moment = Moment {
            dir: dir.clone(),
            snapshot: None,
            tables: rows::tables(),
            after: None,
            piece: 0,
            modules: Vec::new(),
            blobs: Vec::new(),
            tokens: None,
            records: Records::default(),
            files: self.files.clone(),
        };
        moment.tables.reverse();
        let (artifacts, blobs) = (self.artifacts.dir().to_owned(), self.blobs.dir().to_owned());
        let (tokens, files) = (self.tokens.clone(), self.files.clone());
        // The files of what is removed after the snapshot are discarded by jobs that come after this one.
        let hold = move |snapshot: ReadTransaction| {
            files.begin(move || {
                private_dir(&dir)?;
                let modules = link_modules(&artifacts, &dir)?;
                let blobs = link_blobs(&snapshot, &blobs, &dir)?;
                let records = records_of(&snapshot).map_err(io::Error::other)?;
                Ok((snapshot, records, modules, blobs, text_of(&tokens)?))
            })
        };
        let held = self.committer.snapshot(hold).await?.await;
        let held = held.unwrap_or_else(|_| Err(io::Error::other("the file worker broke down")));
        let (snapshot, records, modules, blobs, tokens) =
            held.map_err(StorageError::io("holding the files of a backup"))?;
        (moment.modules, moment.blobs, moment.tokens) = (modules, blobs, tokens);
        (moment.snapshot, moment.records) = (Some(snapshot), records);
        Ok(moment)
    }
}

fn records_of(snapshot: &ReadTransaction) -> Result<Records, redb::Error> {
    let modules = modules::recorded(snapshot)?.into_iter();
    Ok(Records {
        applications: deployments::recorded(snapshot)?,
        modules: modules.map(|(_, record)| record).collect(),
    })
}

fn link_modules(from: &Path, to: &Path) -> io::Result<Vec<(Digest, u64)>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(digest) = stem.and_then(Digest::parse) {
            let link = to.join(digest.to_string());
            fs::hard_link(path, &link)?;
            modules.push((digest, fs::metadata(link)?.len()));
        }
    }
    Ok(modules)
}

fn link_blobs(
    snapshot: &ReadTransaction,
    from: &Path,
    to: &Path,
) -> io::Result<Vec<(String, u64)>> {
    if let Some(table) = rows::unknown(snapshot).map_err(io::Error::other)? {
        let text = format!("the store has a table {table:?} that no backup holds");
        return Err(io::Error::other(text));
    }
    let ids = blob_rows::recorded(snapshot).map_err(io::Error::other)?;
    let link = |id: String| {
        let link = to.join(&id);
        fs::hard_link(from.join(&id), &link)
            .map_err(|error| io::Error::new(error.kind(), format!("blob {id}: {error}")))?;
        Ok((id, fs::metadata(link)?.len()))
    };
    ids.into_iter().map(link).collect()
}

/// A backup with tokens that no node can read could never be restored.
fn text_of(tokens: &Tokens) -> io::Result<Option<Bytes>> {
    let text = tokens.text().map_err(|error| {
        log::error!("no backup can be taken: {error}");
        io::Error::other("tokens.json cannot be read, and the log has the reason")
    })?;
    Ok(text.map(Bytes::from))
}

impl Moment {
    /// The next rows; at the end none, and the snapshot is let go.
    pub async fn rows(&mut self) -> Result<Option<Piece>, StorageError> {
        while let (Some(snapshot), Some(table)) = (self.snapshot.take(), self.tables.pop()) {
            let mut after = self.after.take();
            let read = move || {
                let rows = table.read(&snapshot, &mut after, limits::BACKUP_PIECE_BYTES);
                (rows, snapshot, table, after)
            };
            let (rows, snapshot, table, after) = self.files.run(read).await;
            let rows = rows.map_err(|error| StorageError::io(READING)(io::Error::other(error)))?;
            self.snapshot = Some(snapshot);
            if rows.is_empty() {
                self.piece = 0;
                continue;
            }
            let piece = Piece {
                table: table.name().to_owned(),
                number: self.piece,
                rows: rows.into(),
            };
            (self.after, self.piece) = (after, self.piece + 1);
            self.tables.push(table);
            return Ok(Some(piece));
        }
        Ok(None)
    }

    /// A module's bytes, a piece at a time.
    pub async fn module(&self, digest: Digest) -> Result<Pieces, StorageError> {
        self.open(digest.to_string()).await
    }

    /// A blob's bytes, a piece at a time.
    pub async fn blob(&self, id: &str) -> Result<Pieces, StorageError> {
        self.open(id.to_owned()).await
    }

    async fn open(&self, name: String) -> Result<Pieces, StorageError> {
        let path = self.dir.join(name);
        let file = self.files.run(move || File::open(path)).await;
        let file = file.map_err(StorageError::io(READING))?;
        Ok(Pieces::of(file, u64::MAX, READING, self.files.clone()))
    }
}

const READING: &str = "reading what a backup holds";

impl Drop for Moment {
    fn drop(&mut self) {
        self.files.discard_dir(self.dir.clone());
    }
}

/// A file, read on the file worker.
pub struct Pieces {
    file: Option<File>,
    left_bytes: u64,
    doing: &'static str,
    files: Files,
}

impl Pieces {
    /// At most so many bytes from where the file stands.
    pub(super) fn of(file: File, left_bytes: u64, doing: &'static str, files: Files) -> Self {
        Self {
            file: Some(file),
            left_bytes,
            doing,
            files,
        }
    }

    /// The next piece; an empty one at the end.
    pub async fn next(&mut self) -> Result<Bytes, StorageError> {
        let mut file = self.file.take().expect("no piece follows a failed one");
        let most = self.left_bytes.min(limits::CHUNK_BYTES_MAX as u64);
        let job = move || {
            let mut piece = Vec::with_capacity(most as usize);
            let read = (&mut file).take(most);
            { read }.read_to_end(&mut piece).map(|_| (file, piece))
        };
        let read = self.files.run(job).await;
        let (file, piece) = read.map_err(StorageError::io(self.doing))?;
        self.left_bytes -= piece.len() as u64;
        self.file = Some(file);
        Ok(piece.into())
    }
}
