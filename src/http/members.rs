//! A body that is a JSON object, read key by key, so that what is wrong is said in the words of the docs.

use serde_json::{Map, Value};

use super::query::place;
use crate::coordination::{Distinct, in_words, kind_of};
use crate::place::Place;
use crate::refusal::{Kind, Refusal};

/// What an object holds.
pub struct Members {
    members: Map<String, Value>,
    /// A whole body that would do.
    example: &'static str,
}

impl Members {
    /// Reads a body like `example` with some of these keys.
    pub fn of(body: &[u8], example: &'static str, keys: &[&str]) -> Result<Self, Refusal> {
        let unreadable = |error| {
            malformed(format!(
                "the body cannot be read: {}; send an object: {example}",
                in_words(&error)
            ))
        };
        let Distinct(read) = serde_json::from_slice(body).map_err(unreadable)?;
        let Value::Object(members) = read else {
            let kind = kind_of(&read);
            return Err(malformed(format!(
                "the body is {kind}; send an object: {example}"
            )));
        };
        if let Some(odd) = members.keys().find(|key| !keys.contains(&&***key)) {
            let (odd, known): (String, _) = (odd.chars().take(64).collect(), keys.join(", "));
            return Err(malformed(format!(
                "the key {odd:?} is not known here; the keys are {known}"
            )));
        }
        Ok(Self { members, example })
    }

    pub fn needed(&mut self, key: &str) -> Result<Value, Refusal> {
        self.members.remove(key).ok_or_else(|| {
            malformed(format!(
                "the key {key:?} is missing; send an object: {}",
                self.example
            ))
        })
    }

    /// A whole number from 0 that fits, if there is one.
    pub fn number<T: TryFrom<u64>>(&mut self, key: &str) -> Result<Option<T>, Refusal> {
        let fits = |value: &Value| value.as_u64()?.try_into().ok();
        self.optional(key, "a whole number from 0", fits)
    }

    /// Whose; both are `default` where nothing is said.
    pub fn place(&mut self) -> Result<Place, Refusal> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let tenant = self.optional("tenant", "a string", text)?;
        let namespace = self.optional("namespace", "a string", text)?;
        place(tenant, namespace)
    }

    fn optional<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        match self.members.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(&value) {
                Some(read) => Ok(Some(read)),
                None => {
                    let kind = kind_of(&value);
                    Err(malformed(format!(
                        "{key} is {kind}, and is to be {expected}"
                    )))
                }
            },
        }
    }
}

fn malformed(text: String) -> Refusal {
    Refusal::new(Kind::Malformed, text)
}
