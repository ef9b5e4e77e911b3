//! Every path of the HTTP gateway in one flat table, and the match on it.

use hyper::Method;
use percent_encoding::percent_decode_str;

use crate::auth::Scope;
use crate::gate::Access;
use crate::refusal::{Kind, Refusal};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
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

impl Endpoint {
    /// Whether GET changes nothing, so that HEAD may stand for it: an actor that is asked may do anything.
    fn only_looks(self) -> bool {
        !matches!(self, Self::Invoke | Self::InvokeInTenant | Self::InvokeById)
    }

    /// Who may ask for it.
    #[rustfmt::skip]
    pub fn access(self) -> Access {
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
}

/// Why a path leads nowhere.
pub enum Rejection {
    Refused(Refusal),
    /// The path exists, for these methods.
    Method(Vec<&'static str>),
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
pub fn find(method: &Method, path: &str) -> Result<(Endpoint, Vec<String>), Rejection> {
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
        let text = "no such path; GET / is the dashboard, docs/http.md lists the others";
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

    /// Reads `docs/http.md`, so that it stays true.
    #[test]
    fn the_page_of_paths_lists_what_is_served() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows = page.lines().filter(|line| line.contains(" | `/"));
        let listed: Vec<&str> = rows
            .map(|row| row.rsplit_once(" | ").expect("it says what it is").0)
            .collect();
        let served = ROUTES.iter().map(|route| {
            let scope = match route.endpoint.access() {
                Access::Open => "none",
                Access::Needs(scope) => scope.name(),
            };
            let (method, literal, places) = (&route.method, route.literal, route.places);
            format!("| {method} | `{literal}{places}` | {scope}")
        });
        let served: Vec<String> = served.collect();
        assert_eq!(listed, served);
    }

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
