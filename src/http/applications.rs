//! List, look at and undeploy applications.

use hyper::Response;

use super::reply::{self, Body};
use super::{Door, api};

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
pub async fn undeploy(door: &Door, name: &str) -> Response<Body> {
    let (applications, name) = (door.applications.clone(), name.to_owned());
    let undeployed = door
        .to_its_end(async move { applications.undeploy(&name).await })
        .await;
    match undeployed {
        Ok(id) => reply::json(&api::Undeployed {
            success: true,
            application_id: id.to_string(),
        }),
        Err(refusal) => reply::refuse(&refusal),
    }
}
