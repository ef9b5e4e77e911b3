//! Who holds which lock and who waits for it: each step is whole, and says whom to wake.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::{Inner, Lease, LockError};
use crate::budget::Share;
use crate::coordination::alarm::Alarm;
use crate::limits;
use crate::place::Place;

pub(super) type Name = (Place, Arc<str>);

#[derive(Default)]
pub(super) struct State {
    pub(super) places: HashMap<Place, HashMap<Arc<str>, Record>>,
    /// The ends of all leases, each with its version.
    pub(super) ends: BTreeMap<(Instant, u64), Name>,
    /// What is held, by the life of an actor that acquired it.
    pub(super) held: HashMap<u64, BTreeSet<u64>>,
    pub(super) by_version: HashMap<u64, Name>,
    /// What waiters were given and have not fetched.
    pub(super) granted: HashMap<u64, Lease>,
    pub(super) last_version: u64,
    pub(super) last_number: u64,
    pub(super) alarm: Alarm,
    pub(super) to_wake: Vec<Waker>,
}

/// One life of an actor.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) number: u64,
    pub(super) actor: Arc<str>,
}

pub(super) struct Record {
    pub(super) lease: Lease,
    /// When it ends, and whose it is; `None` while the lock is free.
    pub(super) hold: Option<(Instant, Owner)>,
    pub(super) waiting: VecDeque<Waiter>,
    pub(super) _share: Share,
}

pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) owner: Owner,
    pub(super) holder: Arc<str>,
    pub(super) duration: Duration,
    pub(super) waker: Option<Waker>,
    pub(super) _share: Share,
}

impl State {
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn record(&mut self, place: &Place, key: &str) -> Option<&mut Record> {
        self.places.get_mut(place)?.get_mut(key)
    }

    /// Makes sure that there is a record of this lock. Those of free ones make room where there are too many.
    pub(super) fn make(
        &mut self,
        inner: &Inner,
        place: &Place,
        key: &str,
    ) -> Result<(), LockError> {
        const BOOKKEEPING: usize = 512;
        let locks = self.places.entry(place.clone()).or_default();
        if locks.contains_key(key) {
            return Ok(());
        }
        if locks.len() >= limits::LOCKS_MAX {
            locks.retain(|_, record| record.hold.is_some());
        }
        let share = inner.budget.take(BOOKKEEPING + key.len());
        let made = match share {
            _ if locks.len() >= limits::LOCKS_MAX => Err(LockError::TooMany),
            None => Err(LockError::NoRoom),
            Some(share) => {
                let key: Arc<str> = key.into();
                locks.insert(key.clone(), Record::new(key, share));
                Ok(())
            }
        };
        if locks.is_empty() {
            self.places.remove(place);
        }
        made
    }

    /// The life that holds the lock under this holder and version.
    pub(super) fn holding(
        &mut self,
        place: &Place,
        key: &str,
        holder: &str,
        version: u64,
    ) -> Result<Owner, LockError> {
        let shown = || key.chars().take(64).collect();
        let record = self.record(place, key);
        let record = record.ok_or_else(|| LockError::Unknown(shown()))?;
        let lease = &record.lease;
        match &record.hold {
            Some((_, owner)) if lease.version == version && *lease.holder == *holder => {
                Ok(owner.clone())
            }
            _ => Err(LockError::NotHeld(shown())),
        }
    }

    /// Ends the lease of a lock that is held. Nobody has it then.
    pub(super) fn let_go(&mut self, place: &Place, key: &str) {
        let Some(record) = self.record(place, key) else {
            return;
        };
        let Some((until, owner)) = record.hold.take() else {
            return;
        };
        record.lease.locked = false;
        let version = record.lease.version;
        self.ends.remove(&(until, version));
        self.by_version.remove(&version);
        if let Some(held) = self.held.get_mut(&owner.number) {
            held.remove(&version);
            if held.is_empty() {
                self.held.remove(&owner.number);
            }
        }
    }

    /// Gives a free lock a holder.
    pub(super) fn grant(
        &mut self,
        inner: &Inner,
        place: &Place,
        key: &str,
        (owner, holder, duration): (Owner, Arc<str>, Duration),
        now: Instant,
    ) -> Lease {
        self.last_version += 1;
        let (version, until) = (self.last_version, now + duration);
        let heartbeat_ms = inner.clock.wall_ms();
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let record = self.record(place, key).expect("the lock has a record");
        let number = owner.number;
        record.hold = Some((until, owner));
        let lease = Lease {
            key: record.lease.key.clone(),
            holder,
            version,
            locked: true,
            expires_at_ms: heartbeat_ms.saturating_add(millis),
            heartbeat_ms,
        };
        record.lease = lease.clone();
        let name = (place.clone(), lease.key.clone());
        self.ends.insert((until, version), name.clone());
        self.by_version.insert(version, name);
        self.held.entry(number).or_default().insert(version);
        lease
    }

    /// Lets a lease last at least so long from now on.
    pub(super) fn lengthen(
        &mut self,
        inner: &Inner,
        name: Name,
        duration: Duration,
        now: Instant,
    ) -> Lease {
        let (place, key) = &name;
        let wall_ms = inner.clock.wall_ms();
        let record = self.record(place, key).expect("the lock is held");
        let hold = record.hold.as_mut().expect("the lock is held");
        let before = hold.0;
        hold.0 = before.max(now + duration);
        let lasts = u64::try_from((hold.0 - now).as_millis()).unwrap_or(u64::MAX);
        record.lease.expires_at_ms = wall_ms.saturating_add(lasts);
        record.lease.heartbeat_ms = wall_ms;
        let (until, lease) = (hold.0, record.lease.clone());
        self.ends.remove(&(before, lease.version));
        self.ends.insert((until, lease.version), name);
        lease
    }

    /// Gives a free lock to the first who waits for it, if anybody does.
    pub(super) fn pass_on(&mut self, inner: &Inner, place: &Place, key: &str, now: Instant) {
        let record = self.record(place, key);
        let Some(next) = record.and_then(|record| record.waiting.pop_front()) else {
            return;
        };
        let wanted = (next.owner, next.holder, next.duration);
        let lease = self.grant(inner, place, key, wanted, now);
        self.granted.insert(next.number, lease);
        self.to_wake.extend(next.waker);
    }

    /// Forgets a lock that is free.
    pub(super) fn forget(&mut self, place: &Place, key: &str) {
        if let Some(locks) = self.places.get_mut(place)
            && locks.get(key).is_some_and(|record| record.hold.is_none())
        {
            locks.remove(key);
            if locks.is_empty() {
                self.places.remove(place);
            }
        }
    }

    pub(super) fn end_due(&mut self, inner: &Inner, now: Instant) {
        while let Some((&(until, _), (place, key))) = self.ends.first_key_value()
            && until <= now
        {
            let (place, key) = (place.clone(), key.clone());
            self.let_go(&place, &key);
            // The next lease begins when this one ended, or rather when that is noticed.
            self.pass_on(inner, &place, &key, now);
        }
    }

    /// Makes what one life holds another's.
    pub(super) fn hand_over(&mut self, from: &Owner, to: &Owner) {
        for version in self.held.remove(&from.number).unwrap_or_default() {
            let named = self.by_version.get(&version).cloned();
            let record = named.and_then(|(place, key)| self.record(&place, &key));
            if let Some((_, owner)) = record.and_then(|record| record.hold.as_mut()) {
                *owner = to.clone();
            }
            self.held.entry(to.number).or_default().insert(version);
        }
    }

    pub(super) fn release_version(&mut self, inner: &Inner, version: u64, now: Instant) {
        if let Some((place, key)) = self.by_version.get(&version).cloned() {
            self.let_go(&place, &key);
            self.pass_on(inner, &place, &key, now);
        }
    }
}

impl Record {
    pub(super) fn new(key: Arc<str>, share: Share) -> Self {
        let lease = Lease {
            key,
            holder: "".into(),
            version: 0,
            locked: false,
            expires_at_ms: 0,
            heartbeat_ms: 0,
        };
        Self {
            lease,
            hold: None,
            waiting: VecDeque::new(),
            _share: share,
        }
    }
}
