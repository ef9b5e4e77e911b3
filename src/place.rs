//! Whose data a service keeps: one namespace of one tenant, and who may name which.

use std::fmt;

use crate::id::{ActorId, InvalidName, Scope};

/// A namespace of a tenant. What is kept in one place is seen from no other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub tenant: Scope,
    pub namespace: Scope,
}

/// Why an application may not work in the place it named.
#[derive(Debug, thiserror::Error)]
pub enum Elsewhere {
    #[error(
        "tenant {0:?} is not this application's; leave tenant-id empty, or give the application's own"
    )]
    Foreign(String),
    #[error(transparent)]
    Invalid(#[from] InvalidName),
}

impl Place {
    /// An application's own.
    pub fn of(actor: &ActorId) -> Self {
        Self {
            tenant: actor.tenant().clone(),
            namespace: actor.namespace().clone(),
        }
    }

    /// The place that an application which is at home here means by these names: an empty one is its own. Other
    /// namespaces of its tenant are open to it, other tenants are not.
    pub fn named(&self, tenant: &str, namespace: &str) -> Result<Self, Elsewhere> {
        if !tenant.is_empty() && *tenant != *self.tenant {
            return Err(Elsewhere::Foreign(tenant.chars().take(128).collect()));
        }
        let namespace = match namespace {
            "" => self.namespace.clone(),
            named => Scope::parse("namespace", named)?,
        };
        Ok(Self {
            tenant: self.tenant.clone(),
            namespace,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(tenant: &str, namespace: &str) -> Place {
        Place {
            tenant: Scope::parse("tenant", tenant).unwrap(),
            namespace: Scope::parse("namespace", namespace).unwrap(),
        }
    }

    #[test]
    fn an_application_names_its_own_tenant_or_none() {
        let home = place("acme", "shop");
        let check = |tenant: &str, namespace: &str, expected: Option<Place>| {
            let named = home.named(tenant, namespace);
            assert_eq!(named.ok(), expected, "{tenant:?} {namespace:?}");
        };
        check("", "", Some(place("acme", "shop")));
        check("acme", "", Some(place("acme", "shop")));
        check("", "yard", Some(place("acme", "yard")));
        check("acme", "yard", Some(place("acme", "yard")));
        check("other", "", None);
        check("other", "shop", None);
        check("acme/shop", "", None);
        check("", "../shop", None);
    }
}
