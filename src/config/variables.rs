//! The environment variables of this program, and those that look like one and are none.

use std::env;

use crate::near::nearest;

/// All that begin like this are meant for this program.
const BEGINNING: &str = "PLEXSPACES_";

/// Those of the tests, which go on to the nodes that they start.
const OF_TESTS: &str = "PLEXSPACES_TEST_";

/// Those that a node or a command reads.
const KNOWN: [&str; 13] = [
    "PLEXSPACES_ACTORS_MAX",
    "PLEXSPACES_DATA_DIR",
    "PLEXSPACES_DRAIN_TIME",
    "PLEXSPACES_INSECURE_ALLOW_REMOTE",
    "PLEXSPACES_LISTEN_ADDR",
    "PLEXSPACES_LOG",
    "PLEXSPACES_LOG_FORMAT",
    "PLEXSPACES_NODE",
    "PLEXSPACES_NODE_ID",
    "PLEXSPACES_PROFILE",
    "PLEXSPACES_REQUIRE_TOKEN",
    "PLEXSPACES_TOKEN",
    "PLEXSPACES_TOKEN_FILE",
];

/// A line for each variable of the environment that is meant for this program and that it does not know, at most 20.
pub fn unknown_variables() -> Vec<String> {
    const LINES_MAX: usize = 20;
    let names = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let mut lines: Vec<String> = names.filter_map(|name| unknown(&name)).collect();
    lines.sort();
    lines.truncate(LINES_MAX);
    lines
}

fn unknown(name: &str) -> Option<String> {
    let ours = name.starts_with(BEGINNING) && !name.starts_with(OF_TESTS);
    if !ours || KNOWN.contains(&name) {
        return None;
    }
    let meant = match nearest(name, KNOWN) {
        _ if name.starts_with("PLEXSPACES_CONFIG") => "a file is read with --config".to_owned(),
        Some(near) => format!("did you mean {near}?"),
        None => "docs/operations.md has all".to_owned(),
    };
    let shown: String = name.chars().take(80).collect();
    Some(format!(
        "the environment variable {shown} is not known and changes nothing; {meant}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_variable_is_told_from_those_that_are_known() {
        for fine in [
            "PATH",
            "PLEXSPACES_NODE",
            "PLEXSPACES_LOG",
            "PLEXSPACES_TEST_SEED",
        ] {
            assert_eq!(unknown(fine), None);
        }
        let check = |name: &str, meant: &str| {
            let line = unknown(name).unwrap();
            assert!(line.contains(name) && line.ends_with(meant), "{line}");
        };
        check("PLEXSPACES_NODEID", "did you mean PLEXSPACES_NODE_ID?");
        check(
            "PLEXSPACES_LISTEN_ADRESS",
            "did you mean PLEXSPACES_LISTEN_ADDR?",
        );
        check("PLEXSPACES_CONFIG", "a file is read with --config");
        check("PLEXSPACES_LOG_LEVEL", "did you mean PLEXSPACES_LOG?");
        check(
            "PLEXSPACES_SUPERCALIFRAGILISTIC_EXPIALIDOCIOUS",
            "docs/operations.md has all",
        );
    }
}
