//! Who wants to hear of which key, in memory: a watch ends with its guard.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use crate::place::Place;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    Put,
    Deleted,
    Expired,
}

/// Called on the committer's thread, after the commit and in its order; it only puts something into a mailbox.
type Hear = Arc<dyn Fn(Happened) + Send + Sync>;

/// All watches.
#[derive(Clone, Default)]
pub struct Watches {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    watched: HashMap<(Place, String), BTreeMap<u64, Hear>>,
}

/// One watch, for as long as it is held.
pub struct Watch {
    id: u64,
    key: (Place, String),
    watches: Watches,
}

impl Watches {
    pub fn watch(
        &self,
        place: &Place,
        key: &str,
        hear: impl Fn(Happened) + Send + Sync + 'static,
    ) -> Watch {
        let key = (place.clone(), key.to_owned());
        let mut state = self.state.lock().unwrap();
        state.last_id += 1;
        let id = state.last_id;
        let watched = state.watched.entry(key.clone()).or_default();
        watched.insert(id, Arc::new(hear));
        Watch {
            id,
            key,
            watches: self.clone(),
        }
    }

    pub fn tell(&self, place: Place, key: String, happened: Happened) {
        let state = self.state.lock().unwrap();
        let watched = state.watched.get(&(place, key));
        let hear: Vec<_> = watched.map_or(Vec::new(), |it| it.values().cloned().collect());
        drop(state);
        hear.iter().for_each(|hear| hear(happened));
    }
}

impl Watch {
    /// Whether it is for the same key.
    pub fn is_like(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.watches.state.lock().unwrap();
        if let Some(watched) = state.watched.get_mut(&self.key) {
            watched.remove(&self.id);
            if watched.is_empty() {
                state.watched.remove(&self.key);
            }
        }
    }
}
