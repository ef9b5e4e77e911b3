//! What a user calls an actor, an application, a workflow or a signal: at least one character.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// A name or an id. Whether anything bears it the node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(String);

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.is_empty() {
            true => Err("it is empty, and names nothing".into()),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for Named {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}
