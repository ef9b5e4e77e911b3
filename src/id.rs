//! The names of things: parsed once at a door, printed back as they came, proof of their rules in between.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, de};
use sha2::{Digest as _, Sha256};

/// Why a text is not the name it should be; the text tells the rule.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(String);

/// A node's name: 1 to 64 of letters, digits, `.`, `_`, `-`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeId(Arc<str>);

impl Default for NodeId {
    fn default() -> Self {
        Self("node-1".into())
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl NodeId {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        word("node id", text, 64).map(Self)
    }
}

/// The key by which an application is stored and found: 1 to 128 of letters, digits, `.`, `_`, `-`,
/// starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationName(Arc<str>);

impl ApplicationName {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        word("name", text, 128).map(Self)
    }
}

/// A tenant or a namespace: the rules of an application's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    pub fn parse(what: &str, text: &str) -> Result<Self, InvalidName> {
        word(what, text, 128).map(Self)
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self("default".into())
    }
}

/// The operator's own label of a deployment: 1 to 255 printable characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationId(Arc<str>);

impl ApplicationId {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        printable("application_id", text, 255).map(Self)
    }
}

/// A version label: 1 to 64 printable characters, compared only for equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Arc<str>);

impl Version {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        printable("version", text, 64).map(Self)
    }
}

/// What a module that is kept for itself is called: 1 to 128 of letters, digits, `.`, `_`, `-`. The actors that are
/// spawned of it bear it as their type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleName(Arc<str>);

impl ModuleName {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        word("module name", text, 128).map(Self)
    }
}

/// What people call a token: 1 to 64 printable characters, not necessarily unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenName(Arc<str>);

impl TokenName {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        printable("token name", text, 64).map(Self)
    }
}

/// A child's id, unique in its application's tree: the rules of an application's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(Arc<str>);

impl ChildId {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        word("id", text, 128).map(Self)
    }

    /// Of an application without a tree: its one worker. Of one with a tree: its root supervisor.
    pub fn of_application(name: &ApplicationName) -> Self {
        Self(name.0.clone())
    }

    /// The type of those that are spawned of a module.
    pub fn of_module(name: &ModuleName) -> Self {
        Self(name.0.clone())
    }

    /// One of many alike.
    pub fn numbered(&self, number: u64) -> Self {
        let stem = &self.0[..self.0.len().min(100)];
        Self(format!("{stem}.{number}").into())
    }
}

impl Borrow<str> for ApplicationName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ChildId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Where an actor belongs and the text it is addressed by, such as `calculator@edge-7`.
#[derive(Clone, Debug)]
pub struct ActorId(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    address: Arc<str>,
    tenant: Scope,
    namespace: Scope,
    application: ApplicationName,
    child: Arc<str>,
    actor_type: Arc<str>,
}

impl ActorId {
    /// A child of an application's tree: `orders/worker-1@NODE`. One that is named after its application is addressed
    /// by that alone. It bears its own id as its type where it has no other.
    pub fn child(
        (tenant, namespace): (&Scope, &Scope),
        application: &ApplicationName,
        child: &ChildId,
        actor_type: Option<&ChildId>,
        node: &NodeId,
    ) -> Self {
        let address = match child.0 == application.0 {
            true => format!("{application}@{node}"),
            false => format!("{application}/{child}@{node}"),
        };
        Self(Arc::new(Parts {
            address: address.into(),
            tenant: tenant.clone(),
            namespace: namespace.clone(),
            application: application.clone(),
            child: child.0.clone(),
            actor_type: actor_type.unwrap_or(child).0.clone(),
        }))
    }

    /// The worker of an application that has no tree, named after it.
    pub fn worker(
        tenant: &Scope,
        namespace: &Scope,
        application: &ApplicationName,
        node: &NodeId,
    ) -> Self {
        let child = ChildId::of_application(application);
        Self::child((tenant, namespace), application, &child, None, node)
    }

    pub fn address(&self) -> &Arc<str> {
        &self.0.address
    }

    pub fn tenant(&self) -> &Scope {
        &self.0.tenant
    }

    pub fn namespace(&self) -> &Scope {
        &self.0.namespace
    }

    pub fn application(&self) -> &ApplicationName {
        &self.0.application
    }

    /// Its id within the application.
    pub fn child_id(&self) -> &str {
        &self.0.child
    }

    /// What callers find it by; a child of a tree is of the type that is its id.
    pub fn actor_type(&self) -> &Arc<str> {
        &self.0.actor_type
    }
}

/// A SHA-256: of a module's bytes, by which it is named in the artifact store, or of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The part of an actor's address before `@NODE`, whole where no node is named; `None` where another one is.
pub fn local<'a>(address: &'a str, node: &NodeId) -> Option<&'a str> {
    match address.split_once('@') {
        None => Some(address),
        Some((local, named)) => (named == &**node).then_some(local),
    }
}

/// The id within its application of the actor with this address, whatever node it names.
pub fn child_of(address: &str) -> &str {
    let local = address.split_once('@').map_or(address, |(local, _)| local);
    local.split_once('/').map_or(local, |(_, child)| child)
}

impl Digest {
    pub fn of(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// Reads what `Display` writes: 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

macro_rules! prints_as_given {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

prints_as_given!(
    NodeId,
    ApplicationName,
    Scope,
    ApplicationId,
    Version,
    ModuleName,
    TokenName,
    ChildId
);

/// What is stored of a name is its text, and what is read back obeys the rules again.
macro_rules! stored_as_text {
    ($($name:ident by $parse:expr),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                $parse(&text).map_err(de::Error::custom)
            }
        }
    )*};
}

stored_as_text!(
    ApplicationName by Self::parse,
    ApplicationId by Self::parse,
    Version by Self::parse,
    ChildId by Self::parse,
    ModuleName by Self::parse,
    Scope by |text: &str| Self::parse("scope", text),
    Digest by |text: &str| Self::parse(text).ok_or("64 hex digits")
);

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.address)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn word(what: &str, text: &str, chars_max: usize) -> Result<Arc<str>, InvalidName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && text.len() <= chars_max && text.chars().all(allowed) {
        return Ok(text.into());
    }
    Err(InvalidName(format!(
        "{what} {} is not valid: use 1 to {chars_max} letters, digits, '.', '_' or '-', starting with a letter or digit",
        quoted(text)
    )))
}

fn printable(what: &str, text: &str, chars_max: usize) -> Result<Arc<str>, InvalidName> {
    let chars = text.chars().count();
    if (1..=chars_max).contains(&chars) && !text.chars().any(char::is_control) {
        return Ok(text.into());
    }
    Err(InvalidName(format!(
        "{what} {} is not valid: use 1 to {chars_max} printable characters",
        quoted(text)
    )))
}

/// A text as an error may show it: escaped, and cut where it grows past 64 characters.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_name_never_looks_like_a_path() {
        for good in ["calculator", "a", "9", "fw.v1_2-b", &"x".repeat(128)] {
            assert!(ApplicationName::parse(good).is_ok(), "{good:?} is refused");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a b",
            "-a",
            "_a",
            "é",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(ApplicationName::parse(bad).is_err(), "{bad:?} passes");
        }
    }

    #[test]
    fn a_digest_reads_what_it_prints() {
        let digest = Digest::of(Sha256::new_with_prefix("x"));
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        let text = digest.to_string();
        for bad in ["", &text[1..], &text.replace('2', "+"), &"é".repeat(32)] {
            assert_eq!(Digest::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn versions_and_application_ids_are_printable() {
        assert!(Version::parse("1.0.0 (größer)").is_ok());
        assert!(Version::parse("").is_err());
        assert!(Version::parse("1\n2").is_err());
        assert!(Version::parse(&"1".repeat(65)).is_err());
        assert!(ApplicationId::parse(&"é".repeat(255)).is_ok());
        assert!(ApplicationId::parse(&"é".repeat(256)).is_err());
    }
}
