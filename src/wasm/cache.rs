//! Compiled code on disk, safe to delete at any time, and sealed: nothing is mapped that this node did not write.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::scan::Encoding;
use crate::limits;
use crate::storage::{Files, Storage};

/// The folder of compiled code: `NAME` holds the code and `NAME.seal` the proof that it is ours.
pub struct Cache {
    dir: PathBuf,
    seal_key: Arc<[u8; 32]>,
    files: Files,
}

/// Compiled code, mapped and ready to be linked.
pub enum Code {
    Core(Module),
    Component(Component),
}

impl Cache {
    pub fn new(storage: &Storage) -> Self {
        Self {
            dir: storage.compiled.clone(),
            seal_key: storage.seal_key.clone(),
            files: storage.files.clone(),
        }
    }

    /// Where the compiler writes code that is not sealed yet.
    pub fn draft(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.draft"))
    }

    /// The first bytes of a module, which tell its kind.
    pub async fn head(&self, wasm: &Path) -> io::Result<Vec<u8>> {
        let wasm = wasm.to_owned();
        let read = move || {
            let mut head = Vec::new();
            File::open(wasm)?.take(8).read_to_end(&mut head)?;
            Ok(head)
        };
        self.files.run(read).await
    }

    /// Takes a draft in as `name`: seals it, makes it durable, and lets the oldest code go where room is short.
    pub async fn seal(&self, draft: &str, name: &str) -> io::Result<()> {
        let (draft, code, seal_path) = (
            self.draft(draft),
            self.dir.join(name),
            seal_path(&self.dir, name),
        );
        let (key, name, dir) = (self.seal_key.clone(), name.to_owned(), self.dir.clone());
        let job = move || {
            let seal = seal(&key, &name, &draft)?;
            File::open(&draft)?.sync_all()?;
            fs::rename(draft, code)?;
            fs::write(&seal_path, seal.finalize().into_bytes())?;
            File::open(seal_path)?.sync_all()?;
            if let Err(error) = trim(&dir, &name, limits::COMPILED_BYTES_MAX) {
                log::warn!("compiled code grows past its bound: {error}; look at the disk");
            }
            Ok(())
        };
        self.files.run(job).await
    }

    /// Drops a draft that came to nothing.
    pub fn discard_draft(&self, name: &str) {
        self.files.discard(self.draft(name));
    }

    /// Forgets compiled code.
    pub fn discard(&self, name: &str) {
        self.files.discard(seal_path(&self.dir, name));
        self.files.discard(self.dir.join(name));
    }

    /// Whether there is code of any of these names, whatever it is worth.
    pub async fn has_any(&self, names: Vec<String>) -> bool {
        let dir = self.dir.clone();
        let look = move || names.iter().any(|name| seal_path(&dir, name).exists());
        self.files.run(look).await
    }

    /// Maps the code of this name, if it is there, whole and ours. The error is for the module's author: the
    /// engine has no room for what the module declares.
    pub async fn load(
        &self,
        engine: &Engine,
        encoding: Encoding,
        name: &str,
    ) -> Result<Option<Code>, String> {
        let (key, path, name_owned) = (self.seal_key.clone(), self.dir.join(name), name.to_owned());
        let (engine, seal_path) = (engine.clone(), seal_path(&self.dir, name));
        let job = move || match check(&key, &name_owned, &path, &seal_path) {
            Ok(()) => Ok(map(&engine, encoding, &path)),
            Err(error) => Err(error),
        };
        match self.files.run(job).await {
            Ok(Ok(code)) => Ok(Some(code)),
            Ok(Err(error)) => {
                self.discard(name);
                Err(format!("{error:#}"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                log::warn!("compiled code {name} is made anew: {error}");
                self.discard(name);
                Ok(None)
            }
        }
    }
}

fn check(key: &[u8; 32], name: &str, code: &Path, seal_path: &Path) -> io::Result<()> {
    let written = fs::read(seal_path)?;
    let sealed = seal(key, name, code)?.verify_slice(&written);
    sealed.map_err(|_| io::Error::other("its seal is broken"))
}

fn seal_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.seal"))
}

/// Authenticates a file's bytes under its name, so that no file can stand in for another.
fn seal(key: &[u8; 32], name: &str, path: &Path) -> io::Result<Hmac<Sha256>> {
    let mut seal = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    seal.update(name.as_bytes());
    seal.update(&[0]);
    let mut file = File::open(path)?;
    let mut buffer = vec![0; limits::CHUNK_BYTES_MAX];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(seal),
            read => seal.update(&buffer[..read]),
        }
    }
}

/// wasmtime trusts compiled code as it trusts its own; that is why loading it is `unsafe`.
#[allow(unsafe_code)]
fn map(engine: &Engine, encoding: Encoding, path: &Path) -> wasmtime::Result<Code> {
    match encoding {
        Encoding::Core => {
            // SAFETY: `path` lies in the node's own directory (mode 0700), and `load` has just checked its HMAC
            // under a key that only this node holds, so these are the bytes that our compile child wrote. The
            // engine itself refuses code of another version or of other tunables.
            let module = unsafe { Module::deserialize_file(engine, path)? };
            module.initialize_copy_on_write_image()?;
            Ok(Code::Core(module))
        }
        Encoding::Component => {
            // SAFETY: as above.
            let component = unsafe { Component::deserialize_file(engine, path)? };
            component.initialize_copy_on_write_image()?;
            Ok(Code::Component(component))
        }
    }
}

/// Deletes the oldest code until the folder holds no more than `bytes_max`; `newest` stays whatever its size. Anybody
/// may delete anything here at any time, so what is gone already is as good as deleted.
fn trim(dir: &Path, newest: &str, bytes_max: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != newest && !name.ends_with(".seal") && !name.ends_with(".draft") {
            let Some(metadata) = unless_gone(entry.metadata())? else {
                continue;
            };
            files.push((metadata.modified()?, name, metadata.len()));
        }
    }
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
    for (_, name, file_bytes) in files {
        if bytes <= bytes_max {
            break;
        }
        bytes -= file_bytes;
        unless_gone(fs::remove_file(seal_path(dir, &name)))?;
        unless_gone(fs::remove_file(dir.join(&name)))?;
    }
    Ok(())
}

fn unless_gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_code_goes_first_and_the_newest_stays() {
        let dir = tempfile::tempdir().unwrap();
        for (age, name) in ["new", "middle", "old"].iter().enumerate() {
            fs::write(seal_path(dir.path(), name), "").unwrap();
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_len(10).unwrap();
            let modified =
                std::time::SystemTime::now() - std::time::Duration::from_secs(60 * age as u64);
            file.set_modified(modified).unwrap();
        }
        trim(dir.path(), "new", 10).unwrap();
        let exists = |name: &str| dir.path().join(name).exists();
        assert!(exists("new") && exists("middle") && !exists("old") && !exists("old.seal"));
        trim(dir.path(), "new", 0).unwrap();
        assert!(exists("new") && !exists("middle"));
    }

    #[test]
    fn code_that_lost_its_seal_goes_like_any_other() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["new", "bare", "whole"] {
            fs::write(dir.path().join(name), [0; 10]).unwrap();
        }
        fs::write(seal_path(dir.path(), "whole"), "").unwrap();
        trim(dir.path(), "new", 0).unwrap();
        let left = fs::read_dir(dir.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["new"]);
    }
}
