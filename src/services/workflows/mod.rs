//! Workflows: runs of actor types that survive the end of their actors and of the node, by their recorded steps.
//!
//! ```text
//!  start ──► on disk ──► driver ──► actor, given the input and the signals in their order
//!                          ▲  │        │ each step it takes is on disk before it goes on
//!        node, application │  ▼        ▼
//!        starts again, or  parked ◄── ended, sleeping long, waiting long
//!        something is due
//! ```
//!
//! A life of the actor begins from nothing: it is given the same messages again, and the same answers to its steps.

mod driver;
mod run;
mod seat;
mod stage;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::actor::{Actors, Exit, SendError};
use crate::id::ApplicationName;
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::retry::Retry;
use crate::storage::{
    self, Ending, Refused, RunHead, RunRecord, RunStatus, RunsWanted, Storage, StorageError,
};

pub use run::{Mood, Run, Verdict};
pub use seat::{Abort, Seat};
pub use stage::{Hired, Performance, Stage, Starting, Stopping, Unstarted};

/// The type of the message with which a run begins; its answer is the run's result.
pub const BEGINS: &str = "workflow";

/// All workflows of this node; cloning is cheap.
#[derive(Clone)]
pub struct Workflows(Arc<Inner>);

struct Inner {
    actors: Actors,
    storage: Storage,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stages: HashMap<ApplicationName, (u64, Stage)>,
    last_stage: u64,
    /// Those that are being deployed, and have no record yet.
    expected: Vec<ApplicationName>,
    /// Every run that has not ended.
    runs: BTreeMap<(ApplicationName, Arc<str>), Live>,
}

struct Live {
    run: Arc<Run>,
    driver: Option<JoinHandle<()>>,
}

/// Until this is dropped, runs of an application may begin that has no record yet.
pub struct Arrival {
    workflows: Workflows,
    application: ApplicationName,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut state = self.workflows.0.state.lock().unwrap();
        let mut expected = state.expected.iter();
        if let Some(place) = expected.position(|it| *it == self.application) {
            state.expected.swap_remove(place);
        }
    }
}

/// What somebody wants to be run.
pub struct Wanted {
    pub id: String,
    pub workflow_type: String,
    pub input: Bytes,
    pub execution_timeout: Option<Duration>,
    pub retry: Retry,
    pub task_queue: Option<String>,
}

/// A run as a door shows it.
pub struct Shown {
    pub application: String,
    pub id: String,
    pub head: RunHead,
    pub mood: Mood,
    /// Signals that it has yet to take.
    pub waiting: u64,
}

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

impl Workflows {
    pub(super) fn new(actors: Actors, storage: Storage) -> Self {
        let mut state = State::default();
        for (application, id, head) in storage.runs_begun.iter() {
            match ApplicationName::parse(application) {
                Ok(application) => state.admit(Run::new(
                    application,
                    id.as_str().into(),
                    head.workflow_type.as_str().into(),
                    head.signals,
                )),
                Err(error) => log::error!("workflow {id:?} is left alone: {error}"),
            }
        }
        Self(Arc::new(Inner {
            actors,
            storage,
            state: Mutex::new(state),
        }))
    }

    /// From now on the runs of an application are carried out there, until the answer is dropped.
    pub fn begin(&self, application: &ApplicationName, stage: Stage) -> Performance {
        let mut state = self.0.state.lock().unwrap();
        state.last_stage += 1;
        let number = state.last_stage;
        state
            .stages
            .insert(application.clone(), (number, stage.clone()));
        for ((of, _), live) in &mut state.runs {
            if of == application {
                self.drive(live, &stage, &Handle::current());
            }
        }
        Performance {
            workflows: self.clone(),
            application: application.clone(),
            number,
        }
    }

    /// An application is about to be deployed: its actors may begin runs before its record is on disk.
    pub fn expect(&self, application: &ApplicationName) -> Arrival {
        let mut state = self.0.state.lock().unwrap();
        state.expected.push(application.clone());
        Arrival {
            workflows: self.clone(),
            application: application.clone(),
        }
    }

    /// Forgets the runs of applications that are not deployed, and says so.
    pub async fn sweep(&self) -> Result<(), StorageError> {
        for name in self.0.storage.workflows.orphans().await? {
            log::warn!("application {name} is not deployed: its workflows are removed");
            match ApplicationName::parse(&name) {
                Ok(application) => self.forget(&application).await?,
                Err(_) => self.0.storage.workflows.forget(&name).await?,
            }
        }
        Ok(())
    }

    /// Lets the runs of an application come to rest, each at the end of its step if that ends in time: they go on when
    /// it begins again.
    pub async fn pause(&self, application: &ApplicationName, time: Duration) {
        let (stage, drivers) = {
            let mut state = self.0.state.lock().unwrap();
            let Some((_, stage)) = state.stages.remove(application) else {
                return;
            };
            let mut drivers = Vec::new();
            for ((of, _), live) in &mut state.runs {
                if of == application {
                    live.run.pause(true);
                    drivers.extend(live.driver.take().map(|it| (live.run.clone(), it)));
                }
            }
            (stage, drivers)
        };
        let by = Instant::now() + time;
        for (run, mut driver) in drivers {
            if tokio::time::timeout_at(by, &mut driver).await.is_ok() {
                continue;
            }
            driver.abort();
            if let Some(actor) = run.end_life() {
                (stage.stop)(actor).await;
            }
        }
    }

    /// Ends at once what is carried out on this stage, if it still stands.
    fn abandon(&self, application: &ApplicationName, number: u64) {
        let mut state = self.0.state.lock().unwrap();
        let stands = state.stages.get(application);
        if stands.is_none_or(|(current, _)| *current != number) {
            return;
        }
        state.stages.remove(application);
        for ((of, _), live) in &mut state.runs {
            if of == application {
                self.cut_off(live);
            }
        }
    }

    /// Ends the driver of a run and its actor at once.
    fn cut_off(&self, live: &mut Live) {
        if let Some(driver) = live.driver.take() {
            driver.abort();
        }
        if let Some(actor) = live.run.end_life() {
            let at_once = Some(Duration::ZERO);
            self.0.actors.stop(actor.address(), at_once, Exit::Shutdown);
        }
    }

    /// Forgets the runs of an application that is no more; who waits for one is told that it was cancelled.
    pub async fn forget(&self, application: &ApplicationName) -> Result<(), StorageError> {
        self.dismiss_all(application);
        let forgotten = self.0.storage.workflows.forget(application).await;
        // What was on its way to the disk before that is forgotten too.
        self.dismiss_all(application);
        forgotten
    }

    fn dismiss_all(&self, application: &ApplicationName) {
        let mut state = self.0.state.lock().unwrap();
        state.stages.remove(application);
        let is_of = |(of, _): &(ApplicationName, Arc<str>), _: &mut Live| of == application;
        for (_, mut live) in state.runs.extract_if(.., is_of) {
            self.cut_off(&mut live);
            live.run.has_ended(RunStatus::Cancelled);
        }
    }

    /// Begins a run, which is on disk when this returns. With the step of another run, by which it does, it is begun once.
    /// Refused where the application is neither deployed nor being deployed.
    pub async fn start(
        &self,
        application: &ApplicationName,
        wanted: Wanted,
        step: Option<RunRecord>,
    ) -> Result<(), WorkflowError> {
        let workflows = &self.0.storage.workflows;
        let now_ms = workflows.now_ms();
        let run_id = run_id(&wanted.id, now_ms, 1);
        let mut head = RunHead::new(run_id, wanted.workflow_type, now_ms, wanted.retry);
        let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        let timeout = wanted.execution_timeout.map(millis);
        head.deadline_ms = timeout.map(|timeout| now_ms.saturating_add(timeout));
        head.task_queue = wanted.task_queue;
        let run = Run::new(
            application.clone(),
            wanted.id.as_str().into(),
            head.workflow_type.as_str().into(),
            0,
        );
        let (own, runtime) = (self.clone(), Handle::current());
        let begin = move || own.admit(run, &runtime);
        let (own, name, id) = (self.clone(), application.clone(), &wanted.id);
        let is_expected = move || own.0.state.lock().unwrap().expected.contains(&name);
        let what = (head, wanted.input);
        let started = workflows.start(application, id, what, step, is_expected, begin);
        Ok(started.await?)
    }

    /// Sends a run a signal, which is on disk when this returns.
    pub async fn signal(
        &self,
        application: &ApplicationName,
        id: &str,
        signal: (&str, Bytes),
        step: Option<RunRecord>,
    ) -> Result<(), WorkflowError> {
        let run = self.live(application, id);
        if let Some(run) = &run
            && run.signals_waiting() >= limits::RUN_SIGNALS_WAITING_MAX
        {
            return Err(WorkflowError::SignalsWaiting(id.to_owned()));
        }
        let then = move |count: u64| {
            if let Some(run) = run {
                run.has_signals(count);
            }
        };
        let workflows = &self.0.storage.workflows;
        Ok(workflows
            .signal(application, id, signal, step, then)
            .await?)
    }

    /// Asks the actor of a run, which must not change anything.
    pub async fn query(
        &self,
        application: &ApplicationName,
        id: &str,
        query_type: &str,
    ) -> Result<Bytes, WorkflowError> {
        let run = self.at_work(application, id).await?;
        let deadline = Instant::now() + limits::ASK_TIME_DEFAULT;
        let busy = |run: &Run| WorkflowError::Busy {
            id: shown(id),
            doing: run.mood().in_words(),
        };
        loop {
            let Some(actor) = run.present(deadline).await else {
                return Err(busy(&run));
            };
            let actors = &self.0.actors;
            let from = format!("workflow@{}", actors.node());
            let message = actors.message(from.into(), query_type, Bytes::new());
            match actors.ask(actor.address(), message, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(SendError::DeadlineExceeded(_)) => return Err(busy(&run)),
                // It has just made room, or is gone with its application.
                Err(SendError::Stopped(_) | SendError::UnknownActor(_))
                    if Instant::now() < deadline =>
                {
                    tokio::task::yield_now().await;
                }
                Err(error) => return Err(WorkflowError::Query(error)),
            }
        }
    }

    /// Waits for a run to end, and answers with its result.
    pub async fn result(
        &self,
        application: &ApplicationName,
        id: &str,
    ) -> Result<Bytes, WorkflowError> {
        if let Some(run) = self.live(application, id) {
            // One of them is its driver.
            if run.waiters() > limits::RUN_WAITERS_MAX {
                return Err(WorkflowError::Waiters(shown(id)));
            }
            run.ends().await;
        }
        let found = self.0.storage.workflows.find(application, id).await?;
        let (head, result) = found.ok_or_else(|| Refused::Unknown(shown(id)))?;
        match head.status {
            RunStatus::Completed => Ok(result),
            status => {
                let (id, reason) = (shown(id), head.reason);
                Err(WorkflowError::Ended { id, status, reason })
            }
        }
    }

    /// Ends a run where it stands. Nothing of what it did is undone.
    pub async fn cancel(
        &self,
        application: &ApplicationName,
        id: &str,
        reason: Option<String>,
    ) -> Result<(), WorkflowError> {
        let run = self.at_work(application, id).await?;
        let ending = Ending {
            status: RunStatus::Cancelled,
            reason,
            result: Bytes::new(),
        };
        Ok(self.end(&run, ending).await?)
    }

    /// The wanted runs by application and id, and how many there are in all.
    pub async fn list(&self, wanted: RunsWanted) -> Result<(Vec<Shown>, usize), StorageError> {
        let (listed, total) = self.0.storage.workflows.list(wanted).await?;
        let shown = listed.into_iter().map(|(application, id, head)| {
            let live = ApplicationName::parse(&application).ok();
            let live = live.and_then(|application| self.live(&application, &id));
            Shown {
                application,
                id,
                head,
                mood: live.as_ref().map(|run| run.mood()).unwrap_or_default(),
                waiting: live.map_or(0, |run| run.signals_waiting()),
            }
        });
        Ok((shown.collect(), total))
    }

    /// One run, with its result if it has ended.
    pub async fn one(
        &self,
        application: &ApplicationName,
        id: &str,
    ) -> Result<(Shown, Bytes), WorkflowError> {
        let found = self.0.storage.workflows.find(application, id).await?;
        let (head, value) = found.ok_or_else(|| Refused::Unknown(shown(id)))?;
        let live = self.live(application, id);
        let shown = Shown {
            application: application.to_string(),
            id: id.to_owned(),
            mood: live.as_ref().map(|run| run.mood()).unwrap_or_default(),
            waiting: live.map_or(0, |run| run.signals_waiting()),
            head,
        };
        Ok((shown, value))
    }

    async fn end(&self, run: &Arc<Run>, ending: Ending) -> Result<(), StorageError> {
        let (own, ended, status) = (self.clone(), run.clone(), ending.status);
        let then = move |_: bool| own.dismiss(&ended, status);
        let workflows = &self.0.storage.workflows;
        workflows.end(&run.application, &run.id, ending, then).await
    }

    /// A run is on disk: it is carried out as soon as its application stands.
    fn admit(&self, run: Run, runtime: &Handle) {
        let mut state = self.0.state.lock().unwrap();
        let key = (run.application.clone(), run.id.clone());
        state.admit(run);
        let stage = state.stages.get(&key.0).map(|(_, stage)| stage.clone());
        if let (Some(stage), Some(live)) = (stage, state.runs.get_mut(&key)) {
            self.drive(live, &stage, runtime);
        }
    }

    /// A run has ended on disk. Its driver hears of it, and ends its actor.
    fn dismiss(&self, run: &Run, status: RunStatus) {
        let mut state = self.0.state.lock().unwrap();
        let key = (run.application.clone(), run.id.clone());
        if state
            .runs
            .get(&key)
            .is_some_and(|live| std::ptr::eq(&*live.run, run))
        {
            state.runs.remove(&key);
        }
        run.has_ended(status);
    }

    fn drive(&self, live: &mut Live, stage: &Stage, runtime: &Handle) {
        live.run.pause(false);
        let driving = driver::Driver {
            workflows: self.clone(),
            run: live.run.clone(),
            stage: stage.clone(),
        };
        live.driver = Some(runtime.spawn(driving.drive()));
    }

    /// A run that has not ended; the error says whether it has, or never was.
    async fn at_work(
        &self,
        application: &ApplicationName,
        id: &str,
    ) -> Result<Arc<Run>, WorkflowError> {
        if let Some(run) = self.live(application, id) {
            return Ok(run);
        }
        let found = self.0.storage.workflows.find(application, id).await?;
        Err(match found {
            None => Refused::Unknown(shown(id)).into(),
            Some((head, _)) => {
                let (id, status) = (shown(id), head.status);
                Refused::Over { id, status }.into()
            }
        })
    }

    fn live(&self, application: &ApplicationName, id: &str) -> Option<Arc<Run>> {
        let state = self.0.state.lock().unwrap();
        let key = (application.clone(), id.into());
        Some(state.runs.get(&key)?.run.clone())
    }

    /// What starts actors where this application's runs are carried out.
    pub(super) fn stage(&self, application: &ApplicationName) -> Option<Stage> {
        let state = self.0.state.lock().unwrap();
        let (_, stage) = state.stages.get(application)?;
        Some(stage.clone())
    }
}

impl State {
    fn admit(&mut self, run: Run) {
        let key = (run.application.clone(), run.id.clone());
        let run = Arc::new(run);
        self.runs.insert(key, Live { run, driver: None });
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

/// The name of an attempt of a workflow.
fn run_id(id: &str, started_ms: u64, attempt: u32) -> String {
    format!("{id}#{started_ms}.{attempt}")
}

/// An id as an error may show it.
fn shown(id: &str) -> String {
    id.chars().take(64).collect()
}
