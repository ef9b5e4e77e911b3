//! A backup of the node as a tar archive, and its way back into an empty data directory.
//!
//! ```text
//! plexspaces-backup        which format, and when
//! rows/TABLE/NUMBER        rows of the store, all of one moment
//! tokens.json              if there are tokens: their hashes
//! artifacts/DIGEST.wasm
//! blobs/ID
//! sha256                   of all names and bytes before it
//! ```
//!
//! Compiled code and logs are not in it: another machine compiles again, and begins its own logs.

mod archive;
mod entries;
#[cfg(test)]
mod hostile;
mod older;
mod read;
mod write;

pub use archive::BrokenOff;
pub use read::{RestoreError, restore};
pub use write::Backup;

const HEAD: &str = "plexspaces-backup";
const FORMAT: &str = "format 2";
/// Applications and tokens, and nothing that guests keep.
const FORMAT_OLDER: &str = "format 1";
const TOKENS: &str = "tokens.json";
const SEAL: &str = "sha256";
