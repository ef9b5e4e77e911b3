//! Actors that clients spawn one by one: each is an application of its own, with one worker and the type that its
//! module's name gives it.
//!
//! So it survives a restart, is started again after a fault, and is listed, like everything else that runs here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Applications;
use super::deploy::Course;
use super::spec::{Config, Spec};
use super::table::Slot;
use crate::id::{ApplicationName, NodeId};
use crate::limits;
use crate::refusal::{Kind, Refusal};

/// What a client wants an actor to be.
pub struct Spawn {
    /// Its id, with or without `@NODE`. An empty one is made up.
    pub id: String,
    pub initial_state: Bytes,
    /// Limits and capabilities, where they are not the defaults.
    pub config: Option<Config>,
}

impl Applications {
    /// Starts an actor of a module that is known here, and answers with its address. The same again changes nothing.
    pub async fn spawn(&self, module: &str, spawn: Spawn) -> Result<Arc<str>, Refusal> {
        let _turn = self.turns.take()?;
        let module = self.module(module)?;
        let _held = self.modules.hold(module.digest);
        let name = match &*spawn.id {
            "" => self.made_up(&module.name),
            id => name_of(id, self.actors.node())?,
        };
        let mut spec = Spec::of_form(&name, &name, &module.version)?;
        if let Some(config) = spawn.config {
            spec = self.configured(spec, config).await?;
        }
        spec.description = format!("actor of module {}", module.name);
        spec.initial_state = spawn.initial_state;
        spec.spawned_of = Some(module.name.clone());
        let artifacts = &self.storage.artifacts;
        let artifact = artifacts.again(module.digest, module.bytes).await?;
        let address = self.worker_id(&spec).address().clone();
        self.deploy_as(Course::Refuse, spec, artifact).await?;
        Ok(address)
    }

    /// Ends an actor by its address: one that was spawned is gone for good, one of an application stays away until that
    /// is started again.
    pub async fn delete_actor(
        &self,
        address: &str,
        grace: Option<Duration>,
    ) -> Result<(), Refusal> {
        match self.spawned_at(address) {
            Some(name) => {
                let grace = grace.unwrap_or(limits::SHUTDOWN_GRACE);
                self.undeploy(&name, grace).await.map(drop)
            }
            None => self.stop_actor(address, grace).await,
        }
    }

    /// The application that is the actor at this address, whether or not it runs.
    fn spawned_at(&self, address: &str) -> Option<ApplicationName> {
        let slots = self.table.lock();
        let specs = slots.values().filter_map(Slot::deployed);
        let mut spawned = specs
            .map(|deployed| &deployed.record.spec)
            .filter(|spec| spec.spawned_of.is_some());
        let found = spawned.find(|spec| {
            let own = self.worker_id(spec);
            &**own.address() == address || &*spec.name == address
        })?;
        Some(found.name.clone())
    }

    /// A name that no application has, after the module's.
    fn made_up(&self, module: &str) -> String {
        let slots = self.table.lock();
        let taken = |name: &String| slots.keys().any(|other| **other == **name);
        let stem = &module[..module.len().min(100)];
        let mut names = (1u64..).map(|number| format!("{stem}-{number}"));
        names
            .find(|name| !taken(name))
            .expect("there are more numbers than applications")
    }
}

/// An actor's id as its application's name.
fn name_of(id: &str, node: &NodeId) -> Result<String, Refusal> {
    let malformed = |text: String| Refusal::new(Kind::Malformed, text);
    let shown: String = id.chars().take(255).collect();
    match id.split_once('@') {
        Some((_, at)) if at != &**node => Err(malformed(format!(
            "actor {shown:?} would live on another node; this is {node}, and it spawns its own only"
        ))),
        _ if id.contains('/') => Err(malformed(format!(
            "actor {shown:?} would be a child of an application; those are named in its config"
        ))),
        Some((name, _)) => Ok(name.to_owned()),
        None => Ok(id.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_named_for_this_node() {
        let check = |id: &str, expected: Result<&str, &str>| {
            let node = NodeId::parse("edge-7").unwrap();
            match (name_of(id, &node), expected) {
                (Ok(name), Ok(expected)) => assert_eq!(name, expected),
                (Err(refusal), Err(word)) => assert!(refusal.message.contains(word), "{refusal}"),
                (got, _) => panic!("{id}: {got:?}"),
            }
        };
        check("worker-1", Ok("worker-1"));
        check("worker-1@edge-7", Ok("worker-1"));
        check("worker-1@edge-8", Err("another node"));
        check("orders/worker-1", Err("child"));
        check("orders/worker-1@edge-7", Err("child"));
    }
}
