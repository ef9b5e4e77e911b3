//! WasmRuntimeService: keep a module by itself, and start actors of it one by one.

use bytes::Bytes;
use toml::Table;
use tonic::{Request, Response, Status};

use super::arrival::Arrival;
use super::config::{named, put_span};
use super::methods;
use super::moment::timestamp;
use super::proto::wasm::deploy_wasm_module_request::PreWarmStrategy;
use super::proto::wasm::wasm_runtime_service_server::WasmRuntimeService;
use super::proto::wasm::{
    DeployWasmModuleRequest, DeployWasmModuleResponse, InstantiateActorRequest,
    InstantiateActorResponse, ResourceLimits, WasmCapabilities, WasmConfig, WasmModule,
};
use crate::application::Spawn;
use crate::application::spec::Config;
use crate::audit::Entry;
use crate::gate::Door;
use crate::id::{ModuleName, Version};
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::Artifact;

pub struct Modules {
    door: Door,
}

impl Modules {
    pub fn new(door: &Door) -> Self {
        let door = door.clone();
        Self { door }
    }

    /// The name and version of a module that is to be kept, and its bytes on the disk.
    async fn received(
        &self,
        request: DeployWasmModuleRequest,
    ) -> Result<(ModuleName, Version, Artifact), Refusal> {
        let strategy: PreWarmStrategy = named(request.pre_warm, "pre_warm")?;
        if strategy != PreWarmStrategy::None || !request.target_node_tags.is_empty() {
            return Err(alone("pre_warm and target_node_tags"));
        }
        let module = request.module.unwrap_or_default();
        require(&[
            ("module.name", module.name.is_empty()),
            ("module.version", module.version.is_empty()),
            ("module.module_bytes", module.module_bytes.is_empty()),
        ])?;
        let name = ModuleName::parse(&module.name)?;
        let version = Version::parse(&module.version)?;
        Ok((name, version, store(&self.door, module).await?))
    }

    /// The module that an actor is to be of, and what else is wanted of it.
    fn wanted(&self, request: InstantiateActorRequest) -> Result<(String, Spawn), Refusal> {
        require(&[
            ("module_ref", request.module_ref.is_empty()),
            ("actor_id", request.actor_id.is_empty()),
        ])?;
        let node = &**self.door.actors.node();
        if !request.target_node_id.is_empty() && request.target_node_id != node {
            return Err(alone("target_node_id of another node"));
        }
        let spawn = Spawn {
            id: request.actor_id,
            initial_state: request.initial_state,
            config: request.config.map(configured).transpose()?,
        };
        Ok((request.module_ref, spawn))
    }
}

#[tonic::async_trait]
impl WasmRuntimeService for Modules {
    async fn deploy_module(
        &self,
        request: Request<DeployWasmModuleRequest>,
    ) -> Result<Response<DeployWasmModuleResponse>, Status> {
        let arrival = Arrival::of(&request);
        let entry = arrival.entry();
        let received = self.received(request.into_inner()).await;
        let (entry, (name, version, artifact)) = entry.prepared(received)?;
        arrival.passed_on();
        let (applications, turn) = (self.door.applications.clone(), arrival.turn());
        // From here on a client that leaves changes nothing.
        let keeping = async move {
            let _turn = turn;
            applications.keep_module(name, version, artifact).await
        };
        let module = self.door.carry_out(entry, keeping).await?;
        Ok(Response::new(DeployWasmModuleResponse {
            success: true,
            module_hash: module.digest.to_string(),
            ..Default::default()
        }))
    }

    async fn instantiate_actor(
        &self,
        request: Request<InstantiateActorRequest>,
    ) -> Result<Response<InstantiateActorResponse>, Status> {
        let entry = Arrival::of(&request).entry();
        let wanted = self.wanted(request.into_inner());
        let actor_id = spawned(&self.door, entry, wanted).await?;
        Ok(Response::new(InstantiateActorResponse {
            success: true,
            actor_id,
            node_id: self.door.actors.node().to_string(),
            created_at: Some(timestamp(self.door.actors.clock().wall())),
            error: None,
        }))
    }
}

/// Starts an actor of a module, and answers with its address.
pub async fn spawned(
    door: &Door,
    entry: Entry,
    wanted: Result<(String, Spawn), Refusal>,
) -> Result<String, Refusal> {
    let (entry, (module, spawn)) = entry.prepared(wanted)?;
    let applications = door.applications.clone();
    let spawning = async move { applications.spawn(&module, spawn).await };
    let address = door.carry_out(entry, spawning).await?;
    Ok(address.to_string())
}

/// Writes a module to the disk, as an upload by HTTP is.
pub async fn store(door: &Door, module: WasmModule) -> Result<Artifact, Refusal> {
    let mut bytes: Bytes = module.module_bytes;
    if bytes.len() > limits::GRPC_WASM_BYTES_MAX {
        return Err(methods::module_too_large());
    }
    let mut upload = door.applications.upload().await?;
    while !bytes.is_empty() {
        let chunk = bytes.split_to(bytes.len().min(limits::CHUNK_BYTES_MAX));
        let metrics = door.actors.metrics();
        metrics.upload_bytes.inc_by(chunk.len() as u64);
        upload.write(chunk).await?;
    }
    let artifact = upload.finish().await?;
    let (sent, arrived) = (module.module_hash, artifact.digest.to_string());
    if !sent.is_empty() && !sent.trim().eq_ignore_ascii_case(&arrived) {
        let text = format!(
            "module_hash does not match: the module_bytes that arrived have {arrived}; send them again"
        );
        return Err(Refusal::new(Kind::Unprocessable, text));
    }
    Ok(artifact)
}

/// Names every required field that is missing.
pub fn require(fields: &[(&str, bool)]) -> Result<(), Refusal> {
    let missing = fields.iter().filter(|(_, missing)| *missing);
    let missing: Vec<&str> = missing.map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!("missing required fields: {}", missing.join(", "));
    Err(Refusal::new(Kind::Malformed, text))
}

/// The answer to what only several nodes could do.
fn alone(what: &str) -> Refusal {
    let text = format!("{what}: this node acts for itself alone; leave it out");
    Refusal::new(Kind::Malformed, text)
}

/// What one actor may use and do, in the words of a configuration. A number that is not set is 0 on the wire, and then
/// means the default.
fn configured(config: WasmConfig) -> Result<Config, Refusal> {
    let (mut table, mut written) = (Table::new(), Table::new());
    let given = config.limits.unwrap_or_default();
    refuse_unknown_limits(&given)?;
    for (key, number) in [
        ("max_memory_bytes", given.max_memory_bytes),
        ("max_table_elements", given.max_table_elements.into()),
    ] {
        if number > 0 {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            written.insert(key.into(), number.into());
        }
    }
    put_span(&mut written, "max_execution_time", given.max_execution_time)?;
    table.insert("limits".into(), written.into());
    if let Some(capabilities) = config.capabilities {
        table.insert("capabilities".into(), switches(capabilities).into());
    }
    Ok(Config::Table(table))
}

fn refuse_unknown_limits(given: &ResourceLimits) -> Result<(), Refusal> {
    let unknown = [
        ("max_stack_bytes", given.max_stack_bytes > 0),
        ("max_fuel", given.max_fuel > 0),
        ("max_pooled_instances", given.max_pooled_instances > 0),
    ];
    match unknown.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => {
            let text = format!("limits.{name} is not supported by this node; leave it out");
            Err(Refusal::new(Kind::Unprocessable, text))
        }
    }
}

/// By the keys of a configuration.
fn switches(given: WasmCapabilities) -> Table {
    let switches = [
        ("allow_filesystem", given.allow_filesystem),
        ("allow_network", given.allow_network),
        ("allow_env", given.allow_env),
        ("allow_random", given.allow_random),
        ("allow_clocks", given.allow_clocks),
        ("allow_tuplespace", given.allow_tuplespace),
        ("allow_spawn_actors", given.allow_spawn_actors),
        ("allow_send_messages", given.allow_send_messages),
        ("allow_logging", given.allow_logging),
    ];
    let switches = switches.map(|(key, on)| (key.to_owned(), on.into()));
    let root = ("filesystem_root".to_owned(), given.filesystem_root.into());
    switches.into_iter().chain([root]).collect()
}
