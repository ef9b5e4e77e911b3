//! What stands under a name, and what a deploy or a rollback has made of it.

use super::client::Client;
use super::path;
use super::shapes::Application;

/// Characters of a module's SHA-256 that people compare.
const HASH_CHARS_SHOWN: usize = 12;

/// The application of this name. `None` where there is none, and where the node does not say: the deploy itself then
/// finds out why.
pub async fn of(client: &Client, name: &str) -> Option<Application> {
    client.get_as(&path::application(name)).await.ok()
}

/// From which version to which, or where both bear one number, from which module to which. `None` for the same of both.
pub fn way(from: (&str, &str), to: (&str, &str)) -> Option<String> {
    let ((old, old_hash), (new, new_hash)) = (from, to);
    if old != new {
        return Some(format!("from {old} to {new}"));
    }
    let shown = |hash: &str| hash.chars().take(HASH_CHARS_SHOWN).collect::<String>();
    let differ = old_hash != new_hash;
    differ.then(|| format!("from module {} to {}", shown(old_hash), shown(new_hash)))
}

/// What became of an application that a deploy found as `before` and left as `after`.
pub fn deployed(before: Option<&Application>, after: Option<&Application>) -> Became {
    let (Some(before), Some(after)) = (before, after) else {
        return Became::New;
    };
    // Every version that is taken has a time of its own.
    if before.deployed_at == after.deployed_at {
        return Became::Same;
    }
    let way = way(before.what(), after.what());
    Became::Another(way.unwrap_or_else(|| "in its config or its id".to_owned()))
}

/// What a deploy has made of its name.
#[derive(Debug, PartialEq, Eq)]
pub enum Became {
    New,
    Same,
    Another(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_leads_from_version_to_version_or_from_module_to_module() {
        let check = |from, to, expected: Option<&str>| {
            assert_eq!(way(from, to).as_deref(), expected);
        };
        check(("1", "a"), ("2", "a"), Some("from 1 to 2"));
        check(("1", "a"), ("1", "b"), Some("from module a to b"));
        check(("1", "a"), ("1", "a"), None);
    }
}
