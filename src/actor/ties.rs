//! Links and monitors: who hears of whose end. A tie belongs to one life; a death dissolves it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use crate::limits;

type Address = Arc<str>;

/// All ties of this node.
#[derive(Clone, Default)]
pub struct Ties {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    ends: HashMap<Address, Ends>,
    last_ref: u64,
}

/// One actor's ends of its ties.
#[derive(Default)]
struct Ends {
    linked: BTreeSet<Address>,
    /// Those it watches, by the number of the watch.
    watches: BTreeMap<u64, Address>,
    watched_by: BTreeMap<u64, Address>,
}

/// Why a tie was not made or not undone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TieError {
    #[error("actor {0} has {max} links and monitors, its most; undo some", max = limits::TIES_MAX)]
    TooMany(Arc<str>),
    #[error("an actor is not linked to itself")]
    Oneself,
    #[error("this actor has no monitor {0}: it was ended, or has fired")]
    NoMonitor(u64),
}

/// Who hears of an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hearer {
    Linked(Arc<str>),
    Watching { actor: Arc<str>, reference: u64 },
}

impl Ties {
    /// Ties two actors together. A second link between them changes nothing.
    pub fn link(&self, one: &Arc<str>, other: &Arc<str>) -> Result<(), TieError> {
        if one == other {
            return Err(TieError::Oneself);
        }
        let mut state = self.state.lock().unwrap();
        state.has_room(one)?;
        state.has_room(other)?;
        state.of(one).linked.insert(other.clone());
        state.of(other).linked.insert(one.clone());
        Ok(())
    }

    /// Undoes a link, if there is one.
    pub fn unlink(&self, one: &str, other: &str) {
        let mut state = self.state.lock().unwrap();
        state.change(one, |ends| ends.linked.remove(other));
        state.change(other, |ends| ends.linked.remove(one));
    }

    /// Lets `watcher` hear of the end of `watched`; each watch has a number of its own.
    pub fn monitor(&self, watcher: &Arc<str>, watched: &Arc<str>) -> Result<u64, TieError> {
        let mut state = self.state.lock().unwrap();
        state.has_room(watcher)?;
        state.has_room(watched)?;
        state.last_ref += 1;
        let reference = state.last_ref;
        state.of(watcher).watches.insert(reference, watched.clone());
        state
            .of(watched)
            .watched_by
            .insert(reference, watcher.clone());
        Ok(reference)
    }

    pub fn demonitor(&self, watcher: &str, reference: u64) -> Result<(), TieError> {
        let mut state = self.state.lock().unwrap();
        let watched = state.change(watcher, |ends| ends.watches.remove(&reference));
        let watched = watched.flatten().ok_or(TieError::NoMonitor(reference))?;
        state.change(&watched, |ends| ends.watched_by.remove(&reference));
        Ok(())
    }

    /// A life has ended: its ties are dissolved, and these are to hear of it.
    pub fn dissolve(&self, address: &str) -> Vec<Hearer> {
        let mut state = self.state.lock().unwrap();
        let Some(ends) = state.ends.remove(address) else {
            return Vec::new();
        };
        let mut hearers = Vec::new();
        for linked in ends.linked {
            state.change(&linked, |ends| ends.linked.remove(address));
            hearers.push(Hearer::Linked(linked));
        }
        for (reference, actor) in ends.watched_by {
            state.change(&actor, |ends| ends.watches.remove(&reference));
            hearers.push(Hearer::Watching { actor, reference });
        }
        for (reference, watched) in ends.watches {
            state.change(&watched, |ends| ends.watched_by.remove(&reference));
        }
        hearers
    }

    /// How many actors have any ties.
    pub fn len(&self) -> usize {
        self.state.lock().unwrap().ends.len()
    }
}

impl State {
    fn of(&mut self, address: &Arc<str>) -> &mut Ends {
        self.ends.entry(address.clone()).or_default()
    }

    fn has_room(&self, address: &Arc<str>) -> Result<(), TieError> {
        match self.ends.get(address) {
            Some(ends) if ends.len() >= limits::TIES_MAX => Err(TieError::TooMany(address.clone())),
            _ => Ok(()),
        }
    }

    /// Changes the ends of one actor, and forgets it when there are none left.
    fn change<T>(&mut self, address: &str, change: impl FnOnce(&mut Ends) -> T) -> Option<T> {
        let ends = self.ends.get_mut(address)?;
        let changed = change(ends);
        if ends.len() == 0 {
            self.ends.remove(address);
        }
        Some(changed)
    }
}

impl Ends {
    fn len(&self) -> usize {
        self.linked.len() + self.watches.len() + self.watched_by.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn an_end_is_heard_by_both_sorts_and_leaves_nothing() {
        let (ties, [a, b, c]) = (Ties::default(), ["a", "b", "c"].map(address));
        ties.link(&a, &b).unwrap();
        ties.link(&b, &a).unwrap();
        let reference = ties.monitor(&c, &a).unwrap();
        let unheard = ties.monitor(&a, &c).unwrap();
        assert_ne!(reference, unheard);
        let watching = Hearer::Watching {
            actor: c.clone(),
            reference,
        };
        assert_eq!(ties.dissolve("a"), [Hearer::Linked(b.clone()), watching]);
        assert_eq!(ties.dissolve("a"), []);
        assert_eq!(ties.len(), 0);
    }

    #[test]
    fn what_was_undone_is_not_heard() {
        let (ties, [a, b]) = (Ties::default(), ["a", "b"].map(address));
        ties.link(&a, &b).unwrap();
        ties.unlink("b", "a");
        let reference = ties.monitor(&a, &b).unwrap();
        assert_eq!(
            ties.demonitor("b", reference),
            Err(TieError::NoMonitor(reference))
        );
        ties.demonitor("a", reference).unwrap();
        assert!(ties.demonitor("a", reference).is_err());
        assert!(ties.len() == 0 && ties.dissolve("b").is_empty());
    }

    #[test]
    fn ties_are_bounded_on_either_side() {
        let ties = Ties::default();
        let hub = address("hub");
        for n in 0..limits::TIES_MAX {
            ties.link(&address(&n.to_string()), &hub).unwrap();
        }
        let late = address("late");
        assert_eq!(
            ties.monitor(&late, &hub),
            Err(TieError::TooMany(hub.clone()))
        );
        assert_eq!(ties.link(&hub, &late), Err(TieError::TooMany(hub.clone())));
        ties.dissolve("7");
        assert!(ties.monitor(&late, &hub).is_ok());
        assert_eq!(ties.link(&late, &late), Err(TieError::Oneself));
    }
}
