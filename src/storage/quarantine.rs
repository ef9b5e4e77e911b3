//! What was damaged and set aside: kept for whoever looks into it, and a reason to call the node degraded until then.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::directory::private_dir;

/// Copies that are kept; the oldest makes room.
const COPIES_MAX: usize = 3;

/// The folder of damaged files.
#[derive(Clone)]
pub struct Quarantine {
    dir: PathBuf,
}

impl Quarantine {
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            dir: dir.join("quarantine"),
        }
    }

    /// Moves a damaged file here, under a name that nothing else has, with a note on what was wrong.
    pub fn take(&self, path: &Path, what: &str) -> io::Result<()> {
        private_dir(&self.dir)?;
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let copy = self.dir.join(format!("{}-{name}", since_1970.as_nanos()));
        match fs::rename(path, &copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::write(copy.with_extension("txt"), what)?,
        }
        File::open(&self.dir)?.sync_all()?;
        self.make_room()
    }

    /// Why the node is not what it was, in words for an operator; `None` when nothing was set aside.
    pub fn says(&self) -> Option<String> {
        let copies = self.notes().ok()?;
        let last = copies.last()?;
        let what = fs::read_to_string(last).unwrap_or_default();
        Some(format!(
            "the store was damaged ({what}) and set aside in {}; what was deployed before is not restored: \
             deploy it again or restore a backup, then remove that folder",
            self.dir.display()
        ))
    }

    /// The notes in the order of their time.
    fn notes(&self) -> io::Result<Vec<PathBuf>> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "txt") {
                notes.push(path);
            }
        }
        notes.sort();
        Ok(notes)
    }

    fn make_room(&self) -> io::Result<()> {
        let mut notes = self.notes()?;
        let surplus = notes.len().saturating_sub(COPIES_MAX);
        for note in notes.drain(..surplus) {
            let _ = fs::remove_file(note.with_extension("redb"));
            fs::remove_file(note)?;
        }
        Ok(())
    }
}
