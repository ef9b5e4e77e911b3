//! One version in the place of another: all at once when both stand ready, or anew when the first has failed.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use tokio::task;

use super::behavior::{Behavior, Start};
use super::cell::End;
use super::control::{Farewell, Wish};
use super::driver::{Done, Driver, Job};
use super::exit::Exit;
use super::grove::Member;
use super::spec::ChildSpec;
use super::supervision::{Key, ROOT, Supervision};
use super::tree::Standing;
use super::upgrade::{Drafts, Replace};
use crate::id::ChildId;
use crate::limits;

type Estates<S> = <<S as Start>::Behavior as Behavior>::Estate;

impl<S: Start> Driver<S> {
    pub async fn swap(&mut self, new: Drafts<S>) {
        let ids = new.drafts.iter().map(|draft| draft.id.clone()).collect();
        let mut estates = self.succeed(ids).await;
        let mut old = self.take_members();
        let mut behaviors = Vec::new();
        {
            let mut grove = self.grove.lock().unwrap();
            grove.supervision = new.supervision;
            let before = std::mem::replace(&mut self.bounds, new.bounds);
            for draft in new.drafts {
                let known = old.remove(&draft.id).map(|(_, member)| member);
                let mut member = known.or(draft.member).unwrap_or_else(|| {
                    // It ended while its successor was started.
                    let actor = self.estate.actor(&draft.id, None, &self.actors);
                    Member::new(actor, self.bounds, &self.actors)
                });
                if member.presence.is_none() {
                    member.renew(self.bounds, &self.actors);
                }
                member.resident.mailbox.rebound(before, self.bounds);
                member.proven_from = member.vitals.handled.load(Relaxed);
                (member.task, member.last_error, member.broke) = (None, None, false);
                grove.by_id.insert(draft.id.clone(), draft.key);
                grove.members.insert(draft.key, member);
                self.seeds.insert(draft.key, draft.seed);
                let estate = estates.remove(&draft.id);
                behaviors.push((draft.key, draft.behavior, estate));
            }
        }
        self.carry_over(old);
        for (key, mut behavior, estate) in behaviors {
            if let Some(estate) = estate {
                behavior.inherit(estate);
            }
            self.animate(key, behavior);
        }
        self.grove.lock().unwrap().on_probation = true;
    }

    /// Lets those that have a successor make way, and gathers what they leave to it.
    async fn succeed(&mut self, ids: Vec<ChildId>) -> HashMap<ChildId, Estates<S>> {
        let mut making_way: HashMap<task::Id, ChildId> = HashMap::new();
        {
            let grove = self.grove.lock().unwrap();
            for id in ids {
                let member = grove.by_id.get(&id).and_then(|it| grove.members.get(it));
                if let Some(member) = member
                    && let (Some((task, _)), true) = (&member.task, member.living)
                {
                    // One that was started anew since it told its state has nothing to leave.
                    if !member.resident.control.release(Wish::Succeed) {
                        member.resident.control.end(Exit::Killed);
                    }
                    making_way.insert(*task, id);
                }
            }
        }
        let mut estates = HashMap::new();
        while !making_way.is_empty() {
            let Some(done) = self.work.join_next_with_id().await else {
                break;
            };
            let task = match &done {
                Ok((task, _)) => *task,
                Err(error) => error.id(),
            };
            let Some(id) = making_way.remove(&task) else {
                self.note(done);
                continue;
            };
            self.jobs.remove(&task);
            if let Ok((_, Done::Ended(End::Succeeded(estate)))) = done {
                estates.insert(id, *estate);
            }
        }
        estates
    }

    fn take_members(&mut self) -> HashMap<ChildId, (Key, Member)> {
        let mut grove = self.grove.lock().unwrap();
        let by_id = std::mem::take(&mut grove.by_id);
        let mut members = std::mem::take(&mut grove.members);
        grove.restarts.clear();
        let mut known = HashMap::new();
        for (id, key) in by_id {
            match members.remove(&key) {
                Some(member) => drop(known.insert(id, (key, member))),
                // Its start is under way.
                None => drop(grove.by_id.insert(id, key)),
            }
        }
        known
    }

    /// Those without a successor: what a new one has spawned goes along, what the new tree does not have ends in order.
    fn carry_over(&mut self, old: HashMap<ChildId, (Key, Member)>) {
        let by = self.actors.clock().now() + limits::SHUTDOWN_GRACE;
        for (id, (key, member)) in old {
            let Some((task, _)) = member.task else {
                continue;
            };
            if self.drafted.contains(&key) && member.living {
                let mut grove = self.grove.lock().unwrap();
                let child = ChildSpec::temporary(id.clone());
                let new = grove.supervision.adopt(ROOT, &child).expect("it is idle");
                if let Some(seed) = self.seeds.get(&key).cloned() {
                    self.seeds.insert(new, seed);
                }
                grove.by_id.insert(id, new);
                grove.members.insert(new, member);
                self.jobs.insert(task, Job::Of(new));
                continue;
            }
            member
                .resident
                .control
                .stop(by, Exit::Shutdown, Farewell::Plain);
            self.jobs.remove(&task);
            self.retired.insert(task, member);
        }
    }

    /// Ends all at once, and begins with another version. Mailboxes and what waits in them stay.
    pub async fn replace(&mut self, replace: Replace<S>) {
        self.work.abort_all();
        while self.work.join_next().await.is_some() {}
        self.jobs.clear();
        self.retired.clear();
        self.births = 0;
        let old = self.take_members();
        self.grove.lock().unwrap().by_id.clear();
        let known: HashMap<ChildId, Member> = old
            .into_iter()
            .filter(|(id, _)| replace.seeds.contains_key(id))
            .map(|(id, (_, mut member))| {
                self.actors
                    .announce(member.resident.id.address(), &Exit::Killed);
                (member.task, member.living) = (None, false);
                (id, member)
            })
            .collect();
        let root = ChildId::of_application(&self.estate.application);
        let now = self.actors.clock().now();
        {
            let mut grove = self.grove.lock().unwrap();
            grove.supervision = Supervision::new(&replace.spec, root, now);
            grove.on_probation = false;
        }
        self.bounds = replace.bounds;
        self.seeds.clear();
        self.reason.clear();
        self.standing.send_replace(Standing::Running);
        self.people(replace.seeds, known);
        self.begun = Some(replace.answer);
        let actions = self.grove.lock().unwrap().supervision.begin(now);
        self.carry_out(actions);
    }
}
