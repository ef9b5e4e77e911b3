//! The files of a backup, held still while the node runs on.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Files, Storage, StorageError, directory::private_dir};
use crate::id::Digest;
use crate::limits;

/// The modules and tokens of one moment, held still until this is dropped.
pub struct Moment {
    /// A folder with a second link to each module: undeploying one does not take it away from here.
    dir: PathBuf,
    /// The modules' sizes in bytes, in the order in which they are to be read.
    pub modules: Vec<(Digest, u64)>,
    pub tokens: Option<Bytes>,
    files: Files,
}

impl Storage {
    /// Holds these modules and the tokens.
    pub async fn moment(&self, digests: BTreeSet<Digest>) -> Result<Moment, StorageError> {
        let dir = self.artifacts.scratch();
        let mut moment = Moment {
            dir: dir.clone(),
            modules: Vec::new(),
            tokens: None,
            files: self.files.clone(),
        };
        let (artifacts, tokens) = (self.artifacts.clone(), self.tokens.path());
        let hold = move || {
            private_dir(&dir)?;
            let modules = digests.into_iter().map(|digest| {
                let link = dir.join(digest.to_string());
                fs::hard_link(artifacts.path(digest), &link)?;
                Ok((digest, fs::metadata(link)?.len()))
            });
            Ok((modules.collect::<io::Result<_>>()?, there(&tokens)?))
        };
        let held = self.files.run(hold).await;
        (moment.modules, moment.tokens) = held.map_err(StorageError::io("holding the modules"))?;
        Ok(moment)
    }
}

fn there(path: &Path) -> io::Result<Option<Bytes>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(Some(Bytes::from(read?))),
    }
}

impl Moment {
    /// A module's bytes, a piece at a time.
    pub async fn open(&self, digest: Digest) -> Result<Pieces, StorageError> {
        let path = self.dir.join(digest.to_string());
        let file = self.files.run(move || File::open(path)).await;
        let file = file.map_err(StorageError::io("reading a module"))?;
        Ok(Pieces::of(
            file,
            u64::MAX,
            "reading a module",
            self.files.clone(),
        ))
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        self.files.discard_dir(self.dir.clone());
    }
}

/// A file, read on the file worker.
pub struct Pieces {
    file: Option<File>,
    left_bytes: u64,
    doing: &'static str,
    files: Files,
}

impl Pieces {
    /// At most so many bytes from where the file stands.
    pub(super) fn of(file: File, left_bytes: u64, doing: &'static str, files: Files) -> Self {
        Self {
            file: Some(file),
            left_bytes,
            doing,
            files,
        }
    }

    /// The next piece; an empty one at the end.
    pub async fn next(&mut self) -> Result<Bytes, StorageError> {
        let mut file = self.file.take().expect("no piece follows a failed one");
        let most = self.left_bytes.min(limits::CHUNK_BYTES_MAX as u64);
        let job = move || {
            let mut piece = Vec::with_capacity(most as usize);
            let read = (&mut file).take(most);
            { read }.read_to_end(&mut piece).map(|_| (file, piece))
        };
        let read = self.files.run(job).await;
        let (file, piece) = read.map_err(StorageError::io(self.doing))?;
        self.left_bytes -= piece.len() as u64;
        self.file = Some(file);
        Ok(piece.into())
    }
}

/// Writes the tokens of a backup into a directory that has none.
pub fn restore_tokens(path: &Path, tokens: &[u8]) -> io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    let draft = path.with_extension("draft");
    super::artifacts::create_private(&draft).and_then(|mut file| {
        io::Write::write_all(&mut file, tokens)?;
        file.sync_all()
    })?;
    fs::rename(draft, path)?;
    Ok(true)
}
