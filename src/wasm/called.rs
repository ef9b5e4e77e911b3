//! What a call into a guest takes and what it comes to, in either spelling.

use std::sync::{Arc, LazyLock};

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
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    /// The state that the node keeps for the guest.
    pub state: &'a Arc<str>,
    pub from: &'a Arc<str>,
    pub message_type: &'a Arc<str>,
    pub payload: &'a Bytes,
}

static NOTHING: LazyLock<Arc<str>> = LazyLock::new(Arc::default);

impl<'a> Arguments<'a> {
    /// Those that a message brings.
    pub fn of(message: &'a Message, state: &'a Arc<str>) -> Self {
        Self {
            state,
            from: &message.from,
            message_type: &message.message_type,
            payload: &message.payload,
        }
    }

    /// For hooks, which get at most a payload.
    pub fn only(payload: &'a Bytes) -> Self {
        Self {
            state: &NOTHING,
            from: &NOTHING,
            message_type: &NOTHING,
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
