//! Large values in buckets: each a file of its own that is never changed, found by a record in the store.
//!
//! A file is whole and on disk under its id before its record is, and a record is gone before its file is. So a crash
//! leaves no more than a file without a record, and the next start sweeps those away.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use redb::{ReadTransaction, WriteTransaction};

use super::artifacts::Upload;
use super::backup::Pieces;
use super::blob_rows::{self, At, Row};
use super::committer::Committer;
use super::usage::Spent;
use super::{Artifact, Artifacts, Files, StorageError};
use crate::clock::Clock;
use crate::id::{Digest, InvalidName, Scope};
use crate::limits::{self, MIB};
use crate::machine;
use crate::place::Place;

/// All blobs of all places.
#[derive(Clone)]
pub struct Blobs {
    dir: PathBuf,
    artifacts: Artifacts,
    files: Files,
    committer: Committer,
}

/// What is known of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub id: String,
    pub place: Place,
    pub bucket: Scope,
    pub key: String,
    pub bytes: u64,
    pub content_type: Option<String>,
    pub digest: Digest,
    pub modified_ms: u64,
}

/// How a caller names one.
#[derive(Clone, Debug)]
pub enum BlobName {
    Id(String),
    Key { bucket: Scope, key: String },
}

/// Some of a bucket's blobs, and how many there are.
pub struct Listed {
    pub blobs: Vec<Blob>,
    pub total: usize,
}

/// Which of a bucket's blobs are wanted.
pub struct Wanted {
    pub bucket: Scope,
    pub prefix: String,
    pub offset: usize,
    pub limit: usize,
    /// What all that is known of them may weigh; more is an error, since half a list would look like a whole one.
    pub bytes_max: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error(transparent)]
    Bucket(#[from] InvalidName),
    #[error(
        "a blob's key has 1 to {max} bytes and no control characters",
        max = limits::KEY_BYTES_MAX
    )]
    Key,
    #[error("a content type has 1 to {max} visible ASCII characters", max = limits::CONTENT_TYPE_BYTES_MAX)]
    ContentType,
    #[error("there is no such blob here")]
    Unknown,
    #[error(
        "Payload too large: a blob has at most {} MiB; send it in parts, under keys of their own",
        limits::BLOB_BYTES_MAX / MIB as u64
    )]
    TooLarge,
    #[error(
        "the data directory must keep {} MiB free and has no room for this blob; remove some",
        limits::BLOB_DISK_LEFT_MIN / MIB as u64
    )]
    NoRoom,
    #[error("this blob has {bytes} bytes, at most {bytes_max} can be passed at once")]
    TooLong { bytes: u64, bytes_max: usize },
    #[error(
        "what is known of these blobs has more than {0} bytes; ask for a longer prefix or a limit"
    )]
    TooMany(usize),
    #[error(transparent)]
    Spent(#[from] Spent),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl BlobName {
    /// By its id, or by bucket and key where that is empty.
    pub fn of(id: &str, bucket: &str, key: &str) -> Result<Self, BlobError> {
        if !id.is_empty() {
            let known = id.chars().take(ID_CHARS + 1).collect();
            return Ok(Self::Id(known));
        }
        Ok(Self::Key {
            bucket: Scope::parse("bucket", bucket)?,
            key: checked(key)?,
        })
    }
}

/// Hexadecimal digits of an id.
const ID_CHARS: usize = 32;
/// How often a blob is looked up again whose file went away in the meantime.
const LOOKS_MAX: usize = 4;
/// After how many bytes of an upload the disk is asked for its room again.
const ROOM_CHECK_BYTES: u64 = 4 * MIB as u64;

impl Blobs {
    pub(super) fn new(
        dir: PathBuf,
        artifacts: Artifacts,
        files: Files,
        committer: Committer,
    ) -> Self {
        Self {
            dir,
            artifacts,
            files,
            committer,
        }
    }

    /// Opens a file for a blob on its way; `announced` is what it is said to have, if that is said.
    pub async fn deposit(&self, announced: Option<u64>) -> Result<Deposit, BlobError> {
        if announced.is_some_and(|bytes| bytes > limits::BLOB_BYTES_MAX) {
            return Err(BlobError::TooLarge);
        }
        self.room(announced.unwrap_or(0)).await?;
        Ok(Deposit {
            upload: self.artifacts.upload().await?,
            checked_bytes: 0,
            blobs: self.clone(),
        })
    }

    /// What a name leads to.
    pub async fn find(&self, place: &Place, name: &BlobName) -> Result<Option<Blob>, BlobError> {
        let (place, name) = (place.clone(), name.clone());
        let look = move |transaction: &ReadTransaction| {
            let at = match name {
                BlobName::Id(id) => blob_rows::at(transaction, &place, &id)?,
                BlobName::Key { bucket, key } => Some(At { place, bucket, key }),
            };
            let Some(at) = at else { return Ok(None) };
            let row = blob_rows::find(transaction, &at)?;
            Ok(row.map(|row| row.shown(at)))
        };
        Ok(self.committer.read(look).await?)
    }

    /// The blobs of a bucket, in the order of their keys.
    pub async fn list(&self, place: &Place, wanted: Wanted) -> Result<Listed, BlobError> {
        if wanted.prefix.len() > limits::KEY_BYTES_MAX {
            return Err(BlobError::Key);
        }
        let place = place.clone();
        let look = move |transaction: &ReadTransaction| blob_rows::list(transaction, place, wanted);
        self.committer.read(look).await?
    }

    /// A blob and its bytes, to be read on the file worker. What is replaced or removed meanwhile is still read whole.
    pub async fn open(&self, place: &Place, name: &BlobName) -> Result<(Blob, Content), BlobError> {
        for _ in 0..LOOKS_MAX {
            let blob = self.find(place, name).await?.ok_or(BlobError::Unknown)?;
            let path = self.path(&blob.id);
            match self.files.run(move || File::open(path)).await {
                // It was replaced or removed since; the record knows.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => {
                    let file = opened.map_err(StorageError::io(READING))?;
                    let files = self.files.clone();
                    return Ok((blob, Content { file, files }));
                }
            }
        }
        Err(StorageError::io(READING)(io::ErrorKind::NotFound.into()).into())
    }

    /// A blob's bytes at once, if they are no more than this.
    pub async fn read(
        &self,
        place: &Place,
        name: &BlobName,
        bytes_max: usize,
    ) -> Result<Bytes, BlobError> {
        let (blob, content) = self.open(place, name).await?;
        let bytes = blob.bytes;
        if bytes > bytes_max as u64 {
            return Err(BlobError::TooLong { bytes, bytes_max });
        }
        let mut read = BytesMut::with_capacity(bytes_max.min(bytes as usize));
        let mut pieces = content.part(0, bytes).await?;
        loop {
            let piece = pieces.next().await?;
            if piece.is_empty() {
                return Ok(read.freeze());
            }
            read.extend_from_slice(&piece);
        }
    }

    /// Removes a blob.
    pub async fn delete(&self, place: &Place, name: &BlobName) -> Result<(), BlobError> {
        let blob = self.find(place, name).await?.ok_or(BlobError::Unknown)?;
        let at = At::of(&blob);
        let remove = move |transaction: &WriteTransaction| {
            // By its id, so that one that took its place meanwhile stays.
            let found = blob_rows::remove(transaction, &at, &blob.id)?;
            Ok(found.then_some(blob.id))
        };
        let (files, dir) = (self.files.clone(), self.dir.clone());
        let discard = move |id: Option<String>| {
            let id = id.ok_or(BlobError::Unknown)?;
            files.discard(dir.join(id));
            Ok(())
        };
        self.committer.commit_then(remove, discard).await?
    }

    /// A second blob with the bytes of the first, under another key: both lie on the disk once.
    pub async fn copy(
        &self,
        place: &Place,
        owner: &str,
        from: &BlobName,
        bucket: &str,
        key: &str,
    ) -> Result<Blob, BlobError> {
        let at = At::parse(place, bucket, key)?;
        for _ in 0..LOOKS_MAX {
            let source = self.find(place, from).await?.ok_or(BlobError::Unknown)?;
            let whole = self.whole();
            let (path, to, dir) = (self.path(&source.id), whole.path(), self.dir.clone());
            let link = move || fs::hard_link(path, to).and_then(|()| File::open(dir)?.sync_all());
            match self.files.run(link).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                linked => {
                    linked.map_err(StorageError::io("copying a blob"))?;
                    let row = Row {
                        id: whole.id.clone(),
                        owner: owner.to_owned(),
                        bytes: source.bytes,
                        digest: source.digest.to_string(),
                        content_type: source.content_type,
                        modified_ms: Clock::system().wall_ms(),
                    };
                    return self.record(at, row, whole).await;
                }
            }
        }
        Err(StorageError::io("copying a blob")(io::ErrorKind::NotFound.into()).into())
    }

    /// Writes the record of a file that is whole. Whatever fails takes the file with it; what it replaces goes after it.
    async fn record(&self, at: At, row: Row, whole: WholeFile) -> Result<Blob, BlobError> {
        let blob = row.clone().shown(at.clone());
        let put = move |transaction: &WriteTransaction| {
            let replaced = blob_rows::put(transaction, &at, &row)?;
            Ok((replaced, whole))
        };
        let (files, dir) = (self.files.clone(), self.dir.clone());
        let settle = move |(replaced, whole): (Result<Option<String>, Spent>, WholeFile)| {
            if let Some(id) = replaced? {
                files.discard(dir.join(id));
            }
            whole.stays();
            Ok(blob)
        };
        self.committer.commit_then(put, settle).await?
    }

    /// A file to be, under an id of its own.
    fn whole(&self) -> WholeFile {
        WholeFile {
            id: fresh_id(),
            dir: self.dir.clone(),
            files: Some(self.files.clone()),
        }
    }

    /// Where their files lie.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts a blob's file back under its id; its record comes after `sync`.
    pub(super) async fn place(&self, id: &str, artifact: Artifact) -> Result<(), StorageError> {
        let to = self.path(id);
        let place = move || fs::rename(artifact.path(), to);
        let placed = self.files.run(place).await;
        placed.map_err(StorageError::io("restoring a blob"))
    }

    /// Makes the names of all files durable.
    pub(super) async fn sync(&self) -> Result<(), StorageError> {
        let dir = self.dir.clone();
        let synced = self.files.run(move || File::open(dir)?.sync_all()).await;
        synced.map_err(StorageError::io("restoring blobs"))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// Whether the disk takes so many bytes and has some left for the node itself.
    async fn room(&self, bytes: u64) -> Result<(), BlobError> {
        let dir = self.dir.clone();
        let free = self.files.run(move || machine::disk_free(&dir)).await;
        let needed = bytes.saturating_add(limits::BLOB_DISK_LEFT_MIN);
        match free {
            Ok(free) if free < needed => Err(BlobError::NoRoom),
            _ => Ok(()),
        }
    }
}

const READING: &str = "reading a blob";

fn checked(key: &str) -> Result<String, BlobError> {
    let fits = (1..=limits::KEY_BYTES_MAX).contains(&key.len());
    let plain = !key.chars().any(char::is_control);
    (fits && plain)
        .then(|| key.to_owned())
        .ok_or(BlobError::Key)
}

/// Whether this may be the name of a blob's file.
pub fn is_id(text: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == ID_CHARS && text.bytes().all(digit)
}

fn fresh_id() -> String {
    let mut bytes = [0; ID_CHARS / 2];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl At {
    fn of(blob: &Blob) -> Self {
        Self {
            place: blob.place.clone(),
            bucket: blob.bucket.clone(),
            key: blob.key.clone(),
        }
    }

    fn parse(place: &Place, bucket: &str, key: &str) -> Result<Self, BlobError> {
        Ok(Self {
            place: place.clone(),
            bucket: Scope::parse("bucket", bucket)?,
            key: checked(key)?,
        })
    }
}

/// Where a blob is to be found once it is here, and what it is.
pub struct Label {
    at: At,
    content_type: Option<String>,
    owner: String,
}

impl Label {
    /// `owner` is whose share of the disk it takes.
    pub fn parse(
        place: &Place,
        owner: &str,
        bucket: &str,
        key: &str,
        content_type: Option<String>,
    ) -> Result<Self, BlobError> {
        let plain = |text: &String| {
            let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
            (1..=limits::CONTENT_TYPE_BYTES_MAX).contains(&text.len()) && text.bytes().all(visible)
        };
        if !content_type.as_ref().is_none_or(plain) {
            return Err(BlobError::ContentType);
        }
        Ok(Self {
            at: At::parse(place, bucket, key)?,
            content_type,
            owner: owner.to_owned(),
        })
    }
}

/// A blob on its way to the disk. Dropped before it is kept, it leaves nothing.
pub struct Deposit {
    upload: Upload,
    /// Up to where the disk was asked for room.
    checked_bytes: u64,
    blobs: Blobs,
}

impl Deposit {
    /// Appends a chunk and answers once it is written.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        let bytes = self.upload.bytes() + chunk.len() as u64;
        if bytes > limits::BLOB_BYTES_MAX {
            return Err(BlobError::TooLarge);
        }
        if bytes > self.checked_bytes {
            self.blobs.room(chunk.len() as u64).await?;
            self.checked_bytes = bytes + ROOM_CHECK_BYTES;
        }
        Ok(self.upload.write(chunk).await?)
    }

    /// Makes the bytes durable and tells what they are.
    pub async fn finish(self) -> Result<Deposited, BlobError> {
        let artifact = self.upload.finish().await?;
        Ok(Deposited {
            digest: artifact.digest,
            artifact,
            blobs: self.blobs,
        })
    }
}

/// A whole blob on disk that nobody has put into a bucket yet. Dropped, it is gone.
pub struct Deposited {
    pub digest: Digest,
    artifact: super::Artifact,
    blobs: Blobs,
}

impl Deposited {
    /// Puts it into its bucket, in place of what is there under this key. On disk when this returns.
    pub async fn keep(self, label: Label) -> Result<Blob, BlobError> {
        let blobs = &self.blobs;
        let whole = blobs.whole();
        let (from, to, dir) = (
            self.artifact.path().to_owned(),
            whole.path(),
            blobs.dir.clone(),
        );
        let rename = move || fs::rename(from, to).and_then(|()| File::open(dir)?.sync_all());
        let renamed = blobs.files.run(rename).await;
        renamed.map_err(StorageError::io("keeping a blob"))?;
        let row = Row {
            id: whole.id.clone(),
            owner: label.owner,
            bytes: self.artifact.bytes,
            digest: self.digest.to_string(),
            content_type: label.content_type,
            modified_ms: Clock::system().wall_ms(),
        };
        blobs.record(label.at, row, whole).await
    }
}

/// A blob's file, open.
pub struct Content {
    file: File,
    files: Files,
}

impl Content {
    /// So many of its bytes from there on.
    pub async fn part(self, from: u64, bytes: u64) -> Result<Pieces, BlobError> {
        let Self { mut file, files } = self;
        let seek = move || io::Seek::seek(&mut file, io::SeekFrom::Start(from)).map(|_| file);
        let file = files
            .run(seek)
            .await
            .map_err(StorageError::io("reading a blob"))?;
        Ok(Pieces::of(file, bytes, READING, files))
    }
}

/// A file under its id that has no record yet. Dropped before it has one, it is gone.
struct WholeFile {
    id: String,
    dir: PathBuf,
    files: Option<Files>,
}

impl WholeFile {
    fn path(&self) -> PathBuf {
        self.dir.join(&self.id)
    }

    fn stays(mut self) {
        self.files = None;
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(files) = &self.files {
            files.discard(self.path());
        }
    }
}
