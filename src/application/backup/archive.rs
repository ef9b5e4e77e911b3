//! A tar archive on its way out, and the seal under all that is in it.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::SEAL;
use crate::limits;
use crate::storage::{Pieces, StorageError};

/// Two empty blocks.
const END: [u8; 1024] = [0; 1024];

/// The archive on its way. Whoever reads it may leave, or take nothing any more: then it breaks off.
pub struct Archive {
    to: mpsc::Sender<Bytes>,
    seal: Seal,
}

/// Why an archive ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum BrokenOff {
    #[error("whoever read it left")]
    Left,
    #[error("whoever read it took nothing for {} s", limits::BODY_SILENCE_MAX.as_secs())]
    Silent,
    #[error(
        "whoever read it took more than {} s for the rows of the store",
        limits::BACKUP_READ_TIME_MAX.as_secs()
    )]
    Slow,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A hash of names, sizes and bytes, in their order.
#[derive(Default)]
pub struct Seal(Sha256);

impl Seal {
    pub fn begin(&mut self, name: &str, bytes: u64) {
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name);
        self.0.update(bytes.to_le_bytes());
    }

    pub fn piece(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn text(&self) -> String {
        let hash = self.0.clone().finalize();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Archive {
    pub fn new(to: mpsc::Sender<Bytes>) -> Self {
        let seal = Seal::default();
        Self { to, seal }
    }

    pub async fn entry(&mut self, name: &str, bytes: Bytes) -> Result<(), BrokenOff> {
        let length = bytes.len() as u64;
        self.seal.begin(name, length);
        self.seal.piece(&bytes);
        for piece in [header(name, length), bytes, padding(length)] {
            self.send(piece).await?;
        }
        Ok(())
    }

    /// A file of so many bytes.
    pub async fn file(
        &mut self,
        name: &str,
        bytes: u64,
        mut pieces: Pieces,
    ) -> Result<(), BrokenOff> {
        self.seal.begin(name, bytes);
        self.send(header(name, bytes)).await?;
        loop {
            let piece = pieces.next().await?;
            if piece.is_empty() {
                return self.send(padding(bytes)).await;
            }
            self.seal.piece(&piece);
            self.send(piece).await?;
        }
    }

    /// All of it was sent.
    pub async fn end(mut self) -> Result<(), BrokenOff> {
        let seal = self.seal.text();
        self.entry(SEAL, seal.into()).await?;
        self.send(Bytes::from_static(&END)).await
    }

    /// In chunks, so that a slow reader is one who takes few of them, however large an entry is.
    async fn send(&self, mut bytes: Bytes) -> Result<(), BrokenOff> {
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(limits::CHUNK_BYTES_MAX));
            let sent = timeout(limits::BODY_SILENCE_MAX, self.to.send(chunk)).await;
            sent.map_err(|_| BrokenOff::Silent)?
                .map_err(|_| BrokenOff::Left)?;
        }
        Ok(())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_nothing_for_long_is_given_up_and_whoever_reads_slowly_is_not() {
        let (to, mut body) = mpsc::channel(1);
        let mut archive = Archive::new(to);
        // More than may be taken within the time that one chunk has.
        let large = Bytes::from(vec![7; 16 * limits::CHUNK_BYTES_MAX]);
        let slow = tokio::spawn(async move {
            let mut bytes = 0;
            while bytes < 16 * limits::CHUNK_BYTES_MAX {
                tokio::time::sleep(limits::BODY_SILENCE_MAX / 2).await;
                bytes += body.recv().await.map_or(0, |chunk: Bytes| chunk.len());
            }
            body
        });
        archive.entry("rows/large/0", large.clone()).await.unwrap();
        let body = slow.await.unwrap();
        let stalled = archive.entry("rows/large/1", large).await;
        assert!(matches!(stalled, Err(BrokenOff::Silent)), "{stalled:?}");
        drop(body);
        let left = archive.end().await;
        assert!(matches!(left, Err(BrokenOff::Left)), "{left:?}");
    }
}
