//! The wiring: bind, open what survives, serve until told to stop, drain, and close in reverse order.

use std::future::Future;
use std::io;

use crate::actor::Actors;
use crate::application::{Applications, Overview, Status};
use crate::auth::Demand;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::config::Config;
use crate::gate::{BindError, Door, Guard, Listeners};
use crate::machine;
use crate::metrics::Metrics;
use crate::service;
use crate::services::Services;
use crate::shutdown::Shutdown;
use crate::storage::{Storage, StorageError};
use crate::wasm::{EngineError, Wasm};
use crate::{grpc, http};

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It has no source: its text is all that the error of the storage says.
    #[error("{}", at_start(.0))]
    Storage(StorageError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("cannot tell the node's own address: {0}")]
    Address(#[from] io::Error),
}

impl From<StorageError> for NodeError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// What is wrong with the data directory, to whoever starts the node and sends nothing again.
fn at_start(error: &StorageError) -> String {
    match error {
        StorageError::NoSpace(doing) => format!(
            "no space left in the data directory while {doing}; free some, then start the node again"
        ),
        other => other.to_string(),
    }
}

/// Runs a node until `stop` resolves and everything in flight has ended or its time is up.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), NodeError> {
    // Conflicts show before anything is opened or changed.
    let listeners = Listeners::bind(config.listen_addr).await?;
    let storage = Storage::open(&config.data_dir)?;
    let actors = Actors::new(
        config.node_id.clone(),
        Clock::system(),
        Metrics::new(),
        storage.logs.clone(),
    )
    .sharing(Budget::new(config.profile.shared_bytes_max()));
    let guard = Guard::new(&config, storage.tokens.clone());
    let services = Services::new(actors.clone(), storage.clone());
    services.keep_tuples(&config.durable_namespaces).await?;
    let wasm = Wasm::new(services.clone(), config.profile, config.actors_max)?;
    let applications =
        Applications::new(storage.clone(), actors.clone(), wasm, config.restart_delay);
    services.lists(applications.listing(listeners.grpc_addr()?.to_string()));
    let shutdown = Shutdown::default();

    log::info!(
        "node {} keeps its data in {}",
        config.node_id,
        config.data_dir.display()
    );
    let memory = machine::memory_bytes().map_or(0, |bytes| bytes >> 20);
    log::info!(
        "this process may have {memory} MiB of memory; profile {}",
        config.profile
    );
    log::info!("gRPC port on {}", listeners.grpc_addr()?);
    log::info!(
        "Starting HTTP gateway server on http://{}",
        listeners.gateway_addr()?
    );
    if config.token_demand == Demand::Nobody {
        log::warn!(
            "--insecure-allow-remote: whoever reaches this node may deploy to it, without a token"
        );
    }
    let door = Door::new(applications.clone(), services, shutdown.clone(), guard);
    let services = grpc::Services::new(&door);
    let grpc_port = move |door, client, request| {
        let services = services.clone();
        async move {
            match grpc::is_meant(&request) {
                true => services.answer(door, client, request).await,
                false => http::beside_grpc(door, client, request).await,
            }
        }
    };
    let doors = listeners.open(&door, grpc_port, http::gateway);
    let run = async {
        applications.restore().await;
        door.serve();
        service::ready();
        log::info!("ready, with {}", counted(&applications.list()));
        std::future::pending().await
    };
    tokio::select! {
        () = stop => {}
        () = run => {}
        never = actors.metrics().loop_lag.watch() => match never {},
        never = storage.keep_time() => match never {},
        never = service::feed_watchdog() => match never {},
    }
    service::stopping();
    log::info!(
        "stopping: finishing what is in flight within {:?}",
        config.drain_time
    );
    shutdown.begin();
    if tokio::time::timeout(config.drain_time, shutdown.finished())
        .await
        .is_err()
    {
        log::warn!(
            "not everything in flight ended within {:?}; it is cut off",
            config.drain_time
        );
    }
    doors.close().await;
    applications.close().await;
    log::info!("stopped");
    Ok(())
}

/// How many applications there are, and how many of them do not answer yet.
fn counted(applications: &[Overview]) -> String {
    let starting = applications
        .iter()
        .filter(|it| it.status == Status::Starting);
    match (applications.len(), starting.count()) {
        (all, 0) => format!("{all} applications"),
        (all, starting) => format!("{all} applications, {starting} of them still being started"),
    }
}
