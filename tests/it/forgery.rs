//! A backup's archive in the hands of somebody who changes it and seals it again.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Every entry of an archive, its seal excepted.
pub struct Forgery(pub Vec<(String, Vec<u8>)>);

impl Forgery {
    pub fn of(archive: &Path) -> Self {
        let mut archive = tar::Archive::new(File::open(archive).unwrap());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        });
        Self(entries.filter(|(name, _)| name != "sha256").collect())
    }

    pub fn without(mut self, start: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|(name, _)| !name.starts_with(start));
        assert!(self.0.len() < before, "there is no {start}");
        self
    }

    /// Changes the first entry whose name begins so.
    pub fn with(mut self, start: &str, change: impl FnOnce(&mut String, &mut Vec<u8>)) -> Self {
        let mut entries = self.0.iter_mut();
        let (name, bytes) = entries
            .find(|(name, _)| name.starts_with(start))
            .unwrap_or_else(|| panic!("there is no {start}"));
        change(name, bytes);
        self
    }

    pub fn and(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.push((name.to_owned(), bytes.to_vec()));
        self
    }

    pub fn seal(&self) -> String {
        let mut seal = Sha256::new();
        for (name, bytes) in &self.0 {
            seal.update((name.len() as u64).to_le_bytes());
            seal.update(name);
            seal.update((bytes.len() as u64).to_le_bytes());
            seal.update(bytes);
        }
        let seal = seal.finalize();
        seal.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes it with this seal, or without one.
    pub fn write(&self, to: &Path, seal: Option<&str>) {
        let mut archive = tar::Builder::new(File::create(to).unwrap());
        let seal = seal.map(|seal| ("sha256".to_owned(), seal.as_bytes().to_vec()));
        for (name, bytes) in self.0.iter().chain(&seal) {
            let mut header = tar::Header::new_gnu();
            // Names that the library would refuse are the forger's business.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            archive.append(&header, &bytes[..]).unwrap();
        }
        archive.finish().unwrap();
    }
}
