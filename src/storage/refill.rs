//! A backup on its way into an empty data directory: files as they come, all rows in one transaction that ends last.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use redb::{ReadTransaction, WriteTransaction};
use tokio::sync::oneshot;

use super::audit::{self, BlobFile, Flaw};
use super::rows;
use super::usage::Usage;
use super::{Artifact, Storage, StorageError, TokensError, blobs, deployments, modules, tokens};
use crate::id::Digest;
use crate::limits;

/// Pieces of rows that wait for the transaction.
const PIECES_WAITING_MAX: usize = 2;

/// The records that a backup has, for whoever can read them.
#[derive(Default)]
pub struct Records {
    /// By name.
    pub applications: Vec<(String, Vec<u8>)>,
    pub modules: Vec<Vec<u8>>,
}

/// Looks at the records before anything is committed, and counts the applications; the error says what is wrong.
pub type Look = Box<dyn FnOnce(&Records) -> Result<usize, String> + Send>;

/// What is being put into the directory. Nothing of it counts unless `finish` succeeds; after an error, `undo` it.
pub struct Refill {
    storage: Storage,
    steps: SyncSender<Step>,
    /// Until it has come.
    done: Option<oneshot::Receiver<Result<usize, StorageError>>>,
    /// Why the rows were refused, where they were.
    flaw: Arc<Mutex<Option<String>>>,
    modules: Vec<Digest>,
    blobs: Vec<BlobFile>,
    /// What a node could read, and not yet on disk.
    tokens: Option<Vec<u8>>,
}

enum Step {
    Rows { table: String, rows: Vec<u8> },
    Finish { look: Look, blobs: Vec<BlobFile> },
}

#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    #[error(
        "the data directory holds keys, queues, journals, blobs or modules already; restore into another --data-dir"
    )]
    NotEmpty,
    #[error("it is damaged: {}", excerpt(.0))]
    Damaged(String),
    #[error("no node can read its tokens: {}", excerpt(.0))]
    UnreadableTokens(String),
    #[error(transparent)]
    Tokens(TokensError),
    #[error("all of it is there but its tokens, so create new ones: {0}")]
    WithoutTokens(TokensError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// What may be shown of an archive's own words: one line, no longer than an error may be.
pub fn excerpt(text: &str) -> String {
    let end = text.floor_char_boundary(limits::ERROR_BYTES_MAX);
    let shown = |c: char| match c.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    text[..end].chars().map(shown).collect()
}

impl Storage {
    /// Begins, if nothing that outlives a process is there yet.
    pub async fn refill(&self) -> Result<Refill, RefillError> {
        if !self.committer.read(is_empty).await? {
            return Err(RefillError::NotEmpty);
        }
        let (steps, waiting) = sync_channel(PIECES_WAITING_MAX);
        let (told, done) = oneshot::channel();
        let flaw = Arc::<Mutex<Option<String>>>::default();
        let reason = flaw.clone();
        self.committer.submit(
            move |transaction| match fill(transaction, &waiting) {
                Ok(applications) => Ok(applications),
                Err(Flaw::Broken(error)) => Err(error),
                Err(Flaw::Wrong(what)) => {
                    *reason.lock().unwrap() = Some(what);
                    Err(redb::Error::Corrupted("a backup was refused".into()))
                }
            },
            move |committed| drop(told.send(committed)),
        )?;
        Ok(Refill {
            storage: self.clone(),
            steps,
            done: Some(done),
            flaw,
            modules: Vec::new(),
            blobs: Vec::new(),
            tokens: None,
        })
    }
}

fn is_empty(transaction: &ReadTransaction) -> Result<bool, redb::Error> {
    for table in rows::tables() {
        if !rows::is_bookkeeping(table.name()) && !table.is_empty(transaction)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes rows until all are there, and holds them against each other and against the files.
fn fill(transaction: &WriteTransaction, waiting: &Receiver<Step>) -> Result<usize, Flaw> {
    let tables = rows::tables();
    for table in tables.iter().filter(|it| rows::is_bookkeeping(it.name())) {
        table.clear(transaction)?;
    }
    loop {
        match waiting.recv() {
            Err(_) => return Err(Flaw::Wrong("it broke off".into())),
            Ok(Step::Rows { table, rows }) => {
                let wrong = || Flaw::Wrong(format!("the rows of {table:?} cannot be read"));
                let found = tables.iter().find(|it| it.name() == table);
                let written = found.ok_or_else(wrong)?.write(transaction, &rows)?;
                written.ok_or_else(wrong)?;
            }
            Ok(Step::Finish { look, blobs }) => {
                let records = Records {
                    applications: deployments::records(transaction)?,
                    modules: modules::records(transaction)?,
                };
                let applications = look(&records).map_err(Flaw::Wrong)?;
                let (tally, recorded) = audit::audit(transaction)?;
                agree(recorded, blobs)?;
                Usage::open(transaction)?.set(tally)?;
                return Ok(applications);
            }
        }
    }
}

/// Each record has its file, and each file its record.
fn agree(recorded: Vec<BlobFile>, files: Vec<BlobFile>) -> Result<(), Flaw> {
    let files = files.into_iter();
    let mut files: HashMap<_, _> = files.map(|it| (it.id, (it.bytes, it.digest))).collect();
    for blob in recorded {
        let id = blob.id;
        match files.remove(&id) {
            Some(file) if file == (blob.bytes, blob.digest) => {}
            Some(_) => return Err(Flaw::Wrong(format!("blob {id} has other bytes"))),
            None => return Err(Flaw::Wrong(format!("blob {id} is missing"))),
        }
    }
    match files.into_keys().next() {
        Some(id) => Err(Flaw::Wrong(format!("nothing refers to blob {id}"))),
        None => Ok(()),
    }
}

impl Refill {
    /// Rows of one table, as a backup has them.
    pub async fn rows(&mut self, table: &str, rows: Vec<u8>) -> Result<(), RefillError> {
        let table = table.to_owned();
        self.step(Step::Rows { table, rows }).await
    }

    /// An application's record, as backups of format 1 have it.
    pub async fn application(&mut self, name: &str, record: &[u8]) -> Result<(), RefillError> {
        let (table, row) = deployments::record_row(name, record);
        self.rows(table, row).await
    }

    /// What an actor of it left, likewise.
    pub async fn left(&mut self, name: &str, actor: &str, left: &[u8]) -> Result<(), RefillError> {
        let (table, row) = deployments::left_row(name, actor, left);
        self.rows(table, row).await
    }

    /// The tokens, which come with the rows; those that are there already stay instead.
    pub fn tokens(&mut self, text: Vec<u8>) -> Result<(), RefillError> {
        tokens::check(&text).map_err(RefillError::UnreadableTokens)?;
        match self.tokens.replace(text) {
            None => Ok(()),
            Some(_) => Err(RefillError::Damaged("it has tokens twice".into())),
        }
    }

    pub async fn module(
        &mut self,
        digest: Digest,
        bytes: &mut impl Read,
    ) -> Result<(), RefillError> {
        let artifact = self.received(bytes).await?;
        if artifact.digest != digest {
            let text = format!("module {digest} has other bytes");
            return Err(RefillError::Damaged(text));
        }
        self.modules.push(digest);
        Ok(self.storage.artifacts.keep(artifact).await?)
    }

    pub async fn blob(&mut self, id: &str, bytes: &mut impl Read) -> Result<(), RefillError> {
        if !blobs::is_id(id) {
            return Err(RefillError::Damaged(format!("{id:?} is no blob's id")));
        }
        let artifact = self.received(bytes).await?;
        self.blobs.push(BlobFile {
            id: id.to_owned(),
            bytes: artifact.bytes,
            digest: artifact.digest,
        });
        Ok(self.storage.blobs.place(id, artifact).await?)
    }

    async fn received(&self, bytes: &mut impl Read) -> Result<Artifact, RefillError> {
        let mut upload = self.storage.artifacts.upload().await?;
        let mut piece = vec![0; limits::CHUNK_BYTES_MAX];
        loop {
            let read = bytes.read(&mut piece)?;
            if read == 0 {
                return Ok(upload.finish().await?);
            }
            upload.write(Bytes::copy_from_slice(&piece[..read])).await?;
        }
    }

    /// All is there: from here on the directory holds it. Answers with the number of applications.
    pub async fn finish(&mut self, look: Look) -> Result<usize, RefillError> {
        self.storage.blobs.sync().await?;
        // Whole on disk before the rows, and in its place after them: no token counts of what is refused or breaks off.
        let tokens = match &self.tokens {
            Some(text) => self.storage.tokens.draft_of_first(text),
            None => Ok(None),
        };
        let tokens = tokens.map_err(RefillError::Tokens)?;
        let blobs = self.blobs.iter().map(BlobFile::clone).collect();
        self.step(Step::Finish { look, blobs }).await?;
        let applications = self.outcome().await?;
        // The rows refer to these now.
        (self.modules, self.blobs) = (Vec::new(), Vec::new());
        if let Some(tokens) = tokens {
            tokens.put().map_err(RefillError::WithoutTokens)?;
        }
        Ok(applications)
    }

    /// Takes away the files that came.
    pub async fn undo(self) {
        drop(self.steps);
        if let Some(done) = self.done {
            let _ = done.await;
        }
        let (artifacts, blobs) = (&self.storage.artifacts, self.storage.blobs.dir());
        let modules = self.modules.iter().map(|&digest| artifacts.path(digest));
        let blobs = self.blobs.iter().map(|blob| blobs.join(&blob.id));
        let files: Vec<PathBuf> = modules.chain(blobs).collect();
        let remove = move || files.iter().for_each(|path| drop(fs::remove_file(path)));
        self.storage.files.run(remove).await;
    }

    async fn step(&mut self, step: Step) -> Result<(), RefillError> {
        match self.steps.send(step) {
            Ok(()) => Ok(()),
            Err(_) => self.outcome().await.map(drop),
        }
    }

    async fn outcome(&mut self) -> Result<usize, RefillError> {
        let done = match self.done.take() {
            Some(done) => done.await.unwrap_or(Err(StorageError::Closed)),
            None => Err(StorageError::Closed),
        };
        match self.flaw.lock().unwrap().take() {
            Some(what) => Err(RefillError::Damaged(what)),
            None => Ok(done?),
        }
    }
}
