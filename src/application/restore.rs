//! After a restart of the node: what was deployed is there again, and what was wanted running is started.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use log::Level;

use super::Applications;
use super::dependencies::in_order;
use super::record::{Desired, Record};
use super::table::{Deployed, Failed, Slot, State, Ticket, Undone};
use crate::id::{ApplicationName, Digest, Version};
use crate::limits;
use crate::storage::StorageError;

impl Applications {
    /// Starts everything in the order in which it was deployed, but that whose code is lost last and the smaller modules of
    /// it first, and waits for that no longer than
    /// `limits::RESTORE_PATIENCE`: the rest is started while the node serves. One that is slow, fails or cannot be read
    /// stops nobody else.
    pub async fn restore(&self) {
        let (records, mut attempts) = match self.recorded().await {
            Ok(recorded) => recorded,
            Err(error) => {
                log::error!("nothing can be restored: {error}");
                let trouble = format!("nothing was restored: {error}");
                return self.troubles.lock().unwrap().push(trouble);
            }
        };
        if let Err(error) = self.restore_modules().await {
            let trouble = format!("modules are not restored: {error}");
            self.troubles.lock().unwrap().push(trouble);
        }
        self.sweep().await;
        for record in records {
            let (record, undone) = self.unless_hopeless(record, &mut attempts).await;
            self.admit(record, undone, &attempts);
        }
        // Before anybody can deploy: a module that is being deployed has no record yet.
        self.collect_unused().await;
        let applications = self.clone();
        let starting = tokio::spawn(async move { applications.start_wanted(attempts).await });
        let _ = tokio::time::timeout(limits::RESTORE_PATIENCE, starting).await;
    }

    /// What deploys and undeploys left behind that the node did not outlive.
    async fn sweep(&self) {
        if let Err(error) = self.wasm.services().workflows.sweep().await {
            log::warn!("workflows of applications that are not deployed stay: {error}");
        }
        if let Err(error) = self.sweep_journals().await {
            log::warn!("journals of applications that are not deployed stay: {error}");
        }
    }

    async fn sweep_journals(&self) -> Result<(), StorageError> {
        let journals = &self.storage.journals;
        for name in journals.orphans().await? {
            log::warn!("application {name} is not deployed: its journals are removed");
            journals.forget(&name).await?;
        }
        Ok(())
    }

    async fn start_wanted(&self, attempts: HashMap<String, u32>) {
        let (records, mut tickets) = self.wanted();
        for record in in_order(self.with_bytes_to_compile(records).await) {
            if let Some(ticket) = tickets.remove(&record.spec.name) {
                self.start_in_turn(record, ticket, &attempts).await;
            }
        }
    }

    /// How large the module of each is that must be compiled anew: nobody is to wait for the compiler behind a larger one.
    async fn with_bytes_to_compile(&self, records: Vec<Record>) -> Vec<(Record, u64)> {
        let mut weighed = Vec::new();
        for record in records {
            let compiled = (self.wasm).is_compiled(record.digest, &record.spec.limits);
            let bytes = if compiled.await { 0 } else { record.bytes };
            weighed.push((record, bytes));
        }
        weighed
    }

    /// The records that can be read, and how many starts of each the node did not outlive.
    async fn recorded(&self) -> Result<(Vec<Record>, HashMap<String, u32>), StorageError> {
        let deployments = &self.storage.deployments;
        let unfinished = self.storage.unfinished_starts.clone();
        for name in &unfinished {
            log::warn!("the node ended while application {name} was starting");
        }
        let attempts = match unfinished.is_empty() {
            true => deployments.attempts().await?,
            false => deployments.count_attempts(unfinished).await?,
        };
        let mut records = Vec::new();
        for (name, bytes) in deployments.all().await? {
            match Record::decode(&bytes) {
                Ok(record) => records.push(record),
                Err(error) => {
                    let trouble = format!(
                        "the record of application {name} cannot be read ({error}); deploy it again"
                    );
                    log::error!("{trouble}");
                    self.troubles.lock().unwrap().push(trouble);
                }
            }
        }
        Ok((records, attempts.into_iter().collect()))
    }

    /// A version on probation that the node does not outlive is replaced by the one before.
    async fn unless_hopeless(
        &self,
        record: Record,
        attempts: &mut HashMap<String, u32>,
    ) -> (Record, Option<Undone>) {
        let tried = attempts.get(&*record.spec.name).copied().unwrap_or(0);
        let on_trial = record.on_probation && record.previous.is_some();
        if !on_trial || tried < limits::START_ATTEMPTS_MAX {
            return (record, None);
        }
        let reason = format!("the node ended {tried} times while it was starting");
        attempts.remove(&*record.spec.name);
        let key = record.spec.name.to_string();
        if let Err(error) = self.storage.deployments.forget_attempts(key).await {
            log::warn!("{error}");
        }
        let back = self.taken_back(&record, &reason).await;
        (back.record, Some(back.undone))
    }

    /// Puts a record into the table, and decides what becomes of it.
    fn admit(&self, record: Record, undone: Option<Undone>, attempts: &HashMap<String, u32>) {
        let name = record.spec.name.clone();
        let tried = attempts.get(&*name).copied().unwrap_or(0);
        let state = match record.desired {
            Desired::Stopped => State::Stopped,
            Desired::Running if tried >= limits::START_ATTEMPTS_MAX => {
                let reason = format!(
                    "it is held back: the node ended {tried} times while it was starting; \
                     POST /api/v1/applications/{name}:start tries once more"
                );
                self.says(&name, Level::Error, &reason);
                State::Failed(Failed {
                    reason,
                    tree: None,
                    retry: None,
                })
            }
            Desired::Running => State::Starting(Ticket::default()),
        };
        let deployed = Deployed {
            record,
            state,
            backoff: Default::default(),
            changing: None,
            undone,
        };
        let slot = Slot::Deployed(Box::new(deployed));
        self.table.lock().insert(name, slot);
    }

    fn version_of(&self, name: &ApplicationName) -> Option<Version> {
        let slots = self.table.lock();
        let deployed = slots.get(name)?.deployed()?;
        Some(deployed.record.spec.version.clone())
    }

    fn wanted(&self) -> (Vec<Record>, HashMap<ApplicationName, Ticket>) {
        let slots = self.table.lock();
        let deployed = slots.values().filter_map(Slot::deployed);
        let wanted = deployed.filter_map(|it| match &it.state {
            State::Starting(ticket) => {
                let name = it.record.spec.name.clone();
                Some((it.record.clone(), (name, ticket.clone())))
            }
            _ => None,
        });
        wanted.unzip()
    }

    /// Waits for the start to end, but not for one that takes its time: that goes on by itself.
    async fn start_in_turn(&self, record: Record, ticket: Ticket, attempts: &HashMap<String, u32>) {
        let (applications, tried) = (self.clone(), attempts.get(&*record.spec.name).copied());
        let start = tokio::spawn(async move {
            let (application, name) = (&record.spec.name, record.spec.name.to_string());
            let (starts, deployments) = (
                &applications.storage.starts,
                &applications.storage.deployments,
            );
            starts.begin(&name).await;
            if let Some(tried) = tried {
                let text = format!("started for the {}. time", tried + 1);
                applications.says(application, Level::Warn, &text);
            }
            let started = applications.start_deployed(&record, &ticket).await;
            starts.end(&name).await;
            if started.is_ok() {
                // Perhaps the one before, which took its place.
                let version = applications.version_of(application);
                let version = version.unwrap_or_else(|| record.spec.version.clone());
                let text = format!("version {version} is running");
                applications.says(application, Level::Info, &text);
                if tried.is_some()
                    && let Err(error) = deployments.forget_attempts(name).await
                {
                    log::warn!("{error}");
                }
            }
        });
        const TURN: Duration = limits::RESTORE_TURN;
        let _ = tokio::time::timeout(TURN, start).await;
    }

    /// Modules that no record refers to: what a crash left between keeping a module and recording it. Not while
    /// something is amiss with the records: then a module may be all that is left of an application.
    async fn collect_unused(&self) {
        if !self.troubles().is_empty() {
            return;
        }
        let mut used: HashSet<Digest> = {
            let slots = self.table.lock();
            slots.values().flat_map(Slot::digests).collect()
        };
        used.extend(self.modules.digests());
        self.storage.artifacts.collect(used).await;
    }
}
