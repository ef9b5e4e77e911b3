//! Archives that no node wrote, and restores that break off.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use tar::EntryType;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::archive::Archive;
use super::{FORMAT, FORMAT_OLDER, HEAD, TOKENS, restore};
use crate::limits;
use crate::storage::Storage;

const GIB: u64 = 1 << 30;
const NO_TOKENS: &str = r#"{"format":1,"tokens":[]}"#;

/// A sealed archive of these entries.
async fn sealed(entries: &[(&str, &str)]) -> Vec<u8> {
    let (to, mut body) = mpsc::channel(64);
    let mut archive = Archive::new(to);
    for &(name, text) in entries {
        let text = Bytes::copy_from_slice(text.as_bytes());
        archive.entry(name, text).await.unwrap();
    }
    archive.end().await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = body.recv().await {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// A header, and as many zeroes behind it as it says and more.
fn forged(kind: EntryType, name: &str, bytes: u64) -> impl Read {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_size(bytes);
    header.set_cksum();
    io::Cursor::new(header.as_bytes().to_vec()).chain(io::repeat(0).take(4 * GIB))
}

/// What is read of an archive, counted and watched.
struct Watched<R, W>(R, u64, W);

impl<R: Read, W: FnMut(u64)> Read for Watched<R, W> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(bytes)?;
        self.1 += read as u64;
        (self.2)(self.1);
        Ok(read)
    }
}

/// Why an archive is refused. Nothing of it may be left.
async fn refusal(archive: impl Read) -> String {
    let dir = TempDir::new().unwrap();
    let storage = Storage::open(dir.path()).unwrap();
    let refused = restore(&storage, archive).await.unwrap_err().to_string();
    storage.close().await;
    is_empty(dir.path());
    refused
}

#[track_caller]
fn is_empty(dir: &Path) {
    for folder in ["artifacts", "blobs"] {
        let left = fs::read_dir(dir.join(folder)).unwrap().count();
        assert_eq!(left, 0, "in {folder}");
    }
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let tokens: Vec<String> = names.filter(|name| name.starts_with("tokens")).collect();
    assert_eq!(tokens, [""; 0]);
}

#[tokio::test]
async fn no_token_is_there_before_all_of_an_archive_was_read_and_held_good() {
    let blob = format!("blobs/{}", "0".repeat(32));
    let head = (HEAD, FORMAT);
    let whole = sealed(&[head, (TOKENS, NO_TOKENS)]).await;
    let dir = TempDir::new().unwrap();
    let storage = Storage::open(dir.path()).unwrap();
    let watched = Watched(&whole[..], 0, |_| is_empty(dir.path()));
    restore(&storage, watched).await.unwrap();
    let kept = fs::read_to_string(storage.tokens.path()).unwrap();
    assert_eq!(kept, NO_TOKENS);
    storage.close().await;
    // A blob that no row refers to, which is known when the rows are.
    let stray = sealed(&[head, (TOKENS, NO_TOKENS), (&blob, "x")]).await;
    let text = refusal(&stray[..]).await;
    assert!(text.contains("nothing refers to blob"), "{text}");
    let unsealed = &whole[..whole.len() - 2048];
    let text = refusal(unsealed).await;
    assert!(text.contains("its end is missing"), "{text}");
}

#[tokio::test]
async fn tokens_that_no_node_can_read_refuse_the_archive() {
    for format in [FORMAT, FORMAT_OLDER] {
        for (tokens, words) in [
            ("{", "EOF"),
            ("{}", "format"),
            (r#"{"format":99}"#, "format 99"),
            (r#"{"format":1,"tokens":[{"id":"a"}]}"#, "name"),
        ] {
            let entries = [
                (HEAD, format),
                ("applications.json", "[]"),
                (TOKENS, tokens),
            ];
            let entries = match format {
                FORMAT => &[entries[0], entries[2]][..],
                _ => &entries,
            };
            let text = refusal(&sealed(entries).await[..]).await;
            let named = text.contains("no node can read its tokens");
            assert!(named && text.contains(words), "{text}");
        }
    }
    let twice = sealed(&[(HEAD, FORMAT), (TOKENS, NO_TOKENS), (TOKENS, NO_TOKENS)]).await;
    let text = refusal(&twice[..]).await;
    assert!(text.contains("twice"), "{text}");
}

#[tokio::test]
async fn what_is_no_plain_file_or_too_long_is_refused_by_its_header() {
    let all = sealed(&[(HEAD, FORMAT)]).await;
    // Without its seal and its end.
    let head = &all[..1024];
    let module = format!("artifacts/{}.wasm", "0".repeat(64));
    let blob = format!("blobs/{}", "0".repeat(32));
    let plain = EntryType::Regular;
    for (kind, name, bytes, words) in [
        (EntryType::GNULongName, "x", 3 * GIB, "no plain file"),
        (EntryType::GNULongLink, "x", 3 * GIB, "no plain file"),
        (EntryType::XHeader, "x", 3 * GIB, "no plain file"),
        (EntryType::XGlobalHeader, "x", 3 * GIB, "no plain file"),
        (EntryType::GNUSparse, &*blob, 3 * GIB, "no plain file"),
        (EntryType::Symlink, &*blob, 0, "no plain file"),
        (plain, &*module, limits::WASM_FILE_BYTES_MAX + 1, "may have"),
        (plain, &*blob, limits::BLOB_BYTES_MAX + 1, "may have"),
        (plain, TOKENS, limits::TOKENS_FILE_BYTES_MAX + 1, "may have"),
        (plain, "rows/values/0", u64::MAX >> 1, "may have"),
        (plain, "sha256", 3 * GIB, "may have"),
    ] {
        let few = |bytes| assert!(bytes < limits::MIB as u64, "{bytes} bytes of {name}");
        let archive = head.chain(forged(kind, name, bytes));
        let text = refusal(Watched(archive, 0, few)).await;
        assert!(text.contains(words) && text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn what_is_shown_of_an_archive_is_short_and_in_one_line() {
    let million = "\u{1}".repeat(limits::MIB);
    let short = "\u{1}".repeat(4000);
    for head in [&*million, &*short] {
        let text = refusal(&sealed(&[(HEAD, head)]).await[..]).await;
        assert!(text.len() < 2 * limits::ERROR_BYTES_MAX, "{}", text.len());
        assert!(!text.contains(char::is_control), "{text}");
    }
    let bent = format!("[[\"{million}\"]]").replace('\u{1}', "x");
    let older = sealed(&[(HEAD, FORMAT_OLDER), ("applications.json", &bent)]).await;
    let text = refusal(&older[..]).await;
    assert!(text.len() < 2 * limits::ERROR_BYTES_MAX, "{}", text.len());
}
