//! List, look at and undeploy applications.

use hyper::Response;

use super::reply::{self, Body};
use super::{Door, api};
use crate::application::Overview;
use crate::audit::Entry;

/// GET /api/v1/applications
pub fn list(door: &Door) -> Response<Body> {
    let applications = door
        .applications
        .list()
        .iter()
        .map(api::Application::from)
        .collect();
    reply::json(&api::Applications { applications })
}

/// GET /api/v1/applications/{name}
pub fn one(door: &Door, name: &str) -> Response<Body> {
    match door.applications.get(name) {
        Ok(overview) => reply::json(&api::Detail::from(&overview)),
        Err(refusal) => reply::refuse(&refusal),
    }
}

/// DELETE /api/v1/applications/{name}
pub async fn undeploy(door: &Door, mut entry: Entry, name: &str) -> Response<Body> {
    let (applications, name) = (door.applications.clone(), name.to_owned());
    if let Ok(Overview { spec, digest, .. }) = applications.get(&name) {
        entry.concerns(&spec.name, &spec.version, &digest);
    }
    let undeployed = door
        .to_its_end(async move {
            let undeployed = applications.undeploy(&name).await;
            entry.ended(undeployed.as_ref());
            undeployed
        })
        .await;
    match undeployed {
        Ok(id) => reply::json(&api::Undeployed {
            success: true,
            application_id: id.to_string(),
        }),
        Err(refusal) => reply::refuse(&refusal),
    }
}
