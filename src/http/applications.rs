//! List, look at, start, stop and undeploy applications.

use hyper::Response;

use super::paging::Paging;
use super::reply::{self, Body};
use super::{Door, api};
use crate::application::Overview;
use crate::audit::Entry;
use crate::limits;
use crate::refusal::Refusal;

/// GET /api/v1/applications
pub fn list(door: &Door, query: Option<&str>) -> Response<Body> {
    let paging = match Paging::asked(query) {
        Ok(paging) => paging,
        Err(refusal) => return reply::refuse(&refusal),
    };
    let all = door.applications.list();
    let (overviews, page) = match paging {
        None => (all, None),
        Some(paging) => {
            let (some, page) = paging.cut(all);
            (some, Some(page))
        }
    };
    let applications = overviews.iter().map(api::Application::from).collect();
    reply::json(&api::Applications { applications, page })
}

/// GET /api/v1/applications/{name}
pub fn one(door: &Door, name: &str, query: Option<&str>) -> Response<Body> {
    let paged = Paging::of(query).and_then(|paging| Ok((door.applications.get(name)?, paging)));
    match paged {
        Ok((overview, paging)) => reply::json(&api::Detail::of(&overview, paging)),
        Err(refusal) => reply::refuse(&refusal),
    }
}

/// DELETE /api/v1/applications/{name}
pub async fn undeploy(door: &Door, mut entry: Entry, name: &str) -> Response<Body> {
    let (applications, name) = (door.applications.clone(), name.to_owned());
    if let Ok(Overview { spec, digest, .. }) = applications.get(&name) {
        entry.concerns(&spec.name, &spec.version, &digest);
    }
    let undeploying = async move { applications.undeploy(&name, limits::TREE_STOP_MAX).await };
    match door.carry_out(entry, undeploying).await {
        Ok(id) => reply::json(&api::Undeployed {
            success: true,
            application_id: id.to_string(),
        }),
        Err(refusal) => reply::refuse(&refusal),
    }
}

/// POST /api/v1/applications/{name}:start
pub async fn start(door: &Door, entry: Entry, name: &str) -> Response<Body> {
    let (applications, key) = (door.applications.clone(), name.to_owned());
    let work = async move { applications.start(&key).await };
    wish(door, entry, name, work).await
}

/// POST /api/v1/applications/{name}:stop
pub async fn stop(door: &Door, entry: Entry, name: &str) -> Response<Body> {
    let (applications, key) = (door.applications.clone(), name.to_owned());
    let work = async move { applications.stop(&key, limits::TREE_STOP_MAX).await };
    wish(door, entry, name, work).await
}

/// POST /api/v1/applications/{name}:rollback
pub async fn rollback(door: &Door, entry: Entry, name: &str) -> Response<Body> {
    let (applications, key) = (door.applications.clone(), name.to_owned());
    let work = async move { applications.rollback(&key).await };
    wish(door, entry, name, work).await
}

/// DELETE /api/v1/actors/by-id/{actor_id}
pub async fn stop_actor(door: &Door, entry: Entry, id: &str) -> Response<Body> {
    // An address may lack `@NODE`.
    let address = match door.actors.address(id) {
        Some(address) => address.to_string(),
        None => id.to_owned(),
    };
    let (applications, to_stop) = (door.applications.clone(), address.clone());
    let stopping = async move { applications.stop_actor(&to_stop, None).await };
    match door.carry_out(entry, stopping).await {
        Ok(()) => reply::json(&api::Stopped {
            success: true,
            actor_id: &address,
        }),
        Err(refusal) => reply::refuse(&refusal),
    }
}

/// Carries out what an operator wants of an application, and answers with what has become of it.
async fn wish(
    door: &Door,
    mut entry: Entry,
    name: &str,
    work: impl Future<Output = Result<(), Refusal>> + Send + 'static,
) -> Response<Body> {
    if let Ok(Overview { spec, digest, .. }) = door.applications.get(name) {
        entry.concerns(&spec.name, &spec.version, &digest);
    }
    let (applications, name) = (door.applications.clone(), name.to_owned());
    let work = async move { work.await.and_then(|()| applications.get(&name)) };
    match door.carry_out(entry, work).await {
        Ok(overview) => reply::json(&api::Deployed {
            success: true,
            application_id: overview.spec.application_id.to_string(),
            status: overview.status.name(),
            error: None,
        }),
        Err(refusal) => reply::refuse(&refusal),
    }
}
