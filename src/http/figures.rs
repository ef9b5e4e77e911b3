//! The figures behind the dashboard, as JSON for whoever wants them.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Response;

use super::paging::Paging;
use super::reply::{self, Body};
use super::{Door, api, health};
use crate::clock::rfc3339;
use crate::machine;
use crate::refusal::Refusal;

/// GET /api/v1/dashboard/summary
pub fn summary(door: &Door) -> Response<Body> {
    let applications = door.applications.list();
    let tenants: BTreeSet<String> = applications
        .iter()
        .map(|overview| overview.spec.tenant.to_string())
        .collect();
    let mut actors_by_type = BTreeMap::new();
    for actor in applications.iter().flat_map(|overview| &overview.actors) {
        *actors_by_type.entry(actor.actor_type.clone()).or_default() += 1;
    }
    reply::json(&api::Summary {
        total_clusters: 0,
        total_nodes: 1,
        total_tenants: tenants.len(),
        total_applications: applications.len(),
        actors_by_type,
        since: rfc3339(door.started_at),
        until: rfc3339(door.actors.clock().wall()),
        node_id: door.actors.node().to_string(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// GET /api/v1/dashboard/nodes
pub fn nodes(door: &Door, query: Option<&str>) -> Response<Body> {
    paged(query, |paging| {
        let (nodes, page) = paging.cut(vec![node(door)]);
        reply::json(&api::Nodes { nodes, page })
    })
}

/// GET /api/v1/dashboard/applications
pub fn applications(door: &Door, query: Option<&str>) -> Response<Body> {
    paged(query, |paging| {
        let (overviews, page) = paging.cut(door.applications.list());
        let applications = overviews.iter().map(api::Application::from).collect();
        reply::json(&api::PagedApplications { applications, page })
    })
}

/// GET /api/v1/dashboard/actors
pub fn actors(door: &Door, query: Option<&str>) -> Response<Body> {
    paged(query, |paging| {
        let overviews = door.applications.list();
        let all = overviews.iter().flat_map(|overview| {
            let application = &overview.spec.name;
            overview.actors.iter().map(|actor| api::ListedActor {
                application: application.to_string(),
                namespace: overview.spec.namespace.to_string(),
                actor: actor.into(),
            })
        });
        let (actors, page) = paging.cut(all.collect());
        reply::json(&api::Actors { actors, page })
    })
}

/// GET /api/v1/dashboard/system-info
pub async fn system_info(door: &Door) -> Response<Body> {
    let data_dir_free_bytes = door.applications.disk_free().await;
    reply::json(&api::SystemInfo {
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        cpu_count: machine::processors(),
        memory_total_bytes: machine::memory_bytes(),
        memory_available_bytes: machine::memory_available_bytes(),
        resident_bytes: machine::resident_bytes(),
        uptime_seconds: door.uptime().as_secs(),
        data_dir_free_bytes,
        engine: door.applications.pools().iter().map(Into::into).collect(),
    })
}

fn node(door: &Door) -> api::Node {
    let (status, degraded) = health::standing(door);
    api::Node {
        node_id: door.actors.node().to_string(),
        status,
        degraded,
        version: env!("CARGO_PKG_VERSION"),
        started_at: rfc3339(door.started_at),
        uptime_seconds: door.uptime().as_secs(),
        application_count: door.applications.list().len(),
        actor_count: door.actors.census().actors,
    }
}

fn paged(query: Option<&str>, answer: impl FnOnce(Paging) -> Response<Body>) -> Response<Body> {
    Paging::of(query).map_or_else(|refusal: Refusal| reply::refuse(&refusal), answer)
}
