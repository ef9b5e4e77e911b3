//! What stands under a name, and what a deploy or a rollback has made of it.

use serde_json::Value;

use super::client::Client;
use super::output;
use super::path;
use super::shapes::Application;
use crate::http;

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

/// Says on standard error what an application had by its config and has no more, since it was deployed without one.
/// Where `after` is none, as of a rehearsal, only what no application has by default is known.
pub fn say_what_is_dropped(before: Option<&Application>, after: Option<&Application>) {
    let Some(before) = before else { return };
    let none = http::spec::defaults();
    let after = after.map_or(&none, |it| &it.spec);
    let dropped = dropped(&before.spec, after);
    if !dropped.is_empty() {
        output::note(&format!(
            "{} had a config, and a deploy without --config drops it: what it set of {} has its default again; \
             deploy with --config FILE to keep it",
            before.name,
            dropped.join(", ")
        ));
    }
}

/// Keys of a config whose values differ, but for the description, which changes nothing that runs.
fn dropped(before: &Value, after: &Value) -> Vec<&'static str> {
    const KEYS: [&str; 8] = [
        "type",
        "tenant",
        "namespace",
        "dependencies",
        "supervisor",
        "env",
        "limits",
        "capabilities",
    ];
    let differs = |key: &&str| matches!((before.get(key), after.get(key)), (Some(old), Some(new)) if old != new);
    KEYS.into_iter().filter(differs).collect()
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
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_config_gave_and_is_gone_is_found() {
        let before = json!({"env": {"A": "1"}, "limits": {"max_mailbox": 7}, "tenant": "default"});
        let after = json!({"env": {}, "limits": {"max_mailbox": 1000}, "tenant": "default"});
        assert_eq!(dropped(&before, &after), ["env", "limits"]);
        assert!(dropped(&after, &after).is_empty());
        assert_eq!(dropped(&before, &json!({"env": {}})), ["env"]);
        // An older node says less.
        assert!(dropped(&Value::Null, &after).is_empty());
    }

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
