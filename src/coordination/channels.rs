//! Who hears of which topic, in memory: a subscription ends with its guard.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::id::ActorId;
use crate::limits;
use crate::place::Place;

/// All topics of all places. A topic is there for as long as somebody subscribes to it.
#[derive(Clone, Default)]
pub struct Topics {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    /// By the topic's own name.
    named: HashMap<(Place, String), BTreeMap<u64, Subscriber>>,
    /// By a pattern of names.
    matched: HashMap<Place, BTreeMap<u64, (Pattern, Subscriber)>>,
}

struct Subscriber {
    actor: ActorId,
    /// Which types of messages it wants; absent: all.
    filter: Option<Pattern>,
}

/// One subscription, for as long as it is held.
pub struct Subscription {
    id: u64,
    place: Place,
    topic: String,
    filter: Option<Pattern>,
    topics: Topics,
}

/// Words between dots, of which `*` stands for any one, and `#` for any number of any, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a topic or filter has 1 to {} bytes and no control characters",
    limits::CHANNEL_NAME_BYTES_MAX
)]
pub struct InvalidTopic;

impl Topics {
    /// From now on the actor hears of what is published to topics that `topic` matches, if its type matches `filter`.
    pub fn subscribe(
        &self,
        place: &Place,
        topic: &str,
        filter: Option<&str>,
        actor: &ActorId,
    ) -> Result<Subscription, InvalidTopic> {
        let pattern = Pattern::parse(topic)?;
        let filter = filter.map(Pattern::parse).transpose()?;
        let actor = actor.clone();
        let subscriber = Subscriber {
            actor,
            filter: filter.clone(),
        };
        let mut state = self.state.lock().unwrap();
        state.last_id += 1;
        let id = state.last_id;
        if pattern.is_a_name() {
            let named = state.named.entry((place.clone(), topic.to_owned()));
            named.or_default().insert(id, subscriber);
        } else {
            let matched = state.matched.entry(place.clone()).or_default();
            matched.insert(id, (pattern, subscriber));
        }
        Ok(Subscription {
            id,
            place: place.clone(),
            topic: topic.to_owned(),
            filter,
            topics: self.clone(),
        })
    }

    /// Who is to hear of a message, each once, in the order of their subscriptions.
    pub fn hearers(
        &self,
        place: &Place,
        topic: &str,
        message_type: &str,
    ) -> Result<Vec<ActorId>, InvalidTopic> {
        checked(topic)?;
        let words: Vec<_> = message_type.split('.').collect();
        let topic_words: Vec<_> = topic.split('.').collect();
        let state = self.state.lock().unwrap();
        let named = state.named.get(&(place.clone(), topic.to_owned()));
        let named = named.into_iter().flatten();
        let matched = state.matched.get(place).into_iter().flatten();
        let matched = matched
            .filter(|(_, (pattern, _))| pattern.matches(&topic_words))
            .map(|(id, (_, subscriber))| (id, subscriber));
        let wanted = |subscriber: &Subscriber| {
            let filter = subscriber.filter.as_ref();
            filter.is_none_or(|filter| filter.matches(&words))
        };
        let all = named.chain(matched);
        let hearers: BTreeMap<_, _> = all.filter(|(_, it)| wanted(it)).collect();
        let mut seen = HashSet::new();
        let actors = hearers.into_values().map(|it| &it.actor);
        let once = actors.filter(|actor| seen.insert(actor.address().clone()));
        Ok(once.cloned().collect())
    }
}

impl Subscription {
    /// Whether it is for the same messages.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.place, &self.topic, &self.filter) == (&other.place, &other.topic, &other.filter)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.topics.state.lock().unwrap();
        let key = (self.place.clone(), self.topic.clone());
        if let Some(named) = state.named.get_mut(&key) {
            named.remove(&self.id);
            if named.is_empty() {
                state.named.remove(&key);
            }
        }
        if let Some(matched) = state.matched.get_mut(&self.place) {
            matched.remove(&self.id);
            if matched.is_empty() {
                state.matched.remove(&self.place);
            }
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, InvalidTopic> {
        checked(text)?;
        Ok(Self(text.split('.').map(str::to_owned).collect()))
    }

    fn is_a_name(&self) -> bool {
        !self.0.iter().any(|word| matches!(&**word, "*" | "#"))
    }

    fn matches(&self, words: &[&str]) -> bool {
        // Which of the first so many words the pattern so far can stand for: no pattern makes this take long.
        let mut reached = vec![false; words.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            if part == "#" {
                let first = reached.iter().position(|&yes| yes);
                let first = first.unwrap_or(reached.len());
                reached[first..].fill(true);
                continue;
            }
            let next = |at: usize| at > 0 && reached[at - 1] && stands_for(part, words[at - 1]);
            reached = (0..=words.len()).map(next).collect();
        }
        reached[words.len()]
    }
}

fn stands_for(part: &str, word: &str) -> bool {
    part == "*" || part == word
}

fn checked(topic: &str) -> Result<(), InvalidTopic> {
    let fits = (1..=limits::CHANNEL_NAME_BYTES_MAX).contains(&topic.len());
    let fits = fits && !topic.chars().any(char::is_control);
    fits.then_some(()).ok_or(InvalidTopic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ApplicationName, NodeId};

    #[test]
    fn a_star_is_one_word_and_a_hash_any_number() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let words: Vec<_> = name.split('.').collect();
            let matches = Pattern::parse(pattern).unwrap().matches(&words);
            assert_eq!(matches, expected, "{pattern:?} for {name:?}");
        };
        check("order.created", "order.created", true);
        check("order.created", "order", false);
        check("order.*", "order.created", true);
        check("order.*", "order", false);
        check("order.*", "order.created.eu", false);
        check("*", "order", true);
        check("*", "order.created", false);
        check("#", "order.created.eu", true);
        check("#", "", true);
        check("order.#", "order", true);
        check("order.#", "order.created.eu", true);
        check("order.#", "orders.created", false);
        check("#.eu", "order.created.eu", true);
        check("*.#.eu", "eu", false);
        check("*.#.eu", "order.eu", true);
        check("#.a.#.b", "x.a.y.z.b", true);
        check("#.a.#.b", "x.b.y.a", false);
        check("ord*", "order", false);
        let hashes = ["#"; 100].join(".");
        check(&format!("{hashes}.b"), &["a"; 120].join("."), false);
    }

    #[test]
    fn each_hearer_is_told_once_and_only_in_its_place() {
        let topics = Topics::default();
        let (home, away) = (Place::default(), {
            let home = Place::default();
            home.named("", "away").unwrap()
        });
        let actor = |name: &str| {
            let name = ApplicationName::parse(name).unwrap();
            let Place { tenant, namespace } = &home;
            ActorId::worker(tenant, namespace, &name, &NodeId::default())
        };
        let subscribe = |place, topic, filter, name| {
            topics
                .subscribe(place, topic, filter, &actor(name))
                .unwrap()
        };
        let check = |topic: &str, message_type: &str, expected: &[&str]| {
            let hearers = topics.hearers(&home, topic, message_type).unwrap();
            let names: Vec<_> = hearers
                .iter()
                .map(|it| it.actor_type().to_string())
                .collect();
            assert_eq!(names, expected, "{topic} {message_type}");
        };
        let _elsewhere = subscribe(&away, "orders", None, "stranger");
        let first = subscribe(&home, "orders", Some("order.*"), "first");
        let _again = subscribe(&home, "#", Some("order.paid"), "first");
        let _second = subscribe(&home, "orders", None, "second");
        check("orders", "order.paid", &["first", "second"]);
        check("orders", "order.made", &["first", "second"]);
        check("orders", "refund", &["second"]);
        check("bills", "order.paid", &["first"]);
        drop(first);
        check("orders", "order.made", &["second"]);
        assert!(topics.hearers(&home, "", "x").is_err());
        assert!(topics.subscribe(&home, "a\n", None, &actor("a")).is_err());
    }
}
