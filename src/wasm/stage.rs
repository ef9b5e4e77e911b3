//! What starts the actors of an application's workflows: those that carry out runs, and those that do activities.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Kind;
use super::starter::{Birth, Breed, Starter};
use crate::actor::{Kin, Restart, Spawn, SpawnError};
use crate::id::{ActorId, ChildId};
use crate::services::workflows::{Run, Stage, Unstarted};

/// What an application's runs are carried out by, within its tree. `starter` is any of the application's.
pub fn stage(kin: Kin<Starter>, starter: Starter) -> Stage {
    let clock = starter.program.services.actors.clock().clone();
    let (for_runs, for_activities, for_ends) = (
        (kin.clone(), starter.clone()),
        (kin.clone(), starter),
        (kin, clock),
    );
    Stage {
        run: Arc::new(move |run| {
            let (kin, starter) = for_runs.clone();
            Box::pin(async move {
                let name = run.workflow_type.clone();
                start(&kin, &starter, &name, Some(run)).await
            })
        }),
        activity: Arc::new(move |name| {
            let ((kin, starter), name) = (for_activities.clone(), name.to_owned());
            Box::pin(async move { start(&kin, &starter, &name, None).await })
        }),
        stop: Arc::new(move |actor| {
            let (kin, clock) = for_ends.clone();
            Box::pin(async move { kin.stop(actor.address().clone(), clock.now()).await })
        }),
    }
}

async fn start(
    kin: &Kin<Starter>,
    starter: &Starter,
    name: &str,
    run: Option<Arc<Run>>,
) -> Result<ActorId, Unstarted> {
    let breed = breed(starter, name)?;
    let Some(_room) = breed.program.room.for_one_more() else {
        let text = "what is left of this node's room is kept for deploys and restarts";
        return Err(Unstarted::NoRoom(text.into()));
    };
    Ok(kin.spawn(spawn(starter, breed, run)).await?)
}

/// What is started by this name, if it can carry out a run or do an activity.
pub(super) fn breed(starter: &Starter, name: &str) -> Result<Breed, Unstarted> {
    let shown: String = name.chars().take(64).collect();
    let breed = starter.setting.breed(name).ok_or_else(|| {
        Unstarted::Unknown(format!(
            "no type {shown:?}: name a worker of this application's tree, a library among its dependencies, or the \
             application itself"
        ))
    })?;
    if breed.program.kind() == Kind::Command {
        return Err(Unstarted::Unknown(format!(
            "type {shown:?} is a command, which is started for each message: it cannot carry out a workflow"
        )));
    }
    Ok(breed)
}

/// The actor of a run has a type of its own, so that what is sent to those of its module does not come to it.
fn spawn(starter: &Starter, breed: Breed, run: Option<Arc<Run>>) -> Spawn<Starter> {
    let labels = run
        .iter()
        .map(|run| ("workflow-id".to_owned(), run.id.to_string()));
    let labels: BTreeMap<String, String> = labels.collect();
    let stem = match &run {
        Some(_) => breed.stem.of_runs(),
        None => breed.stem,
    };
    let actor_type = match &run {
        Some(_) => Some(stem.clone()),
        None => breed.actor_type.or_else(|| Some(stem.clone())),
    };
    Spawn {
        seed: Starter {
            program: breed.program,
            birth: Birth::New(breed.birth),
            // Whoever had a made-up name before was somebody else.
            afresh: Arc::new(AtomicBool::new(true)),
            run,
            setting: starter.setting.clone(),
        },
        id: None,
        stem,
        actor_type,
        parent: None,
        supervisor: None,
        restart: Restart::Temporary,
        // What they have in hand is on disk, and goes on in another life: nobody waits for them.
        shutdown_timeout: Some(Duration::ZERO),
        bounds: starter.setting.bounds,
        labels,
    }
}

impl From<SpawnError> for Unstarted {
    fn from(error: SpawnError) -> Self {
        let text = error.to_string();
        match error {
            SpawnError::NotStarted(_) => Self::Broken(text),
            SpawnError::Taken(_)
            | SpawnError::UnknownSupervisor(_)
            | SpawnError::NoRoom(_)
            | SpawnError::Busy => Self::NoRoom(text),
        }
    }
}

impl ChildId {
    /// What the actors of a type's runs are called by.
    fn of_runs(&self) -> Self {
        let stem: String = self.chars().take(100).collect();
        Self::parse(&format!("{stem}.run")).expect("it begins with an id, and is as short")
    }
}
