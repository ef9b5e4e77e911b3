//! A file for secrets on its way: written beside its place under a name of its own, and there once it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Dropped before it is put in its place, it is gone. Every error names the place.
pub struct Draft {
    to: PathBuf,
    path: PathBuf,
    file: File,
    is_put: bool,
}

impl Draft {
    /// A new file beside `to`, which nobody but its owner may read.
    pub fn beside(to: &Path) -> io::Result<Self> {
        let made = create(to).map_err(of(to));
        made.map(|(path, file)| Self {
            to: to.to_owned(),
            path,
            file,
            is_put: false,
        })
    }

    /// Looks at it again, from its beginning.
    pub fn look<T>(&mut self, look: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        look(&mut self.file).map_err(of(&self.to))
    }

    /// Puts it in its place, in that of a file that is there.
    pub fn put(mut self) -> io::Result<()> {
        let synced = self.file.sync_all();
        let put = synced.and_then(|()| fs::rename(&self.path, &self.to));
        self.is_put = put.is_ok();
        put.map_err(of(&self.to))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(of(&self.to))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(of(&self.to))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_put {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a file can be put there: an error for what is no plain file, or no name of one.
pub fn may_be_at(to: &Path) -> io::Result<()> {
    let is_name = to.file_name().is_some() && !to.as_os_str().as_encoded_bytes().ends_with(b"/");
    let what = match to.metadata() {
        Ok(there) if there.is_dir() => "it is a directory; give the name of a file",
        Ok(there) if !there.is_file() => "it is no plain file",
        _ if !is_name => "it is no name of a file",
        _ => return Ok(()),
    };
    Err(of(to)(io::Error::other(what)))
}

fn create(to: &Path) -> io::Result<(PathBuf, File)> {
    let mut own = [0; 4];
    getrandom::fill(&mut own)?;
    let mut name = OsString::from(to);
    name.push(format!(".{:08x}.part", u32::from_le_bytes(own)));
    let path = PathBuf::from(name);
    let mut options = File::options();
    let options = options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    Ok((path, file))
}

fn of(to: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| {
        let next = match error.kind() {
            io::ErrorKind::NotFound => {
                "; make its folder first, or give a file in one that is there"
            }
            io::ErrorKind::PermissionDenied => "; give a file in a folder that you may write to",
            io::ErrorKind::StorageFull => "; make room, or give a file on another disk",
            _ => "",
        };
        let text = format!("cannot write backup {}: {error}{next}", to.display());
        io::Error::new(error.kind(), text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(name)
            .map(|name| name.into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn each_has_a_file_of_its_own_and_takes_away_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (to, other) = (dir.path().join("a.tar"), dir.path().join("a.tar.part"));
        symlink("elsewhere", &other).unwrap();
        let (mut first, second) = (Draft::beside(&to).unwrap(), Draft::beside(&to).unwrap());
        first.write_all(b"first").unwrap();
        assert_ne!(first.path, second.path);
        drop(second);
        first.put().unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"first");
        assert_eq!(fs::metadata(&to).unwrap().mode() & 0o777, 0o600);
        assert_eq!(names(dir.path()), ["a.tar", "a.tar.part"]);
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn every_error_names_the_file_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("place");
        let mut draft = Draft::beside(&place).unwrap();
        draft.file = File::open(&draft.path).unwrap();
        let unwritten = draft.write_all(b"secret").unwrap_err();
        fs::create_dir(&place).unwrap();
        let errors = [
            unwritten,
            draft.put().unwrap_err(),
            Draft::beside(&dir.path().join("no/place"))
                .map(drop)
                .unwrap_err(),
            may_be_at(&place).unwrap_err(),
            may_be_at(&dir.path().join("place/")).unwrap_err(),
            may_be_at(Path::new("/dev/null")).unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.starts_with("cannot write backup /"), "{text}");
        }
        assert!(may_be_at(Path::new("")).is_err());
        assert!(may_be_at(Path::new("..")).is_err());
        assert!(may_be_at(&dir.path().join("new")).is_ok());
        assert_eq!(names(dir.path()), ["place"]);
    }
}
