//! From a request to the handler of its endpoint; `routes` has the table of them.

use hyper::body::Incoming;
use hyper::{Method, Request, Response, header};

use super::reply::{self, Body};
use super::routes::{Endpoint, Rejection, find};
use super::{
    Door, applications, backup, blobs, dashboard, deploy, figures, health, invoke, logs, metrics,
    tuplespace, workflows,
};
use crate::auth::Scope;
use crate::gate::invocation::Target;
use crate::gate::{Access, Client, call};
use crate::id;
use crate::refusal::{Kind, Refusal};

/// Answers one request on the gateway's port.
pub async fn gateway(door: Door, client: Client, request: Request<Incoming>) -> Response<Body> {
    let (head, answer) = (
        request.method() == Method::HEAD,
        answer(door, client, request).await,
    );
    if head {
        reply::without_body(answer)
    } else {
        answer
    }
}

/// Answers one request on the gRPC port that is no gRPC: health, as load balancers ask for it.
pub async fn beside_grpc(door: Door, client: Client, request: Request<Incoming>) -> Response<Body> {
    let admitted = door.admit(client.address, &request, Access::Open);
    let (parts, body) = request.into_parts();
    let routed = find(&parts.method, parts.uri.path());
    let health = routed.ok().and_then(|(endpoint, _)| endpoint.health(&door));
    match (admitted, health) {
        (Err(refusal), _) => reply::refuse_early(refusal, &parts.headers, body),
        (Ok(_), Some(health)) if parts.method == Method::HEAD => reply::without_body(health),
        (Ok(_), Some(health)) => health,
        (Ok(_), None) => {
            let text = "this is the gRPC port, which serves gRPC over HTTP/2 and GET /health; HTTP is on the next port";
            reply::refuse_early(Refusal::new(Kind::NotFound, text), &parts.headers, body)
        }
    }
}

async fn answer(door: Door, client: Client, request: Request<Incoming>) -> Response<Body> {
    let peer = client.address;
    let routed = find(request.method(), request.uri().path());
    let access = routed
        .as_ref()
        .map_or(Access::Needs(Scope::Read), |(endpoint, _)| {
            endpoint.access()
        });
    // Who is asking comes before what: a stranger learns nothing of the paths.
    let admitted = door.admit(peer, &request, access);
    let (parts, body) = request.into_parts();
    let admitted = admitted.map_err(Rejection::Refused);
    let (caller, (endpoint, segments)) = match admitted.and_then(|it| Ok((it, routed?))) {
        Ok(admitted) => admitted,
        Err(rejection) => return rejection.answer(&parts.headers, body),
    };
    if let Some(health) = endpoint.health(&door) {
        return health;
    }
    let entry = || {
        door.audit
            .change(&caller, peer, &call(&parts.method, &parts.uri))
    };
    if let Some(refusal) = door.phase().refusal() {
        let call = call(&parts.method, &parts.uri);
        door.audit.turned_away(&caller, peer, &call, &refusal);
        return reply::retry_after(reply::refuse_early(refusal, &parts.headers, body), 10);
    }
    if let Some(refusal) = encoded(&parts.headers) {
        let call = call(&parts.method, &parts.uri);
        door.audit.turned_away(&caller, peer, &call, &refusal);
        return reply::refuse_early(refusal, &parts.headers, body);
    }
    let query = parts.uri.query();
    // Each in memory of its own: else every request would carry room for the largest of them.
    match (endpoint, segments.as_slice()) {
        (Endpoint::Deploy, _) => Box::pin(deploy::deploy(&door, entry(), &parts, body)).await,
        (Endpoint::ListApplications, _) => applications::list(&door, query),
        (Endpoint::Application, [name]) => applications::one(&door, name, query),
        (Endpoint::Undeploy, [name]) => {
            Box::pin(applications::undeploy(&door, entry(), name)).await
        }
        (Endpoint::Logs, [name]) => Box::pin(logs::logs(&door, caller, name, query)).await,
        (Endpoint::Start, [name]) => Box::pin(applications::start(&door, entry(), name)).await,
        (Endpoint::Stop, [name]) => Box::pin(applications::stop(&door, entry(), name)).await,
        (Endpoint::Rollback, [name]) => {
            Box::pin(applications::rollback(&door, entry(), name)).await
        }
        (Endpoint::Invoke, [namespace, actor_type]) => {
            let target = Target::Type {
                tenant: id::Scope::default(),
                namespace,
                actor_type,
            };
            Box::pin(invoke::invoke(&door, target, parts, body)).await
        }
        (Endpoint::InvokeInTenant, [tenant, namespace, actor_type]) => {
            match id::Scope::parse("tenant", tenant) {
                Ok(tenant) => {
                    let target = Target::Type {
                        tenant,
                        namespace,
                        actor_type,
                    };
                    Box::pin(invoke::invoke(&door, target, parts, body)).await
                }
                Err(error) => reply::refuse_early(error.into(), &parts.headers, body),
            }
        }
        (Endpoint::InvokeById, [id]) => {
            Box::pin(invoke::invoke(&door, Target::Id(id), parts, body)).await
        }
        (Endpoint::StopActor, [id]) => Box::pin(applications::stop_actor(&door, entry(), id)).await,
        (Endpoint::WriteTuple, _) => Box::pin(tuplespace::write(&door, body)).await,
        (Endpoint::ReadTuples, _) => Box::pin(tuplespace::read(&door, &client, body)).await,
        (Endpoint::TakeTuples, _) => Box::pin(tuplespace::take(&door, &client, body)).await,
        (Endpoint::CountTuples, _) => Box::pin(tuplespace::count(&door, body)).await,
        (Endpoint::ListTuples, _) => tuplespace::list(&door, query),
        (Endpoint::CountTuplesQueried, _) => tuplespace::count_queried(&door, query),
        (Endpoint::TupleStats, _) => tuplespace::stats(&door, query),
        (Endpoint::ListBlobs, [bucket]) => Box::pin(blobs::list(&door, query, bucket)).await,
        (Endpoint::PutBlob, [bucket, key]) => {
            Box::pin(blobs::put(&door, entry(), &parts, body, (bucket, key))).await
        }
        (Endpoint::FetchBlob, [bucket, key]) => {
            Box::pin(blobs::fetch(&door, &parts, (bucket, key))).await
        }
        (Endpoint::DeleteBlob, [bucket, key]) => {
            Box::pin(blobs::delete(&door, entry(), &parts, (bucket, key))).await
        }
        (Endpoint::ListWorkflows, _) => Box::pin(workflows::list(&door, query)).await,
        (Endpoint::Workflow, [application, id]) => {
            Box::pin(workflows::one(&door, query, (application, id))).await
        }
        (Endpoint::SignalWorkflow, [application, id]) => {
            Box::pin(workflows::signal(&door, query, body, (application, id))).await
        }
        (Endpoint::CancelWorkflow, [application, id]) => {
            Box::pin(workflows::cancel(&door, entry(), query, (application, id))).await
        }
        (Endpoint::Backup, _) => Box::pin(backup::backup(&door, entry())).await,
        (Endpoint::Metrics, _) => Box::pin(metrics::scrape(&door, &parts.headers)).await,
        (Endpoint::Summary, _) => figures::summary(&door),
        (Endpoint::Nodes, _) => figures::nodes(&door, query),
        (Endpoint::DashboardApplications, _) => figures::applications(&door, query),
        (Endpoint::Actors, _) => figures::actors(&door, query),
        (Endpoint::SystemInfo, _) => Box::pin(figures::system_info(&door)).await,
        (Endpoint::Page, _) => dashboard::page(),
        (Endpoint::Script, _) => dashboard::script(),
        (Endpoint::Style, _) => dashboard::style(),
        (Endpoint::Icon, _) => dashboard::icon(),
        (
            Endpoint::Application
            | Endpoint::Undeploy
            | Endpoint::Logs
            | Endpoint::Start
            | Endpoint::Stop
            | Endpoint::Rollback
            | Endpoint::Invoke
            | Endpoint::InvokeInTenant
            | Endpoint::InvokeById
            | Endpoint::StopActor
            | Endpoint::ListBlobs
            | Endpoint::PutBlob
            | Endpoint::FetchBlob
            | Endpoint::DeleteBlob
            | Endpoint::Workflow
            | Endpoint::SignalWorkflow
            | Endpoint::CancelWorkflow,
            _,
        ) => {
            unreachable!("a route fills each of its places")
        }
        (Endpoint::Health | Endpoint::Live | Endpoint::Ready | Endpoint::Startup, _) => {
            unreachable!("health is answered before everything else")
        }
    }
}

/// Why a body that was compressed on its way is not read: its size says nothing of what comes out of it.
fn encoded(headers: &hyper::HeaderMap) -> Option<Refusal> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let plain =
        |value: &hyper::header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    let odd = encodings.find(|value| !plain(value))?;
    let shown: String = String::from_utf8_lossy(odd.as_bytes())
        .chars()
        .take(64)
        .collect();
    let text = format!("this node reads no body with Content-Encoding {shown:?}; send it as it is");
    Some(Refusal::new(Kind::UnsupportedMedia, text))
}

impl Endpoint {
    /// The answer of those that speak of the node's health, whatever phase it is in.
    fn health(self, door: &Door) -> Option<Response<Body>> {
        match self {
            Self::Health => Some(health::health(door)),
            Self::Live => Some(health::live(door)),
            Self::Ready => Some(health::ready(door)),
            Self::Startup => Some(health::startup(door)),
            _ => None,
        }
    }
}

impl Rejection {
    fn answer(self, headers: &hyper::HeaderMap, body: Incoming) -> Response<Body> {
        match self {
            Self::Refused(refusal) => reply::refuse_early(refusal, headers, body),
            Self::Method(allowed) => {
                let allowed = allowed.join(", ");
                let text = format!("this path does not serve that method; use {allowed}");
                let refusal = Refusal::new(Kind::MethodNotAllowed, text);
                let mut response = reply::refuse_early(refusal, headers, body);
                let allowed = allowed.try_into().expect("method names are header values");
                response.headers_mut().insert(header::ALLOW, allowed);
                response
            }
        }
    }
}
