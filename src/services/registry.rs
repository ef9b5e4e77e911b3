//! The registry as actors see it: what was registered, and what the node lists of itself.

use std::sync::Arc;

use super::Services;
use crate::coordination::registry::{Filter, ObjectType, Offer, Registration, RegistryError};
use crate::place::Place;

/// Tells what the node lists of itself in a place: applications, actors, and the node.
pub type Listing = Arc<dyn Fn(&Place) -> Vec<Registration> + Send + Sync>;

impl Services {
    /// From now on the registry lists this too. The applications stand on the floors below, so they are handed up.
    pub fn lists(&self, listing: impl Fn(&Place) -> Vec<Registration> + Send + Sync + 'static) {
        *self.listing.lock().unwrap() = Some(Arc::new(listing));
    }

    fn listed(&self, place: &Place) -> Vec<Registration> {
        let listing = self.listing.lock().unwrap().clone();
        listing.map_or_else(Vec::new, |listing| listing(place))
    }

    /// Enters an object; nobody enters what the node lists itself.
    pub fn register(
        &self,
        place: &Place,
        object_type: ObjectType,
        id: &str,
        offer: Offer,
    ) -> Result<(), RegistryError> {
        let is_it = |it: &Registration| it.object_type == object_type && it.id == id;
        if self.listed(place).iter().any(is_it) {
            return Err(RegistryError::Listed(id.chars().take(64).collect()));
        }
        let registry = &self.coordination.registry;
        registry.register(place, object_type, id, offer)
    }

    /// Every entry of a place, by type and id.
    pub fn registrations(&self, place: &Place) -> Vec<Registration> {
        // The node knows better: what it lists stands before what was registered under the same type and id.
        let mut entries = self.listed(place);
        entries.extend(self.coordination.registry.entries(place));
        entries.sort_by(|one, other| key(one).cmp(&key(other)));
        entries.dedup_by(|later, earlier| key(later) == key(earlier));
        entries
    }

    /// The entries that a filter admits, at most `limit` after `offset`; more than `bytes_max` together are an error.
    pub fn discover(
        &self,
        place: &Place,
        filter: &Filter,
        (offset, limit): (usize, Option<usize>),
        bytes_max: usize,
    ) -> Result<Vec<Registration>, RegistryError> {
        let entries = self.registrations(place).into_iter();
        let wanted = entries
            .filter(|it| filter.admits(it))
            .skip(offset)
            .take(limit.unwrap_or(usize::MAX));
        let found: Vec<Registration> = wanted.collect();
        let bytes: usize = found.iter().map(Registration::bytes).sum();
        match bytes > bytes_max {
            true => Err(RegistryError::TooMuch(bytes_max)),
            false => Ok(found),
        }
    }
}

fn key(it: &Registration) -> (ObjectType, &str) {
    (it.object_type, &it.id)
}
