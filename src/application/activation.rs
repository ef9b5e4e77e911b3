//! From a module and its spec to a running actor, for a deploy and for every start after it.

use std::path::Path;

use bytes::Bytes;

use super::Applications;
use super::record::Record;
use super::spec::Spec;
use crate::actor::{Actor, Bounds, Fault};
use crate::id::{ActorId, Digest};
use crate::limits;
use crate::refusal::{Kind, Refusal};
use crate::storage::Artifact;
use crate::wasm::{self, Birth, ProgramError, Snapshot, Starter};

impl Applications {
    /// Starts what was just uploaded.
    pub(super) async fn activate(
        &self,
        spec: &Spec,
        artifact: &Artifact,
    ) -> Result<(wasm::Kind, Actor), Refusal> {
        let birth = Birth::New(spec.initial_state.clone());
        self.bring_up(
            spec,
            artifact.digest,
            artifact.path(),
            artifact.bytes,
            birth,
        )
        .await
    }

    /// Starts what is deployed, from `left` or else from what its actor left when it last stopped in order.
    pub(super) async fn reactivate(
        &self,
        record: &Record,
        left: Option<Bytes>,
    ) -> Result<Actor, Refusal> {
        let spec = &record.spec;
        let left = match left {
            Some(left) => Some(left),
            None => {
                let (name, actor) = (spec.name.to_string(), self.worker_id(spec).to_string());
                self.storage.deployments.left(name, actor).await?
            }
        };
        let path = self.storage.artifacts.path(record.digest);
        let birth = self.birth(spec, left);
        let (_, worker) = self
            .bring_up(spec, record.digest, &path, record.bytes, birth)
            .await?;
        Ok(worker)
    }

    fn birth(&self, spec: &Spec, left: Option<Bytes>) -> Birth {
        let Some(left) = left else {
            return Birth::New(spec.initial_state.clone());
        };
        Snapshot::decode(left).map_or_else(
            || {
                let name = &spec.name;
                log::error!("what {name} left cannot be read; it starts from its initial state");
                Birth::New(spec.initial_state.clone())
            },
            Birth::Resumed,
        )
    }

    async fn bring_up(
        &self,
        spec: &Spec,
        digest: Digest,
        wasm: &Path,
        bytes: u64,
        birth: Birth,
    ) -> Result<(wasm::Kind, Actor), Refusal> {
        let program = self.wasm.program(digest, wasm, bytes, &spec.limits).await?;
        let kind = program.kind();
        let actor = self.worker_id(spec);
        let starter = Starter {
            program,
            actor: actor.clone(),
            limits: spec.limits,
            capabilities: spec.capabilities,
            env: spec.env.clone().into_iter().collect(),
            birth,
        };
        let bounds = Bounds {
            messages_max: spec.mailbox_messages_max,
            bytes_max: limits::MAILBOX_BYTES_MAX,
            message_bytes_max: spec.limits.message_bytes_max,
        };
        Ok((kind, self.actors.spawn(actor, bounds, starter).await?))
    }

    pub(super) fn worker_id(&self, spec: &Spec) -> ActorId {
        let node = self.actors.node();
        let id = ActorId::worker(&spec.tenant, &spec.namespace, &spec.name, node);
        match &spec.spawned_of {
            Some(module) => id.spawned_of(module),
            None => id,
        }
    }
}

impl From<ProgramError> for Refusal {
    fn from(error: ProgramError) -> Self {
        let kind = match error {
            ProgramError::Refused(_) => Kind::Unprocessable,
            ProgramError::NoMemory(_) => Kind::Exhausted,
            ProgramError::Disk(error) => return error.into(),
            ProgramError::Internal(_) => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken(text) => Self::new(
                Kind::Unprocessable,
                format!("the module does not start: {text}"),
            ),
            Fault::NoRoom(text) => {
                Self::new(Kind::Exhausted, format!("{text}; undeploy something first"))
            }
        }
    }
}
