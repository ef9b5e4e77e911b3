//! From an uploaded module and its spec to a running application.

use bytes::Bytes;

use super::spec::Spec;
use super::{Application, Applications};
use crate::actor::Bounds;
use crate::id::ActorId;
use crate::limits;
use crate::refusal::Refusal;
use crate::storage::Artifact;
use crate::wasm::Starter;

impl Applications {
    /// Makes the program, starts the worker, and keeps the module last: only what runs is worth keeping.
    pub(super) async fn activate(
        &self,
        spec: Spec,
        artifact: Artifact,
    ) -> Result<Application, Refusal> {
        let digest = artifact.digest;
        let program = self
            .wasm
            .program(digest, artifact.path(), artifact.bytes, &spec.limits)
            .await?;
        let kind = program.kind();
        let actor = ActorId::worker(
            &spec.tenant,
            &spec.namespace,
            &spec.name,
            self.actors.node(),
        );
        let starter = Starter {
            program,
            actor: actor.clone(),
            limits: spec.limits,
            env: spec.env.clone().into_iter().collect(),
            initial_state: Bytes::new(),
        };
        let bounds = Bounds {
            messages_max: spec.mailbox_messages_max,
            bytes_max: limits::MAILBOX_BYTES_MAX,
        };
        let worker = self.actors.spawn(actor, bounds, starter).await?;
        if let Err(error) = self.storage.artifacts.keep(artifact).await {
            worker.stop(limits::SHUTDOWN_GRACE).await;
            return Err(error.into());
        }
        let clock = self.actors.clock();
        Ok(Application {
            spec,
            digest,
            kind,
            deployed_at: clock.wall(),
            started: clock.now(),
            worker,
        })
    }
}
