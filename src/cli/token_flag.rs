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
        let token = match (self.token, self.file) {
            (Some(_), Some(_)) => {
                return Err(Usage::new("give --token or --token-file, not both"));
            }
            (Some(token), None) => Some(token),
            (None, Some(file)) => Some(read(&file)?),
            (None, None) => of_environment()?,
        };
        token.map(|token| bearer(&token)).transpose()
    }
}

fn of_environment() -> anyhow::Result<Option<String>> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match (set("PLEXSPACES_TOKEN"), set("PLEXSPACES_TOKEN_FILE")) {
        (Some(token), _) => Ok(Some(token)),
        (None, Some(file)) => read(Path::new(&file)).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let file = File::open(path)
        .with_context(|| format!("cannot read the token from {}", path.display()))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read the token from {}", path.display()))?;
    let token = text.trim();
    ensure!(!token.is_empty(), "{} holds no token", path.display());
    Ok(token.to_owned())
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
