//! grpc.health.v1: whether the node takes work, asked once or watched.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::methods::SERVICES;
use crate::gate::{Door, Phase};
use crate::limits;
use crate::refusal::{Kind, Refusal};

pub fn service(door: &Door) -> HealthServer<impl Health> {
    HealthServer::new(Checked {
        door: door.clone(),
        watchers: Arc::new(Semaphore::new(limits::HEALTH_WATCHERS_MAX)),
    })
}

struct Checked {
    door: Door,
    watchers: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Health for Checked {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !is_known(&service) {
            let shown: String = service.chars().take(128).collect();
            let text = format!("no service {shown:?} here; an empty name asks for the whole node");
            return Err(Refusal::new(Kind::NotFound, text).into());
        }
        Ok(Response::new(shown(self.door.phase())))
    }

    type WatchStream = Updates;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Updates>, Status> {
        let permit = self.watchers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| {
            let text = format!(
                "{} clients watch this node's health already, the most; ask by Check",
                limits::HEALTH_WATCHERS_MAX
            );
            Refusal::new(Kind::Exhausted, text)
        })?;
        let (sender, updates) = mpsc::channel(1);
        let (door, known) = (self.door.clone(), is_known(&request.into_inner().service));
        tokio::spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            tokio::select! {
                () = watch(&door, known, &sender) => {}
                () = sender.closed() => {}
            }
        });
        Ok(Response::new(Updates(updates)))
    }
}

/// Sends each phase that the node comes to. Ends once a stopping node has nothing in flight any more.
async fn watch(door: &Door, known: bool, updates: &mpsc::Sender<HealthCheckResponse>) {
    let mut phase = door.phase();
    loop {
        let update = match known {
            true => shown(phase),
            false => answer(ServingStatus::ServiceUnknown),
        };
        if updates.send(update).await.is_err() {
            return;
        }
        if phase == Phase::Stopping {
            return door.shutdown.finished().await;
        }
        phase = door.phase_after(phase).await;
    }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || SERVICES.contains(&service)
}

fn shown(phase: Phase) -> HealthCheckResponse {
    answer(match phase.ready() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    })
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// What a watcher hears.
pub struct Updates(mpsc::Receiver<HealthCheckResponse>);

impl Stream for Updates {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|update| update.map(Ok))
    }
}
