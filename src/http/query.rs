//! What a path's query says, for requests about the data of a place.

use crate::id::{Digest, Scope};
use crate::place::Place;
use crate::refusal::{Kind, Refusal};

/// The keys and values of a query, decoded.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The last value of a key.
    pub fn value(&self, key: &str) -> Option<String> {
        let pair = self.0.iter().rev().find(|(known, _)| known == key);
        pair.map(|(_, value)| value.clone())
    }

    /// Whose data is meant.
    pub fn place(&self) -> Result<Place, Refusal> {
        place(self.value("tenant"), self.value("namespace"))
    }

    /// `?sha256=` must be the digest of what arrived, if it is given.
    pub fn check_digest(&self, arrived: Digest) -> Result<(), Refusal> {
        match self.value("sha256") {
            Some(sent) if !sent.trim().eq_ignore_ascii_case(&arrived.to_string()) => {
                let text =
                    format!("sha256 does not match: what arrived has {arrived}; send it again");
                Err(Refusal::new(Kind::Unprocessable, text))
            }
            _ => Ok(()),
        }
    }
}

/// Both are `default` where nothing is said.
pub fn place(tenant: Option<String>, namespace: Option<String>) -> Result<Place, Refusal> {
    let scope = |what: &str, text: Option<String>| match text.as_deref() {
        None | Some("") => Ok(Scope::default()),
        Some(text) => Scope::parse(what, text),
    };
    Ok(Place {
        tenant: scope("tenant", tenant)?,
        namespace: scope("namespace", namespace)?,
    })
}
