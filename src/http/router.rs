//! Every path of the HTTP gateway in one flat table, and the match on it.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, header};
use percent_encoding::percent_decode_str;

use super::reply::{self, Body};
use super::{
    Door, applications, backup, blobs, dashboard, deploy, figures, health, invoke, logs, metrics,
    tuplespace, workflows,
};
use crate::auth::Scope;
use crate::gate::invocation::Target;
use crate::gate::{Access, call};
use crate::id;
use crate::refusal::{Kind, Refusal};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Health,
    Live,
    Ready,
    Startup,
    Metrics,
    Backup,
    Deploy,
    ListApplications,
    Application,
    Undeploy,
    Start,
    Stop,
    Rollback,
    Logs,
    Invoke,
    InvokeInTenant,
    InvokeById,
    StopActor,
    WriteTuple,
    ReadTuples,
    TakeTuples,
    CountTuples,
    ListTuples,
    CountTuplesQueried,
    TupleStats,
    ListBlobs,
    PutBlob,
    FetchBlob,
    DeleteBlob,
    ListWorkflows,
    Workflow,
    SignalWorkflow,
    CancelWorkflow,
    Summary,
    Nodes,
    DashboardApplications,
    Actors,
    SystemInfo,
    Page,
    Script,
    Style,
    Icon,
}

/// One line of the table.
struct Route {
    method: Method,
    /// What the path begins with, to the letter.
    literal: &'static str,
    /// What follows, from the first place on; empty where there is none.
    places: &'static str,
    endpoint: Endpoint,
}

/// Method, path, endpoint. `{…}` takes one segment, `{…...}` all that are left; literal paths stand before those with a place to fill.
#[rustfmt::skip]
static ROUTES: [Route; 51] = [
    route(Method::GET,    "/health",                                   Endpoint::Health),
    route(Method::GET,    "/health/live",                              Endpoint::Live),
    route(Method::GET,    "/health/ready",                             Endpoint::Ready),
    route(Method::GET,    "/health/startup",                           Endpoint::Startup),
    route(Method::GET,    "/metrics",                                  Endpoint::Metrics),
    route(Method::GET,    "/api/v1/backup",                            Endpoint::Backup),
    route(Method::POST,   "/api/v1/applications/deploy",               Endpoint::Deploy),
    route(Method::GET,    "/api/v1/applications",                      Endpoint::ListApplications),
    route(Method::GET,    "/api/v1/applications/{name}",               Endpoint::Application),
    route(Method::GET,    "/api/v1/applications/{name}/status",        Endpoint::Application),
    route(Method::GET,    "/api/v1/applications/{name}/logs",          Endpoint::Logs),
    route(Method::DELETE, "/api/v1/applications/{name}",               Endpoint::Undeploy),
    route(Method::POST,   "/api/v1/applications/{name}:start",         Endpoint::Start),
    route(Method::POST,   "/api/v1/applications/{name}:stop",          Endpoint::Stop),
    route(Method::POST,   "/api/v1/applications/{name}:rollback",      Endpoint::Rollback),
    route(Method::POST,   "/api/v1/actors/by-id/{actor_id}",           Endpoint::InvokeById),
    route(Method::DELETE, "/api/v1/actors/by-id/{actor_id}",           Endpoint::StopActor),
    route(Method::GET,    "/api/v1/actors/{namespace}/{actor_type}",   Endpoint::Invoke),
    route(Method::POST,   "/api/v1/actors/{namespace}/{actor_type}",   Endpoint::Invoke),
    route(Method::PUT,    "/api/v1/actors/{namespace}/{actor_type}",   Endpoint::Invoke),
    route(Method::DELETE, "/api/v1/actors/{namespace}/{actor_type}",   Endpoint::Invoke),
    route(Method::GET,    "/api/v1/actors/{tenant}/{namespace}/{actor_type}", Endpoint::InvokeInTenant),
    route(Method::POST,   "/api/v1/actors/{tenant}/{namespace}/{actor_type}", Endpoint::InvokeInTenant),
    route(Method::PUT,    "/api/v1/actors/{tenant}/{namespace}/{actor_type}", Endpoint::InvokeInTenant),
    route(Method::DELETE, "/api/v1/actors/{tenant}/{namespace}/{actor_type}", Endpoint::InvokeInTenant),
    route(Method::POST,   "/api/v1/tuplespace/tuples",                 Endpoint::WriteTuple),
    route(Method::POST,   "/api/v1/tuplespace/read",                   Endpoint::ReadTuples),
    route(Method::POST,   "/api/v1/tuplespace/take",                   Endpoint::TakeTuples),
    route(Method::POST,   "/api/v1/tuplespace/count",                  Endpoint::CountTuples),
    route(Method::GET,    "/api/v1/tuplespace/tuples",                 Endpoint::ListTuples),
    route(Method::GET,    "/api/v1/tuplespace/count",                  Endpoint::CountTuplesQueried),
    route(Method::GET,    "/api/v1/tuplespace/stats",                  Endpoint::TupleStats),
    route(Method::GET,    "/api/v1/blobs/{bucket}",                    Endpoint::ListBlobs),
    route(Method::PUT,    "/api/v1/blobs/{bucket}/{key...}",           Endpoint::PutBlob),
    route(Method::GET,    "/api/v1/blobs/{bucket}/{key...}",           Endpoint::FetchBlob),
    route(Method::DELETE, "/api/v1/blobs/{bucket}/{key...}",           Endpoint::DeleteBlob),
    route(Method::GET,    "/api/v1/workflows",                         Endpoint::ListWorkflows),
    route(Method::GET,    "/api/v1/workflows/{application}/{id}",      Endpoint::Workflow),
    route(Method::POST,   "/api/v1/workflows/{application}/{id}/signal", Endpoint::SignalWorkflow),
    route(Method::POST,   "/api/v1/workflows/{application}/{id}/cancel", Endpoint::CancelWorkflow),
    route(Method::GET,    "/api/v1/dashboard/summary",                 Endpoint::Summary),
    route(Method::GET,    "/api/v1/dashboard/nodes",                   Endpoint::Nodes),
    route(Method::GET,    "/api/v1/dashboard/applications",            Endpoint::DashboardApplications),
    route(Method::GET,    "/api/v1/dashboard/actors",                  Endpoint::Actors),
    route(Method::GET,    "/api/v1/dashboard/system-info",             Endpoint::SystemInfo),
    route(Method::GET,    "/",                                         Endpoint::Page),
    route(Method::GET,    "/dashboard",                                Endpoint::Page),
    route(Method::GET,    "/dashboard/node/{id}",                      Endpoint::Page),
    route(Method::GET,    "/assets/dashboard.js",                      Endpoint::Script),
    route(Method::GET,    "/assets/dashboard.css",                     Endpoint::Style),
    route(Method::GET,    "/assets/icon.svg",                          Endpoint::Icon),
];

/// Answers one request on the gateway's port.
pub async fn gateway(door: Door, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let (head, answer) = (
        request.method() == Method::HEAD,
        answer(door, peer, request).await,
    );
    if head {
        reply::without_body(answer)
    } else {
        answer
    }
}

/// Answers one request on the gRPC port that is no gRPC: health, as load balancers ask for it.
pub async fn beside_grpc(
    door: Door,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let admitted = door.admit(peer, &request, Access::Open);
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

async fn answer(door: Door, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
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
        (Endpoint::ListApplications, _) => applications::list(&door),
        (Endpoint::Application, [name]) => applications::one(&door, name, query),
        (Endpoint::Undeploy, [name]) => {
            Box::pin(applications::undeploy(&door, entry(), name)).await
        }
        (Endpoint::Logs, [name]) => Box::pin(logs::logs(&door, name, query)).await,
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
        (Endpoint::ReadTuples, _) => Box::pin(tuplespace::read(&door, body)).await,
        (Endpoint::TakeTuples, _) => Box::pin(tuplespace::take(&door, body)).await,
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
    /// Whether GET changes nothing, so that HEAD may stand for it: an actor that is asked may do anything.
    fn only_looks(self) -> bool {
        !matches!(self, Self::Invoke | Self::InvokeInTenant | Self::InvokeById)
    }

    #[rustfmt::skip]
    fn access(self) -> Access {
        match self {
            Self::Health | Self::Live | Self::Ready | Self::Startup => Access::Open,
            Self::Page | Self::Script | Self::Style | Self::Icon => Access::Open,
            Self::ListApplications | Self::Application | Self::Logs => Access::Needs(Scope::Read),
            Self::Metrics | Self::Summary | Self::Nodes => Access::Needs(Scope::Read),
            Self::DashboardApplications | Self::Actors | Self::SystemInfo => Access::Needs(Scope::Read),
            Self::Invoke | Self::InvokeInTenant | Self::InvokeById => Access::Needs(Scope::Invoke),
            Self::WriteTuple | Self::TakeTuples => Access::Needs(Scope::Invoke),
            Self::ReadTuples | Self::CountTuples | Self::ListTuples => Access::Needs(Scope::Read),
            Self::CountTuplesQueried | Self::TupleStats => Access::Needs(Scope::Read),
            Self::ListBlobs | Self::FetchBlob => Access::Needs(Scope::Read),
            Self::PutBlob | Self::DeleteBlob => Access::Needs(Scope::Deploy),
            Self::ListWorkflows | Self::Workflow => Access::Needs(Scope::Read),
            Self::SignalWorkflow => Access::Needs(Scope::Invoke),
            Self::CancelWorkflow => Access::Needs(Scope::Deploy),
            Self::Backup | Self::Deploy | Self::Undeploy | Self::Start | Self::Stop | Self::Rollback | Self::StopActor => Access::Needs(Scope::Deploy),
        }
    }

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

enum Rejection {
    Refused(Refusal),
    /// The path exists, for these methods.
    Method(Vec<&'static str>),
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

const fn route(method: Method, path: &'static str, endpoint: Endpoint) -> Route {
    let mut literal = 0;
    while literal < path.len() && path.as_bytes()[literal] != b'{' {
        literal += 1;
    }
    let (literal, places) = path.split_at(literal);
    Route {
        method,
        literal,
        places,
        endpoint,
    }
}

/// The endpoint of a request and what fills its places, decoded.
fn find(method: &Method, path: &str) -> Result<(Endpoint, Vec<String>), Rejection> {
    let mut served = ROUTES.iter().filter(|route| route.serves(method));
    let found = served.find_map(|route| Some((route.endpoint, route.fill(path)?)));
    let (endpoint, filled) = found.ok_or_else(|| no_route(path))?;
    Ok((endpoint, decode(&filled)?))
}

#[cold]
fn no_route(path: &str) -> Rejection {
    let mut allowed = Vec::new();
    for route in ROUTES.iter().filter(|route| route.fill(path).is_some()) {
        allowed.push(route.method.as_str());
        if route.serves(&Method::HEAD) {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() {
        let text = "no such path; GET / is the dashboard, README.md and docs/wasm-deployment.md list the others";
        return Rejection::Refused(Refusal::new(Kind::NotFound, text));
    }
    Rejection::Method(allowed)
}

impl Route {
    fn serves(&self, method: &Method) -> bool {
        let looks = self.method == Method::GET && self.endpoint.only_looks();
        self.method == *method || (looks && *method == Method::HEAD)
    }

    /// What stands in the places, if the path fits.
    fn fill<'a>(&self, path: &'a str) -> Option<Vec<&'a str>> {
        let left = path.strip_prefix(self.literal)?;
        let mut filled = Vec::new();
        if self.places.is_empty() {
            return left.is_empty().then_some(filled);
        }
        let (mut left, mut places) = (Some(left), Some(self.places));
        while let Some(wanted) = places {
            let (place, others) = cut(wanted);
            places = others;
            let given = left?;
            if place.ends_with("...}") {
                filled.push((!given.is_empty()).then_some(given)?);
                return Some(filled);
            }
            let (segment, rest) = cut(given);
            match place {
                // There, actors are named by their id: it is no namespace.
                "{namespace}" | "{tenant}" if segment == "by-id" => return None,
                literal if !literal.starts_with('{') => (literal == segment).then_some(())?,
                place => {
                    // `{name}:verb` takes what stands before the verb.
                    let (_, verb) = place.split_once('}')?;
                    let taken = segment.strip_suffix(verb)?;
                    filled.push((!taken.is_empty()).then_some(taken)?);
                }
            }
            left = rest;
        }
        left.is_none().then_some(filled)
    }
}

/// The first segment, and what follows its slash. By hand: it is short, and every request has some.
fn cut(path: &str) -> (&str, Option<&str>) {
    match path.bytes().position(|byte| byte == b'/') {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}

fn decode(segments: &[&str]) -> Result<Vec<String>, Rejection> {
    let decoded = |segment: &&str| Ok(percent_decode_str(segment).decode_utf8()?.into_owned());
    let decoded: Result<_, std::str::Utf8Error> = segments.iter().map(decoded).collect();
    decoded.map_err(|_| {
        Rejection::Refused(Refusal::new(
            Kind::Malformed,
            "the path is not UTF-8 once decoded",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_endpoint() {
        let check = |method: Method, path: &str, expected: Option<(Endpoint, &[&str])>| {
            let routed = find(&method, path).ok();
            let routed = routed
                .as_ref()
                .map(|(endpoint, filled)| (*endpoint, filled.as_slice()));
            let expected = expected.map(|(endpoint, filled)| {
                (endpoint, filled.iter().map(|s| s.to_string()).collect())
            });
            let expected: Option<(Endpoint, Vec<String>)> = expected;
            assert_eq!(
                routed,
                expected.as_ref().map(|(e, f)| (*e, f.as_slice())),
                "{method} {path}"
            );
        };
        check(Method::GET, "/", Some((Endpoint::Page, &[])));
        check(Method::HEAD, "/health", Some((Endpoint::Health, &[])));
        check(
            Method::POST,
            "/api/v1/applications/deploy",
            Some((Endpoint::Deploy, &[])),
        );
        check(
            Method::DELETE,
            "/api/v1/applications/calc",
            Some((Endpoint::Undeploy, &["calc"])),
        );
        check(
            Method::GET,
            "/api/v1/applications/a%2Fb",
            Some((Endpoint::Application, &["a/b"])),
        );
        check(
            Method::POST,
            "/api/v1/actors/default/calc",
            Some((Endpoint::Invoke, &["default", "calc"])),
        );
        check(
            Method::POST,
            "/api/v1/applications/calc:start",
            Some((Endpoint::Start, &["calc"])),
        );
        let blob = Some((Endpoint::FetchBlob, &["maps", "a/b c"][..]));
        check(Method::GET, "/api/v1/blobs/maps/a/b%20c", blob);
        check(Method::HEAD, "/api/v1/blobs/maps/a%2Fb%20c", blob);
        check(
            Method::GET,
            "/api/v1/blobs/maps",
            Some((Endpoint::ListBlobs, &["maps"])),
        );
        check(Method::PUT, "/api/v1/blobs/maps/", None);
        check(Method::PUT, "/api/v1/blobs//key", None);
        check(Method::POST, "/api/v1/applications/:start", None);
        check(Method::POST, "/api/v1/applications/calc:pause", None);
        check(Method::GET, "/api/v1/applications/", None);
        check(Method::GET, "/api/v1/applications/a/b/c", None);
        check(Method::GET, "/api/v1/applications/a/", None);
        check(Method::GET, "/api/v1/applications/a/status/", None);
        check(Method::POST, "/api/v1/actors/default/calc/", None);
        check(Method::POST, "/api/v1/actors/default", None);
        check(Method::GET, "/health/", None);
        check(Method::GET, "//health", None);
        check(Method::GET, "/api/v1/applications/%ff", None);
        check(Method::POST, "/health", None);
        check(Method::GET, "/api/v1/actors/by-id/calc", None);
        check(Method::HEAD, "/api/v1/actors/default/calc", None);
    }
}
