//! Tokens: how one looks, how it is known again, and what it permits.
//!
//! A token is shown once, to whoever creates it. What is kept is its hash, from which nobody gets it back.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::id::{Digest, TokenName};

/// What a token permits. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look: lists, status, dashboard figures. Nothing changes.
    Read,
    /// Send messages to actors too.
    Invoke,
    /// Change what runs here.
    Deploy,
}

/// Who has to bring a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Callers from other machines.
    #[default]
    Elsewhere,
    /// The node's own machine as well.
    Everyone,
    /// Nobody: whoever reaches the node may do anything.
    Nobody,
}

/// A token as its owner holds it: `plx_` and 32 random bytes in base64url. It has no `Debug`, so no log gets it.
pub struct Secret(String);

/// What the node knows of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The first 8 hex digits of the hash: safe to show and to log.
    pub id: String,
    pub name: TokenName,
    pub scope: Scope,
    /// SHA-256 of the secret's text.
    pub hash: Digest,
    pub created_at: SystemTime,
}

/// Who makes a call, as far as a door can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on the node's own machine, who needed no token.
    Local,
    /// The holder of the token with this id.
    Token(String),
    /// Somebody of whom nothing is known.
    Stranger,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Read, Self::Invoke, Self::Deploy];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Invoke => "invoke",
            Self::Deploy => "deploy",
        }
    }

    pub fn permits(self, needed: Self) -> bool {
        self >= needed
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| format!("{text:?} is no scope; use read, invoke or deploy"))
    }
}

impl Secret {
    /// What every secret begins with.
    pub const PREFIX: &str = "plx_";
    /// 32 bytes are 43 characters of base64 without padding.
    const CHARS: usize = Self::PREFIX.len() + 43;

    /// Draws a new one from the operating system.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(format!(
            "{}{}",
            Self::PREFIX,
            URL_SAFE_NO_PAD.encode(bytes)
        )))
    }

    /// Takes what a caller sent, if it can be a token at all.
    pub fn parse(text: &str) -> Option<Self> {
        let looks_right = text.len() == Self::CHARS && text.starts_with(Self::PREFIX);
        looks_right.then(|| Self(text.to_owned()))
    }

    /// The id of the token that is known by this secret.
    pub fn id(&self) -> String {
        self.hash().to_string()[..8].to_owned()
    }

    /// A token that is known by this secret.
    pub fn token(&self, name: TokenName, scope: Scope, created_at: SystemTime) -> Token {
        let hash = self.hash();
        Token {
            id: self.id(),
            name,
            scope,
            hash,
            created_at,
        }
    }

    /// The token among `tokens` that this is the secret of. How long it takes tells nothing of any hash.
    pub fn find_in<'a>(&self, tokens: &'a [Token]) -> Option<&'a Token> {
        let hash = self.hash();
        let mut found = None;
        for token in tokens {
            if bool::from(hash.as_bytes().ct_eq(token.hash.as_bytes())) {
                found = Some(token);
            }
        }
        found
    }

    fn hash(&self) -> Digest {
        Digest::of(Sha256::new_with_prefix(&self.0))
    }
}

/// The token in an `Authorization` header's value: `Bearer TOKEN`, the scheme in any case.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

/// The one time that a secret is shown.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Stranger => f.write_str("stranger"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &Secret, scope: Scope) -> Token {
        let name = TokenName::parse("laptop").unwrap();
        secret.token(name, scope, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_secret_is_known_again_by_its_text() {
        let (mine, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        let tokens = [token(&other, Scope::Read), token(&mine, Scope::Deploy)];
        let sent = Secret::parse(&mine.to_string()).unwrap();
        assert_eq!(sent.find_in(&tokens), Some(&tokens[1]));
        assert_eq!(sent.find_in(&tokens[..1]), None);
        assert_eq!(sent.find_in(&[]), None);
    }

    #[test]
    fn what_cannot_be_a_token_is_no_secret() {
        let text = Secret::random().unwrap().to_string();
        for bad in ["", "plx_", &text[1..], &format!("{text}A"), &"x".repeat(47)] {
            assert!(Secret::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_scope_includes_those_before_it() {
        let check = |has: Scope, permitted: &[Scope]| {
            let permits: Vec<_> = Scope::ALL
                .into_iter()
                .filter(|it| has.permits(*it))
                .collect();
            assert_eq!(permits, permitted, "{has}");
        };
        check(Scope::Read, &[Scope::Read]);
        check(Scope::Invoke, &[Scope::Read, Scope::Invoke]);
        check(Scope::Deploy, &Scope::ALL);
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
        }
        assert!("Read".parse::<Scope>().is_err());
    }

    #[test]
    fn the_bearer_is_found_behind_its_scheme() {
        let check = |header, expected| assert_eq!(bearer(header), expected, "{header:?}");
        check("Bearer plx_x", Some("plx_x"));
        check("bearer  plx_x ", Some("plx_x"));
        check("Basic plx_x", None);
        check("plx_x", None);
        check("", None);
    }
}
