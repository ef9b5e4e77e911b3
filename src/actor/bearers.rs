//! The actors of each type, by the application they belong to: searched and left without looking at all of them.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::id::{ActorId, Scope};

/// Who bears which type.
#[derive(Default)]
pub(super) struct Bearers {
    by_type: HashMap<Arc<str>, Vec<Troupe>>,
    /// Counts searches, so that several actors of one application take turns.
    searches: usize,
}

/// The actors of one type in one application, by address. Never empty.
type Troupe = IndexMap<Arc<str>, ActorId>;

/// What a search by type found. Of several that belong to one application, each gets its turn.
#[derive(Debug)]
pub enum Match {
    None,
    One(ActorId),
    /// Several applications have such an actor, so the caller must say which it means; one actor of each.
    Several(Vec<ActorId>),
}

impl Bearers {
    pub fn add(&mut self, id: &ActorId) {
        let troupes = self.by_type.entry(id.actor_type().clone()).or_default();
        let place = place_in(troupes, id).unwrap_or_else(|| {
            troupes.push(Troupe::new());
            troupes.len() - 1
        });
        troupes[place].insert(id.address().clone(), id.clone());
    }

    pub fn remove(&mut self, id: &ActorId) {
        let Some(troupes) = self.by_type.get_mut(id.actor_type()) else {
            return;
        };
        let Some(place) = place_in(troupes, id) else {
            return;
        };
        troupes[place].swap_remove(id.address());
        if troupes[place].is_empty() {
            troupes.swap_remove(place);
        }
        if troupes.is_empty() {
            self.by_type.remove(id.actor_type());
        }
    }

    /// The actors of a type within a tenant, by namespace or by the application's name.
    pub fn find(&mut self, tenant: &Scope, namespace: &str, actor_type: &str) -> Match {
        self.searches = self.searches.wrapping_add(1);
        let meant = |troupe: &&Troupe| {
            let any = &troupe[0];
            any.tenant() == tenant
                && (&**any.namespace() == namespace || &**any.application() == namespace)
        };
        let troupes = self.by_type.get(actor_type).into_iter().flatten();
        let found: Vec<&Troupe> = troupes.filter(meant).collect();
        match found[..] {
            [] => Match::None,
            [troupe] => Match::One(troupe[self.searches % troupe.len()].clone()),
            _ => Match::Several(found.into_iter().map(|troupe| troupe[0].clone()).collect()),
        }
    }
}

fn place_in(troupes: &[Troupe], id: &ActorId) -> Option<usize> {
    let of_its = |troupe: &Troupe| {
        let any = &troupe[0];
        any.application() == id.application()
            && any.tenant() == id.tenant()
            && any.namespace() == id.namespace()
    };
    troupes.iter().position(of_its)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ApplicationName, ChildId, NodeId};

    fn actor(application: &str, child: &str) -> ActorId {
        let scope = Scope::default();
        ActorId::child(
            (&scope, &scope),
            &ApplicationName::parse(application).unwrap(),
            &ChildId::parse(child).unwrap(),
            Some(&ChildId::parse("worker").unwrap()),
            &NodeId::parse("n").unwrap(),
        )
    }

    fn found(bearers: &mut Bearers, namespace: &str) -> String {
        match bearers.find(&Scope::default(), namespace, "worker") {
            Match::None => "none".into(),
            Match::One(id) => id.to_string(),
            Match::Several(ids) => format!("{} applications", ids.len()),
        }
    }

    #[test]
    fn actors_of_one_application_take_turns_and_leave_nothing_behind() {
        let mut bearers = Bearers::default();
        let (first, second, other) = (actor("a", "1"), actor("a", "2"), actor("b", "1"));
        assert_eq!(found(&mut bearers, "a"), "none");
        for id in [&first, &second, &other] {
            bearers.add(id);
        }
        let (one, next) = (found(&mut bearers, "a"), found(&mut bearers, "a"));
        assert!(one != next && one.starts_with("a/") && next.starts_with("a/"));
        assert_eq!(found(&mut bearers, "default"), "2 applications");
        bearers.remove(&first);
        bearers.remove(&first);
        assert_eq!(found(&mut bearers, "a"), "a/2@n");
        bearers.remove(&second);
        assert_eq!(found(&mut bearers, "default"), "b/1@n");
        bearers.remove(&other);
        assert!(bearers.by_type.is_empty());
    }
}
