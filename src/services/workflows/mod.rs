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

mod applications;
mod calls;
mod driver;
mod error;
mod run;
mod seat;
mod stage;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::actor::Actors;
use crate::id::ApplicationName;
use crate::storage::{Ending, RunStatus, Storage, StorageError};

pub use applications::Arrival;
pub use calls::{Shown, Wanted};
pub use error::WorkflowError;
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

/// The name of an attempt of a workflow.
fn run_id(id: &str, started_ms: u64, attempt: u32) -> String {
    format!("{id}#{started_ms}.{attempt}")
}
