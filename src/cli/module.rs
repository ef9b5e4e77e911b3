//! The file of a module, looked at before anything is sent: there, of a size that a node takes, and WebAssembly.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::limits;

pub struct Module {
    pub path: PathBuf,
    pub file: File,
    pub bytes: u64,
}

const MAGIC: [u8; 4] = *b"\0asm";

impl Module {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = open(path)?;
        let bytes = file.metadata()?.len();
        let shown = path.display();
        ensure!(bytes > 0, "{shown} is empty; was it built?");
        if bytes > limits::WASM_FILE_BYTES_MAX {
            bail!(
                "{shown} is too large ({bytes} bytes; at most {}, 100MB); make it smaller: build it optimised \
                 for size and without debug information, then wasm-tools strip -a {shown} -o smaller.wasm",
                limits::WASM_FILE_BYTES_MAX
            );
        }
        let mut first = Vec::new();
        let cannot_read = || format!("cannot read {shown}");
        (&file)
            .take(64)
            .read_to_end(&mut first)
            .with_context(cannot_read)?;
        ensure!(first.starts_with(&MAGIC), "{}", no_module(path, &first));
        file.rewind()?;
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
        })
    }

    /// The whole file.
    pub fn read(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.bytes as usize);
        self.file.rewind()?;
        let reading = (&self.file).take(self.bytes).read_to_end(&mut bytes);
        reading.with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(bytes)
    }

    /// The file's SHA-256 in hexadecimal.
    pub fn digest(&mut self) -> anyhow::Result<String> {
        let mut hasher = Sha256::new();
        std::io::copy(&mut self.file, &mut hasher)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        self.file.rewind()?;
        Ok(hexadecimal(&hasher.finalize()))
    }

    /// That must be this.
    pub fn check(&mut self, sha256: &Sha256Text) -> anyhow::Result<()> {
        let (found, shown) = (self.digest()?, self.path.display());
        ensure!(
            sha256.0 == found,
            "{shown} has the SHA-256 {found}, not the one given; is it the right file?"
        );
        Ok(())
    }
}

/// A SHA-256 as a user writes it: 64 hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Sha256Text(String);

impl FromStr for Sha256Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim().to_ascii_lowercase();
        let hexadecimal = digits.bytes().all(|it| it.is_ascii_hexdigit());
        match hexadecimal && digits.len() == 64 {
            true => Ok(Self(digits)),
            false => Err(format!(
                "{text:?} is no SHA-256, which is 64 hexadecimal digits, as sha256sum prints"
            )),
        }
    }
}

/// A regular file of whatever content.
pub fn open(path: &Path) -> anyhow::Result<File> {
    let shown = path.display();
    let cannot_read = || format!("cannot read {shown}");
    // Looked at before it is opened: a pipe would wait for its writer.
    let kind = fs::metadata(path).with_context(cannot_read)?;
    ensure!(!kind.is_dir(), "{shown} is a directory; give a file in it");
    ensure!(
        kind.is_file(),
        "{shown} is no file that can be read twice; save it to one first"
    );
    File::open(path).with_context(cannot_read)
}

fn no_module(path: &Path, first: &[u8]) -> String {
    let shown = path.display();
    let text = String::from_utf8_lossy(first);
    let text = text.trim_start();
    if text.starts_with("(module") || text.starts_with("(component") || text.starts_with(";;") {
        return format!(
            "{shown} is WebAssembly as text; make a binary of it: wasm-tools parse {shown} -o module.wasm"
        );
    }
    format!("{shown} is no WebAssembly module: it does not begin with the bytes \\0asm")
}

/// As the guide writes sizes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2}MB", bytes as f64 / limits::MIB as f64)
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_in_the_guide() {
        assert_eq!(megabytes(39 * 1024 * 1024), "39.00MB");
        assert_eq!(megabytes(limits::WASM_FILE_BYTES_MAX + 1), "100.00MB");
        assert_eq!(megabytes(5_300_000), "5.05MB");
    }

    #[test]
    fn what_is_no_module_is_named() {
        let check = |first: &str, words: &str| {
            let said = no_module(Path::new("a.wasm"), first.as_bytes());
            assert!(
                said.contains(words) && said.starts_with("a.wasm is"),
                "{said}"
            );
        };
        check("  (module", "as text");
        check("(component", "wasm-tools parse a.wasm");
        check("hello", "no WebAssembly module");
        check("\0as", "no WebAssembly module");
    }
}
