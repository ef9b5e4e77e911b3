//! The data directory itself: private, locked by one node, of a format that this node knows.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

use super::StorageError;

/// The layout of the data directory that this binary reads and writes.
///
/// 1: modules and compiled code; deployments ended with the process.
/// 2: deployments, snapshots and counters in `node.redb`.
const FORMAT: u32 = 2;

/// How old the layout is that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the directory is new, or has not got as far as its format.
    Nothing,
    /// Format 1, which held nothing that outlives a process.
    Older,
    Current,
}

/// Whose data lies in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resident {
    /// A node has run there, or tokens for one were made.
    Node,
    /// Nobody's: it is not there, or holds nothing but hidden files.
    Nobody,
    /// Somebody else's, or it is no directory.
    Others,
}

impl Resident {
    /// Looks at the names of what is there and changes nothing.
    pub fn of(dir: &Path) -> io::Result<Self> {
        const OF_A_NODE: [&str; 4] = ["format", "node.redb", "seal.key", "tokens.json"];
        // What a first start has made first; each alone may be anybody's.
        const BEGUN: [&str; 2] = ["lock", "uploads"];
        // That of a file system's own.
        const OF_NOBODY: &str = "lost+found";
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound => Ok(Self::Nobody),
                    io::ErrorKind::NotADirectory => Ok(Self::Others),
                    _ => Err(error),
                };
            }
        };
        let (mut resident, mut begun) = (Self::Nobody, 0);
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            begun += usize::from(BEGUN.contains(&&*name));
            if OF_A_NODE.contains(&&*name) || begun == BEGUN.len() {
                return Ok(Self::Node);
            }
            if !name.starts_with('.') && name != OF_NOBODY {
                resident = Self::Others;
            }
        }
        Ok(resident)
    }

    /// Takes away all that a node puts into a directory, but for its tokens; the lock last, so that no other node begins
    /// there before all else is gone.
    pub fn evict(dir: &Path) {
        const MADE: [&str; 13] = [
            "artifacts",
            "blobs",
            "compiled",
            "format",
            "format.draft",
            "logs",
            "node.redb",
            "quarantine",
            "reserve",
            "seal.key",
            "starting",
            "uploads",
            "lock",
        ];
        for name in MADE {
            let path = dir.join(name);
            let _ = match path.is_dir() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
        }
    }
}

pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// The kernel drops the lock with the process, however that ends; the file's text only says who holds it.
pub fn lock(dir: &Path) -> Result<File, StorageError> {
    let path = dir.join("lock");
    let open = || {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
    };
    let mut file = open().map_err(|error| StorageError::directory(dir, "lock", error))?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let holder = if holder.is_empty() {
            "another node".into()
        } else {
            holder
        };
        return Err(StorageError::Locked {
            dir: dir.into(),
            holder,
        });
    }
    let note = format!("process {}", std::process::id());
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all(note.as_bytes()));
    written.map_err(|error| StorageError::directory(dir, "lock", error))?;
    Ok(file)
}

/// Looks at the format before anything is read or changed by it.
pub fn format(dir: &Path) -> Result<Found, StorageError> {
    let found = match fs::read_to_string(dir.join("format")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(StorageError::directory(dir, "read the format of", error)),
    };
    match found.trim().parse::<u32>() {
        Ok(FORMAT) => Ok(Found::Current),
        Ok(1..FORMAT) => Ok(Found::Older),
        _ => Err(StorageError::NewerFormat {
            dir: dir.into(),
            found: found.trim().into(),
            known: FORMAT,
        }),
    }
}

/// Says that the layout is complete; whole or not at all, whenever the power goes.
pub fn write_format(dir: &Path) -> io::Result<()> {
    let draft = dir.join("format.draft");
    fs::write(&draft, FORMAT.to_string())?;
    File::open(&draft)?.sync_all()?;
    fs::rename(draft, dir.join("format"))?;
    File::open(dir)?.sync_all()
}

/// The key of the seals on compiled code: made once, never shown.
pub fn seal_key(dir: &Path) -> io::Result<[u8; 32]> {
    let path = dir.join("seal.key");
    if let Ok(bytes) = fs::read(&path)
        && let Ok(key) = <[u8; 32]>::try_from(bytes)
    {
        return Ok(key);
    }
    // Missing or damaged: a new key only means that compiled code is made again.
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_directory_is_told_from_an_empty_one_and_from_anybodys() {
        let check = |names: &[&str], expected: Resident| {
            let dir = tempfile::TempDir::new().unwrap();
            for name in names {
                fs::write(dir.path().join(name), "").unwrap();
            }
            assert_eq!(Resident::of(dir.path()).unwrap(), expected, "{names:?}");
        };
        check(&[], Resident::Nobody);
        check(&[".snapshot", "lost+found"], Resident::Nobody);
        check(&["letter.txt"], Resident::Others);
        check(&["lock"], Resident::Others);
        check(&["lock", "uploads"], Resident::Node);
        check(&["letter.txt", "format"], Resident::Node);
        check(&["tokens.json"], Resident::Node);
        let dir = tempfile::TempDir::new().unwrap();
        let of = |path: &Path| Resident::of(path).unwrap();
        assert_eq!(of(&dir.path().join("gone")), Resident::Nobody);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(of(&dir.path().join("file")), Resident::Others);
    }
}
