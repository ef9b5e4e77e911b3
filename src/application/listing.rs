//! The node's own entries in the registry: itself, its applications, and their actors.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Applications;
use super::overview::{ActorOverview, Status};
use super::table::{Deployed, Slot, State};
use crate::actor::NodeState;
use crate::coordination::registry::{Health, ObjectType, Offer, Registration};
use crate::place::Place;
use crate::wasm;

impl Applications {
    /// What is to be listed of a place, as it is at each call; `address` is the node's for gRPC. It holds nothing but the
    /// table, which is empty once the applications are closed.
    pub fn listing(
        &self,
        address: String,
    ) -> impl Fn(&Place) -> Vec<Registration> + Send + Sync + 'static {
        let (table, node) = (self.table.clone(), self.actors.node().to_string());
        let started_ms = millis(self.actors.clock().wall());
        move |place| {
            let mut entries = vec![Registration {
                health: Health::Healthy,
                ..entry(ObjectType::Node, node.clone(), "edge", started_ms)
            }];
            let slots = table.lock();
            let deployed = slots.values().filter_map(Slot::deployed);
            for deployed in deployed.filter(|it| is_in(it, place)) {
                entries.push(application(deployed));
                entries.extend(actors(deployed));
            }
            drop(slots);
            for entry in &mut entries {
                entry.offer.address.clone_from(&address);
            }
            entries
        }
    }
}

fn is_in(deployed: &Deployed, place: &Place) -> bool {
    let spec = &deployed.record.spec;
    spec.tenant == place.tenant && spec.namespace == place.namespace
}

fn application(deployed: &Deployed) -> Registration {
    let record = &deployed.record;
    let (name, since_ms) = (record.spec.name.to_string(), millis(record.deployed_at));
    let category = match record.kind {
        wasm::Kind::Component => "component",
        wasm::Kind::Core => "core",
        wasm::Kind::Command => "command",
    };
    let mut entry = entry(ObjectType::Application, name, category, since_ms);
    let version = record.spec.version.to_string();
    entry.offer.labels = vec![("version".into(), version)];
    entry.health = match deployed.status() {
        Status::Starting => Health::Starting,
        Status::Running => Health::Healthy,
        Status::Stopping | Status::Stopped => Health::Stopping,
        Status::Failed => Health::Unhealthy,
        Status::Unspecified => Health::Unknown,
    };
    entry
}

fn actors(deployed: &Deployed) -> Vec<Registration> {
    let State::Running(running) = &deployed.state else {
        return Vec::new();
    };
    let Some(tree) = running.active.tree.as_ref().map(|tree| tree.view()) else {
        return Vec::new();
    };
    let since_ms = millis(deployed.record.deployed_at);
    let workers = ActorOverview::all(&tree).into_iter();
    let listed = workers.map(|actor| {
        let mut entry = entry(ObjectType::Actor, actor.id, &actor.actor_type, since_ms);
        let name = deployed.record.spec.name.to_string();
        entry.offer.labels = vec![("application".into(), name)];
        entry.offer.labels.extend(actor.labels);
        entry.health = health(actor.state);
        entry
    });
    listed.collect()
}

fn health(state: NodeState) -> Health {
    match state {
        NodeState::Starting => Health::Starting,
        NodeState::Running => Health::Healthy,
        NodeState::Restarting => Health::Degraded,
        NodeState::Stopping | NodeState::Stopped => Health::Stopping,
        NodeState::Failed => Health::Unhealthy,
    }
}

fn entry(object_type: ObjectType, id: String, category: &str, since_ms: u64) -> Registration {
    Registration {
        object_type,
        id,
        offer: Offer {
            category: category.to_owned(),
            ..Offer::default()
        },
        health: Health::Unknown,
        created_ms: since_ms,
        updated_ms: since_ms,
        heartbeat_ms: None,
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
