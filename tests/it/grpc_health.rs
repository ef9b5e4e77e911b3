//! Health, figures and reflection by gRPC.

use std::io::Write;
use std::net::TcpStream;

use plexspaces_node::grpc::proto::system::{
    GetHealthRequest, GetSystemInfoRequest, HealthStatus, LivenessProbeRequest,
    ReadinessProbeRequest, StartupProbeRequest,
};
use plexspaces_node::limits::HEALTH_WATCHERS_MAX;
use plexspaces_node::wasm::Kind;
use rustix::process::Signal;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::grpc_client::{Rpc, is_refused, system};
use crate::guests::{RASCAL, guest};
use crate::harness::{Node, node};

fn check(rpc: &Rpc, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest {
        service: service.into(),
    };
    let answer = rpc.call(request, |channel, request| async move {
        HealthClient::new(channel).check(request).await
    });
    answer.map(|answer| answer.status())
}

#[test]
fn health_is_asked_of_the_node_and_of_each_service() {
    let node = node();
    let rpc = Rpc::to(&node);
    for service in [
        "",
        "plexspaces.application.v1.ApplicationService",
        "plexspaces.wasm.v1.WasmRuntimeService",
        "plexspaces.actor.v1.ActorService",
        "plexspaces.system.v1.SystemService",
    ] {
        assert_eq!(check(&rpc, service).unwrap(), ServingStatus::Serving);
    }
    is_refused(
        check(&rpc, "no.such.Service"),
        Code::NotFound,
        &["no.such.Service"],
    );
}

#[test]
fn a_watcher_hears_of_the_drain_before_the_end() {
    let node = node();
    let rpc = Rpc::to(&node);
    let watch = |service: &str| {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let mut client = HealthClient::new(rpc.channel());
        rpc.wait(async { client.watch(request).await })
            .unwrap()
            .into_inner()
    };
    let (mut whole, mut unknown) = (watch(""), watch("no.such.Service"));
    let next = |of: &mut tonic::Streaming<_>| {
        let update = rpc.wait(of.message()).unwrap();
        update.map(|update: tonic_health::pb::HealthCheckResponse| update.status())
    };
    assert_eq!(next(&mut whole), Some(ServingStatus::Serving));
    assert_eq!(next(&mut unknown), Some(ServingStatus::ServiceUnknown));
    node.signal(Signal::TERM);
    assert_eq!(next(&mut whole), Some(ServingStatus::NotServing));
    assert_eq!(next(&mut whole), None);
    assert_eq!(node.ended().code(), Some(0));
}

#[test]
fn a_node_that_drains_refuses_calls_and_answers_for_its_health() {
    let node = node();
    let rpc = Rpc::to(&node);
    let _in_flight = ask_without_answer(&node);
    node.signal(Signal::TERM);
    node.log_says("stopping: finishing");
    assert_eq!(check(&rpc, "").unwrap(), ServingStatus::NotServing);
    let ready = system!(rpc, readiness_probe(ReadinessProbeRequest {})).unwrap();
    assert_eq!((ready.is_ready, ready.http_status_code), (false, 503));
    assert!(ready.not_ready_reason.contains("stopping"));
    let live = system!(rpc, liveness_probe(LivenessProbeRequest {}));
    assert!(live.unwrap().is_alive);
    let health = system!(rpc, get_health(GetHealthRequest::default())).unwrap();
    assert_eq!(health.overall_status(), HealthStatus::Unhealthy);
    let refused = system!(rpc, get_system_info(GetSystemInfoRequest::default()));
    is_refused(refused, Code::Unavailable, &["stopping"]);
}

/// Sends an ask that waits behind a guest that spins, so that a node that stops has something in flight.
fn ask_without_answer(node: &Node) -> TcpStream {
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    let waiting = || {
        let shown = node.get("/api/v1/applications/rascal").json();
        shown["actors"][0]["mailbox_depth"].as_u64().unwrap()
    };
    let later = [("prefer", "respond-async")];
    assert_eq!(node.ask_with("rascal", &later, b"spin").status, 202);
    while waiting() != 0 {}
    let mut stream = TcpStream::connect(node.http).unwrap();
    let ask = "POST /api/v1/actors/rascal/rascal HTTP/1.1\r\nHost: localhost\r\nX-Timeout-Ms: 60000\r\n\
               Content-Length: 1\r\n\r\n1";
    stream.write_all(ask.as_bytes()).unwrap();
    while waiting() != 1 {}
    stream
}

#[test]
fn watchers_are_few_enough() {
    let node = node();
    let rpcs = [(); 2].map(|()| Rpc::to(&node));
    let watch = |rpc: &Rpc| {
        let mut client = HealthClient::new(rpc.channel());
        rpc.wait(async { client.watch(HealthCheckRequest::default()).await })
    };
    let half = HEALTH_WATCHERS_MAX / 2;
    let watching: Vec<_> = (0..HEALTH_WATCHERS_MAX)
        .map(|at| watch(&rpcs[at / half]).unwrap())
        .collect();
    is_refused(watch(&rpcs[0]), Code::ResourceExhausted, &["Check"]);
    assert_eq!(check(&rpcs[0], "").unwrap(), ServingStatus::Serving);
    // Those who leave make room.
    drop((rpcs, watching));
    let rpc = Rpc::to(&node);
    while watch(&rpc).is_err() {}
}

#[test]
fn the_node_tells_what_it_is_and_how_it_is() {
    let node = Node::unforgiving();
    let rpc = Rpc::to(&node);
    let info = system!(rpc, get_system_info(GetSystemInfoRequest::default())).unwrap();
    let info = info.system_info.unwrap();
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.architecture, std::env::consts::ARCH);
    assert!(info.cpu_cores > 0 && info.total_memory_mb > 0 && !info.hostname.is_empty());
    let started = system!(rpc, startup_probe(StartupProbeRequest {})).unwrap();
    assert_eq!(
        (started.startup_complete, started.http_status_code),
        (true, 200)
    );
    let health = system!(rpc, get_health(GetHealthRequest::default())).unwrap();
    assert_eq!(health.overall_status(), HealthStatus::Healthy);

    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    while node.status_of("rascal") != "FAILED" {
        node.ask("rascal", b"trap");
    }
    let health = system!(rpc, get_health(GetHealthRequest::default())).unwrap();
    assert_eq!(health.overall_status(), HealthStatus::Degraded);
    let failed = GetHealthRequest {
        components: vec!["application/rascal".into()],
    };
    let health = system!(rpc, get_health(failed)).unwrap();
    assert_eq!(health.checks.len(), 1, "{health:?}");
    assert!(health.checks[0].message.contains("failed"));
}
