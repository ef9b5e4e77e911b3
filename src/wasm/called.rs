//! What a call into a guest takes and what it comes to, in either spelling.

use std::sync::Arc;

use bytes::Bytes;

use crate::limits;
use crate::message::Message;

/// A trap outside, the guest's own error inside.
pub type Called<T> = wasmtime::Result<Result<T, GuestError>>;

/// An error that a guest answered with; it lives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestError {
    /// It says that it does not do this; another handler may.
    NotImplemented(String),
    Failed(String),
}

/// All that a component's handler may get; its type says which of it it does get.
pub struct Arguments {
    /// The state that the node keeps for the guest.
    pub state: Arc<str>,
    pub from: Arc<str>,
    pub message_type: Arc<str>,
    pub payload: Bytes,
}

impl Arguments {
    /// Those that a message brings.
    pub fn of(message: &Message, state: Arc<str>) -> Self {
        Self {
            state,
            from: message.from.clone(),
            message_type: message.message_type.clone(),
            payload: message.payload.clone(),
        }
    }

    /// For hooks, which get at most a payload.
    pub fn only(payload: Bytes) -> Self {
        let nothing: Arc<str> = Arc::default();
        Self {
            state: nothing.clone(),
            from: nothing.clone(),
            message_type: nothing,
            payload,
        }
    }
}

impl GuestError {
    /// In the guest's own words, as far as anybody reads them.
    pub fn failed(mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(limits::GUEST_TEXT_BYTES_MAX));
        Self::Failed(text)
    }

    pub fn into_text(self) -> String {
        let (Self::NotImplemented(text) | Self::Failed(text)) = self;
        text
    }
}
