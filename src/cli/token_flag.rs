//! The token that a command sends along: from a flag, a file or the environment, in this order.

use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hyper::header::HeaderValue;

use super::Usage;

/// A file of a token is read no further.
const FILE_BYTES_MAX: u64 = 4096;

/// What the flags say.
pub struct Given {
    pub token: Option<String>,
    pub file: Option<PathBuf>,
}

impl Given {
    /// The `Authorization` to send, if there is a token. Flags decide over the environment.
    pub fn authorization(self) -> anyhow::Result<Option<HeaderValue>> {
        match (self.token, self.file) {
            (Some(_), Some(_)) => Err(Usage::new("give --token or --token-file, not both")),
            (Some(token), None) => said(&token).map(Some),
            (None, Some(file)) => read(&file).map(Some),
            (None, None) => of_environment(),
        }
    }
}

fn of_environment() -> anyhow::Result<Option<HeaderValue>> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match (set("PLEXSPACES_TOKEN"), set("PLEXSPACES_TOKEN_FILE")) {
        (Some(token), _) => said(&token).map(Some),
        (None, Some(file)) => read(Path::new(&file)).map(Some),
        (None, None) => Ok(None),
    }
}

/// A token that the caller says is known to be none before anything is sent.
fn said(token: &str) -> anyhow::Result<HeaderValue> {
    bearer(token).map_err(|error| Usage::new(&error.to_string()))
}

fn read(path: &Path) -> anyhow::Result<HeaderValue> {
    let shown = path.display();
    let unreadable = || format!("cannot read the token from {shown}");
    let file = File::open(path).with_context(unreadable)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(unreadable)?;
    ensure!(!text.trim().is_empty(), "{shown} holds no token");
    bearer(&text).with_context(|| shown.to_string())
}

fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let token = token.trim();
    let printable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(
        printable,
        "this is no token: it has no letters, or others than a token has; plexspaces token create makes one"
    );
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_printable_word() {
        let check = |token: &str, expected: Option<&str>| {
            let value = bearer(token).ok();
            let shown = value.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(shown, expected, "{token:?}");
        };
        check("plx_1", Some("Bearer plx_1"));
        check(" plx_1\n", Some("Bearer plx_1"));
        for wrong in ["", "\n", "a b", "a\nb", "ä"] {
            check(wrong, None);
        }
    }
}
