//! Lists that a node answers in pages, as one.

use serde_json::Value;

use super::client::Client;
use crate::limits;

/// What stands at `path`, with all that it lists under `key` and no word of pages.
pub async fn all(client: &Client, path: &str, key: &str) -> anyhow::Result<Value> {
    let mut items = Vec::new();
    loop {
        let (offset, limit) = (items.len(), limits::PAGE_ITEMS_MAX);
        let path = format!("{path}?offset={offset}&limit={limit}");
        let mut answer: Value = client.get_as(&path).await?;
        let some = match answer[key].take() {
            Value::Array(some) => some,
            _ => Vec::new(),
        };
        let ended = some.is_empty() || answer["page"]["has_next"] != true;
        items.extend(some);
        if ended {
            answer[key] = items.into();
            if let Some(answer) = answer.as_object_mut() {
                answer.remove("page");
            }
            return Ok(answer);
        }
    }
}
