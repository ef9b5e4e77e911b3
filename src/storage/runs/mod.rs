//! The rows of workflows: a head for each run, its input, its steps and the signals it got, and what is left of it once it
//! has ended.

mod changes;
mod looks;

use bytes::Bytes;
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::rows::{Stored, stored};
use super::usage::Spent;
use crate::limits;
use crate::retry::Retry;

pub use changes::{Changed, Rows, forget};
pub use looks::{Found, Listed, Wanted, applications, count, find, list, running, signal, steps};

/// Application and id to a status in one byte and the head.
pub const HEADS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("runs");
/// Application and id to the input; once it has ended, to the result.
pub const VALUES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("run-values");
/// Application, id and number to a step. Those of a run that has ended without a result stay where they are few.
pub const STEPS: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("run-steps");
/// Application, id and number to a signal.
pub const SIGNALS: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("run-signals");
/// Application, time and id of each run that has ended.
pub const ENDED: TableDefinition<(&str, u64, &str), ()> = TableDefinition::new("runs-ended");

pub fn tables() -> Vec<Box<dyn Stored>> {
    vec![
        stored(HEADS),
        stored(VALUES),
        stored(STEPS),
        stored(SIGNALS),
        stored(ENDED),
    ]
}

/// What a run, a step or a signal weighs beside its own bytes.
const BOOKKEEPING_BYTES: usize = 128;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Running,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

/// One run, without its input, steps, signals and result. Times are the store's, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub run_id: String,
    pub workflow_type: String,
    pub status: Status,
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
    /// When it ends, whatever it does.
    pub deadline_ms: Option<u64>,
    pub retry: Retry,
    /// How often it was begun, and when it may begin.
    pub attempt: u32,
    pub not_before_ms: u64,
    pub task_queue: Option<String>,
    pub steps: u64,
    pub signals: u64,
    steps_bytes: u64,
    signals_bytes: u64,
    /// What it weighs in all.
    bytes: u64,
    /// Activities whose effect may have come twice, the first ones of them.
    pub possibly_repeated: Vec<String>,
    /// Why it has failed, or was ended.
    pub reason: Option<String>,
}

/// What a run did at one place of its course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub kind: StepKind,
    pub name: String,
    /// Attempts that were begun, and whether the last one is under way.
    pub attempts: u32,
    pub under_way: bool,
    /// When a sleep ends, or the next attempt begins.
    pub due_ms: u64,
    /// When there are no more attempts.
    pub until_ms: Option<u64>,
    /// An attempt may have had its effect and yet been followed by another.
    pub possibly_repeated: bool,
    pub outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    Activity,
    Sleep,
    Start,
    Signal,
    Query,
    Await,
    SideEffect,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its value lies beside it.
    Done,
    Failed {
        code: String,
        text: String,
    },
}

/// A step at its place, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub number: u64,
    pub step: Step,
    pub value: Bytes,
}

/// A step that a run takes, or goes on with.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: String,
    pub run_id: String,
    pub taken: Taken,
}

/// Why a change of a run is not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is a workflow {id:?} already, and it is {}; choose another id", .status.in_words())]
    There { id: String, status: Status },
    #[error("no workflow {0:?} in this application")]
    Unknown(String),
    #[error("application {0} is not deployed any more: it starts no workflows; deploy it again")]
    Leaving(String),
    #[error("workflow {id:?} has ended: it is {}", .status.in_words())]
    Over { id: String, status: Status },
    #[error("a workflow takes at most {max} steps, or {mib} MiB of them; let it start others for parts of its work",
        max = limits::RUN_STEPS_MAX, mib = limits::RUN_STEPS_BYTES_MAX >> 20)]
    Steps,
    #[error("a workflow gets at most {max} signals, or {mib} MiB of them",
        max = limits::RUN_SIGNALS_MAX, mib = limits::RUN_SIGNALS_BYTES_MAX >> 20)]
    Signals,
    #[error(transparent)]
    Spent(#[from] Spent),
}

impl Status {
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
    ];

    pub fn in_words(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
        }
    }

    fn of(row: &[u8]) -> Self {
        let number = row.first().copied().unwrap_or_default();
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Failed)
    }
}

impl Head {
    pub fn new(run_id: String, workflow_type: String, started_ms: u64, retry: Retry) -> Self {
        Self {
            run_id,
            workflow_type,
            status: Status::Running,
            started_ms,
            ended_ms: None,
            deadline_ms: None,
            retry,
            attempt: 1,
            not_before_ms: 0,
            task_queue: None,
            steps: 0,
            signals: 0,
            steps_bytes: 0,
            signals_bytes: 0,
            bytes: 0,
            possibly_repeated: Vec::new(),
            reason: None,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = vec![self.status as u8];
        serde_json::to_writer(&mut row, self).expect("a head is names, numbers and texts");
        row
    }

    pub fn decode(row: &[u8]) -> Option<Self> {
        serde_json::from_slice(row.get(1..)?).ok()
    }

    /// Of a row that a backup has, whose two words on the status agree.
    pub fn checked(row: &[u8]) -> Option<Self> {
        Self::decode(row).filter(|head| row.first() == Some(&(head.status as u8)))
    }

    /// What its steps, its signals and all of it weigh.
    pub fn weighs(&self) -> (u64, u64, u64) {
        (self.steps_bytes, self.signals_bytes, self.bytes)
    }
}

impl Step {
    pub fn new(kind: StepKind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            attempts: 0,
            under_way: false,
            due_ms: 0,
            until_ms: None,
            possibly_repeated: false,
            outcome: None,
        }
    }
}

impl Taken {
    /// The step's length as four bytes, little-endian; the step, the value.
    fn encode(&self) -> Vec<u8> {
        let step = serde_json::to_vec(&self.step).expect("a step is names, numbers and texts");
        let len = u32::try_from(step.len()).expect("steps are short");
        let mut row = len.to_le_bytes().to_vec();
        row.extend_from_slice(&step);
        row.extend_from_slice(&self.value);
        row
    }

    pub fn decode(number: u64, row: &[u8]) -> Option<Self> {
        let (step, value) = parts(row)?;
        Some(Self {
            number,
            step: serde_json::from_slice(step).ok()?,
            value: Bytes::copy_from_slice(value),
        })
    }
}

/// What `encode` put together.
pub fn parts(row: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = row.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

/// The first text behind this one.
fn after(text: &str) -> String {
    format!("{text}\0")
}

pub fn weight(bytes: usize) -> u64 {
    (BOOKKEEPING_BYTES + bytes) as u64
}
