//! A backup taken while the node runs: one moment of it, sent piece by piece.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::archive::{Archive, BrokenOff};
use super::read::look;
use super::{FORMAT, HEAD, TOKENS};
use crate::application::Applications;
use crate::clock::rfc3339;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::Moment;

/// A backup that waits to be sent.
pub struct Backup {
    moment: Moment,
    time: String,
    _alone: OwnedSemaphorePermit,
}

impl Applications {
    /// Holds this moment of the node for a backup. One at a time.
    pub async fn backup(&self) -> Result<Backup, Refusal> {
        let permit = Arc::clone(&self.backups).try_acquire_owned().map_err(|_| {
            let text = "a backup is under way already; try again when it has ended";
            Refusal::new(Kind::Unavailable, text)
        })?;
        let mut moment = self.storage.moment().await?;
        refers_to_nothing_else(&mut moment)?;
        Ok(Backup {
            moment,
            time: rfc3339(self.actors.clock().wall()),
            _alone: permit,
        })
    }
}

/// Refuses what no restore would take: records that need modules which are not on the disk.
fn refers_to_nothing_else(moment: &mut Moment) -> Result<(), Refusal> {
    let records = std::mem::take(&mut moment.records);
    let modules = moment.modules.iter().map(|(digest, _)| *digest).collect();
    let looked = look(modules)(&records);
    looked.map(drop).map_err(|what| {
        let text = format!(
            "no backup can be taken, since none like it could be restored: {what}; put a missing module back, as \
             artifacts/SHA256.wasm in the data directory, or undeploy what needs it and deploy that again"
        );
        log::error!("{text}");
        Refusal::new(Kind::FailedPrecondition, text)
    })
}

impl Backup {
    /// Sends the archive piece by piece. It ends with its seal and its end mark if, and only if, all of it was sent.
    /// Whoever takes nothing of it for [`limits::BODY_SILENCE_MAX`] is given up, and what was held for them is let go.
    pub async fn send(mut self, to: mpsc::Sender<Bytes>) -> Result<(), BrokenOff> {
        let mut archive = Archive::new(to);
        let head = format!("{FORMAT}\n{}\n", self.time);
        archive.entry(HEAD, head.into()).await?;
        // As long as rows are read, the store cannot use the room of what changes; no reader may hold that up for ever.
        let rows = self.send_rows(&mut archive);
        let sent = timeout(limits::BACKUP_READ_TIME_MAX, rows).await;
        sent.unwrap_or(Err(BrokenOff::Slow))?;
        if let Some(tokens) = &self.moment.tokens {
            archive.entry(TOKENS, tokens.clone()).await?;
        }
        for &(digest, bytes) in &self.moment.modules {
            let pieces = self.moment.module(digest).await?;
            let name = format!("artifacts/{digest}.wasm");
            archive.file(&name, bytes, pieces).await?;
        }
        for (id, bytes) in &self.moment.blobs {
            let pieces = self.moment.blob(id).await?;
            archive.file(&format!("blobs/{id}"), *bytes, pieces).await?;
        }
        archive.end().await
    }

    async fn send_rows(&mut self, archive: &mut Archive) -> Result<(), BrokenOff> {
        while let Some(piece) = self.moment.rows().await? {
            let name = format!("rows/{}/{}", piece.table, piece.number);
            archive.entry(&name, piece.rows).await?;
        }
        Ok(())
    }
}
