//! Backups of format 1: applications, what their actors left, and tokens, all of it as JSON.
//!
//! ```text
//! applications.json        each application's name and record
//! states/NAME.json         what its actors left: address and state, in base64
//! tokens.json              if there are tokens: their hashes
//! artifacts/DIGEST.wasm
//! ```

use std::collections::BTreeSet;
use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;

use super::TOKENS;
use super::entries::Entry;
use super::read::{RestoreError, damaged, look};
use crate::id::Digest;
use crate::limits;
use crate::storage::Refill;

const APPLICATIONS: &str = "applications.json";

/// Name and record; an actor's address and its state in base64.
type Pairs = Vec<(String, String)>;

/// Puts all that follows the head into the directory.
pub async fn fill<B: Read>(
    refill: &mut Refill,
    entries: impl Iterator<Item = io::Result<Entry<B>>>,
) -> Result<usize, RestoreError> {
    let (mut modules, mut recorded) = (BTreeSet::new(), false);
    for entry in entries {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.name.clone();
        let within = |folder, end| path.strip_prefix(folder)?.strip_suffix(end);
        if path == APPLICATIONS {
            recorded = true;
            for (name, record) in parsed::<Pairs>(&mut entry)? {
                refill.application(&name, record.as_bytes()).await?;
            }
        } else if path == TOKENS {
            refill.tokens(entry.whole(limits::TOKENS_FILE_BYTES_MAX)?)?;
        } else if let Some(name) = within("states/", ".json") {
            for (actor, state) in parsed::<Pairs>(&mut entry)? {
                let state = STANDARD
                    .decode(state)
                    .map_err(|error| RestoreError::Damaged(format!("{path}: {error}")))?;
                refill.left(name, &actor, &state).await?;
            }
        } else if let Some(digest) = within("artifacts/", ".wasm").and_then(Digest::parse) {
            let bytes = entry.pieces(limits::WASM_FILE_BYTES_MAX)?;
            refill.module(digest, bytes).await?;
            modules.insert(digest);
        } else {
            return Err(RestoreError::Damaged(format!("it holds {path:?}")));
        }
    }
    match recorded {
        true => Ok(refill.finish(look(modules)).await?),
        false => Err(RestoreError::Damaged(format!("it has no {APPLICATIONS}"))),
    }
}

fn parsed<T: DeserializeOwned>(entry: &mut Entry<impl Read>) -> Result<T, RestoreError> {
    let text = entry.whole(limits::BACKUP_OLDER_ENTRY_BYTES_MAX)?;
    serde_json::from_slice(&text)
        .map_err(|error| RestoreError::Damaged(format!("{}: {error}", entry.name)))
}
