//! Bytes that nobody interprets, as JSON carries them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

/// JSON as it is, text as a string, anything else in base64.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Payload<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Base64(String),
}

impl<'a> Payload<'a> {
    /// The payload and the name of its encoding.
    pub fn of(bytes: &'a [u8]) -> (Self, &'static str) {
        if let Ok(value) = serde_json::from_slice::<&RawValue>(bytes) {
            (Self::Json(value), "json")
        } else if let Ok(text) = std::str::from_utf8(bytes) {
            (Self::Text(text), "utf8")
        } else {
            (Self::Base64(STANDARD.encode(bytes)), "base64")
        }
    }
}
