//! The one file worker: disk work that would hold up the loop, done in order on a thread of its own.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::thread;

use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait; a sender past that waits its turn, which is the back-pressure of an upload.
const JOBS_MAX: usize = 64;

/// The worker's thread.
const NAME: &str = "files";

type Job = Box<dyn FnOnce() + Send>;

/// A handle on the worker. It ends when the last handle is dropped.
#[derive(Clone)]
pub struct Files {
    jobs: mpsc::Sender<Job>,
}

impl Files {
    pub fn start() -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(JOBS_MAX);
        thread::Builder::new().name(NAME.into()).spawn(move || {
            while let Some(job) = waiting.blocking_recv() {
                // A panicking job drops its answer, so its caller hears of it; the worker goes on.
                let _ = panic::catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Does `job` on the worker and answers with what it returns. A caller that leaves does not stop it.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, answer) = oneshot::channel();
        let job = Box::new(move || drop(done.send(job())));
        self.jobs
            .send(job)
            .await
            .expect("the worker outlives its handles");
        answer.await.expect("a job on the file worker panicked")
    }

    /// The same from a thread that may wait until there is room for the job; it is done before those that come later.
    pub fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, answer) = oneshot::channel();
        self.some_time(Box::new(move || drop(done.send(job()))));
        answer
    }

    /// Removes a file some time soon; for guards, which cannot wait.
    pub fn discard(&self, path: PathBuf) {
        self.some_time(Box::new(move || drop(std::fs::remove_file(path))));
    }

    /// The same for a folder and what is in it.
    pub fn discard_dir(&self, path: PathBuf) {
        self.some_time(Box::new(move || drop(std::fs::remove_dir_all(path))));
    }

    fn some_time(&self, job: Job) {
        if let Err(mpsc::error::TrySendError::Full(job)) = self.jobs.try_send(job) {
            let jobs = self.jobs.clone();
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { jobs.send(job).await })),
                // A guard that was dropped within a job: the worker cannot wait for itself.
                Err(_) if thread::current().name() == Some(NAME) => job(),
                // The committer's thread may wait: the worker never waits for it.
                Err(_) => drop(jobs.blocking_send(job)),
            }
        }
    }
}
