//! The gRPC door: one flat table of calls (`methods.rs`), the wire contract (`proto.rs`), and one file per service.
//!
//! A call passes the gate's server → here: who calls, what, in which phase of the node → its message is read whole
//! (`arrival.rs`) → the generated code decodes it → its handler makes one call inward and renders the answer.

mod actor;
mod application;
mod arrival;
mod config;
mod fields;
mod health;
mod methods;
mod modules;
mod moment;
mod paging;
pub mod proto;
mod reflection;
mod status;
mod system;
mod tuples;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method as HttpMethod, Request, Response, Version, header};
use tonic::Status;
use tonic::codegen::Service;

use crate::gate::incoming::drain;
use crate::gate::{Body, Client, Door, call};
use crate::refusal::Refusal;

use arrival::{Arrival, Sent};
use methods::{Intake, Method};
use proto::actor::actor_service_server::ActorServiceServer;
use proto::application::application_service_server::ApplicationServiceServer;
use proto::system::system_service_server::SystemServiceServer;
use proto::tuplespace::tuple_plex_space_service_server::TuplePlexSpaceServiceServer;
use proto::wasm::wasm_runtime_service_server::WasmRuntimeServiceServer;

/// Everything that is served.
#[derive(Clone)]
pub struct Services(Arc<Vec<(&'static str, Served)>>);

/// A generated service, whatever its type.
type Served = Box<dyn Fn(Request<tonic::body::Body>) -> Answering + Send + Sync>;
type Answering = Pin<Box<dyn Future<Output = Response<tonic::body::Body>> + Send>>;

/// Whether a request is gRPC: the port answers plain HTTP too.
pub fn is_meant<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map_or(&b""[..], |value| value.as_bytes());
    let plain = content_type.strip_prefix(b"application/grpc");
    let plain = plain.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'+' | b';'));
    plain && request.version() == Version::HTTP_2 && request.method() == HttpMethod::POST
}

impl Services {
    pub fn new(door: &Door) -> Self {
        let [reflection, reflection_alpha] = reflection::services();
        let limit = Intake::Module.bytes_max();
        let application = ApplicationServiceServer::new(application::Applications::new(door));
        let wasm = WasmRuntimeServiceServer::new(modules::Modules::new(door));
        Self(Arc::new(vec![
            (
                methods::APPLICATION,
                served(application.max_decoding_message_size(limit)),
            ),
            (methods::WASM, served(wasm.max_decoding_message_size(limit))),
            (
                methods::ACTOR,
                served(ActorServiceServer::new(actor::Actors::new(door))),
            ),
            (
                methods::TUPLES,
                served(TuplePlexSpaceServiceServer::new(tuples::Tuples::new(door))),
            ),
            (
                methods::SYSTEM,
                served(SystemServiceServer::new(system::System::new(door))),
            ),
            (methods::HEALTH, served(health::service(door))),
            (methods::REFLECTION, reflection),
            (methods::REFLECTION_ALPHA, reflection_alpha),
        ]))
    }

    /// Answers one call.
    pub async fn answer(
        &self,
        door: Door,
        client: Client,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let answer = self.admitted(&door, client, request).await;
        let answer = answer.unwrap_or_else(|refusal| Status::from(refusal).into_http());
        let code = status::counted(answer.extensions().get());
        door.actors.metrics().grpc_requests.count(code);
        let share = answer.extensions().get::<Sent>().and_then(Sent::share);
        answer.map(|body| Body::foreign(body, share))
    }

    async fn admitted(
        &self,
        door: &Door,
        client: Client,
        request: Request<Incoming>,
    ) -> Result<Response<tonic::body::Body>, Refusal> {
        let (peer, method) = (client.address, methods::find(request.uri().path()));
        let needed = method.map_or(methods::READ, |method| method.access);
        // Who is asking comes before what: a stranger learns nothing of the calls.
        let caller = match door.admit(peer, &request, needed) {
            Ok(caller) => caller,
            Err(refusal) => return turned_away(request, refusal),
        };
        let Some(method) = method else {
            let refusal = methods::not_served(request.uri().path());
            return turned_away(request, refusal);
        };
        if let Some(refusal) = door.phase().refusal()
            && !method.speaks_of_health()
        {
            let call = call(request.method(), request.uri());
            door.audit.turned_away(&caller, peer, &call, &refusal);
            return turned_away(request, refusal);
        }
        let arrival = Arrival::new(&door.audit, &caller, client, method);
        let dispatched = self.dispatched(door, &arrival, request).await;
        let decoded = dispatched.and_then(status::decoded);
        decoded.inspect_err(|refusal| arrival.turned_down(door, refusal))
    }

    /// Reads the message, and hands it to its service.
    async fn dispatched(
        &self,
        door: &Door,
        arrival: &Arrival,
        request: Request<Incoming>,
    ) -> Result<Response<tonic::body::Body>, Refusal> {
        let (mut parts, mut body) = request.into_parts();
        let body = match arrival.method.intake {
            Intake::Stream => tonic::body::Body::new(reflection::patient(body, door)),
            Intake::Bare | Intake::Small | Intake::Module => {
                match arrival.receive(door, &mut body).await {
                    Ok(message) => tonic::body::Body::new(message),
                    Err(refusal) => {
                        drain(body);
                        return Err(refusal);
                    }
                }
            }
        };
        parts.extensions.insert(arrival.clone());
        Ok(self
            .serve(arrival.method, Request::from_parts(parts, body))
            .await)
    }

    async fn serve(
        &self,
        method: &Method,
        request: Request<tonic::body::Body>,
    ) -> Response<tonic::body::Body> {
        let mut services = self.0.iter();
        let (_, serve) = services
            .find(|(service, _)| *service == method.service)
            .expect("each method of the table is of a service that is served");
        serve(request).await
    }
}

fn served<S>(service: S) -> Served
where
    S: Service<
            Request<tonic::body::Body>,
            Response = Response<tonic::body::Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    Box::new(move |request| {
        let answering = service.clone().call(request);
        Box::pin(async move {
            let Ok(answer) = answering.await;
            answer
        })
    })
}

/// A refusal of a call whose message is not read.
fn turned_away<T>(request: Request<Incoming>, refusal: Refusal) -> Result<T, Refusal> {
    drain(request.into_body());
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_not_taken_for_grpc() {
        let check = |version, method: &str, content_type: &str, expected| {
            let request = Request::builder()
                .version(version)
                .method(method)
                .header("content-type", content_type);
            let request = request.body(()).unwrap();
            assert_eq!(is_meant(&request), expected, "{method} {content_type}");
        };
        check(Version::HTTP_2, "POST", "application/grpc", true);
        check(Version::HTTP_2, "POST", "application/grpc+proto", true);
        check(Version::HTTP_2, "POST", "application/grpc;x=1", true);
        check(Version::HTTP_2, "POST", "application/grpc-web", false);
        check(Version::HTTP_2, "POST", "application/json", false);
        check(Version::HTTP_2, "GET", "application/grpc", false);
        check(Version::HTTP_11, "POST", "application/grpc", false);
    }
}
