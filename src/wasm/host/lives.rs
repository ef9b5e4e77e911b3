//! The lives of actors, as guests have a say in them: spawn, stop, link, monitor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;

use super::bindings::types::{ActorError, ErrorCode, SpawnOptions};
use super::{Guest, actor_error};
use crate::actor::{Exit, Restart, Spawn, SpawnError, TieError};
use crate::id::{self, ChildId};
use crate::limits;
use crate::wasm::starter::{Birth, Breed, Starter};

/// The label that says how a spawned actor is restarted; without it, it is not.
const RESTART_LABEL: &str = "restart";

impl Guest {
    /// A child of this actor, by what the caller says of it.
    pub fn offspring(
        &self,
        module_ref: &str,
        state: Bytes,
        options: SpawnOptions,
    ) -> Result<Spawn<Starter>, ActorError> {
        if options.durable {
            let text =
                "this node does not keep spawned actors durable yet; spawn it without durable";
            return Err(actor_error(ErrorCode::NotImplemented, text));
        }
        let breed = self.breed(module_ref)?;
        let labels = checked_labels(options.labels)?;
        let mut bounds = self.starter.setting.bounds;
        if let Some(size) = options.mailbox_size {
            bounds.messages_max = (size as usize).clamp(1, limits::MAILBOX_MESSAGES_CEILING);
        }
        let birth = if state.is_empty() { breed.birth } else { state };
        Ok(Spawn {
            seed: Starter {
                program: breed.program,
                birth: Birth::New(birth),
                // Whoever had a made-up name before was somebody else.
                afresh: Arc::new(AtomicBool::new(options.actor_id.is_none())),
                run: None,
                setting: self.starter.setting.clone(),
            },
            id: options.actor_id.map(|id| self.child_id(&id)).transpose()?,
            stem: breed.stem,
            actor_type: breed.actor_type,
            parent: Some(self.actor.address().clone()),
            supervisor: options
                .supervisor
                .map(|id| self.child_id(&id))
                .transpose()?,
            restart: restart_of(&labels)?,
            shutdown_timeout: None,
            bounds,
            labels,
        })
    }

    /// The caller's own module, another worker of its tree, or a library.
    fn breed(&self, module_ref: &str) -> Result<Breed, ActorError> {
        let setting = &self.starter.setting;
        let own = ChildId::parse(self.actor.child_id()).expect("it is one");
        if module_ref.is_empty() || module_ref == &*setting.application {
            let program = match module_ref {
                "" => self.starter.program.clone(),
                _ => setting.module.clone(),
            };
            return Ok(Breed {
                program,
                birth: Bytes::new(),
                actor_type: None,
                stem: own,
            });
        }
        if let Some(breed) = setting.breed(module_ref) {
            return Ok(breed);
        }
        let shown: String = module_ref.chars().take(64).collect();
        let text = format!(
            "no module {shown:?}: leave it empty for the caller's own, or name a worker of this application's tree \
             or a library among its dependencies"
        );
        Err(actor_error(ErrorCode::InvalidMessage, text))
    }

    /// A child's id from the whole or a part of its address.
    fn child_id(&self, text: &str) -> Result<ChildId, ActorError> {
        let node = self.actors.node();
        let local = id::local(text, node);
        let local =
            local.ok_or_else(|| invalid(format!("an actor of this node is named by @{node}")))?;
        let application = &**self.actor.application();
        let id = match local.split_once('/') {
            Some((of, id)) if of == application => id,
            Some(_) => {
                return Err(invalid(format!(
                    "an actor of application {application} is named {application}/ID"
                )));
            }
            None => local,
        };
        ChildId::parse(id).map_err(|error| invalid(error.to_string()))
    }

    /// The whole address of an actor that is there, and of the caller's tenant.
    pub fn acquaintance(&mut self, address: &str) -> Result<Arc<str>, ActorError> {
        Ok(self.reach(address)?.id().address().clone())
    }

    /// Tells an actor of the same application to stop. It is not waited for: it may be waiting for the caller.
    pub fn stop_other(&mut self, address: &str, timeout_ms: u64) -> Result<(), ActorError> {
        let address = self.acquaintance(address)?;
        let application = self.actors.application_of(&address);
        if application.as_ref() != Some(self.actor.application()) {
            let text = "an actor stops only those of its own application";
            return Err(actor_error(ErrorCode::NotPermitted, text));
        }
        let exit = match address == *self.actor.address() {
            true => Exit::Normal,
            false => Exit::Shutdown,
        };
        let grace = (timeout_ms > 0)
            .then(|| Duration::from_millis(timeout_ms).min(limits::SHUTDOWN_TIMEOUT_MAX));
        self.actors.stop(&address, grace, exit);
        Ok(())
    }
}

fn checked_labels(labels: Vec<(String, String)>) -> Result<BTreeMap<String, String>, ActorError> {
    let fits =
        |(name, value): &(String, String)| name.len() + value.len() <= limits::LABEL_BYTES_MAX;
    if labels.len() > limits::LABELS_MAX || !labels.iter().all(fits) {
        let text = format!(
            "an actor has at most {} labels of {} bytes each",
            limits::LABELS_MAX,
            limits::LABEL_BYTES_MAX
        );
        return Err(actor_error(ErrorCode::ResourceExhausted, text));
    }
    Ok(labels.into_iter().collect())
}

fn restart_of(labels: &BTreeMap<String, String>) -> Result<Restart, ActorError> {
    match labels.get(RESTART_LABEL).map(String::as_str) {
        None | Some("temporary") => Ok(Restart::Temporary),
        Some("transient") => Ok(Restart::Transient),
        Some("permanent") => Ok(Restart::Permanent),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            Err(invalid(format!(
                "the label restart is {shown:?}; it is permanent, transient or temporary"
            )))
        }
    }
}

fn invalid(text: String) -> ActorError {
    actor_error(ErrorCode::InvalidMessage, text)
}

impl From<SpawnError> for ActorError {
    fn from(error: SpawnError) -> Self {
        let code = match &error {
            SpawnError::Taken(_) => ErrorCode::InvalidMessage,
            SpawnError::UnknownSupervisor(_) => ErrorCode::ActorNotFound,
            SpawnError::NoRoom(_) | SpawnError::Busy => ErrorCode::ResourceExhausted,
            SpawnError::NotStarted(_) => ErrorCode::DeliveryFailed,
        };
        actor_error(code, error.to_string())
    }
}

impl From<TieError> for ActorError {
    fn from(error: TieError) -> Self {
        let code = match &error {
            TieError::TooMany(_) => ErrorCode::ResourceExhausted,
            TieError::Oneself | TieError::NoMonitor(_) => ErrorCode::InvalidMessage,
        };
        actor_error(code, error.to_string())
    }
}
