//! Who looks for which tuples of one length, found by the first field without asking everybody.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::pattern::Pattern;
use super::tuple::Tuple;

/// The hash of a first field. Two fields may share one; the patterns tell them apart.
pub type Key = u64;

/// Parties of one kind, in the order in which they came.
pub struct Interest<T> {
    all: BTreeMap<u64, (Pattern, T)>,
    by_key: HashMap<Key, Numbers>,
    /// Those whose first field may be several things.
    open: BTreeSet<u64>,
}

impl<T> Default for Interest<T> {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            by_key: HashMap::new(),
            open: BTreeSet::new(),
        }
    }
}

impl<T> Interest<T> {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// `key` is that of the pattern's first field, where that is an exact one.
    pub fn insert(&mut self, number: u64, key: Option<Key>, pattern: Pattern, party: T) {
        match key {
            Some(key) => self.by_key.entry(key).or_default().insert(number),
            None => {
                self.open.insert(number);
            }
        }
        self.all.insert(number, (pattern, party));
    }

    pub fn party(&mut self, number: u64) -> Option<&mut T> {
        self.all.get_mut(&number).map(|(_, party)| party)
    }

    pub fn remove(&mut self, number: u64, key: Option<Key>) -> Option<T> {
        match key {
            Some(key) => {
                let numbers = self.by_key.get_mut(&key);
                if numbers.is_some_and(|numbers| numbers.remove(number)) {
                    self.by_key.remove(&key);
                }
            }
            None => {
                self.open.remove(&number);
            }
        }
        self.all.remove(&number).map(|(_, party)| party)
    }

    /// Whose pattern this tuple matches, in the order in which they came; `key` is that of its first field.
    pub fn matching<'a>(
        &'a self,
        tuple: &'a Tuple,
        key: Option<Key>,
    ) -> impl Iterator<Item = (u64, Option<Key>, &'a T)> {
        let keyed = key.and_then(|key| self.by_key.get(&key));
        let mut keyed = keyed.into_iter().flat_map(Numbers::iter).peekable();
        let mut open = self.open.iter().copied().peekable();
        let in_order = std::iter::from_fn(move || match (keyed.peek(), open.peek()) {
            (Some(one), Some(other)) if one < other => keyed.next().map(|number| (number, key)),
            (_, Some(_)) => open.next().map(|number| (number, None)),
            (_, None) => keyed.next().map(|number| (number, key)),
        });
        in_order.filter_map(|(number, key)| {
            let (pattern, party) = &self.all[&number];
            pattern.matches(tuple).then_some((number, key, party))
        })
    }
}

/// Numbers in order; mostly there is one.
#[derive(Default)]
pub enum Numbers {
    #[default]
    None,
    One(u64),
    Many(BTreeSet<u64>),
}

impl Numbers {
    pub fn insert(&mut self, number: u64) {
        match self {
            Self::None => *self = Self::One(number),
            Self::One(first) => *self = Self::Many([*first, number].into()),
            Self::Many(numbers) => {
                numbers.insert(number);
            }
        }
    }

    /// Whether none are left.
    pub fn remove(&mut self, number: u64) -> bool {
        match self {
            Self::None => true,
            Self::One(first) => *first == number,
            Self::Many(numbers) => {
                numbers.remove(&number);
                numbers.is_empty()
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(number) => (Some(*number), None),
            Self::Many(numbers) => (None, Some(numbers)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }
}
