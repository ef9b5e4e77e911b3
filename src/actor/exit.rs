//! How a life ends, in Erlang's words.

use std::fmt;
use std::sync::Arc;

/// Why an actor, or a supervisor with all below it, is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped of its own accord.
    Normal,
    /// It was told to stop, or its supervisor gave up.
    Shutdown,
    /// It did not stop in time, or was not given any.
    Killed,
    /// It broke.
    Error(Arc<str>),
}

impl Exit {
    pub fn error(text: impl Into<Arc<str>>) -> Self {
        Self::Error(text.into())
    }

    /// What a transient child is restarted after, and what spreads along links.
    pub fn is_abnormal(&self) -> bool {
        matches!(self, Self::Killed | Self::Error(_))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::Killed => f.write_str("killed"),
            Self::Error(text) => write!(f, "error: {text}"),
        }
    }
}
