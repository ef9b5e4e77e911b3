//! The runs of an application as it comes, rests, goes on and leaves.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{Live, Performance, Stage, Workflows};
use crate::actor::Exit;
use crate::id::ApplicationName;
use crate::storage::{RunStatus, StorageError};

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

impl Workflows {
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
    pub(super) fn abandon(&self, application: &ApplicationName, number: u64) {
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
}
