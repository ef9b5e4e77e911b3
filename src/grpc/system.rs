//! SystemService: what the node is, and how it is.

use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use super::moment::{span, timestamp};
use super::proto::system::system_service_server::SystemService;
use super::proto::system::{
    GetHealthRequest, GetHealthResponse, GetSystemInfoRequest, GetSystemInfoResponse, HealthCheck,
    HealthStatus, LivenessProbeRequest, LivenessProbeResponse, ReadinessProbeRequest,
    ReadinessProbeResponse, StartupProbeRequest, StartupProbeResponse, SystemInfo,
};
use crate::gate::{Degraded, Door};
use crate::machine;

pub struct System {
    door: Door,
}

impl System {
    pub fn new(door: &Door) -> Self {
        let door = door.clone();
        Self { door }
    }
}

#[tonic::async_trait]
impl SystemService for System {
    async fn get_system_info(
        &self,
        _: Request<GetSystemInfoRequest>,
    ) -> Result<Response<GetSystemInfoResponse>, Status> {
        let memory = machine::memory_bytes().unwrap_or(0);
        let system_info = SystemInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime: Some(span(self.door.uptime())),
            hostname: machine::hostname(),
            platform: std::env::consts::OS.into(),
            architecture: std::env::consts::ARCH.into(),
            cpu_cores: machine::processors() as i32,
            total_memory_mb: memory >> 20,
            ..Default::default()
        };
        Ok(Response::new(GetSystemInfoResponse {
            system_info: Some(system_info),
        }))
    }

    async fn get_health(
        &self,
        request: Request<GetHealthRequest>,
    ) -> Result<Response<GetHealthResponse>, Status> {
        let wanted = request.into_inner().components;
        let checked_at = timestamp(self.door.actors.clock().wall());
        let degraded = self.door.degraded();
        let node = node(&self.door, degraded.is_empty(), checked_at);
        let overall_status = node.status;
        let parts = degraded.into_iter().map(|part| check(part, checked_at));
        let checks = std::iter::once(node).chain(parts);
        let is_wanted =
            |check: &HealthCheck| wanted.is_empty() || wanted.contains(&check.component);
        Ok(Response::new(GetHealthResponse {
            overall_status,
            checks: checks.filter(is_wanted).collect(),
        }))
    }

    async fn liveness_probe(
        &self,
        _: Request<LivenessProbeRequest>,
    ) -> Result<Response<LivenessProbeResponse>, Status> {
        Ok(Response::new(LivenessProbeResponse {
            is_alive: true,
            http_status_code: code(Ok(())),
        }))
    }

    async fn readiness_probe(
        &self,
        _: Request<ReadinessProbeRequest>,
    ) -> Result<Response<ReadinessProbeResponse>, Status> {
        let ready = self.door.phase().ready();
        Ok(Response::new(ReadinessProbeResponse {
            is_ready: ready.is_ok(),
            http_status_code: code(ready),
            not_ready_reason: reason(ready),
        }))
    }

    async fn startup_probe(
        &self,
        _: Request<StartupProbeRequest>,
    ) -> Result<Response<StartupProbeResponse>, Status> {
        let started = self.door.phase().started();
        Ok(Response::new(StartupProbeResponse {
            startup_complete: started.is_ok(),
            http_status_code: code(started),
            not_complete_reason: reason(started),
        }))
    }
}

/// The node as a whole.
fn node(door: &Door, sound: bool, checked_at: Timestamp) -> HealthCheck {
    let ready = door.phase().ready();
    let status = match (ready, sound) {
        (Err(_), _) => HealthStatus::Unhealthy,
        (Ok(()), false) => HealthStatus::Degraded,
        (Ok(()), true) => HealthStatus::Healthy,
    };
    HealthCheck {
        component: "node".into(),
        status: status.into(),
        message: reason(ready),
        checked_at: Some(checked_at),
        ..Default::default()
    }
}

fn check(degraded: Degraded, checked_at: Timestamp) -> HealthCheck {
    HealthCheck {
        component: degraded.component,
        status: HealthStatus::Degraded.into(),
        message: degraded.reason,
        checked_at: Some(checked_at),
        ..Default::default()
    }
}

/// The status of the same probe over HTTP.
fn code(passed: Result<(), &str>) -> i32 {
    passed.map_or(503, |()| 200)
}

fn reason(passed: Result<(), &str>) -> String {
    passed.err().unwrap_or_default().into()
}
