//! What a node's refusals tell callers of HTTP to do, in the words of the command line.

use crate::gate::invocation::TIMEOUT_GIVEN;

/// Each `GET /api/v1/…` that has a command becomes that command. Other words stay as they are.
pub fn in_commands(text: &str) -> String {
    let mut said = Vec::new();
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        let command = words.peek().and_then(|path| command(word, path));
        let Some(command) = command else {
            said.push(word.to_owned());
            continue;
        };
        said.push(command);
        words.next();
        if words.next_if_eq(&"lists").is_some() {
            said.push("shows".to_owned());
        }
    }
    said.join(" ").replace(TIMEOUT_GIVEN, "--timeout")
}

/// The command that does what this request does. All requests that a refusal names are here.
fn command(method: &str, path: &str) -> Option<String> {
    match (method, path.strip_prefix("/api/v1/")?) {
        ("GET", "applications") => Some("plexspaces list".to_owned()),
        ("GET", "dashboard/actors") => Some("plexspaces actor list".to_owned()),
        ("GET", path) if path.starts_with("workflows?application=") => {
            let name = path.strip_prefix("workflows?application=")?;
            Some(format!("plexspaces workflow list --application {name}"))
        }
        ("GET", path) => named(path, "").map(|name| format!("plexspaces status {name}")),
        ("POST", path) => ["start", "stop"].iter().find_map(|verb| {
            let name = named(path, &format!(":{verb}"))?;
            Some(format!("plexspaces application {verb} {name}"))
        }),
        _ => None,
    }
}

/// The application's name in `applications/NAME` with this behind it.
fn named<'a>(path: &'a str, behind: &str) -> Option<&'a str> {
    let name = path.strip_prefix("applications/")?.strip_suffix(behind)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && name.chars().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_become_commands() {
        let check = |said: &str, expected: &str| assert_eq!(in_commands(said), expected);
        check(
            "no application named \"a\"; GET /api/v1/applications lists those deployed",
            "no application named \"a\"; plexspaces list shows those deployed",
        );
        check(
            "no actor \"a\" runs on this node; GET /api/v1/dashboard/actors lists those that do",
            "no actor \"a\" runs on this node; plexspaces actor list shows those that do",
        );
        check(
            "it is stopped; POST /api/v1/applications/a.b:start starts it",
            "it is stopped; plexspaces application start a.b starts it",
        );
        check(
            "POST /api/v1/applications/a:stop and then POST /api/v1/applications/a:start bring it back",
            "plexspaces application stop a and then plexspaces application start a bring it back",
        );
        check(
            "it has failed; GET /api/v1/applications/a says why",
            "it has failed; plexspaces status a says why",
        );
        check(
            "no workflow \"x\" in application a; GET /api/v1/workflows?application=a lists them",
            "no workflow \"x\" in application a; plexspaces workflow list --application a shows them",
        );
        check(
            "give it longer with X-Timeout-Ms (or ?timeout_ms=), or see: GET /api/v1/applications/a",
            "give it longer with --timeout, or see: plexspaces status a",
        );
        for other in [
            "GET",
            "POST /api/v1/applications/deploy on the next port",
            "GET /api/v1/applications/a/b",
            "two  spaces stay",
        ] {
            check(other, other);
        }
    }
}
