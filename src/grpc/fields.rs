//! What refusals tell callers of HTTP to set, as fields of a request by gRPC.

use crate::gate::invocation::{TIMEOUT_GIVEN, TYPE_GIVEN};
use crate::refusal::Refusal;

/// Where a request has a message's type and the time that its answer may take.
pub struct Fields {
    message_type: &'static str,
    timeout: &'static str,
}

pub const OF_SEND_MESSAGE: Fields = Fields {
    message_type: "message.message_type",
    timeout: "timeout",
};

pub const OF_INVOKE_ACTOR: Fields = Fields {
    message_type: "headers[\"X-Message-Type\"] (or query_params[\"type\"])",
    timeout: "headers[\"X-Timeout-Ms\"] (or query_params[\"timeout_ms\"])",
};

impl Fields {
    /// The same refusal, with these fields where it names what HTTP has.
    pub fn in_words(&self, refusal: Refusal) -> Refusal {
        let message = refusal.message.replace(TYPE_GIVEN, self.message_type);
        Refusal {
            message: message.replace(TIMEOUT_GIVEN, self.timeout),
            ..refusal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Kind;

    #[test]
    fn what_http_has_is_named_as_the_request_has_it() {
        let check = |fields: Fields, text: String, expected: &str| {
            let said = fields.in_words(Refusal::new(Kind::Malformed, text));
            assert_eq!(said.message, expected);
        };
        check(
            OF_SEND_MESSAGE,
            format!("{TYPE_GIVEN} is long; give it {TIMEOUT_GIVEN}"),
            "message.message_type is long; give it timeout",
        );
        check(
            OF_INVOKE_ACTOR,
            format!("{TIMEOUT_GIVEN} is long"),
            "headers[\"X-Timeout-Ms\"] (or query_params[\"timeout_ms\"]) is long",
        );
        check(OF_SEND_MESSAGE, "no actor".into(), "no actor");
    }
}
