//! Workflows: runs of actor types that survive a restart. What a run does is a step of it, and the same in every life.

use std::time::Duration;

use bytes::Bytes;

use super::bindings::types::{ActorError, Context, ErrorCode};
use super::bindings::workflow::{ActivityOptions, Host, WorkflowContext, WorkflowOptions};
use super::keyvalue::storage_code;
use super::messaging::Answer;
use super::{Guest, actor_error, permitted};
use crate::retry::Retry;
use crate::services::workflows::{Abort, Seat, Wanted, WorkflowError};
use crate::storage::{self, Refused, RunRecord, RunStatus, StepKind, Taken};
use crate::wasm::stage;

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "start-workflow",
    "signal-workflow",
    "query-workflow",
    "await-workflow",
    "schedule-activity",
    "sleep",
    "get-workflow-context",
];

impl Host for Guest {
    async fn start_workflow(
        &mut self,
        ctx: Context,
        workflow_type: String,
        workflow_id: Option<String>,
        input: Vec<u8>,
        options: WorkflowOptions,
    ) -> Answer<String> {
        let wanted = match self.wanted(&ctx, workflow_type, workflow_id, input, options) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Err(error)),
        };
        let (id, name) = (wanted.id.clone(), wanted.workflow_type.clone());
        let Some(mut taken) = self.step(StepKind::Start, &name).await? else {
            let id = given_or_made_up(id, || self.made_up_id());
            let wanted = Wanted { id, ..wanted };
            return Ok(self.start_run(wanted, None).await);
        };
        if taken.step.outcome.is_none() {
            let id = given_or_made_up(id, || self.seat().name_for(&taken));
            let wanted = Wanted { id, ..wanted };
            taken.succeeds(Bytes::from(wanted.id.clone()));
            let record = Some(self.seat().record(&taken));
            if let Err(error) = self.start_run(wanted, record).await {
                self.failed(&mut taken, &error).await?;
            }
        }
        Ok(taken
            .answer()
            .map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    async fn signal_workflow(
        &mut self,
        ctx: Context,
        workflow_id: String,
        signal_name: String,
        payload: Vec<u8>,
    ) -> Answer<()> {
        let checked = self.may_send().and_then(|()| {
            self.place(&ctx)?;
            super::messaging::checked_type(&signal_name)?;
            self.bounded(payload)
        });
        let payload = match checked {
            Ok(payload) => payload,
            Err(error) => return Ok(Err(error)),
        };
        let signal = (workflow_id.as_str(), signal_name.as_str(), payload);
        let Some(mut taken) = self.step(StepKind::Signal, &workflow_id).await? else {
            return Ok(self.signal_run(signal, None).await);
        };
        if taken.step.outcome.is_none() {
            taken.succeeds(Bytes::new());
            let record = Some(self.seat().record(&taken));
            if let Err(error) = self.signal_run(signal, record).await {
                self.failed(&mut taken, &error).await?;
            }
        }
        Ok(taken.answer().map(drop))
    }

    async fn query_workflow(
        &mut self,
        ctx: Context,
        workflow_id: String,
        query_type: String,
    ) -> Answer<Vec<u8>> {
        let checked = self.may_send().and_then(|()| {
            self.place(&ctx)?;
            super::messaging::checked_type(&query_type)
        });
        if let Err(error) = checked {
            return Ok(Err(error));
        }
        let step = self.step(StepKind::Query, &workflow_id).await?;
        if let Some(taken) = step.as_ref().filter(|it| it.step.outcome.is_some()) {
            return Ok(taken.answer());
        }
        let workflows = self.services.workflows.clone();
        let application = self.actor.application().clone();
        let answered = workflows
            .query(&application, &workflow_id, &query_type)
            .await;
        let answered = answered.map_err(ActorError::from);
        let answered = self.received(answered);
        self.taken(step, answered).await
    }

    async fn await_workflow(
        &mut self,
        ctx: Context,
        workflow_id: String,
        timeout_ms: u64,
    ) -> Answer<Vec<u8>> {
        if let Err(error) = self.place(&ctx) {
            return Ok(Err(error));
        }
        if self
            .seat
            .as_ref()
            .is_some_and(|seat| *seat.run.id == *workflow_id)
        {
            return Ok(Err(invalid("a workflow does not wait for its own end")));
        }
        let step = self.step(StepKind::Await, &workflow_id).await?;
        if let Some(taken) = step.as_ref().filter(|it| it.step.outcome.is_some()) {
            return Ok(taken.answer());
        }
        let timeout = Duration::from_millis(timeout_ms).min(crate::limits::RUN_STEP_MAX);
        let workflows = self.services.workflows.clone();
        let (application, id) = (self.actor.application().clone(), workflow_id.clone());
        let waiting = async move { workflows.result(&application, &id).await };
        let waited = match self.patiently(timeout, waiting).await {
            Ok(Some(result)) => result.map_err(ActorError::from),
            Ok(None) => {
                let id: String = workflow_id.chars().take(64).collect();
                let text = format!("workflow {id:?} has not ended within {timeout_ms} ms");
                Err(actor_error(ErrorCode::Timeout, text))
            }
            // It is the wait that ended, not the run's step.
            Err(error) if step.is_none() => Err(error),
            Err(_) => std::future::pending().await,
        };
        let waited = self.received(waited);
        self.taken(step, waited).await
    }

    async fn schedule_activity(
        &mut self,
        ctx: Context,
        activity_type: String,
        input: Vec<u8>,
        options: ActivityOptions,
    ) -> Answer<Vec<u8>> {
        let activity = self.may_send().and_then(|()| {
            self.place(&ctx)?;
            self.activity(activity_type, input, options)
        });
        let activity = match activity {
            Ok(activity) => activity,
            Err(error) => return Ok(Err(error)),
        };
        match self.step(StepKind::Activity, &activity.name()).await? {
            Some(taken) => Ok(self.carry_out(activity, taken).await?),
            None => Ok(Err(outside())),
        }
    }

    async fn sleep(&mut self, duration_ms: u64) -> wasmtime::Result<()> {
        match &mut self.seat {
            Some(seat) if seat.is_in_hand() => Ok(seat.sleep(duration_ms).await?),
            _ => {
                let duration = Duration::from_millis(duration_ms).min(crate::limits::RUN_STEP_MAX);
                tokio::time::sleep(duration).await;
                Ok(())
            }
        }
    }

    fn get_workflow_context(&mut self) -> Answer<WorkflowContext> {
        Ok(match &self.seat {
            None => Err(outside()),
            Some(seat) => Ok(WorkflowContext {
                workflow_id: seat.run.id.to_string(),
                run_id: seat.run.run_id().to_string(),
                workflow_type: seat.run.workflow_type.to_string(),
                is_replaying: seat.is_replaying(),
            }),
        })
    }
}

impl Guest {
    /// The next step of the run that the guest carries out; `None` for one that carries out none, or is asked something
    /// beside it.
    pub async fn step(&mut self, kind: StepKind, name: &str) -> Result<Option<Taken>, Abort> {
        match &mut self.seat {
            Some(seat) if seat.is_in_hand() => Ok(Some(seat.step(kind, name).await?)),
            _ => Ok(None),
        }
    }

    /// Of one that has just taken a step.
    pub fn seat(&self) -> &Seat {
        self.seat.as_ref().expect("only a run takes steps")
    }

    /// A step that ended so, on disk where there is one.
    pub async fn taken(
        &mut self,
        step: Option<Taken>,
        answered: Result<Bytes, ActorError>,
    ) -> Answer<Vec<u8>> {
        let Some(mut taken) = step else {
            return Ok(answered.map(|payload| payload.to_vec()));
        };
        match answered {
            Ok(payload) => taken.succeeds(payload),
            Err(error) => taken.fails(&error),
        }
        self.seat().put(&taken).await?;
        self.seat().goes_on().await;
        Ok(taken.answer())
    }

    /// What came from another actor, if this one takes so much.
    pub fn received(&self, answered: Result<Bytes, ActorError>) -> Result<Bytes, ActorError> {
        let payload = answered?;
        self.fits(payload.len()).map(|()| payload)
    }

    /// A step that failed for good. What the disk refuses for now is no end of it.
    async fn failed(&mut self, taken: &mut Taken, error: &ActorError) -> Result<(), Abort> {
        taken.value = Bytes::new();
        taken.fails(error);
        self.seat().put(taken).await
    }

    async fn start_run(
        &mut self,
        wanted: Wanted,
        step: Option<RunRecord>,
    ) -> Result<String, ActorError> {
        let (application, id) = (self.actor.application(), wanted.id.clone());
        let started = self.services.workflows.start(application, wanted, step);
        started.await?;
        Ok(id)
    }

    async fn signal_run(
        &mut self,
        (id, name, payload): (&str, &str, Bytes),
        step: Option<RunRecord>,
    ) -> Result<(), ActorError> {
        let (workflows, application) = (&self.services.workflows, self.actor.application());
        let signalled = workflows.signal(application, id, (name, payload), step);
        Ok(signalled.await?)
    }

    /// What is to be run, with an empty id where none is given.
    fn wanted(
        &self,
        ctx: &Context,
        workflow_type: String,
        workflow_id: Option<String>,
        input: Vec<u8>,
        options: WorkflowOptions,
    ) -> Result<Wanted, ActorError> {
        permitted(self.capabilities.spawn_actors, "allow_spawn_actors")?;
        self.place(ctx)?;
        stage::breed(&self.starter, &workflow_type).map_err(|error| invalid(error.to_string()))?;
        let id = workflow_id.or(options.workflow_id);
        if id.as_deref() == Some("") {
            return Err(invalid(
                "a workflow's id is not empty; leave it out to get one",
            ));
        }
        if options.task_queue.as_ref().is_some_and(|it| it.len() > 255) {
            return Err(invalid("a task queue's name has at most 255 bytes"));
        }
        Ok(Wanted {
            id: id.unwrap_or_default(),
            workflow_type,
            input: self.bounded(input)?,
            execution_timeout: options.execution_timeout.map(Duration::from_millis),
            retry: retry(options.retry_policy)?,
            task_queue: options.task_queue,
        })
    }

    /// An id for a run that is given none.
    fn made_up_id(&self) -> String {
        let message = crate::message::MessageId::next();
        format!("w-{:x}-{message}", self.actors.clock().wall_ms())
    }
}

fn given_or_made_up(id: String, make_up: impl FnOnce() -> String) -> String {
    match id.is_empty() {
        true => make_up(),
        false => id,
    }
}

pub fn retry(policy: Option<String>) -> Result<Retry, ActorError> {
    match policy {
        None => Ok(Retry::NONE),
        Some(text) => Retry::parse(&text).map_err(invalid),
    }
}

fn outside() -> ActorError {
    invalid(
        "the caller is not a workflow at work: only a run that was started has activities and a context",
    )
}

pub fn invalid(text: impl Into<String>) -> ActorError {
    actor_error(ErrorCode::InvalidMessage, text)
}

impl From<WorkflowError> for ActorError {
    fn from(error: WorkflowError) -> Self {
        use storage::WorkflowError::{Name, Refused as Not, Storage};
        let text = error.to_string();
        let code = match error {
            WorkflowError::Stored(Name { .. })
            | WorkflowError::Stored(Not(Refused::There { .. } | Refused::Over { .. })) => {
                ErrorCode::InvalidMessage
            }
            WorkflowError::Stored(Not(Refused::Unknown(_) | Refused::Leaving(_))) => {
                ErrorCode::ActorNotFound
            }
            WorkflowError::Stored(Not(_))
            | WorkflowError::SignalsWaiting(_)
            | WorkflowError::Waiters(_) => ErrorCode::ResourceExhausted,
            WorkflowError::Stored(Storage(error)) => storage_code(&error),
            WorkflowError::Busy { .. } => ErrorCode::Timeout,
            WorkflowError::Query(error) => return error.into(),
            WorkflowError::Ended { status, .. } => match status {
                RunStatus::TimedOut => ErrorCode::Timeout,
                RunStatus::Cancelled => ErrorCode::DeliveryFailed,
                _ => ErrorCode::Unknown,
            },
        };
        actor_error(code, text)
    }
}
