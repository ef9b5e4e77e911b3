//! The entries of an archive on their way in: plain files alone, and nothing of one is read before its length is known.

use std::io::{self, Read};

use super::archive::Seal;
use super::read::RestoreError;

/// A plain file of an archive.
pub struct Entry<B> {
    pub name: String,
    /// Its length in bytes, as its header has it.
    bytes: u64,
    body: B,
}

/// Each entry in its turn. What is no plain file is an error: a node writes nothing else, and of tar's extensions each
/// may be of any length, and is read whole by whoever follows it.
pub fn entries<'a, R: Read>(
    archive: &'a mut tar::Archive<R>,
) -> io::Result<impl Iterator<Item = io::Result<Entry<tar::Entry<'a, R>>>>> {
    let entries = archive.entries()?.raw(true);
    Ok(entries.map(|entry| plain(entry?)))
}

fn plain<R: Read>(body: tar::Entry<'_, R>) -> io::Result<Entry<tar::Entry<'_, R>>> {
    let name = String::from_utf8_lossy(&body.path_bytes()).into_owned();
    match body.header().entry_type().is_file() {
        true => Ok(Entry {
            bytes: body.size(),
            name,
            body,
        }),
        false => Err(io::Error::other(format!("{name:?} is no plain file"))),
    }
}

impl<B: Read> Entry<B> {
    /// Its bytes, to be read in pieces; one with more than so many was not written by a node.
    pub fn pieces(&mut self, bytes_max: u64) -> Result<&mut B, RestoreError> {
        match self.bytes <= bytes_max {
            true => Ok(&mut self.body),
            false => Err(RestoreError::Damaged(format!(
                "{:?} has {} bytes, and may have {bytes_max}",
                self.name, self.bytes
            ))),
        }
    }

    /// All its bytes at once, likewise.
    pub fn whole(&mut self, bytes_max: u64) -> Result<Vec<u8>, RestoreError> {
        let mut bytes = Vec::new();
        self.pieces(bytes_max)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The same entry; what is read of it is sealed too.
    pub fn sealing(self, seal: &mut Seal) -> Entry<Sealing<'_, B>> {
        seal.begin(&self.name, self.bytes);
        Entry {
            name: self.name,
            bytes: self.bytes,
            body: Sealing(self.body, seal),
        }
    }
}

/// Bytes that are sealed as they are read.
pub struct Sealing<'a, B>(B, &'a mut Seal);

impl<B: Read> Read for Sealing<'_, B> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(bytes)?;
        self.1.piece(&bytes[..read]);
        Ok(read)
    }
}
