//! Deploying by gRPC: the channel, the call, and what its errors mean to a user.

use std::error::Error;
use std::time::Duration;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::client::{self, Client};
use super::deploy::COMPILE_TIME_MAX;
use super::module::hexadecimal;
use super::remedies;
use crate::grpc::proto::application::DeployApplicationRequest;
use crate::grpc::proto::application::application_service_client::ApplicationServiceClient;
use crate::grpc::proto::wasm::WasmModule;

/// How often a node that is compiling is asked whether it is still there, and how long it has to say so.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIME_MAX: Duration = Duration::from_secs(20);

/// What is deployed, under which names.
pub struct Deploy<'a> {
    pub application_id: &'a str,
    pub name: &'a str,
    pub version: &'a str,
    pub wasm: Vec<u8>,
}

/// The answer as the same call over HTTP has it.
#[derive(serde::Serialize)]
struct Deployed {
    success: bool,
    application_id: String,
    status: &'static str,
    error: Option<String>,
}

pub async fn deploy(client: &Client, deploy: Deploy<'_>) -> anyhow::Result<Bytes> {
    let mut request = Request::new(deploy.message());
    if let Some(authorization) = &client.authorization {
        let value = authorization.as_bytes().try_into()?;
        request.metadata_mut().insert("authorization", value);
    }
    let mut service = ApplicationServiceClient::new(channel(client).await?);
    let deploying = service.deploy_application(request);
    let answer = tokio::time::timeout(COMPILE_TIME_MAX, deploying).await;
    let answer = answer
        .map_err(|_| {
            anyhow!(
                "{} has not answered within {COMPILE_TIME_MAX:?}",
                client.node
            )
        })?
        .map_err(|status| explained(client, &status))?
        .into_inner();
    if let Some(error) = answer.error.clone().filter(|_| !answer.success) {
        bail!(error);
    }
    let json = Deployed {
        success: answer.success,
        status: answer.status().as_str_name(),
        application_id: answer.application_id,
        error: answer.error,
    };
    Ok(serde_json::to_vec(&json)?.into())
}

impl Deploy<'_> {
    fn message(self) -> DeployApplicationRequest {
        let module = WasmModule {
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            module_hash: hexadecimal(&Sha256::digest(&self.wasm)),
            size_bytes: self.wasm.len() as u64,
            module_bytes: self.wasm.into(),
            ..WasmModule::default()
        };
        DeployApplicationRequest {
            application_id: self.application_id.to_owned(),
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            wasm_module: Some(module),
            ..DeployApplicationRequest::default()
        }
    }
}

/// A connection to the node's gRPC port. That somebody listens is known first, so that the words about it are the same
/// as over HTTP.
async fn channel(client: &Client) -> anyhow::Result<Channel> {
    let (address, probe) = client::connect(&client.node).await?;
    drop(probe);
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(client::CONNECT_TIME_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIME_MAX);
    let connected = endpoint.connect().await;
    connected.map_err(|error| anyhow!("cannot reach a node at {}: {error}", client.node))
}

/// A refusal in the node's words; where no node's service answered, what may be wrong.
fn explained(client: &Client, status: &Status) -> anyhow::Error {
    let by_another = ["protocol error", "grpc-status header missing"]
        .iter()
        .any(|words| status.message().starts_with(words));
    if by_another || status.source().is_some() {
        return anyhow!(
            "{} does not speak gRPC as a node does; --node takes a node's gRPC port, which is the one before HTTP's",
            client.node
        );
    }
    let words = status.message().replace('\n', " ");
    match status.code() {
        code if words.is_empty() => anyhow!("the node refuses with {code:?}"),
        Code::Unauthenticated => anyhow!("{words}{}", client::HOW_A_TOKEN_IS_GIVEN),
        _ => anyhow!(remedies::in_commands(&words)),
    }
}
