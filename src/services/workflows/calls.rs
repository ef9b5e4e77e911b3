//! What is asked of workflows, by actors and at the doors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{Mood, Run, WorkflowError, Workflows, run_id};
use crate::actor::SendError;
use crate::id::ApplicationName;
use crate::limits;
use crate::retry::Retry;
use crate::storage::{Ending, Refused, RunHead, RunRecord, RunStatus, RunsWanted, StorageError};

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

impl Workflows {
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
        if self
            .live(application, id)
            .is_some_and(|run| run.signals_waiting() >= limits::RUN_SIGNALS_WAITING_MAX)
        {
            return Err(WorkflowError::SignalsWaiting(id.to_owned()));
        }
        // Looked up once it is on disk: the run may have been begun just before it.
        let (own, of, to) = (self.clone(), application.clone(), id.to_owned());
        let then = move |count: u64| {
            if let Some(run) = own.live(&of, &to) {
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
        let (head, result) = match self.sought(application, id).await? {
            Sought::Live(run) => {
                // One of them is its driver.
                if run.waiters() > limits::RUN_WAITERS_MAX {
                    return Err(WorkflowError::Waiters(shown(id)));
                }
                run.ends().await;
                self.on_disk(application, id).await?
            }
            Sought::Ended(head, result) => (*head, result),
        };
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
        let (head, value) = self.on_disk(application, id).await?;
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

    /// A run that has not ended; the error says whether it has, or never was.
    async fn at_work(
        &self,
        application: &ApplicationName,
        id: &str,
    ) -> Result<Arc<Run>, WorkflowError> {
        match self.sought(application, id).await? {
            Sought::Live(run) => Ok(run),
            Sought::Ended(head, _) => {
                let (id, status) = (shown(id), head.status);
                Err(Refused::Over { id, status }.into())
            }
        }
    }

    async fn sought(
        &self,
        application: &ApplicationName,
        id: &str,
    ) -> Result<Sought, WorkflowError> {
        if let Some(run) = self.live(application, id) {
            return Ok(Sought::Live(run));
        }
        let (mut head, mut result) = self.on_disk(application, id).await?;
        if head.status == RunStatus::Running {
            // It was begun while it was looked for, and may even have ended since.
            if let Some(run) = self.live(application, id) {
                return Ok(Sought::Live(run));
            }
            (head, result) = self.on_disk(application, id).await?;
        }
        Ok(Sought::Ended(head.into(), result))
    }

    async fn on_disk(
        &self,
        application: &ApplicationName,
        id: &str,
    ) -> Result<(RunHead, Bytes), WorkflowError> {
        let found = self.0.storage.workflows.find(application, id).await?;
        Ok(found.ok_or_else(|| Refused::Unknown(shown(id)))?)
    }
}

/// What there is of a run.
enum Sought {
    Live(Arc<Run>),
    Ended(Box<RunHead>, Bytes),
}

/// An id as an error may show it.
fn shown(id: &str) -> String {
    id.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::actor::Actors;
    use crate::clock::Clock;
    use crate::id::NodeId;
    use crate::metrics::Metrics;
    use crate::storage::Storage;

    /// What is called while a run is on its way to the disk finds it once it is there.
    #[tokio::test]
    async fn a_run_that_is_just_being_started_is_found() {
        let dir = TempDir::new().unwrap();
        let storage = Storage::open(dir.path()).unwrap();
        let actors = Actors::new(
            NodeId::parse("test-node").unwrap(),
            Clock::system(),
            Metrics::new(),
            storage.logs.clone(),
        );
        let workflows = Workflows::new(actors, storage);
        let application = ApplicationName::parse("app").unwrap();
        let _arrival = workflows.expect(&application);
        let start = |id: &str| {
            let wanted = Wanted {
                id: id.into(),
                workflow_type: "type".into(),
                input: Bytes::new(),
                execution_timeout: None,
                retry: Retry::NONE,
                task_queue: None,
            };
            workflows.start(&application, wanted, None)
        };
        for round in 0..50 {
            let id = format!("w{round}");
            let signal = workflows.signal(&application, &id, ("go", Bytes::new()), None);
            let (started, signalled) = tokio::join!(start(&id), signal);
            started.unwrap();
            signalled.unwrap();
            let run = workflows.live(&application, &id).unwrap();
            assert_eq!(run.signals_waiting(), 1, "the signal is lost on it");

            let id = format!("c{round}");
            // Asked again and again, it comes upon each moment of the start.
            let cancel = async {
                loop {
                    match workflows.cancel(&application, &id, None).await {
                        Err(WorkflowError::Stored(crate::storage::WorkflowError::Refused(
                            Refused::Unknown(_),
                        ))) => tokio::task::yield_now().await,
                        done => return done,
                    }
                }
            };
            let (started, cancelled) = tokio::join!(start(&id), cancel);
            started.unwrap();
            cancelled.unwrap();
        }
    }
}
