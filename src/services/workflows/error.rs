//! Why a call about a workflow fails, and what whoever made it over the network is told.

use crate::actor::SendError;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::{self, Refused, RunStatus, StorageError};

/// Why a call about a workflow fails.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    #[error(transparent)]
    Stored(#[from] storage::WorkflowError),
    #[error("workflow {0:?} has {max} signals that it has yet to take; signal it again later", max = limits::RUN_SIGNALS_WAITING_MAX)]
    SignalsWaiting(String),
    #[error("{max} callers wait for workflow {0:?} already, its most; ask for its end later", max = limits::RUN_WAITERS_MAX)]
    Waiters(String),
    #[error("workflow {id:?} does not answer a query now: it is {doing}; ask again later")]
    Busy { id: String, doing: &'static str },
    #[error("{0}")]
    Query(SendError),
    /// It has ended, and not well.
    #[error("workflow {id:?} is {}{}", .status.in_words(), .reason.as_deref().map(|it| format!(": {it}")).unwrap_or_default())]
    Ended {
        id: String,
        status: RunStatus,
        reason: Option<String>,
    },
}

impl From<StorageError> for WorkflowError {
    fn from(error: StorageError) -> Self {
        Self::Stored(error.into())
    }
}

impl From<Refused> for WorkflowError {
    fn from(refused: Refused) -> Self {
        Self::Stored(refused.into())
    }
}

impl From<WorkflowError> for Refusal {
    fn from(error: WorkflowError) -> Self {
        use storage::WorkflowError::{Name, Refused as Not, Storage};
        let kind = match &error {
            WorkflowError::Stored(Name { .. }) => Kind::Malformed,
            WorkflowError::Stored(Not(Refused::Unknown(_))) => Kind::NotFound,
            WorkflowError::Stored(Not(Refused::There { .. })) => Kind::AlreadyExists,
            WorkflowError::Stored(Not(Refused::Over { .. } | Refused::Leaving(_)))
            | WorkflowError::Ended { .. } => Kind::FailedPrecondition,
            WorkflowError::Stored(Not(_))
            | WorkflowError::SignalsWaiting(_)
            | WorkflowError::Waiters(_) => Kind::Exhausted,
            WorkflowError::Busy { .. } => Kind::Unavailable,
            WorkflowError::Stored(Storage(_)) => {
                let WorkflowError::Stored(Storage(error)) = error else {
                    unreachable!("it was just matched")
                };
                return error.into();
            }
            WorkflowError::Query(_) => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}
