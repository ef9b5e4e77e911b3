//! A gRPC client of a node, made of the generated code, for tests that wait in turn for each answer.

use std::net::SocketAddr;

use plexspaces_node::grpc::proto::application::{
    DeployApplicationRequest, DeployApplicationResponse,
};
use plexspaces_node::grpc::proto::wasm::WasmModule;
use tokio::runtime::{Builder, Runtime};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::harness::Node;

/// Calls the service of that name, as `applications!(rpc, list_applications(request))`.
macro_rules! applications {
    ($rpc:expr, $call:ident($request:expr)) => {
        $rpc.call($request, |channel, request| async move {
            plexspaces_node::grpc::proto::application::application_service_client::ApplicationServiceClient::new(channel).$call(request).await
        })
    };
}

macro_rules! actors {
    ($rpc:expr, $call:ident($request:expr)) => {
        $rpc.call($request, |channel, request| async move {
            plexspaces_node::grpc::proto::actor::actor_service_client::ActorServiceClient::new(
                channel,
            )
            .$call(request)
            .await
        })
    };
}

macro_rules! modules {
    ($rpc:expr, $call:ident($request:expr)) => {
        $rpc.call($request, |channel, request| async move {
            plexspaces_node::grpc::proto::wasm::wasm_runtime_service_client::WasmRuntimeServiceClient::new(channel).$call(request).await
        })
    };
}

macro_rules! system {
    ($rpc:expr, $call:ident($request:expr)) => {
        $rpc.call($request, |channel, request| async move {
            plexspaces_node::grpc::proto::system::system_service_client::SystemServiceClient::new(
                channel,
            )
            .$call(request)
            .await
        })
    };
}
/// A connection, and who drives it.
pub struct Rpc {
    runtime: Runtime,
    channel: Channel,
    metadata: MetadataMap,
}

impl Rpc {
    pub fn to(node: &Node) -> Self {
        Self::at(node.grpc, "localhost")
    }

    /// Asks for this host at that address.
    pub fn at(address: SocketAddr, host: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let origin = format!("http://{host}:{}", address.port());
        let endpoint = endpoint.origin(origin.parse().unwrap());
        let channel = runtime.block_on(async { endpoint.connect_lazy() });
        Self {
            runtime,
            channel,
            metadata: MetadataMap::new(),
        }
    }

    /// The same with one more header on each call.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.metadata.insert(name, value.parse().unwrap());
        self
    }

    /// Sends a request by what `call` makes of the connection.
    pub fn call<Q, A, F>(
        &self,
        request: Q,
        call: impl FnOnce(Channel, Request<Q>) -> F,
    ) -> Result<A, Status>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        let answer = self.runtime.block_on(call(self.channel.clone(), request));
        answer.map(Response::into_inner)
    }

    /// Waits on something else that uses the connection.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub fn deploy(
        &self,
        request: DeployApplicationRequest,
    ) -> Result<DeployApplicationResponse, Status> {
        applications!(self, deploy_application(request))
    }
}

pub(crate) use {actors, applications, modules, system};

/// The usual fields for `name`, and this module.
pub fn deploy_of(name: &str, wasm: &[u8]) -> DeployApplicationRequest {
    DeployApplicationRequest {
        application_id: format!("{name}-app"),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        wasm_module: Some(WasmModule {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            module_bytes: wasm.to_vec().into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Fails unless this is that refusal with these words in one line.
#[track_caller]
pub fn is_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, words: &[&str]) {
    let status = answer.expect_err("it is not refused");
    assert_eq!(status.code(), code, "{status:?}");
    for word in words {
        assert!(
            status.message().contains(word),
            "{word:?} is not in {status:?}"
        );
    }
    assert!(!status.message().contains('\n'), "{status:?}");
}
