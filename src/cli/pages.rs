//! Lists that a node answers in pages, as one.

use anyhow::bail;
use serde_json::{Map, Value};

use super::client::Client;
use crate::limits;

/// Pages that are asked for before the server is taken for one that never ends.
const PAGES_MAX: usize = 1_000;

/// What stands at `path`, with all that it lists under `key` and no word of pages.
pub async fn all(client: &Client, path: &str, key: &str) -> anyhow::Result<Value> {
    let mut items = Vec::new();
    for _ in 0..PAGES_MAX {
        let (offset, limit) = (items.len(), limits::PAGE_ITEMS_MAX);
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}offset={offset}&limit={limit}");
        let mut answer: Map<String, Value> = client.get_as(&path).await?;
        let some = match answer.remove(key) {
            Some(Value::Array(some)) => some,
            _ => Vec::new(),
        };
        let page = answer.remove("page").unwrap_or_default();
        let ended = some.is_empty() || page["has_next"] != true;
        items.extend(some);
        if ended {
            answer.insert(key.to_owned(), items.into());
            return Ok(answer.into());
        }
    }
    bail!(
        "the list {key} does not end: after {PAGES_MAX} pages with {} items there is still a next one; \
         is this a node of this version?",
        items.len()
    )
}
