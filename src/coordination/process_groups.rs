//! Groups of actors by name: who is in, and what each wants to hear. Membership ends with the actor.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use crate::budget::{Budget, Share};
use crate::id::ActorId;
use crate::limits;
use crate::place::Place;

/// The groups of all places.
#[derive(Clone)]
pub struct ProcessGroups {
    state: Arc<Mutex<State>>,
    budget: Budget,
}

#[derive(Default)]
struct State {
    places: HashMap<Place, BTreeMap<Arc<str>, Group>>,
    last_number: u64,
}

struct Group {
    /// It was made as such, and stays when its last member leaves.
    founded: bool,
    /// In the order in which they joined first.
    members: BTreeMap<u64, Member>,
    _share: Share,
}

struct Member {
    actor: ActorId,
    /// Each joining with its topics; none are all.
    joinings: Vec<Joining>,
}

struct Joining {
    topics: Box<[Box<str>]>,
    _share: Share,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error(
        "a group's and a topic's name has 1 to {} characters",
        limits::SERVICE_NAME_CHARS_MAX
    )]
    Name,
    #[error("there is no group {0:?}; create or join it first")]
    Unknown(String),
    #[error("this actor is not in group {0:?}")]
    NotIn(String),
    #[error(
        "this namespace has {} groups, its most; delete some",
        limits::GROUPS_MAX
    )]
    TooMany,
    #[error("the group has {} members, its most", limits::GROUP_MEMBERS_MAX)]
    TooManyMembers,
    #[error(
        "an actor joins at most {} times, each for at most {} topics",
        limits::GROUP_JOINS_MAX,
        limits::GROUP_TOPICS_MAX
    )]
    TooManyJoinings,
    #[error("groups have no more room on this node; try again later")]
    NoRoom,
}

impl ProcessGroups {
    pub fn new(budget: Budget) -> Self {
        Self {
            state: Arc::default(),
            budget,
        }
    }

    /// Makes a group that stays without members. One that is there already stays as it is.
    pub fn create(&self, place: &Place, name: &str) -> Result<(), GroupError> {
        check(name)?;
        let mut state = self.state.lock().unwrap();
        let group = state.group(&self.budget, place, name)?;
        group.founded = true;
        Ok(())
    }

    /// Removes a group and all memberships in it.
    pub fn delete(&self, place: &Place, name: &str) -> Result<(), GroupError> {
        let mut state = self.state.lock().unwrap();
        let groups = state.places.get_mut(place);
        let deleted = groups.and_then(|groups| groups.remove(name));
        state.tidy(place);
        deleted.map(drop).ok_or_else(|| unknown(name))
    }

    /// The members, each once, in the order in which they joined; nobody where there is no such group.
    pub fn members(&self, place: &Place, name: &str) -> Vec<ActorId> {
        self.interested(place, name, None)
    }

    /// The members who want to hear of this topic; without one, all.
    pub fn interested(&self, place: &Place, name: &str, topic: Option<&str>) -> Vec<ActorId> {
        let state = self.state.lock().unwrap();
        let group = state.places.get(place).and_then(|groups| groups.get(name));
        let members = group.into_iter().flat_map(|group| group.members.values());
        let hears = |member: &&Member| topic.is_none_or(|topic| member.hears(topic));
        members
            .filter(hears)
            .map(|member| member.actor.clone())
            .collect()
    }

    /// The names of all groups, in their order.
    pub fn list(&self, place: &Place) -> Vec<Arc<str>> {
        let state = self.state.lock().unwrap();
        let groups = state.places.get(place);
        groups.map_or_else(Vec::new, |groups| groups.keys().cloned().collect())
    }

    /// No memberships yet, for one life of an actor.
    pub fn memberships(&self, actor: ActorId) -> Memberships {
        let mut state = self.state.lock().unwrap();
        state.last_number += 1;
        Memberships {
            groups: self.clone(),
            actor,
            member: state.last_number,
            joined: Vec::new(),
        }
    }
}

fn check(name: &str) -> Result<(), GroupError> {
    let chars = name.chars().count();
    let fits = (1..=limits::SERVICE_NAME_CHARS_MAX).contains(&chars);
    fits.then_some(()).ok_or(GroupError::Name)
}

fn unknown(name: &str) -> GroupError {
    GroupError::Unknown(name.chars().take(64).collect())
}

impl State {
    /// The group of this name, made where there is none.
    fn group(
        &mut self,
        budget: &Budget,
        place: &Place,
        name: &str,
    ) -> Result<&mut Group, GroupError> {
        const BOOKKEEPING: usize = 256;
        let known = self.places.get(place);
        if !known.is_some_and(|groups| groups.contains_key(name)) {
            if known.is_some_and(|groups| groups.len() >= limits::GROUPS_MAX) {
                return Err(GroupError::TooMany);
            }
            let share = budget.take(BOOKKEEPING + name.len());
            let group = Group {
                founded: false,
                members: BTreeMap::new(),
                _share: share.ok_or(GroupError::NoRoom)?,
            };
            let groups = self.places.entry(place.clone()).or_default();
            groups.insert(name.into(), group);
        }
        let groups = self.places.get_mut(place);
        let group = groups.and_then(|groups| groups.get_mut(name));
        group.ok_or_else(|| unknown(name))
    }

    /// Forgets a place without groups.
    fn tidy(&mut self, place: &Place) {
        if self.places.get(place).is_some_and(BTreeMap::is_empty) {
            self.places.remove(place);
        }
    }

    /// Makes the joinings of one life another's, but for one like each that the other has. Answers how many those are.
    fn hand_over(&mut self, place: &Place, name: &str, from: u64, to: u64) -> usize {
        let groups = self.places.get_mut(place);
        let Some(group) = groups.and_then(|groups| groups.get_mut(name)) else {
            return 0;
        };
        let Some(mut earlier) = group.members.remove(&from) else {
            return 0;
        };
        let before = earlier.joinings.len();
        let Some(member) = group.members.get_mut(&to) else {
            group.members.insert(to, earlier);
            return 0;
        };
        for anew in &member.joinings {
            let mut theirs = earlier.joinings.iter();
            let like = theirs.position(|joining| joining.topics == anew.topics);
            like.map(|at| earlier.joinings.remove(at));
        }
        let left_out = before - earlier.joinings.len();
        member.joinings.splice(0..0, earlier.joinings);
        left_out
    }

    /// Takes back the last joining of a member, or with it the membership.
    fn leave(&mut self, place: &Place, name: &str, member: u64) -> bool {
        let Some(groups) = self.places.get_mut(place) else {
            return false;
        };
        let Some(group) = groups.get_mut(name) else {
            return false;
        };
        let Some(found) = group.members.get_mut(&member) else {
            return false;
        };
        found.joinings.pop();
        if found.joinings.is_empty() {
            group.members.remove(&member);
        }
        if group.members.is_empty() && !group.founded {
            groups.remove(name);
        }
        self.tidy(place);
        true
    }
}

impl Member {
    fn hears(&self, topic: &str) -> bool {
        let wants = |joining: &Joining| {
            joining.topics.is_empty() || joining.topics.iter().any(|wanted| **wanted == *topic)
        };
        self.joinings.iter().any(wants)
    }
}

/// The memberships of one life of an actor. Dropped, they end.
pub struct Memberships {
    groups: ProcessGroups,
    actor: ActorId,
    member: u64,
    /// One entry for each joining.
    joined: Vec<(Place, Arc<str>)>,
}

impl Memberships {
    /// Makes the actor a member, interested in these topics, or in all where there are none. A group that is not there
    /// comes into being, and goes with its last member.
    pub fn join(
        &mut self,
        place: &Place,
        name: &str,
        topics: Vec<String>,
    ) -> Result<(), GroupError> {
        const BOOKKEEPING: usize = 256;
        check(name)?;
        topics.iter().try_for_each(|topic| check(topic))?;
        if self.joined.len() >= limits::GROUP_JOINS_MAX || topics.len() > limits::GROUP_TOPICS_MAX {
            return Err(GroupError::TooManyJoinings);
        }
        let bytes: usize = topics
            .iter()
            .map(|topic| size_of::<Box<str>>() + topic.len())
            .sum();
        let share = self.groups.budget.take(BOOKKEEPING + bytes);
        let joining = Joining {
            topics: topics.into_iter().map(Into::into).collect(),
            _share: share.ok_or(GroupError::NoRoom)?,
        };
        let mut state = self.groups.state.lock().unwrap();
        let group = state.group(&self.groups.budget, place, name)?;
        let full = group.members.len() >= limits::GROUP_MEMBERS_MAX;
        if full && !group.members.contains_key(&self.member) {
            return Err(GroupError::TooManyMembers);
        }
        let member = group.members.entry(self.member).or_insert_with(|| Member {
            actor: self.actor.clone(),
            joinings: Vec::new(),
        });
        member.joinings.push(joining);
        self.joined.push((place.clone(), name.into()));
        Ok(())
    }

    /// Undoes the last joining of this group.
    pub fn leave(&mut self, place: &Place, name: &str) -> Result<(), GroupError> {
        let not_in = || GroupError::NotIn(name.chars().take(64).collect());
        let mut joined = self.joined.iter();
        let last = joined.rposition(|(there, known)| there == place && **known == *name);
        self.joined.remove(last.ok_or_else(not_in)?);
        let left = self
            .groups
            .state
            .lock()
            .unwrap()
            .leave(place, name, self.member);
        // A group that was deleted meanwhile has no members.
        left.then_some(()).ok_or_else(not_in)
    }

    /// Takes those of an earlier instance of the same actor. Each that this one has made anew ends its like there.
    pub fn absorb(&mut self, earlier: &mut Self) {
        let joined = std::mem::take(&mut earlier.joined);
        let mut state = self.groups.state.lock().unwrap();
        let mut left_out = Vec::new();
        for (place, name) in &joined {
            // All joinings of a group go with the first of them.
            let of_this = state.hand_over(place, name, earlier.member, self.member);
            left_out.extend(std::iter::repeat_n((place.clone(), name.clone()), of_this));
        }
        self.joined.splice(0..0, joined);
        for entry in left_out {
            let at = self.joined.iter().position(|joined| *joined == entry);
            at.map(|at| self.joined.remove(at));
        }
    }
}

impl Drop for Memberships {
    fn drop(&mut self) {
        let mut state = self.groups.state.lock().unwrap();
        for (place, name) in &self.joined {
            state.leave(place, name, self.member);
        }
    }
}
