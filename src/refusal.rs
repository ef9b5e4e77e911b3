//! Why a request is refused: each kind with its HTTP status and its gRPC code, in the one table.

use std::fmt;

use crate::id::InvalidName;

macro_rules! kinds {
    ($($kind:ident $status:literal $code:ident;)*) => {
        /// What sort of refusal it is, which both doors translate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($kind),* }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$kind => $status),* }
            }

            /// The name of the gRPC code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$kind => stringify!($code)),* }
            }
        }
    };
}

kinds! {
    Malformed          400 INVALID_ARGUMENT;
    Unauthenticated    401 UNAUTHENTICATED;
    Forbidden          403 PERMISSION_DENIED;
    NotFound           404 NOT_FOUND;
    MethodNotAllowed   405 UNIMPLEMENTED;
    AlreadyExists      409 ALREADY_EXISTS;
    FailedPrecondition 409 FAILED_PRECONDITION;
    TooLarge           413 RESOURCE_EXHAUSTED;
    UnsupportedMedia   415 INVALID_ARGUMENT;
    RangeNotSatisfiable 416 OUT_OF_RANGE;
    Misdirected        421 PERMISSION_DENIED;
    Unprocessable      422 INVALID_ARGUMENT;
    Exhausted          429 RESOURCE_EXHAUSTED;
    Internal           500 INTERNAL;
    GuestFailed        502 ABORTED;
    Unavailable        503 UNAVAILABLE;
    DeadlineExceeded   504 DEADLINE_EXCEEDED;
    NoSpace            507 RESOURCE_EXHAUSTED;
}

/// A refusal as a caller reads it: what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    pub message: String,
}

impl Refusal {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl Refusal {
    /// The same words for another occasion.
    pub fn as_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<InvalidName> for Refusal {
    fn from(error: InvalidName) -> Self {
        Self::new(Kind::Malformed, error.to_string())
    }
}
