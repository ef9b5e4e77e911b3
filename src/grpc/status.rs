//! Refusals as statuses: the one place where either becomes gRPC.

use hyper::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::refusal::{Kind, Refusal};
use crate::{limits, metrics};

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(code(refusal.kind.code()), shown(&refusal.message))
    }
}

/// The code of a name in the table of refusals.
fn code(name: &str) -> Code {
    match name {
        "INVALID_ARGUMENT" => Code::InvalidArgument,
        "UNAUTHENTICATED" => Code::Unauthenticated,
        "PERMISSION_DENIED" => Code::PermissionDenied,
        "NOT_FOUND" => Code::NotFound,
        "UNIMPLEMENTED" => Code::Unimplemented,
        "ALREADY_EXISTS" => Code::AlreadyExists,
        "FAILED_PRECONDITION" => Code::FailedPrecondition,
        "RESOURCE_EXHAUSTED" => Code::ResourceExhausted,
        "OUT_OF_RANGE" => Code::OutOfRange,
        "ABORTED" => Code::Aborted,
        "UNAVAILABLE" => Code::Unavailable,
        "DEADLINE_EXCEEDED" => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

/// How a call ended, as it is counted.
pub fn counted(status: Option<&Status>) -> metrics::Code {
    let Some(status) = status else {
        return metrics::Code::OK;
    };
    let mut kinds = Kind::ALL.iter();
    let kind = kinds.find(|kind| code(kind.code()) == status.code());
    (*kind.unwrap_or(&Kind::Internal)).into()
}

/// The generated code takes a message that it cannot read for its own mistake. It is the caller's.
pub fn decoded(answer: Response<Body>) -> Result<Response<Body>, Refusal> {
    match answer.extensions().get::<Status>() {
        Some(status) if status.message().starts_with("failed to decode Protobuf") => {
            Err(Refusal::new(Kind::Malformed, status.message()))
        }
        _ => Ok(answer),
    }
}

/// As much of a text as fits: it travels in a header, where anything but plain ASCII takes three bytes for one, and
/// clients drop a whole answer whose headers are too long.
fn shown(text: &str) -> &str {
    let mut bytes = 0;
    let weight = |c: char| match c {
        ' '..='~' if c != '%' => 1,
        _ => 3 * c.len_utf8(),
    };
    let over = text.char_indices().find(|(_, c)| {
        bytes += weight(*c);
        bytes > limits::ERROR_BYTES_MAX
    });
    &text[..over.map_or(text.len(), |(at, _)| at)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_the_code_of_its_name() {
        for kind in Kind::ALL {
            let status = Status::from(Refusal::new(*kind, "x"));
            let name = format!("{:?}", status.code()).to_uppercase();
            assert_eq!(name, kind.code().replace('_', ""), "{kind:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_where_its_header_is_full() {
        let check = |text: &str, bytes: usize| assert_eq!(shown(text).len(), bytes);
        check("no actor", 8);
        check(&"a".repeat(10_000), limits::ERROR_BYTES_MAX);
        check(&"é".repeat(10_000), limits::ERROR_BYTES_MAX / 6 * 2);
        check(&"%".repeat(10_000), limits::ERROR_BYTES_MAX / 3);
    }
}
