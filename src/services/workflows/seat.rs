//! What the actor of a run sits on: the steps it has taken, and the next one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::Workflows;
use super::run::{Mood, Run, Verdict};
use super::stage::Stage;
use crate::message::MessageId;
use crate::storage::{
    Outcome, RunRecord, Step, StepKind, StorageError, Taken, WorkflowError, Workflows as Stored,
};

/// One life of a run's actor.
pub struct Seat {
    pub run: Arc<Run>,
    workflows: Workflows,
    life: u64,
    /// The number of the step that it takes next, and how many were taken by earlier lives.
    next: u64,
    known: u64,
    page: VecDeque<Taken>,
    /// Side effects that the run has had.
    effects: HashMap<String, Bytes>,
    /// A message of the run's own is being handled.
    in_hand: bool,
}

/// The life ends here; why, its run has been told.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Abort(String);

impl Seat {
    pub fn new(run: Arc<Run>, workflows: Workflows) -> Self {
        let (life, known) = run.present_life();
        Self {
            run,
            workflows,
            life,
            next: 0,
            known,
            page: VecDeque::new(),
            effects: HashMap::new(),
            in_hand: false,
        }
    }

    /// A message is about to be handled.
    pub fn begins(&mut self, message: MessageId) {
        self.in_hand = self.run.is_given(message);
    }

    /// It has been handled.
    pub fn ends(&mut self) {
        if std::mem::take(&mut self.in_hand) && self.run.lives(self.life) {
            self.run.feels(Mood::Idle);
        }
    }

    /// Whether the run may take a step: not in a query, nor in `init`.
    pub fn is_in_hand(&self) -> bool {
        self.in_hand
    }

    /// Whether it is where an earlier life has been.
    pub fn is_replaying(&self) -> bool {
        self.next < self.known
    }

    /// The next step of the run: what is recorded of it, else a new one. At another step than what is recorded the run
    /// fails, for what follows would be another's.
    pub async fn step(&mut self, kind: StepKind, name: &str) -> Result<Taken, Abort> {
        self.goes_on().await;
        let number = self.next;
        self.next += 1;
        if number >= self.known {
            let (step, value) = (Step::new(kind, name), Default::default());
            return Ok(Taken {
                number,
                step,
                value,
            });
        }
        if self.page.is_empty() {
            let (application, id) = (&self.run.application, &self.run.id);
            let steps = self.stored().steps(application, id, number).await;
            self.page = steps.map_err(|error| self.stumbles(&error))?.into();
        }
        let taken = self.page.pop_front().filter(|it| it.number == number);
        let Some(taken) = taken else {
            return Err(self.fails(format!("step {number} of its course is lost")));
        };
        if (taken.step.kind, &*taken.step.name) != (kind, name) {
            let (was, is) = (
                spelled(taken.step.kind, &taken.step.name),
                spelled(kind, name),
            );
            return Err(self.fails(format!(
                "step {number} was {was}, and is {is} now: the code of a run that goes on takes the same steps"
            )));
        }
        Ok(taken)
    }

    /// Writes down what has become of a step.
    pub async fn put(&self, taken: &Taken) -> Result<(), Abort> {
        if !self.run.lives(self.life) {
            return std::future::pending().await;
        }
        let record = self.record(taken);
        let recorded = self.stored().record(&self.run.application, record).await;
        match recorded {
            Ok(Some(())) => Ok(()),
            // It has ended, and so will this life.
            Ok(None) => std::future::pending().await,
            Err(WorkflowError::Storage(error)) => Err(self.stumbles(&error)),
            Err(error) => Err(self.fails(error.to_string())),
        }
    }

    /// A step to be written down beside something else.
    pub fn record(&self, taken: &Taken) -> RunRecord {
        RunRecord {
            id: self.run.id.to_string(),
            run_id: self.run.run_id().to_string(),
            taken: taken.clone(),
        }
    }

    /// What the run had under a key, which is this value if it is the first.
    pub async fn once(&mut self, key: &str, value: Bytes) -> Result<Bytes, Abort> {
        if let Some(known) = self.effects.get(key) {
            return Ok(known.clone());
        }
        let mut taken = self.step(StepKind::SideEffect, key).await?;
        if taken.step.outcome.is_none() {
            (taken.step.outcome, taken.value) = (Some(Outcome::Done), value);
            self.put(&taken).await?;
        }
        self.effects.insert(key.to_owned(), taken.value.clone());
        Ok(taken.value)
    }

    /// Sleeps so long, by the store's time; of a sleep that an earlier life began, only the rest.
    pub async fn sleep(&mut self, duration_ms: u64) -> Result<(), Abort> {
        let mut taken = self.step(StepKind::Sleep, "").await?;
        if taken.step.due_ms == 0 {
            taken.step.due_ms = self.now_ms().saturating_add(duration_ms).max(1);
            self.put(&taken).await?;
        }
        self.waits_until(taken.step.due_ms).await;
        Ok(())
    }

    /// Waits until it is so late by the store's time.
    pub async fn waits_until(&self, at_ms: u64) {
        if self.now_ms() < at_ms {
            self.run.feels(Mood::Sleeping(at_ms));
            self.stored().sleep_until(at_ms).await;
            self.run.feels(Mood::Working);
        }
        self.goes_on().await;
    }

    /// Waits as long as the run is to be at rest, which this life does not survive.
    pub async fn goes_on(&self) {
        if self.run.is_pausing() && self.run.lives(self.life) {
            self.run.feels(Mood::Held);
        }
        if self.run.is_pausing() || !self.run.lives(self.life) {
            std::future::pending().await
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.stored().now_ms()
    }

    pub fn stage(&self) -> Option<Stage> {
        self.workflows.stage(&self.run.application)
    }

    /// The disk refused something: this life ends, and another goes on from here.
    pub fn stumbles(&self, error: &StorageError) -> Abort {
        self.run.judge(Verdict::Stumbles(error.to_string()));
        Abort(error.to_string())
    }

    pub fn fails(&self, text: String) -> Abort {
        self.run.judge(Verdict::Fails(text.clone()));
        Abort(text)
    }

    /// The run that another step of this one begins bears this name where it is given none.
    pub fn name_for(&self, taken: &Taken) -> String {
        format!("{}.{}", self.run.id, taken.number)
    }

    fn stored(&self) -> &Stored {
        &self.workflows.0.storage.workflows
    }
}

/// A step in words.
fn spelled(kind: StepKind, name: &str) -> String {
    let kind = match kind {
        StepKind::Activity => "the activity",
        StepKind::Sleep => "a sleep",
        StepKind::Start => "the start of",
        StepKind::Signal => "the signal",
        StepKind::Query => "the query",
        StepKind::Await => "the wait for",
        StepKind::SideEffect => "the side effect",
    };
    match name {
        "" => kind.to_owned(),
        name => format!("{kind} {:?}", name.chars().take(64).collect::<String>()),
    }
}
