//! Workflows as they survive: what is answered of a run, a step or a signal is on disk.
//!
//! A run belongs to an application, and goes with it.

use bytes::Bytes;
use redb::{ReadTransaction, WriteTransaction};

use super::StorageError;
use super::committer::Committer;
use super::deployments;
use super::runs::{
    self, Changed, Found, Head, Listed, Record, Refused, Rows, Status, Taken, Wanted,
};
use super::steady::{self, Steady};
use crate::limits;

/// All runs of all applications.
#[derive(Clone)]
pub struct Workflows {
    /// What runs begin and end with: a flood of guests holds up neither.
    committer: Committer,
    guests: Committer,
    steady: Steady,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    #[error("{what} has 1 to {max} bytes, this one has {bytes}", max = limits::WORKFLOW_NAME_BYTES_MAX)]
    Name { what: &'static str, bytes: usize },
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What becomes of a run that ends.
#[derive(Clone, Debug)]
pub struct Ending {
    pub status: Status,
    pub reason: Option<String>,
    pub result: Bytes,
}

impl Workflows {
    pub(super) fn new(committer: Committer, guests: Committer, steady: Steady) -> Self {
        Self {
            committer,
            guests,
            steady,
        }
    }

    /// The store's time, in milliseconds since 1970: it goes on over restarts, and never goes back.
    pub fn now_ms(&self) -> u64 {
        self.steady.now_ms()
    }

    /// Sleeps until it is so late by the store's time.
    pub async fn sleep_until(&self, at_ms: u64) {
        while self.now_ms() < at_ms {
            tokio::time::sleep_until(self.steady.instant(at_ms)).await;
        }
    }

    /// Writes down a run that begins, together with the step of another by which it does. `then` is called as soon as it
    /// is on disk, whoever has left. An application without a record begins none, unless `is_expected` says otherwise.
    pub async fn start(
        &self,
        application: &str,
        id: &str,
        (head, input): (Head, Bytes),
        step: Option<Record>,
        is_expected: impl FnOnce() -> bool + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), WorkflowError> {
        named("a workflow's id", id)?;
        named("a workflow's type", &head.workflow_type)?;
        let (name, key) = (application.to_owned(), id.to_owned());
        let start = move |transaction: &WriteTransaction, rows: &mut Rows<'_>| {
            if !deployments::is_recorded(transaction, &name)? && !is_expected() {
                return Ok(Err(Refused::Leaving(name)));
            }
            rows.start(&key, head, &input)
        };
        self.beside(application, step, start, move |()| then())
            .await
    }

    /// Writes down a signal, likewise. Answers with how many the run has got then.
    pub async fn signal(
        &self,
        application: &str,
        id: &str,
        (name, payload): (&str, Bytes),
        step: Option<Record>,
        then: impl FnOnce(u64) + Send + 'static,
    ) -> Result<(), WorkflowError> {
        named("a workflow's id", id)?;
        named("a signal's name", name)?;
        let (key, name) = (id.to_owned(), name.to_owned());
        let signal =
            move |_: &WriteTransaction, rows: &mut Rows<'_>| rows.signal(&key, &name, &payload);
        self.beside(application, step, signal, then).await
    }

    /// Writes down a step. `None` where the run has ended or begun anew: then nobody may take it.
    pub async fn record(
        &self,
        application: &str,
        record: Record,
    ) -> Result<Option<()>, WorkflowError> {
        let now_ms = self.now_ms();
        let application = application.to_owned();
        let write = move |transaction: &WriteTransaction| {
            steady::note(transaction, now_ms)?;
            Rows::open(transaction, &application)?.record(&record)
        };
        Ok(self.guests.commit(write).await??)
    }

    /// Begins a run anew that failed.
    pub async fn again(
        &self,
        application: &str,
        id: &str,
        (run_id, next): (&str, &str),
        not_before_ms: u64,
    ) -> Result<(), WorkflowError> {
        let [application, id, run_id, next] = [application, id, run_id, next].map(str::to_owned);
        let again = move |transaction: &WriteTransaction| {
            Rows::open(transaction, &application)?.again(&id, &run_id, &next, not_before_ms)
        };
        Ok(self.committer.commit(again).await??)
    }

    /// Ends a run, unless it has ended before; `then` is told whether.
    pub async fn end(
        &self,
        application: &str,
        id: &str,
        ending: Ending,
        then: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), StorageError> {
        let (now_ms, has_result) = (self.now_ms(), !ending.result.is_empty());
        let (application, id) = (application.to_owned(), id.to_owned());
        let end = move |transaction: &WriteTransaction| {
            let how = (ending.status, ending.reason.clone());
            Rows::open(transaction, &application)?.end(&id, how, &ending.result, now_ms)
        };
        match has_result {
            true => self.committer.commit_then(end, then).await,
            false => self.committer.commit_sparing_then(end, then).await,
        }
    }

    /// A run with its input, once all that its earlier lives wrote is on disk.
    pub async fn begin(&self, application: &str, id: &str) -> Result<Option<Found>, StorageError> {
        // What is asked for now is done after that.
        self.committer.commit(|_| Ok(())).await?;
        self.find(application, id).await
    }

    /// A run with its input; one that has ended with its result.
    pub async fn find(&self, application: &str, id: &str) -> Result<Option<Found>, StorageError> {
        let (application, id) = (application.to_owned(), id.to_owned());
        let look = move |transaction: &ReadTransaction| runs::find(transaction, &application, &id);
        self.committer.read(look).await
    }

    /// The steps of a run from a number on, as many as are in memory at once.
    pub async fn steps(
        &self,
        application: &str,
        id: &str,
        from: u64,
    ) -> Result<Vec<Taken>, StorageError> {
        const PAGE: (usize, usize) = (limits::REPLAY_ENTRIES_MAX, limits::REPLAY_BYTES_MAX);
        let (application, id) = (application.to_owned(), id.to_owned());
        let look = move |transaction: &ReadTransaction| {
            runs::steps(transaction, &application, &id, from, PAGE)
        };
        self.committer.read(look).await
    }

    /// The signal of this number, from 0 on.
    pub async fn signal_at(
        &self,
        application: &str,
        id: &str,
        number: u64,
    ) -> Result<Option<(String, Bytes)>, StorageError> {
        let (application, id) = (application.to_owned(), id.to_owned());
        let look = move |transaction: &ReadTransaction| {
            runs::signal(transaction, &application, &id, number)
        };
        self.committer.read(look).await
    }

    /// The wanted runs by application and id, and how many there are in all.
    pub async fn list(&self, wanted: Wanted) -> Result<(Vec<Listed>, usize), StorageError> {
        let look = move |transaction: &ReadTransaction| runs::list(transaction, &wanted);
        self.committer.read(look).await
    }

    /// How many runs there are of each status.
    pub async fn count(&self) -> Result<[u64; Status::ALL.len()], StorageError> {
        self.committer.read(runs::count).await
    }

    /// The applications that have runs and no record.
    pub async fn orphans(&self) -> Result<Vec<String>, StorageError> {
        let look = |transaction: &ReadTransaction| {
            deployments::unrecorded(transaction, runs::applications(transaction)?)
        };
        self.committer.read(look).await
    }

    /// Forgets the runs of an application.
    pub async fn forget(&self, application: &str) -> Result<(), StorageError> {
        let application = application.to_owned();
        let forget = move |transaction: &WriteTransaction| runs::forget(transaction, &application);
        self.committer.commit_sparing(forget).await
    }

    /// Makes a change together with the step of the run that makes it, or neither. The change is not made again where
    /// that step can be taken no more.
    async fn beside<T: Send + 'static>(
        &self,
        application: &str,
        step: Option<Record>,
        change: impl FnOnce(&WriteTransaction, &mut Rows<'_>) -> Changed<T> + Send + 'static,
        then: impl FnOnce(T) + Send + 'static,
    ) -> Result<(), WorkflowError> {
        let application = application.to_owned();
        let write = move |transaction: &WriteTransaction| {
            let mut rows = Rows::open(transaction, &application)?;
            let changed = match change(transaction, &mut rows)? {
                Ok(changed) => changed,
                Err(refused) => return Ok(Err(refused)),
            };
            if let Some(step) = step
                && let Err(refused) = rows.record(&step)?
            {
                log::warn!("workflow {}: {refused}", step.id);
            }
            Ok(Ok(changed))
        };
        let done = self.guests.commit_then(write, |done| done.map(then));
        Ok(done.await??)
    }
}

/// Checks what becomes part of a row.
pub fn named(what: &'static str, text: &str) -> Result<(), WorkflowError> {
    match text.len() {
        1..=limits::WORKFLOW_NAME_BYTES_MAX => Ok(()),
        bytes => Err(WorkflowError::Name { what, bytes }),
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::retry::Retry;
    use crate::storage::audit;
    use crate::storage::deployments::Deployments;
    use crate::storage::journal::Journals;
    use crate::storage::runs::{Step, StepKind};
    use crate::storage::store::tests::on;

    fn workflows() -> Workflows {
        workflows_at(0)
    }

    fn workflows_at(begun_ms: u64) -> Workflows {
        let committer = Committer::start(on(InMemoryBackend::new).unwrap()).unwrap();
        Workflows::new(committer.clone(), committer, Steady::begin(begun_ms, 0))
    }

    #[tokio::test]
    async fn runs_end_at_the_end_of_time_too() {
        let workflows = workflows_at(u64::MAX);
        for id in ["w1", "w2"] {
            start(&workflows, id, 7).await.unwrap();
            assert!(end(&workflows, id, 7).await);
        }
        assert_eq!(ids(&workflows).await, ["w1", "w2"]);
    }

    async fn start(workflows: &Workflows, id: &str, input: usize) -> Result<(), WorkflowError> {
        let head = Head::new(format!("{id}#1"), "type".into(), 0, Retry::NONE);
        let input = Bytes::from(vec![0; input]);
        workflows
            .start("app", id, (head, input), None, || true, || ())
            .await
    }

    #[tokio::test]
    async fn no_run_begins_without_a_record_and_those_that_are_left_are_found() {
        let workflows = workflows();
        let journals = Journals::new(
            workflows.committer.clone(),
            workflows.committer.clone(),
            vec![],
        );
        let deployments = Deployments::new(workflows.committer.clone(), journals);
        let begin = async |id: &str, expected: bool| {
            let head = Head::new(format!("{id}#1"), "type".into(), 0, Retry::NONE);
            let what = (head, Bytes::new());
            workflows
                .start("app", id, what, None, move || expected, || ())
                .await
        };
        let leaving = |it| matches!(it, Err(WorkflowError::Refused(Refused::Leaving(_))));
        assert!(leaving(begin("w0", false).await));
        begin("w1", true).await.unwrap();
        assert_eq!(workflows.orphans().await.unwrap(), ["app"]);
        deployments.put("app".into(), vec![1]).await.unwrap();
        begin("w2", false).await.unwrap();
        assert_eq!(workflows.orphans().await.unwrap(), [""; 0]);
        deployments.remove("app".into()).await.unwrap();
        assert!(leaving(begin("w3", false).await));
        assert_eq!(ids(&workflows).await, [""; 0]);
    }

    async fn end(workflows: &Workflows, id: &str, result: usize) -> bool {
        ends_as(workflows, id, Status::Completed, result).await
    }

    async fn ends_as(workflows: &Workflows, id: &str, status: Status, result: usize) -> bool {
        let ending = Ending {
            status,
            reason: None,
            result: Bytes::from(vec![0; result]),
        };
        let (answer, told) = std::sync::mpsc::channel();
        let ended = workflows.end("app", id, ending, move |it| answer.send(it).unwrap());
        ended.await.unwrap();
        told.recv().unwrap()
    }

    async fn ids(workflows: &Workflows) -> Vec<String> {
        let listed = workflows.list(Wanted::default()).await.unwrap().0;
        listed.into_iter().map(|(_, id, _)| id).collect()
    }

    #[tokio::test]
    async fn of_those_that_ended_the_oldest_make_room_and_a_run_ends_once() {
        let workflows = workflows();
        const MIB: usize = limits::MIB;
        for number in 10..30 {
            let id = format!("w{number}");
            start(&workflows, &id, 7).await.unwrap();
            assert!(end(&workflows, &id, MIB).await);
            assert!(!end(&workflows, &id, MIB).await);
        }
        let kept = ids(&workflows).await;
        assert_eq!(kept.len(), 15, "what they weigh with their heads: {kept:?}");
        assert_eq!((&*kept[0], &*kept[14]), ("w15", "w29"));
        assert!(matches!(
            start(&workflows, "w29", 0).await,
            Err(WorkflowError::Refused(Refused::There { .. }))
        ));
        start(&workflows, "w10", 0).await.unwrap();
        workflows.forget("app").await.unwrap();
        assert_eq!(ids(&workflows).await, [""; 0]);
        start(&workflows, "w29", 0).await.unwrap();
    }

    #[tokio::test]
    async fn a_few_steps_stay_with_a_run_that_ended_without_a_result_and_go_with_it() {
        let workflows = workflows();
        const FEW: usize = 1_000;
        const MANY: usize = limits::RUN_COURSE_BYTES_MAX as usize;
        let kept = async |id: &str| workflows.steps("app", id, 0).await.unwrap().len();
        for (id, status, bytes, expected) in [
            ("done", Status::Completed, FEW, 0),
            ("stopped", Status::Cancelled, FEW, 1),
            ("broken", Status::Failed, FEW, 1),
            ("large", Status::Cancelled, MANY, 0),
        ] {
            start(&workflows, id, 7).await.unwrap();
            let taken = Taken {
                number: 0,
                step: Step::new(StepKind::Activity, "brew"),
                value: Bytes::from(vec![0; bytes]),
            };
            let record = Record {
                id: id.into(),
                run_id: format!("{id}#1"),
                taken,
            };
            workflows.record("app", record).await.unwrap().unwrap();
            assert!(ends_as(&workflows, id, status, 0).await);
            assert_eq!(kept(id).await, expected, "{id}");
            audit::fits_together(&workflows.committer).await;
        }
        // Others take their place.
        for number in 0..limits::RUNS_ENDED_MAX {
            let id = format!("w{number}");
            start(&workflows, &id, 7).await.unwrap();
            assert!(end(&workflows, &id, 0).await);
        }
        assert_eq!((kept("stopped").await, kept("broken").await), (0, 0));
        audit::fits_together(&workflows.committer).await;
    }

    #[tokio::test]
    async fn what_weighs_too_much_is_refused_and_what_ends_weighs_no_more() {
        let workflows = workflows();
        const MIB: usize = limits::MIB;
        let big = 8 * MIB;
        for number in 0..7 {
            start(&workflows, &format!("w{number}"), big).await.unwrap();
        }
        let refused = start(&workflows, "more", big).await;
        let spent = matches!(refused, Err(WorkflowError::Refused(Refused::Spent(_))));
        assert!(spent, "{refused:?}");
        assert!(end(&workflows, "w3", 0).await);
        start(&workflows, "more", big).await.unwrap();
        let signal = |bytes: usize| ("note", Bytes::from(vec![0; bytes]));
        let signalled = |signal| workflows.signal("app", "more", signal, None, |_| ());
        for _ in 0..3 {
            signalled(signal(MIB)).await.unwrap();
        }
        let refused = signalled(signal(MIB)).await;
        let full = matches!(refused, Err(WorkflowError::Refused(Refused::Signals)));
        assert!(full, "{refused:?}");
        signalled(signal(MIB / 2)).await.unwrap();
    }
}
