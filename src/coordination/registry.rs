//! What is offered, by whom, still alive or not: registrations by type and id, which end when their heartbeats do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::budget::{Budget, Share};
use crate::clock::Clock;
use crate::limits;
use crate::place::Place;

/// The registrations of all places.
#[derive(Clone)]
pub struct Registry {
    state: Arc<Mutex<State>>,
    clock: Clock,
    budget: Budget,
}

/// What sort of thing is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectType {
    Unspecified,
    Actor,
    Tuplespace,
    Service,
    Vm,
    Application,
    Workflow,
    Node,
}

/// How it fares, as far as its heartbeats tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Unknown,
    Healthy,
    Degraded,
    Unhealthy,
    Starting,
    Stopping,
}

/// An entry as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub object_type: ObjectType,
    pub id: String,
    pub offer: Offer,
    pub health: Health,
    pub created_ms: u64,
    pub updated_ms: u64,
    pub heartbeat_ms: Option<u64>,
}

/// What a registration says of its object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    pub address: String,
    pub category: String,
    pub capabilities: Vec<String>,
    pub labels: Vec<(String, String)>,
}

/// Which entries are wanted: those that meet every condition that is given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub object_type: Option<ObjectType>,
    pub category: Option<String>,
    /// All of these.
    pub capabilities: Vec<String>,
    /// Labels of all these keys, or with `key=value` of this value too.
    pub labels: Vec<String>,
    pub health: Option<Health>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error(
        "an object's id has 1 to {max} characters, and no other text of a registration has more",
        max = limits::SERVICE_NAME_CHARS_MAX
    )]
    Text,
    #[error(
        "a registration has at most {} capabilities and {} labels",
        limits::REGISTRATION_TEXTS_MAX,
        limits::REGISTRATION_TEXTS_MAX
    )]
    TooManyTexts,
    #[error("{0:?} is not registered here, or its heartbeats stopped; register it again")]
    Unknown(String),
    #[error("{0:?} is listed by the node itself; register it under another type or id")]
    Listed(String),
    #[error(
        "this namespace has {} registrations, its most; unregister some",
        limits::REGISTRATIONS_MAX
    )]
    TooMany,
    #[error("registrations have no more room on this node; try again later")]
    NoRoom,
    #[error("the entries have more than {0} bytes together; give a limit, or a narrower filter")]
    TooMuch(usize),
}

type Name = (ObjectType, Arc<str>);

#[derive(Default)]
struct State {
    places: HashMap<Place, BTreeMap<Name, Entry>>,
    /// When entries end, with their numbers.
    ends: BTreeMap<(Instant, u64), (Place, Name)>,
    last_number: u64,
}

struct Entry {
    number: u64,
    offer: Offer,
    created_ms: u64,
    updated_ms: u64,
    heartbeat_ms: Option<u64>,
    until: Instant,
    _share: Share,
}

impl Registry {
    pub fn new(clock: Clock, budget: Budget) -> Self {
        Self {
            state: Arc::default(),
            clock,
            budget,
        }
    }

    /// Enters an object, in place of any entry with its type and id, until its heartbeats stop.
    pub fn register(
        &self,
        place: &Place,
        object_type: ObjectType,
        id: &str,
        offer: Offer,
    ) -> Result<(), RegistryError> {
        check(id, &offer)?;
        let share = self.budget.take(weight(id, &offer));
        let share = share.ok_or(RegistryError::NoRoom)?;
        let (now_ms, mut state) = (self.clock.wall_ms(), self.settled());
        let name: Name = (object_type, id.into());
        let known = state.places.get(place);
        let earlier = known.and_then(|entries| entries.get(&name));
        let created_ms = earlier.map_or(now_ms, |entry| entry.created_ms);
        if earlier.is_none() && known.is_some_and(|it| it.len() >= limits::REGISTRATIONS_MAX) {
            return Err(RegistryError::TooMany);
        }
        state.remove(place, &name);
        state.last_number += 1;
        let (number, until) = (state.last_number, end());
        state
            .ends
            .insert((until, number), (place.clone(), name.clone()));
        let entry = Entry {
            number,
            offer,
            created_ms,
            updated_ms: now_ms,
            heartbeat_ms: None,
            until,
            _share: share,
        };
        let entries = state.places.entry(place.clone()).or_default();
        entries.insert(name, entry);
        Ok(())
    }

    /// Removes an entry.
    pub fn unregister(
        &self,
        place: &Place,
        object_type: ObjectType,
        id: &str,
    ) -> Result<(), RegistryError> {
        let mut state = self.settled();
        let removed = state.remove(place, &(object_type, id.into()));
        removed.ok_or_else(|| unknown(id))
    }

    /// Reports that an object is alive.
    pub fn heartbeat(
        &self,
        place: &Place,
        object_type: ObjectType,
        id: &str,
    ) -> Result<(), RegistryError> {
        let (now_ms, mut state) = (self.clock.wall_ms(), self.settled());
        let State { places, ends, .. } = &mut *state;
        let name: Name = (object_type, id.into());
        let entries = places.get_mut(place);
        let entry = entries.and_then(|entries| entries.get_mut(&name));
        let entry = entry.ok_or_else(|| unknown(id))?;
        ends.remove(&(entry.until, entry.number));
        entry.heartbeat_ms = Some(now_ms);
        entry.until = end();
        ends.insert((entry.until, entry.number), (place.clone(), name));
        Ok(())
    }

    /// What is registered in a place, by type and id.
    pub fn entries(&self, place: &Place) -> Vec<Registration> {
        let (now, state) = (Instant::now(), self.settled());
        let entries = state.places.get(place).into_iter().flatten();
        entries
            .map(|(name, entry)| entry.shown(name, now))
            .collect()
    }

    /// The state without what has ended: nothing wakes a node for that.
    fn settled(&self) -> std::sync::MutexGuard<'_, State> {
        let (now, mut state) = (Instant::now(), self.state.lock().unwrap());
        while let Some((&(until, _), _)) = state.ends.first_key_value()
            && until <= now
            && let Some((_, (place, name))) = state.ends.pop_first()
        {
            state.remove(&place, &name);
        }
        state
    }
}

fn end() -> Instant {
    Instant::now() + limits::REGISTRATION_LIFETIME
}

fn unknown(id: &str) -> RegistryError {
    RegistryError::Unknown(id.chars().take(64).collect())
}

impl State {
    fn remove(&mut self, place: &Place, name: &Name) -> Option<()> {
        let entries = self.places.get_mut(place)?;
        let entry = entries.remove(name)?;
        if entries.is_empty() {
            self.places.remove(place);
        }
        self.ends.remove(&(entry.until, entry.number));
        Some(())
    }
}

impl Entry {
    fn shown(&self, (object_type, id): &Name, now: Instant) -> Registration {
        // Half of the time without a heartbeat is a missed one.
        let fresh = now + limits::REGISTRATION_LIFETIME / 2 < self.until;
        Registration {
            object_type: *object_type,
            id: id.to_string(),
            offer: self.offer.clone(),
            health: if fresh {
                Health::Healthy
            } else {
                Health::Degraded
            },
            created_ms: self.created_ms,
            updated_ms: self.updated_ms,
            heartbeat_ms: self.heartbeat_ms,
        }
    }
}

fn check(id: &str, offer: &Offer) -> Result<(), RegistryError> {
    let Offer {
        address,
        category,
        capabilities,
        labels,
    } = offer;
    let most = limits::REGISTRATION_TEXTS_MAX;
    if capabilities.len() > most || labels.len() > most {
        return Err(RegistryError::TooManyTexts);
    }
    let pairs = labels.iter().flat_map(|(key, value)| [key, value]);
    let mut texts = [address, category]
        .into_iter()
        .chain(capabilities)
        .chain(pairs);
    let fits = |text: &str| text.chars().count() <= limits::SERVICE_NAME_CHARS_MAX;
    let whole = !id.is_empty() && fits(id) && texts.all(|text| fits(text));
    whole.then_some(()).ok_or(RegistryError::Text)
}

fn weight(id: &str, offer: &Offer) -> usize {
    const BOOKKEEPING: usize = 512;
    BOOKKEEPING + id.len() + offer.bytes()
}

impl Offer {
    fn bytes(&self) -> usize {
        let list = size_of::<String>();
        let capabilities = self.capabilities.iter().map(|it| list + it.len());
        let labels = self.labels.iter();
        let labels = labels.map(|(key, value)| 2 * list + key.len() + value.len());
        let texts = self.address.len() + self.category.len();
        texts + capabilities.sum::<usize>() + labels.sum::<usize>()
    }
}

impl Registration {
    /// What it takes to pass it on.
    pub fn bytes(&self) -> usize {
        weight(&self.id, &self.offer)
    }
}

impl Filter {
    pub fn admits(&self, it: &Registration) -> bool {
        let labelled = |wanted: &String| {
            let (key, value) = match wanted.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (&**wanted, None),
            };
            let mut labels = it.offer.labels.iter();
            labels.any(|label| label.0 == key && value.is_none_or(|value| label.1 == value))
        };
        self.object_type
            .is_none_or(|wanted| wanted == it.object_type)
            && self
                .category
                .as_ref()
                .is_none_or(|wanted| *wanted == it.offer.category)
            && self.health.is_none_or(|wanted| wanted == it.health)
            && self
                .capabilities
                .iter()
                .all(|wanted| it.offer.capabilities.contains(wanted))
            && self.labels.iter().all(labelled)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn registry() -> Registry {
        Registry::new(Clock::system(), Budget::new(100_000))
    }

    fn offer(category: &str, capability: &str, label: (&str, &str)) -> Offer {
        Offer {
            address: "10.0.0.1:8000".into(),
            category: category.into(),
            capabilities: vec![capability.into()],
            labels: vec![(label.0.into(), label.1.into())],
        }
    }

    fn ids(registry: &Registry) -> Vec<String> {
        let entries = registry.entries(&Place::default()).into_iter();
        entries.map(|it| it.id).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_lives_as_long_as_its_heartbeats() {
        let (registry, place) = (registry(), Place::default());
        let register = |id| registry.register(&place, ObjectType::Service, id, Offer::default());
        register("a").unwrap();
        register("b").unwrap();
        let health = || registry.entries(&place)[0].health;
        assert_eq!(health(), Health::Healthy);
        advance(limits::REGISTRATION_LIFETIME / 2).await;
        assert_eq!(health(), Health::Degraded);
        registry
            .heartbeat(&place, ObjectType::Service, "a")
            .unwrap();
        assert_eq!(health(), Health::Healthy);
        advance(limits::REGISTRATION_LIFETIME / 2).await;
        assert_eq!(ids(&registry), ["a"]);
        let dead = registry.heartbeat(&place, ObjectType::Service, "b");
        assert_eq!(dead, Err(RegistryError::Unknown("b".into())));
        advance(limits::REGISTRATION_LIFETIME).await;
        assert_eq!(ids(&registry), [""; 0]);
        let state = registry.state.lock().unwrap();
        assert!(state.places.is_empty() && state.ends.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_gives_its_bytes_back_and_a_full_place_says_so() {
        let budget = Budget::new(10_000_000);
        let registry = Registry::new(Clock::system(), budget.clone());
        let place = Place::default();
        for n in 0..limits::REGISTRATIONS_MAX {
            let id = n.to_string();
            let entered = registry.register(&place, ObjectType::Vm, &id, Offer::default());
            entered.unwrap();
        }
        let one_more = || registry.register(&place, ObjectType::Vm, "x", Offer::default());
        assert_eq!(one_more(), Err(RegistryError::TooMany));
        let again = registry.register(&place, ObjectType::Vm, "7", Offer::default());
        assert_eq!(again, Ok(()));
        advance(limits::REGISTRATION_LIFETIME + Duration::from_millis(1)).await;
        assert_eq!(one_more(), Ok(()));
        assert_eq!(registry.unregister(&place, ObjectType::Vm, "x"), Ok(()));
        assert!(budget.take(10_000_000).is_some(), "all of it is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_filter_admits_what_meets_each_of_its_conditions() {
        let (registry, place) = (registry(), Place::default());
        let registered = [
            (
                ObjectType::Service,
                "a",
                offer("camera", "zoom", ("site", "north")),
            ),
            (
                ObjectType::Service,
                "b",
                offer("camera", "pan", ("site", "south")),
            ),
            (ObjectType::Vm, "c", offer("host", "zoom", ("rack", "7"))),
        ];
        for (object_type, id, offer) in registered {
            registry.register(&place, object_type, id, offer).unwrap();
        }
        let check = |filter: Filter, expected: &[&str]| {
            let entries = registry.entries(&place).into_iter();
            let found: Vec<_> = entries
                .filter(|it| filter.admits(it))
                .map(|it| it.id)
                .collect();
            assert_eq!(found, expected, "{filter:?}");
        };
        let texts = |text: &str| vec![text.to_owned()];
        let all = Filter::default;
        check(all(), &["a", "b", "c"]);
        check(
            Filter {
                object_type: Some(ObjectType::Vm),
                ..all()
            },
            &["c"],
        );
        check(
            Filter {
                category: Some("camera".into()),
                ..all()
            },
            &["a", "b"],
        );
        check(
            Filter {
                capabilities: texts("zoom"),
                ..all()
            },
            &["a", "c"],
        );
        check(
            Filter {
                labels: texts("site"),
                ..all()
            },
            &["a", "b"],
        );
        check(
            Filter {
                labels: texts("site=south"),
                ..all()
            },
            &["b"],
        );
        check(
            Filter {
                health: Some(Health::Healthy),
                ..all()
            },
            &["a", "b", "c"],
        );
        check(
            Filter {
                health: Some(Health::Unknown),
                ..all()
            },
            &[],
        );
        let both = Filter {
            capabilities: vec!["zoom".into(), "pan".into()],
            ..all()
        };
        check(both, &[]);
    }
}
