//! How a step of a run ended: as it is written down, and as the life that took it and those after it are told.

use bytes::Bytes;

use super::actor_error;
use super::bindings::types::{ActorError, ErrorCode};
use crate::limits;
use crate::storage::{Outcome, Taken};

impl Taken {
    pub fn succeeds(&mut self, value: Bytes) {
        (self.step.outcome, self.value) = (Some(Outcome::Done), value);
        self.step.under_way = false;
    }

    pub fn fails(&mut self, error: &ActorError) {
        let text = error.message.chars().take(limits::RUN_REASON_CHARS_MAX);
        self.step.outcome = Some(Outcome::Failed {
            code: error.code.in_words().to_owned(),
            text: text.collect(),
        });
        self.step.under_way = false;
    }

    /// What a step that has ended answers.
    pub fn answer(&self) -> Result<Vec<u8>, ActorError> {
        match &self.step.outcome {
            Some(Outcome::Failed { code, text }) => {
                Err(actor_error(ErrorCode::of_words(code), text))
            }
            Some(Outcome::Done) | None => Ok(self.value.to_vec()),
        }
    }
}

impl ErrorCode {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Unknown, "unknown"),
        (Self::ActorNotFound, "actor-not-found"),
        (Self::DeliveryFailed, "delivery-failed"),
        (Self::Timeout, "timeout"),
        (Self::InvalidMessage, "invalid-message"),
        (Self::NotPermitted, "not-permitted"),
        (Self::ResourceExhausted, "resource-exhausted"),
        (Self::Internal, "internal"),
        (Self::NotImplemented, "not-implemented"),
    ];

    fn in_words(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(code, _)| *code == self)
            .map_or("unknown", |it| it.1)
    }

    fn of_words(words: &str) -> Self {
        let mut all = Self::ALL.iter();
        all.find(|it| it.1 == words)
            .map_or(Self::Unknown, |it| it.0)
    }
}
