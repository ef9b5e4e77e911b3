//! A tar archive on its way out, and the seal under all that is in it.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::SEAL;
use crate::storage::{Pieces, StorageError};

/// Two empty blocks.
const END: [u8; 1024] = [0; 1024];

/// The archive on its way. Whoever reads it may leave: then what is sent goes nowhere.
pub struct Archive {
    to: mpsc::Sender<Bytes>,
    seal: Seal,
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

    /// Whether nobody reads any more.
    pub fn is_left(&self) -> bool {
        self.to.is_closed()
    }

    pub async fn entry(&mut self, name: &str, bytes: Bytes) {
        let length = bytes.len() as u64;
        self.seal.begin(name, length);
        self.seal.piece(&bytes);
        for piece in [header(name, length), bytes, padding(length)] {
            self.piece(piece).await;
        }
    }

    /// A file of so many bytes.
    pub async fn file(
        &mut self,
        name: &str,
        bytes: u64,
        mut pieces: Pieces,
    ) -> Result<(), StorageError> {
        self.seal.begin(name, bytes);
        self.piece(header(name, bytes)).await;
        loop {
            let piece = pieces.next().await?;
            if piece.is_empty() || self.is_left() {
                break;
            }
            self.seal.piece(&piece);
            self.piece(piece).await;
        }
        self.piece(padding(bytes)).await;
        Ok(())
    }

    /// All of it was sent.
    pub async fn end(mut self) {
        let seal = self.seal.text();
        self.entry(SEAL, seal.into()).await;
        self.piece(Bytes::from_static(&END)).await;
    }

    async fn piece(&self, piece: Bytes) {
        if !piece.is_empty() {
            let _ = self.to.send(piece).await;
        }
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
