//! The tokens of a node: one small private file, replaced whole by whoever changes it, read again when it has changed.
//!
//! The command line writes it beside a running node, without the node's lock; a lock on the directory itself keeps two
//! writers apart, and a rename keeps readers from seeing half a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{is_for_want_of_room, room};
use crate::auth::{Scope, Secret, Token};
use crate::id::{Digest, TokenName};
use crate::limits;
use crate::refusal::{Kind, Refusal};

const FILE: &str = "tokens.json";

/// The layout of the file that this binary reads and writes.
const FORMAT: u32 = 1;

/// All tokens of the node whose data directory this is.
#[derive(Clone)]
pub struct Tokens {
    dir: PathBuf,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// The file as it was last read.
struct Seen {
    stamp: Option<Stamp>,
    tokens: Option<Vec<Token>>,
}

/// What tells one version of the file from the next: no two in a row share inode, length and time of change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// A whole file of tokens beside the one that counts. Dropped before it is put in that one's place, it is gone.
pub struct Draft {
    new: PathBuf,
    is_put: bool,
    /// The directory, with its lock.
    dir: File,
    tokens: Tokens,
}

#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("cannot {doing} {}: {error}", .path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    #[error("{} is not as plexspaces wrote it: {what}; restore it, or remove it and create new tokens", .path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("{} has format {found}, and this plexspaces knows format {FORMAT} only; use the newer one", .path.display())]
    NewerFormat { path: PathBuf, found: u32 },
    #[error(
        "there are {} tokens already, the most; revoke one with plexspaces token revoke",
        limits::TOKENS_MAX
    )]
    TooMany,
    #[error("no token has the id {0:?}; plexspaces token list shows all")]
    Unknown(String),
    #[error("the node cannot read its tokens; its log has the reason")]
    Unreadable,
}

impl Tokens {
    /// The tokens in this data directory, which need not exist.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            dir: dir.into(),
            seen: Arc::default(),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Every token, the oldest first; none where there is no file.
    pub fn list(&self) -> Result<Vec<Token>, TokensError> {
        match File::open(self.path()) {
            Ok(file) => self.read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.io("read")(error)),
        }
    }

    /// Makes a token, durably. The secret is nowhere but in the answer.
    pub fn create(&self, name: TokenName, scope: Scope) -> Result<(Secret, Token), TokensError> {
        super::private_dir(&self.dir).map_err(self.io("make a directory for"))?;
        let lock = self.lock()?;
        let mut tokens = self.list()?;
        if tokens.len() >= limits::TOKENS_MAX {
            return Err(TokensError::TooMany);
        }
        let (secret, token) = loop {
            let secret = Secret::random().map_err(self.io("draw a token for"))?;
            let token = secret.token(name.clone(), scope, SystemTime::now());
            // An id is short, so that people can type it, and may come twice.
            if tokens.iter().all(|known| known.id != token.id) {
                break (secret, token);
            }
        };
        tokens.push(token.clone());
        self.write(lock, &tokens)?;
        Ok((secret, token))
    }

    /// Makes a token unknown, durably; on a full disk with some of the room that is held back there.
    pub fn revoke(&self, id: &str) -> Result<Token, TokensError> {
        match self.try_to_revoke(id) {
            Err(TokensError::Io { error, .. }) if is_for_want_of_room(&error) => {
                let _lent = room::lend(&self.dir);
                self.try_to_revoke(id)
            }
            revoked => revoked,
        }
    }

    fn try_to_revoke(&self, id: &str) -> Result<Token, TokensError> {
        let unknown = || TokensError::Unknown(id.chars().take(64).collect());
        if !self.path().exists() {
            return Err(unknown());
        }
        let lock = self.lock()?;
        let mut tokens = self.list()?;
        let index = tokens.iter().position(|token| token.id == id);
        let token = tokens.remove(index.ok_or_else(unknown)?);
        self.write(lock, &tokens)?;
        Ok(token)
    }

    /// The token with this secret, by the file as it is now.
    pub fn find(&self, secret: &Secret) -> Result<Option<Token>, TokensError> {
        self.look(|tokens| secret.find_in(tokens).cloned())
    }

    /// Whether there is a token with this id now: it may have been revoked since its holder came in.
    pub fn has(&self, id: &str) -> bool {
        let found = self.look(|tokens| tokens.iter().any(|token| token.id == id));
        found.unwrap_or(false)
    }

    /// That the file cannot be read, for an operator; looked at as by [`Self::find`].
    pub fn says(&self) -> Option<String> {
        let unreadable = self.look(|_| ()).is_err();
        unreadable.then(|| {
            format!(
                "{FILE} in the data directory cannot be read, so no token is accepted; the log has the reason: restore it, \
                 or remove it and create new tokens"
            )
        })
    }

    /// Looks at the file as it is now. It is read only after it has changed, so on the loop: one `stat` a call, and at
    /// most [`limits::TOKENS_FILE_BYTES_MAX`] after a change. A file that cannot be read permits nothing to anybody; why
    /// is logged once.
    fn look<T>(&self, find: impl FnOnce(&[Token]) -> T) -> Result<T, TokensError> {
        let stamp = match fs::metadata(self.path()) {
            Ok(metadata) => Some(Stamp::of(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(find(&[])),
            // Reading it will fail too, and say why.
            Err(_) => None,
        };
        let mut seen = self.seen.lock().unwrap();
        if seen.as_ref().is_none_or(|seen| seen.stamp != stamp) {
            let tokens = self
                .list()
                .inspect_err(|error| log::error!("no token is accepted: {error}"));
            let tokens = tokens.ok();
            // Should the file have changed since its stamp was taken, the next call sees another stamp.
            *seen = Some(Seen { stamp, tokens });
        }
        let tokens = seen.as_ref().and_then(|seen| seen.tokens.as_ref());
        Ok(find(tokens.ok_or(TokensError::Unreadable)?))
    }

    /// The file's text, if there is one and it can be read.
    pub(super) fn text(&self) -> Result<Option<Vec<u8>>, TokensError> {
        match File::open(self.path()) {
            Ok(file) => {
                let text = self.text_of(file)?;
                self.parsed(&text).map(|_| Some(text))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io("read")(error)),
        }
    }

    /// The first file of a directory, with a text that holds by [`check`]; `None` where there is a file already.
    pub(super) fn draft_of_first(&self, text: &[u8]) -> Result<Option<Draft>, TokensError> {
        let lock = self.lock()?;
        match self.path().symlink_metadata() {
            Ok(_) => Ok(None),
            Err(_) => self.draft(lock, text).map(Some),
        }
    }

    fn read(&self, file: File) -> Result<Vec<Token>, TokensError> {
        self.parsed(&self.text_of(file)?)
    }

    fn text_of(&self, file: File) -> Result<Vec<u8>, TokensError> {
        let mut text = Vec::new();
        let read = file
            .take(limits::TOKENS_FILE_BYTES_MAX)
            .read_to_end(&mut text);
        read.map_err(self.io("read"))?;
        Ok(text)
    }

    fn parsed(&self, text: &[u8]) -> Result<Vec<Token>, TokensError> {
        parse(text).map_err(|wrong| match wrong {
            Wrong::Format(found) => TokensError::NewerFormat {
                path: self.path(),
                found,
            },
            Wrong::Text(what) => TokensError::Damaged {
                path: self.path(),
                what,
            },
        })
    }

    fn write(&self, lock: File, tokens: &[Token]) -> Result<(), TokensError> {
        self.draft(lock, &print(tokens))?.put()
    }

    /// Makes this text durable beside the file that counts.
    fn draft(&self, lock: File, text: &[u8]) -> Result<Draft, TokensError> {
        self.drafted(lock, text).map_err(self.io("write"))
    }

    fn drafted(&self, dir: File, text: &[u8]) -> io::Result<Draft> {
        let new = self.dir.join("tokens.json.new");
        // Only a writer that was killed left one, for we hold the lock.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        let draft = Draft {
            new,
            is_put: false,
            dir,
            tokens: self.clone(),
        };
        // Root may write for a node that runs as another user, who must be able to read it.
        let (owner, own) = (draft.dir.metadata()?, file.metadata()?);
        if (owner.uid(), owner.gid()) != (own.uid(), own.gid()) {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.write_all(text)?;
        file.sync_all()?;
        Ok(draft)
    }

    /// Waits until no other writer is at work; the lock goes with the handle.
    fn lock(&self) -> Result<File, TokensError> {
        let locked = File::open(&self.dir).and_then(|dir| {
            rustix::fs::flock(&dir, FlockOperation::LockExclusive)?;
            Ok(dir)
        });
        locked.map_err(self.io("lock the directory of"))
    }

    fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> TokensError {
        let path = self.path();
        move |error| TokensError::Io {
            doing,
            path: path.clone(),
            error,
        }
    }
}

impl Draft {
    /// Puts it in the place of the file that counts, durably.
    pub(super) fn put(mut self) -> Result<(), TokensError> {
        let put = fs::rename(&self.new, self.tokens.path());
        self.is_put = put.is_ok();
        put.and_then(|()| self.dir.sync_all())
            .map_err(self.tokens.io("write"))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_put {
            let _ = fs::remove_file(&self.new);
        }
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a caller may know of it: where the file lies is not theirs to learn.
impl From<TokensError> for Refusal {
    fn from(_: TokensError) -> Self {
        Self::new(Kind::Internal, TokensError::Unreadable.to_string())
    }
}

/// The file's layout.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    tokens: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    id: String,
    name: String,
    scope: String,
    sha256: String,
    created_ms: u64,
}

enum Wrong {
    Format(u32),
    Text(String),
}

fn print(tokens: &[Token]) -> Vec<u8> {
    let stored = Stored {
        format: FORMAT,
        tokens: tokens.iter().map(Record::from).collect(),
    };
    serde_json::to_vec_pretty(&stored).expect("records are JSON")
}

/// Whether a node of this version can read such a file; the error says what is wrong with it.
pub(super) fn check(text: &[u8]) -> Result<(), String> {
    match parse(text) {
        Ok(_) => Ok(()),
        Err(Wrong::Text(what)) => Err(what),
        Err(Wrong::Format(found)) => Err(format!(
            "they have format {found}, and this plexspaces knows format {FORMAT} only; use the newer one"
        )),
    }
}

fn parse(text: &[u8]) -> Result<Vec<Token>, Wrong> {
    /// Read first, for a newer format may have other fields.
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let wrong = |error: serde_json::Error| Wrong::Text(error.to_string());
    let Header { format } = serde_json::from_slice(text).map_err(wrong)?;
    if format != FORMAT {
        return Err(Wrong::Format(format));
    }
    let stored: Stored = serde_json::from_slice(text).map_err(wrong)?;
    if stored.tokens.len() > limits::TOKENS_MAX {
        let text = format!("it has more than {} tokens", limits::TOKENS_MAX);
        return Err(Wrong::Text(text));
    }
    let tokens: Result<_, String> = stored.tokens.into_iter().map(Token::try_from).collect();
    tokens.map_err(Wrong::Text)
}

impl From<&Token> for Record {
    fn from(token: &Token) -> Self {
        let since_1970 = token.created_at.duration_since(UNIX_EPOCH);
        Self {
            id: token.id.clone(),
            name: token.name.to_string(),
            scope: token.scope.to_string(),
            sha256: token.hash.to_string(),
            created_ms: since_1970.map_or(0, |since| since.as_millis() as u64),
        }
    }
}

impl TryFrom<Record> for Token {
    type Error = String;

    fn try_from(record: Record) -> Result<Self, String> {
        let created_at = UNIX_EPOCH.checked_add(Duration::from_millis(record.created_ms));
        Ok(Self {
            name: TokenName::parse(&record.name).map_err(|error| error.to_string())?,
            scope: record.scope.parse()?,
            hash: Digest::parse(&record.sha256).ok_or("a sha256 is not 64 hex digits")?,
            created_at: created_at.ok_or("a time of creation is out of range")?,
            id: record.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(dir: &tempfile::TempDir) -> Tokens {
        Tokens::in_dir(&dir.path().join("state"))
    }

    fn name(text: &str) -> TokenName {
        TokenName::parse(text).unwrap()
    }

    #[test]
    fn what_is_created_is_listed_found_and_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let (node, shell) = (tokens(&dir), tokens(&dir));
        assert_eq!(shell.list().unwrap(), []);
        assert!(!dir.path().join("state").exists(), "a list left something");
        let (secret, token) = shell.create(name("a \"laptop\""), Scope::Deploy).unwrap();
        let (other, _) = shell.create(name("b"), Scope::Read).unwrap();
        let found = node.find(&secret).unwrap().unwrap();
        assert_eq!((&found.id, found.scope), (&token.id, Scope::Deploy));
        assert_eq!(shell.list().unwrap()[0], found);
        assert_eq!(shell.revoke(&token.id).unwrap(), found);
        assert_eq!(node.find(&secret).unwrap(), None);
        assert!(node.find(&other).unwrap().is_some());
        assert!(matches!(
            shell.revoke(&token.id),
            Err(TokensError::Unknown(_))
        ));
    }

    #[test]
    fn a_damaged_file_permits_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir);
        let (secret, _) = tokens.create(name("a"), Scope::Deploy).unwrap();
        let whole = fs::read(tokens.path()).unwrap();
        for damaged in [
            &b""[..],
            b"{}",
            &whole[..whole.len() - 1],
            br#"{"format":2}"#,
        ] {
            fs::write(tokens.path(), damaged).unwrap();
            assert!(tokens.find(&secret).is_err());
            assert!(tokens.create(name("b"), Scope::Read).is_err());
            assert_eq!(
                fs::read(tokens.path()).unwrap(),
                damaged,
                "it was overwritten"
            );
        }
        fs::remove_file(tokens.path()).unwrap();
        assert_eq!(tokens.find(&secret).unwrap(), None);
    }

    #[test]
    fn there_is_an_end_to_the_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = tokens(&dir);
        super::super::private_dir(&tokens.dir).unwrap();
        let longest = "\"".repeat(64);
        let full: Vec<Token> = (0..limits::TOKENS_MAX)
            .map(|_| Secret::random().unwrap())
            .map(|secret| secret.token(name(&longest), Scope::Deploy, SystemTime::now()))
            .collect();
        tokens.write(tokens.lock().unwrap(), &full).unwrap();
        let bytes = fs::metadata(tokens.path()).unwrap().len();
        assert!(bytes < limits::TOKENS_FILE_BYTES_MAX, "{bytes}");
        assert!(matches!(
            tokens.create(name("more"), Scope::Read),
            Err(TokensError::TooMany)
        ));
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in ["a", "b", "c", "d"] {
                let tokens = tokens(&dir);
                scope.spawn(move || {
                    for _ in 0..5 {
                        tokens.create(name(writer), Scope::Read).unwrap();
                    }
                });
            }
        });
        assert_eq!(tokens(&dir).list().unwrap().len(), 20);
    }
}
