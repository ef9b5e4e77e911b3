//! A backup on its way back: each entry into its place, nothing that is not whole, and nothing left of what is refused.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::archive::Seal;
use super::entries::{Entry, entries};
use super::{FORMAT, FORMAT_OLDER, HEAD, SEAL, TOKENS, older};
use crate::application::modules::Module;
use crate::application::record::Record;
use crate::id::{ApplicationName, Digest};
use crate::limits;
use crate::storage::{Look, Records, Refill, RefillError, Storage, StorageError, excerpt};

/// Why an archive cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("it is no backup of a node: {}", excerpt(.0))]
    NoBackup(String),
    #[error("it is damaged: {}", excerpt(.0))]
    Damaged(String),
    #[error(
        "the data directory has {0} applications already; restore into another --data-dir, or undeploy them first"
    )]
    NotEmpty(usize),
    #[error(transparent)]
    Refill(#[from] RefillError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl RestoreError {
    /// Whether nothing of the backup is in the directory. Only its tokens come after all else is there.
    pub fn leaves_nothing(&self) -> bool {
        !matches!(self, Self::Refill(RefillError::WithoutTokens(_)))
    }
}

/// Puts a backup into the data directory of a node that does not run. Rows come in one transaction that ends last; what
/// is refused leaves nothing. Answers with the number of applications.
pub async fn restore(storage: &Storage, archive: impl Read) -> Result<usize, RestoreError> {
    let there = storage.deployments.all().await?.len();
    if there > 0 {
        return Err(RestoreError::NotEmpty(there));
    }
    let mut refill = storage.refill().await?;
    let restored = fill(&mut refill, archive).await;
    if restored.is_err() {
        refill.undo().await;
    }
    restored
}

async fn fill(refill: &mut Refill, archive: impl Read) -> Result<usize, RestoreError> {
    let mut archive = tar::Archive::new(archive);
    let mut entries = entries(&mut archive)?;
    let no_backup = |error: io::Error| RestoreError::NoBackup(error.to_string());
    let mut first = match entries.next() {
        Some(first) => first.map_err(no_backup)?,
        None => return Err(RestoreError::NoBackup("there is nothing in it".into())),
    };
    if first.name != HEAD {
        let text = format!("it begins with {:?}", first.name);
        return Err(RestoreError::NoBackup(text));
    }
    let head = first.whole(limits::BACKUP_MARK_BYTES_MAX)?;
    match String::from_utf8_lossy(&head).lines().next() {
        Some(FORMAT) => current(refill, entries, &head).await,
        Some(FORMAT_OLDER) => older::fill(refill, entries).await,
        other => Err(RestoreError::NoBackup(format!(
            "it has {other:?}, this program knows up to {FORMAT:?}; use a newer one"
        ))),
    }
}

async fn current<B: Read>(
    refill: &mut Refill,
    entries: impl Iterator<Item = io::Result<Entry<B>>>,
    head: &[u8],
) -> Result<usize, RestoreError> {
    let mut seal = Seal::default();
    seal.begin(HEAD, head.len() as u64);
    seal.piece(head);
    let (mut modules, mut sealed) = (BTreeSet::new(), false);
    for entry in entries {
        let mut entry = entry.map_err(damaged)?;
        if sealed {
            return Err(RestoreError::Damaged(format!(
                "it goes on with {:?} behind its end",
                entry.name
            )));
        }
        if entry.name == SEAL {
            let said = entry.whole(limits::BACKUP_MARK_BYTES_MAX)?;
            sealed = said == seal.text().as_bytes();
            if !sealed {
                let text = "it has other bytes than were written".to_owned();
                return Err(RestoreError::Damaged(text));
            }
            continue;
        }
        let mut entry = entry.sealing(&mut seal);
        let path = entry.name.clone();
        let within = |folder, end| path.strip_prefix(folder)?.strip_suffix(end);
        if let Some((table, _)) = within("rows/", "").and_then(|rest| rest.split_once('/')) {
            let rows = entry.whole(limits::BACKUP_PIECE_BYTES_MAX)?;
            refill.rows(table, rows).await?;
        } else if path == TOKENS {
            refill.tokens(entry.whole(limits::TOKENS_FILE_BYTES_MAX)?)?;
        } else if let Some(digest) = within("artifacts/", ".wasm").and_then(Digest::parse) {
            let bytes = entry.pieces(limits::WASM_FILE_BYTES_MAX)?;
            refill.module(digest, bytes).await?;
            modules.insert(digest);
        } else if let Some(id) = within("blobs/", "") {
            let bytes = entry.pieces(limits::BLOB_BYTES_MAX)?;
            refill.blob(id, bytes).await?;
        } else {
            return Err(RestoreError::Damaged(format!("it holds {path:?}")));
        }
    }
    if !sealed {
        return Err(RestoreError::Damaged("its end is missing".into()));
    }
    Ok(refill.finish(look(modules)).await?)
}

/// Holds the records against the modules that came with them.
pub fn look(modules: BTreeSet<Digest>) -> Look {
    Box::new(move |records: &Records| {
        let has = |digest: Digest| match modules.contains(&digest) {
            true => Ok(()),
            false => Err(format!("module {digest} is missing")),
        };
        for (name, record) in &records.applications {
            let wrong = |what: String| format!("application {name:?}: {what}");
            ApplicationName::parse(name).map_err(|error| wrong(error.to_string()))?;
            let record = Record::decode(record).map_err(wrong)?;
            if *record.spec.name != **name {
                return Err(wrong("its record has another name".into()));
            }
            record
                .digests()
                .into_iter()
                .try_for_each(has)
                .map_err(wrong)?;
        }
        for record in &records.modules {
            let module: Module =
                serde_json::from_slice(record).map_err(|error| format!("a module: {error}"))?;
            has(module.digest)?;
        }
        Ok(records.applications.len())
    })
}

pub fn damaged(error: io::Error) -> RestoreError {
    RestoreError::Damaged(error.to_string())
}
