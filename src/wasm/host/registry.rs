//! A directory of what runs where. Core modules have no spelling of these functions.

use super::bindings::registry::{HealthStatus, Host, Label, ObjectRegistration, ObjectType};
use super::bindings::types::{ActorError, Context, ErrorCode};
use super::messaging::Answer;
use super::tuplespace::limit_of;
use super::{Guest, actor_error};
use crate::coordination::registry::{self, Filter, Health, Offer, Registration, RegistryError};
use crate::wasm::exchange;

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &["register", "unregister", "lookup", "discover", "heartbeat"];

impl Host for Guest {
    fn register(
        &mut self,
        context: Context,
        id: String,
        object_type: ObjectType,
        address: String,
        category: Option<String>,
        capabilities: Vec<String>,
        labels: Vec<Label>,
    ) -> Answer<()> {
        let offer = Offer {
            address,
            category: category.unwrap_or_default(),
            capabilities,
            labels: labels.into_iter().map(|it| (it.key, it.value)).collect(),
        };
        Ok(self.place(&context).and_then(|place| {
            let services = &self.services;
            Ok(services.register(&place, object_type.into(), &id, offer)?)
        }))
    }

    fn unregister(&mut self, context: Context, object_type: ObjectType, id: String) -> Answer<()> {
        Ok(self.place(&context).and_then(|place| {
            let registry = &self.services.coordination.registry;
            Ok(registry.unregister(&place, object_type.into(), &id)?)
        }))
    }

    fn lookup(
        &mut self,
        context: Context,
        object_type: ObjectType,
        id: String,
    ) -> Answer<Option<ObjectRegistration>> {
        let object_type = registry::ObjectType::from(object_type);
        Ok(self.place(&context).map(|place| {
            let mut entries = self.services.registrations(&place).into_iter();
            let found = entries.find(|it| it.object_type == object_type && it.id == id);
            found.map(Into::into)
        }))
    }

    fn discover(
        &mut self,
        context: Context,
        object_type: Option<ObjectType>,
        category: Option<String>,
        capabilities: Vec<String>,
        labels: Vec<String>,
        health: Option<HealthStatus>,
        offset: u32,
        limit: u32,
    ) -> Answer<Vec<ObjectRegistration>> {
        let filter = Filter {
            object_type: object_type.map(Into::into),
            category,
            capabilities,
            labels,
            health: health.map(Into::into),
        };
        let part = (offset as usize, limit_of(limit));
        let bytes_max = exchange::passed_bytes_max(&self.limits);
        Ok(self.place(&context).and_then(|place| {
            let found = self.services.discover(&place, &filter, part, bytes_max)?;
            Ok(found.into_iter().map(Into::into).collect())
        }))
    }

    fn heartbeat(&mut self, context: Context, object_type: ObjectType, id: String) -> Answer<()> {
        Ok(self.place(&context).and_then(|place| {
            let registry = &self.services.coordination.registry;
            Ok(registry.heartbeat(&place, object_type.into(), &id)?)
        }))
    }
}

macro_rules! alike {
    ($one:ty, $other:ty { $($case:ident),* $(,)? }) => {
        impl From<$one> for $other {
            fn from(one: $one) -> Self {
                match one { $(<$one>::$case => <$other>::$case),* }
            }
        }

        impl From<$other> for $one {
            fn from(other: $other) -> Self {
                match other { $(<$other>::$case => <$one>::$case),* }
            }
        }
    };
}

alike!(
    ObjectType,
    registry::ObjectType {
        Unspecified,
        Actor,
        Tuplespace,
        Service,
        Vm,
        Application,
        Workflow,
        Node,
    }
);
alike!(
    HealthStatus,
    Health {
        Unknown,
        Healthy,
        Degraded,
        Unhealthy,
        Starting,
        Stopping,
    }
);

impl From<Registration> for ObjectRegistration {
    fn from(it: Registration) -> Self {
        let labels = it.offer.labels.into_iter();
        Self {
            object_id: it.id,
            object_type: it.object_type.into(),
            grpc_address: it.offer.address,
            object_category: it.offer.category,
            capabilities: it.offer.capabilities,
            labels: labels.map(|(key, value)| Label { key, value }).collect(),
            health_status: it.health.into(),
            created_at: it.created_ms,
            updated_at: it.updated_ms,
            last_heartbeat: it.heartbeat_ms,
        }
    }
}

impl From<RegistryError> for ActorError {
    fn from(error: RegistryError) -> Self {
        let code = match error {
            RegistryError::Text | RegistryError::TooManyTexts | RegistryError::Unknown(_) => {
                ErrorCode::InvalidMessage
            }
            RegistryError::Listed(_) => ErrorCode::NotPermitted,
            RegistryError::TooMany | RegistryError::NoRoom | RegistryError::TooMuch(_) => {
                ErrorCode::ResourceExhausted
            }
        };
        actor_error(code, error.to_string())
    }
}
