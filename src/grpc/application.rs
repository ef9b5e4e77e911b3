//! ApplicationService: deploy, look at, start, stop and undeploy applications.

use std::time::{Duration, UNIX_EPOCH};

use tonic::{Request, Response, Status};

use super::arrival::Arrival;
use super::config;
use super::modules::{require, store};
use super::moment::{span, timestamp, within};
use super::proto::application as wire;
use super::proto::application::application_service_server::ApplicationService;
use crate::application::spec::Spec;
use crate::application::{self, ActorState, Overview};
use crate::audit::Entry;
use crate::gate::Door;
use crate::limits;
use crate::refusal::Refusal;
use crate::storage::Artifact;

pub struct Applications {
    door: Door,
}

impl Applications {
    pub fn new(door: &Door) -> Self {
        let door = door.clone();
        Self { door }
    }

    async fn deploy(
        &self,
        request: wire::DeployApplicationRequest,
        arrival: &Arrival,
    ) -> Result<application::Status, Refusal> {
        let entry = arrival.entry();
        let received = self.received(request).await;
        if let Err(refusal) = &received {
            // The applications count those that they hear of.
            let deploys = &self.door.actors.metrics().deploys;
            deploys.count(refusal.kind.into());
        }
        let (mut entry, (spec, artifact)) = entry.prepared(received)?;
        arrival.passed_on();
        entry.concerns(&spec.name, &spec.version, &artifact.digest);
        let (applications, turn) = (self.door.applications.clone(), arrival.turn());
        // From here on a client that leaves changes nothing.
        let deploying = async move {
            let _turn = turn;
            applications.deploy(spec, artifact).await
        };
        self.door.carry_out(entry, deploying).await
    }

    /// The spec of a deploy, and its module on the disk.
    async fn received(
        &self,
        request: wire::DeployApplicationRequest,
    ) -> Result<(Spec, Artifact), Refusal> {
        let module = request.wasm_module.unwrap_or_default();
        require(&[
            ("application_id", request.application_id.is_empty()),
            ("name", request.name.is_empty()),
            ("version", request.version.is_empty()),
            (
                "wasm_module.module_bytes",
                module.module_bytes.is_empty() && module.module_hash.is_empty(),
            ),
        ])?;
        let mut spec = Spec::of_form(&request.application_id, &request.name, &request.version)?;
        let release = request.release_config.unwrap_or_default();
        if let Some(config) = config::of(request.config, release.env)? {
            spec = self.door.applications.configured(spec, config).await?;
        }
        spec.initial_state = request.initial_state;
        // A hash alone is a module that is here already, such as that of the version before.
        let artifact = match module.module_bytes.is_empty() {
            true => {
                let applications = &self.door.applications;
                applications.known_module(&module.module_hash).await?
            }
            false => store(&self.door, module).await?,
        };
        Ok((spec, artifact))
    }

    async fn undeploy(
        &self,
        request: wire::UndeployApplicationRequest,
        entry: Entry,
    ) -> Result<(), Refusal> {
        let checked = within(
            "timeout",
            request.timeout,
            limits::TREE_STOP_MAX,
            limits::TREE_STOP_MAX,
        );
        let checked = checked.and_then(|grace| Ok((grace, self.named(&request.application_id)?)));
        let (mut entry, (grace, name)) = entry.prepared(checked)?;
        self.concerns(&mut entry, &name);
        let applications = self.door.applications.clone();
        let undeploying = async move { applications.undeploy(&name, grace).await.map(drop) };
        self.door.carry_out(entry, undeploying).await
    }

    fn named(&self, reference: &str) -> Result<String, Refusal> {
        require(&[("application_id", reference.is_empty())])?;
        Ok(self.door.applications.named(reference)?.to_string())
    }

    fn concerns(&self, entry: &mut Entry, name: &str) {
        if let Ok(Overview { spec, digest, .. }) = self.door.applications.get(name) {
            entry.concerns(&spec.name, &spec.version, &digest);
        }
    }

    /// Carries out what an operator wants of an application, and answers with what has become of it.
    async fn wish(
        &self,
        name: String,
        mut entry: Entry,
        work: impl Future<Output = Result<(), Refusal>> + Send + 'static,
    ) -> Result<wire::Application, Refusal> {
        self.concerns(&mut entry, &name);
        let applications = self.door.applications.clone();
        let work = async move { work.await.and_then(|()| applications.get(&name)) };
        let overview = self.door.carry_out(entry, work).await?;
        Ok(self.application(&overview))
    }

    fn application(&self, overview: &Overview) -> wire::Application {
        let running = overview.uptime > Duration::ZERO;
        let started_at = self.door.actors.clock().wall() - overview.uptime;
        wire::Application {
            config: Some(wire::ApplicationConfig {
                name: overview.spec.name.to_string(),
                version: overview.spec.version.to_string(),
                enabled: true,
                auto_start: overview.status != application::Status::Stopped,
                shutdown_timeout: Some(span(limits::SHUTDOWN_GRACE)),
                shutdown_strategy: wire::ShutdownStrategy::Graceful.into(),
                ..Default::default()
            }),
            state: state(overview.status).into(),
            health: health(overview).into(),
            started_at: running.then(|| timestamp(started_at)),
            statistics: Some(statistics(overview)),
        }
    }

    fn runtime(&self, overview: &Overview) -> wire::ApplicationRuntimeState {
        let started_at = self.door.actors.clock().wall() - overview.uptime;
        let since_1970 = started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let running = overview.uptime > Duration::ZERO;
        wire::ApplicationRuntimeState {
            name: overview.spec.name.to_string(),
            status: status(overview.status).into(),
            start_timestamp_ms: if running {
                since_1970.as_millis() as i64
            } else {
                0
            },
            supervisor_pid: None,
            env: overview.spec.env_without_secrets(),
        }
    }
}

#[tonic::async_trait]
impl ApplicationService for Applications {
    async fn deploy_application(
        &self,
        request: Request<wire::DeployApplicationRequest>,
    ) -> Result<Response<wire::DeployApplicationResponse>, Status> {
        let arrival = Arrival::of(&request);
        let request = request.into_inner();
        let application_id = request.application_id.clone();
        let deployed = self.deploy(request, &arrival).await?;
        Ok(Response::new(wire::DeployApplicationResponse {
            success: true,
            application_id,
            status: status(deployed).into(),
            error: None,
        }))
    }

    async fn undeploy_application(
        &self,
        request: Request<wire::UndeployApplicationRequest>,
    ) -> Result<Response<wire::UndeployApplicationResponse>, Status> {
        let entry = Arrival::of(&request).entry();
        self.undeploy(request.into_inner(), entry).await?;
        Ok(Response::new(wire::UndeployApplicationResponse {
            success: true,
            error: None,
        }))
    }

    async fn list_applications(
        &self,
        request: Request<wire::ListApplicationsRequest>,
    ) -> Result<Response<wire::ListApplicationsResponse>, Status> {
        let filter = request.into_inner().status_filter.unwrap_or_default();
        let filter: wire::ApplicationStatus = config::named(filter, "status_filter")?;
        let all = self.door.applications.list();
        let wanted = all.iter().filter(|overview| {
            filter == wire::ApplicationStatus::Unspecified || status(overview.status) == filter
        });
        Ok(Response::new(wire::ListApplicationsResponse {
            applications: wanted.map(info).collect(),
        }))
    }

    async fn get_application_status(
        &self,
        request: Request<wire::GetApplicationStatusRequest>,
    ) -> Result<Response<wire::GetApplicationStatusResponse>, Status> {
        let name = self.named(&request.into_inner().application_id)?;
        let overview = self.door.applications.get(&name)?;
        Ok(Response::new(wire::GetApplicationStatusResponse {
            application: Some(info(&overview)),
            state: Some(self.runtime(&overview)),
            error: overview.reason,
        }))
    }

    async fn start_application(
        &self,
        request: Request<wire::StartApplicationRequest>,
    ) -> Result<Response<wire::StartApplicationResponse>, Status> {
        let entry = Arrival::of(&request).entry();
        let name = request.into_inner().name;
        let (applications, key) = (self.door.applications.clone(), name.clone());
        let work = async move { applications.start(&key).await };
        let application = self.wish(name, entry, work).await?;
        Ok(Response::new(wire::StartApplicationResponse {
            application: Some(application),
        }))
    }

    async fn stop_application(
        &self,
        request: Request<wire::StopApplicationRequest>,
    ) -> Result<Response<wire::StopApplicationResponse>, Status> {
        let entry = Arrival::of(&request).entry();
        let wire::StopApplicationRequest { name, force } = request.into_inner();
        let grace = if force {
            Duration::ZERO
        } else {
            limits::TREE_STOP_MAX
        };
        let (applications, key) = (self.door.applications.clone(), name.clone());
        let work = async move { applications.stop(&key, grace).await };
        let application = self.wish(name, entry, work).await?;
        Ok(Response::new(wire::StopApplicationResponse {
            application: Some(application),
        }))
    }
}

fn info(overview: &Overview) -> wire::ApplicationInfo {
    wire::ApplicationInfo {
        application_id: overview.spec.application_id.to_string(),
        name: overview.spec.name.to_string(),
        version: overview.spec.version.to_string(),
        status: status(overview.status).into(),
        deployed_at: Some(timestamp(overview.deployed_at)),
        metrics: Some(wire::ApplicationMetrics {
            actor_count: overview.actors_running() as u32,
            supervisor_count: overview.supervisors_running() as u32,
            uptime_seconds: overview.uptime.as_secs(),
        }),
    }
}

fn statistics(overview: &Overview) -> wire::ApplicationStatistics {
    wire::ApplicationStatistics {
        actors_spawned: overview.actors.len() as u64,
        actors_active: overview.actors_running() as u64,
        restarts: overview.actors.iter().map(|actor| actor.restarts).sum(),
        ..Default::default()
    }
}

fn status(status: application::Status) -> wire::ApplicationStatus {
    match status {
        application::Status::Unspecified => wire::ApplicationStatus::Unspecified,
        application::Status::Starting => wire::ApplicationStatus::Starting,
        application::Status::Running => wire::ApplicationStatus::Running,
        application::Status::Stopping => wire::ApplicationStatus::Stopping,
        application::Status::Stopped => wire::ApplicationStatus::Stopped,
        application::Status::Failed => wire::ApplicationStatus::Failed,
    }
}

fn state(status: application::Status) -> wire::ApplicationState {
    match status {
        application::Status::Unspecified => wire::ApplicationState::Unspecified,
        application::Status::Starting => wire::ApplicationState::Starting,
        application::Status::Running => wire::ApplicationState::Running,
        application::Status::Stopping => wire::ApplicationState::Stopping,
        application::Status::Stopped => wire::ApplicationState::Stopped,
        application::Status::Failed => wire::ApplicationState::Failed,
    }
}

/// One of whose actors some do not run is degraded.
fn health(overview: &Overview) -> wire::HealthStatus {
    let all_run = |overview: &Overview| {
        let mut actors = overview.actors.iter();
        actors.all(|actor| actor.state == ActorState::Running)
    };
    match overview.status {
        application::Status::Failed => wire::HealthStatus::Unhealthy,
        application::Status::Running if all_run(overview) => wire::HealthStatus::Healthy,
        application::Status::Running => wire::HealthStatus::Degraded,
        _ => wire::HealthStatus::Unspecified,
    }
}
