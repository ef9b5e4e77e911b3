//! A backup of the node as a tar archive, and its way back into an empty data directory.
//!
//! ```text
//! plexspaces-backup        which format, and when
//! applications.json        each application's name and record
//! states/NAME.json         what its actors left: address and state, in base64
//! tokens.json              if there are tokens: their hashes
//! artifacts/DIGEST.wasm
//! ```
//!
//! Compiled code is not in it: another machine compiles again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Applications;
use super::record::Record;
use crate::clock::rfc3339;
use crate::id::Digest;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::{Left, Moment, Storage, StorageError, Whole, restore_tokens};

const HEAD: &str = "plexspaces-backup";
const FORMAT: &str = "format 1";
const APPLICATIONS: &str = "applications.json";
const TOKENS: &str = "tokens.json";

/// Name and record, as the store has them.
type Records = Vec<(String, String)>;
/// An actor's address and its state in base64.
type States = Vec<(String, String)>;

/// A backup that waits to be sent.
pub struct Backup {
    records: Records,
    moment: Moment,
    time: String,
    storage: Storage,
    _alone: OwnedSemaphorePermit,
}

impl Applications {
    /// Holds this moment of the node for a backup. One at a time.
    pub async fn backup(&self) -> Result<Backup, Refusal> {
        let permit = Arc::clone(&self.backups).try_acquire_owned().map_err(|_| {
            let text = "a backup is under way already; try again when it has ended";
            Refusal::new(Kind::Unavailable, text)
        })?;
        let records = self.storage.deployments.all().await?.into_iter();
        let records: Records = records
            .map(|(name, record)| (name, alone(record)))
            .collect();
        Ok(Backup {
            moment: self.storage.moment(used(&records)).await?,
            records,
            time: rfc3339(self.actors.clock().wall()),
            storage: self.storage.clone(),
            _alone: permit,
        })
    }
}

/// A record as a backup has it: the version before stays behind.
fn alone(record: Vec<u8>) -> String {
    let record = match Record::decode(&record) {
        Ok(record) => record.alone().encode(),
        Err(_) => record,
    };
    String::from_utf8(record).unwrap_or_default()
}

/// The modules that records refer to.
fn used(records: &Records) -> BTreeSet<Digest> {
    let records = records.iter();
    let records = records.filter_map(|(_, record)| Record::decode(record.as_bytes()).ok());
    records.map(|record| record.digest).collect()
}

impl Backup {
    /// Sends the archive piece by piece, holding the states of one application at a time. It ends with its end mark if,
    /// and only if, all of it was sent.
    pub async fn send(self, to: mpsc::Sender<Bytes>) -> Result<(), StorageError> {
        let archive = Archive(to);
        archive
            .entry(HEAD, format!("{FORMAT}\n{}\n", self.time).into())
            .await;
        archive.entry(APPLICATIONS, json(&self.records)).await;
        for (name, _) in &self.records {
            let left = self.storage.deployments.all_left(name.clone()).await?;
            if !left.is_empty() {
                let left = left.into_iter();
                let states: States = left.map(|(actor, s)| (actor, STANDARD.encode(s))).collect();
                archive.entry(&states_path(name), json(&states)).await;
            }
        }
        if let Some(tokens) = &self.moment.tokens {
            archive.entry(TOKENS, tokens.clone()).await;
        }
        for &(digest, bytes) in &self.moment.modules {
            archive.module(&self.moment, digest, bytes).await?;
        }
        archive.piece(Bytes::from_static(&END)).await;
        Ok(())
    }
}

fn states_path(name: &str) -> String {
    format!("states/{name}.json")
}

fn json(value: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(value);
    json.expect("texts are JSON").into()
}

/// The archive on its way. Whoever reads it may leave: then what is sent goes nowhere.
struct Archive(mpsc::Sender<Bytes>);

impl Archive {
    async fn piece(&self, piece: Bytes) {
        let _ = self.0.send(piece).await;
    }

    async fn entry(&self, name: &str, bytes: Bytes) {
        let length = bytes.len() as u64;
        for piece in [header(name, length), bytes, padding(length)] {
            self.piece(piece).await;
        }
    }

    async fn module(&self, from: &Moment, digest: Digest, bytes: u64) -> Result<(), StorageError> {
        let name = format!("artifacts/{digest}.wasm");
        self.piece(header(&name, bytes)).await;
        let mut pieces = from.open(digest).await?;
        loop {
            let piece = pieces.next().await?;
            if piece.is_empty() || self.0.is_closed() {
                break;
            }
            self.piece(piece).await;
        }
        self.piece(padding(bytes)).await;
        Ok(())
    }
}

/// Two empty blocks.
const END: [u8; 1024] = [0; 1024];

fn header(name: &str, bytes: u64) -> Bytes {
    let mut header = tar::Header::new_gnu();
    header
        .set_path(name)
        .expect("the archive's names are short");
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_cksum();
    Bytes::copy_from_slice(header.as_bytes())
}

fn padding(bytes: u64) -> Bytes {
    let over = (bytes % 512) as usize;
    Bytes::from(vec![0; (512 - over) % 512])
}

/// Why an archive cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("it is no backup of a node: {0}")]
    NoBackup(String),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error(
        "the data directory has {0} applications already; restore into another --data-dir, or undeploy them first"
    )]
    NotEmpty(usize),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Puts a backup into the data directory of a node that does not run. Applications come last and all at once, so what
/// breaks off leaves nothing but modules, which the next start collects. Answers with the number of applications.
pub async fn restore(storage: &Storage, archive: impl Read) -> Result<usize, RestoreError> {
    let there = storage.deployments.all().await?.len();
    if there > 0 {
        return Err(RestoreError::NotEmpty(there));
    }
    let mut found = Found::default();
    let mut archive = tar::Archive::new(archive);
    for (index, entry) in archive.entries()?.enumerate() {
        let mut entry = entry.map_err(|error| RestoreError::NoBackup(error.to_string()))?;
        let name = entry.path()?.to_string_lossy().into_owned();
        match index {
            0 if name == HEAD => check_head(&read(&mut entry)?)?,
            0 => return Err(RestoreError::NoBackup(format!("it begins with {name:?}"))),
            _ => found.take(storage, &name, &mut entry).await?,
        }
    }
    let applications = found.whole()?;
    let number = applications.len();
    storage.deployments.put_all(applications).await?;
    Ok(number)
}

/// What an archive held so far.
#[derive(Default)]
struct Found {
    records: Option<Records>,
    left: BTreeMap<String, Vec<Left>>,
    modules: BTreeSet<Digest>,
}

impl Found {
    async fn take(
        &mut self,
        storage: &Storage,
        path: &str,
        entry: &mut impl Read,
    ) -> Result<(), RestoreError> {
        let within = |folder, end| path.strip_prefix(folder)?.strip_suffix(end);
        if path == APPLICATIONS {
            self.records = Some(parsed(path, entry)?);
        } else if path == TOKENS {
            restore_tokens(&storage.tokens.path(), &read(entry)?)?;
        } else if let Some(name) = within("states/", ".json") {
            let states: States = parsed(path, entry)?;
            self.left.insert(name.to_owned(), decoded(path, states)?);
        } else if let Some(digest) = within("artifacts/", ".wasm").and_then(Digest::parse) {
            restore_module(storage, digest, entry).await?;
            self.modules.insert(digest);
        } else {
            return Err(RestoreError::Damaged(format!("it holds {path:?}")));
        }
        Ok(())
    }

    /// All applications, if nothing is missing.
    fn whole(mut self) -> Result<Vec<Whole>, RestoreError> {
        let records = self.records.take();
        let records =
            records.ok_or_else(|| RestoreError::Damaged(format!("it has no {APPLICATIONS}")))?;
        let whole = records.into_iter().map(|(name, record)| {
            let damaged = |what| RestoreError::Damaged(format!("application {name}: {what}"));
            let digest = Record::decode(record.as_bytes()).map_err(damaged)?.digest;
            if !self.modules.contains(&digest) {
                return Err(damaged(format!("module {digest} is missing")));
            }
            let left = self.left.remove(&name).unwrap_or_default();
            Ok((name, record.into_bytes(), left))
        });
        whole.collect()
    }
}

fn decoded(path: &str, states: States) -> Result<Vec<Left>, RestoreError> {
    let damaged = |error| RestoreError::Damaged(format!("{path}: {error}"));
    let states = states.into_iter();
    let states = states.map(|(actor, state)| Ok((actor, STANDARD.decode(state)?.into())));
    let states: Result<_, base64::DecodeError> = states.collect();
    states.map_err(damaged)
}

fn check_head(head: &[u8]) -> Result<(), RestoreError> {
    let head = String::from_utf8_lossy(head);
    match head.lines().next() {
        Some(FORMAT) => Ok(()),
        other => Err(RestoreError::NoBackup(format!(
            "it has {other:?}, this program knows {FORMAT:?}; use a newer one"
        ))),
    }
}

fn parsed<T: DeserializeOwned>(path: &str, entry: &mut impl Read) -> Result<T, RestoreError> {
    serde_json::from_slice(&read(entry)?)
        .map_err(|error| RestoreError::Damaged(format!("{path}: {error}")))
}

async fn restore_module(
    storage: &Storage,
    digest: Digest,
    entry: &mut impl Read,
) -> Result<(), RestoreError> {
    let mut upload = storage.artifacts.upload().await?;
    let (mut piece, mut hasher) = (vec![0; limits::CHUNK_BYTES_MAX], Sha256::new());
    loop {
        let read = entry.read(&mut piece)?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        upload.write(Bytes::copy_from_slice(&piece[..read])).await?;
    }
    if Digest::of(hasher) != digest {
        return Err(RestoreError::Damaged(format!(
            "module {digest} has other bytes"
        )));
    }
    storage.artifacts.keep(upload.finish().await?).await?;
    Ok(())
}

/// A small entry, whole; what is larger than all that one application may leave was not made by a node.
fn read(entry: &mut impl Read) -> Result<Vec<u8>, RestoreError> {
    let mut bytes = Vec::new();
    entry
        .take(limits::BACKUP_ENTRY_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
