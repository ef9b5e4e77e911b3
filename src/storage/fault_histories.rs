//! Keys, queues, journals and tuples on a disk that loses its cache, or fails at any operation: each change is wholly
//! there or not at all, what was acknowledged is there, and what is counted is what there is.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};
use tokio::sync::oneshot;

use super::committer::Committer;
use super::due::Due;
use super::faults::Disk;
use super::journal::{Event, Journals, Span};
use super::keyvalue::KeyValue;
use super::letters::{self, Letter, Return};
use super::queues::{Delivery, Parcel, QueueName, Queues};
use super::steady::Steady;
use super::store::there;
use super::tuples::{StoredField, StoredTuple, StoredValue, TupleAt, TupleRows};
use super::{audit, entries, rows, values};
use crate::id::{ActorId, ApplicationName, NodeId, Scope};
use crate::place::Place;

/// Every row of the store, by table, but for the noted time: that goes on by itself.
type Dump = BTreeMap<String, Vec<u8>>;

/// What a user of the rooms has been told is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    keys: BTreeMap<String, String>,
    /// Queue and payload of all messages, wherever they lie, in their order.
    messages: Vec<(String, String)>,
    entries: Vec<String>,
    tuples: Vec<i64>,
}

/// The rooms on one disk, as a process has them.
struct House {
    committer: Committer,
    keyvalue: KeyValue,
    queues: Queues,
    journals: Journals,
    tuples: TupleRows,
    /// A message that was received and not answered for.
    lent: Option<Delivery>,
}

fn owner() -> ApplicationName {
    ApplicationName::parse("app").unwrap()
}

fn actor() -> ActorId {
    let node = NodeId::parse("n").unwrap();
    ActorId::worker(&Scope::default(), &Scope::default(), &owner(), &node)
}

fn queue() -> QueueName {
    QueueName::parse(Place::default(), "q").unwrap()
}

fn at(number: u64) -> TupleAt {
    TupleAt {
        place: Place::default(),
        number,
    }
}

fn tuple(number: i64) -> StoredTuple {
    let value = Some(StoredValue::Int(number));
    StoredTuple {
        expires_ms: 0,
        fields: vec![StoredField { value }],
    }
}

fn event(text: String) -> Event {
    Event {
        event_type: "e".into(),
        payload: text.into(),
    }
}

impl House {
    fn on(disk: &Disk) -> Self {
        let mut store = disk.store();
        let lent = store.read(letters::leased).unwrap();
        let heads = store.read(entries::heads).unwrap();
        let committer = Committer::start(store).unwrap();
        let due = Due::new(Steady::begin(1_000_000, 0));
        Self {
            keyvalue: KeyValue::new(committer.clone(), due.clone()),
            queues: Queues::new(committer.clone(), due.clone(), lent),
            journals: Journals::new(committer.clone(), committer.clone(), heads),
            tuples: TupleRows::new(committer.clone(), due),
            committer,
            lent: None,
        }
    }

    async fn dump(&self) -> Dump {
        self.committer.read(dump).await.unwrap()
    }

    /// Waits for a message that was lent to nobody, since the disk refused its loan: it comes back by itself, with the
    /// next round of the queues.
    async fn has_all_back(&self) {
        self.committer.commit(|_| Ok(())).await.unwrap();
        let nothing = QueueName::parse(Place::default(), "of nobody").unwrap();
        assert!(self.queues.receive(&nothing).await.unwrap().is_none());
    }

    async fn told(&self) -> Told {
        self.committer.read(told).await.unwrap()
    }

    async fn put(&self, key: &str, value: String, ttl: Option<Duration>) -> Result<(), String> {
        let (place, owner) = (Place::default(), owner());
        let put = self.keyvalue.put(&place, &owner, key, value.into(), ttl);
        put.await.map_err(|error| error.to_string())
    }

    async fn tuples(&self, gone: Vec<u64>, new: Vec<u64>) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let gone = gone.into_iter().map(at).collect();
        let new = new
            .into_iter()
            .map(|number| (at(number), tuple(number as i64)));
        self.tuples
            .change(gone, new.collect(), |done| drop(answer.send(done)))
            .map_err(|error| error.to_string())?;
        answered.await.unwrap().map_err(|error| error.to_string())
    }

    async fn send(&self, step: usize, delay: Duration) -> Result<(), String> {
        let parcel = Parcel {
            message_type: "note".into(),
            payload: format!("m{step}").into(),
            delay,
            ttl: Duration::from_secs(3_600),
            ..Parcel::default()
        };
        let sent = self.queues.send(&queue(), &owner(), parcel).await;
        sent.map(drop).map_err(|error| error.to_string())
    }

    /// One step of the scenario; where it is answered, `told` is what is there then.
    async fn step(&mut self, step: usize, told: &mut Told) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let (place, owner, actor) = (Place::default(), owner(), actor());
        match step % STEPS.len() {
            0 => {
                let value = "x".repeat(step * 40 + 1);
                self.put("large", value.clone(), None).await?;
                told.keys.insert("large".into(), value);
            }
            1 | 2 => {
                self.send(step, Duration::ZERO).await?;
                told.messages.push(("q".into(), format!("m{step}")));
            }
            3 => {
                let done = self.keyvalue.increment(&place, &owner, "n", 3).await;
                let sum = done.map_err(|error| text(&error))?;
                told.keys.insert("n".into(), sum.to_string());
            }
            4 | 7 => {
                let received = self.queues.receive(&queue()).await;
                let received = received.map_err(|error| text(&error))?;
                self.lent = received;
                self.lent.as_mut().unwrap().lease.arrived();
            }
            5 => {
                let lease = &mut self.lent.as_mut().unwrap().lease;
                let acknowledged = self.queues.acknowledge(lease).await;
                acknowledged.map_err(|error| text(&error))?;
                told.messages.retain(|it| it.1 != gone_of(&self.lent));
                self.lent = None;
            }
            6 => {
                let events = [1, 2].map(|n| format!("e{step}-{n}"));
                let append = events.clone().map(event).to_vec();
                let appended = self.journals.append(&actor, append, 1).await;
                appended.map_err(|error| text(&error))?;
                told.entries.extend(events);
            }
            8 => {
                let lease = &mut self.lent.as_mut().unwrap().lease;
                let rejected = self.queues.give_back(lease, Return::Rejected).await;
                rejected.map_err(|error| text(&error))?;
                let gone = gone_of(&self.lent);
                told.messages.retain(|it| it.1 != gone);
                told.messages.push(("q.dlq".into(), gone));
                self.lent = None;
            }
            9 => {
                let ttl = Some(Duration::from_secs(60));
                self.put("brief", step.to_string(), ttl).await?;
                told.keys.insert("brief".into(), step.to_string());
            }
            10 => {
                let number = step as u64;
                self.tuples(vec![], vec![number, number + 1]).await?;
                told.tuples.extend([step as i64, step as i64 + 1]);
            }
            11 => {
                // As a swap does.
                let number = step as u64;
                self.tuples(vec![number], vec![number + 1]).await?;
                told.tuples.retain(|&it| it != step as i64);
                told.tuples.push(step as i64 + 1);
            }
            12 => {
                let state = Bytes::from("state");
                let all = told.entries.len() as u64;
                let kept = self.journals.checkpoint(&actor, state, all - 1, 1).await;
                kept.map_err(|error| text(&error))?;
                told.entries.drain(..told.entries.len() - 1);
            }
            13 => {
                let value = Bytes::from("recorded");
                let recorded = self.journals.record(&actor, "key", value, 1).await;
                recorded.map_err(|error| text(&error))?;
            }
            14 => {
                self.send(step, Duration::from_secs(60)).await?;
                told.messages.push(("q".into(), format!("m{step}")));
            }
            15 => {
                let old = told.keys.get("n").cloned().map(Bytes::from);
                let swapped = self
                    .keyvalue
                    .compare_and_swap(&place, &owner, "n", old, "0".into());
                assert!(swapped.await.map_err(|error| text(&error))?);
                told.keys.insert("n".into(), "0".into());
            }
            _ => {
                let deleted = self.keyvalue.delete(&place, &owner, "large").await;
                deleted.map_err(|error| text(&error))?;
                told.keys.remove("large");
            }
        }
        Ok(())
    }

    /// What a step needs that is not on the disk: a message that this process has received.
    async fn prepare(&mut self, step: usize) {
        if [5, 8].contains(&(step % STEPS.len())) {
            let mut delivery = self.queues.receive(&queue()).await.unwrap().unwrap();
            delivery.lease.arrived();
            self.lent = Some(delivery);
        }
    }
}

fn gone_of(lent: &Option<Delivery>) -> String {
    let payload = lent.as_ref().unwrap().payload.to_vec();
    String::from_utf8(payload).unwrap()
}

/// What the steps do, one after the other.
const STEPS: [&str; 17] = [
    "put",
    "send",
    "send",
    "increment",
    "receive",
    "acknowledge",
    "append",
    "receive",
    "reject",
    "put for a while",
    "write tuples",
    "swap a tuple",
    "checkpoint and compact",
    "record a side effect",
    "send later",
    "compare and swap",
    "delete",
];

fn dump(transaction: &ReadTransaction) -> Result<Dump, redb::Error> {
    let mut dump = Dump::new();
    for table in rows::tables() {
        if table.name() == "time" {
            continue;
        }
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let rows = table.read(transaction, &mut after, usize::MAX)?;
            if rows.is_empty() {
                break;
            }
            all.extend(rows);
        }
        if !all.is_empty() {
            dump.insert(table.name().to_owned(), all);
        }
    }
    Ok(dump)
}

fn told(transaction: &ReadTransaction) -> Result<Told, redb::Error> {
    let mut told = Told::default();
    if let Some(table) = there(transaction.open_table(values::VALUES))? {
        for row in table.iter()? {
            let (key, row) = row?;
            let value = values::Row::parse(row.value()).value.to_vec();
            let key = key.value().2.to_owned();
            told.keys.insert(key, String::from_utf8(value).unwrap());
        }
    }
    if let Some(table) = there(transaction.open_table(letters::LETTERS))? {
        let names = transaction.open_table(letters::NAMES)?;
        for row in table.iter()? {
            let (at, letter) = row?;
            let name = names.get(at.value().0)?.unwrap().value().2.to_owned();
            let letter = <Letter as prost::Message>::decode(letter.value()).unwrap();
            let payload = String::from_utf8(letter.payload.to_vec()).unwrap();
            told.messages.push((name, payload));
        }
    }
    let span = Span {
        from: 0,
        to: u64::MAX,
        limit: usize::MAX,
    };
    let (of, by) = (owner(), actor());
    let (entries, _) = entries::read(transaction, &of, by.child_id(), span, usize::MAX)?;
    let payload = |entry: super::Entry| String::from_utf8(entry.event.payload.to_vec()).unwrap();
    told.entries = entries.into_iter().map(payload).collect();
    if let Some(table) = there(transaction.open_table(super::tuples::TUPLES))? {
        for row in table.iter()? {
            let tuple = <StoredTuple as prost::Message>::decode(row?.1.value()).unwrap();
            match tuple.fields[0].value {
                Some(StoredValue::Int(number)) => told.tuples.push(number),
                _ => panic!("{tuple:?}"),
            }
        }
    }
    Ok(told)
}

/// What there was before a step and after it.
struct Stage {
    disk: Vec<u8>,
    before: Dump,
    after: Dump,
    told: Told,
}

/// The scenario on a disk that does not fail; it says with each step what it was said to.
async fn stages() -> Vec<Stage> {
    let disk = Disk::default();
    let (mut told, mut stages) = (Told::default(), Vec::new());
    for (step, name) in STEPS.iter().enumerate() {
        // Each step in a process of its own, as in the trials.
        let mut house = House::on(&disk);
        let start = (disk.synced(), told.clone());
        house.prepare(step).await;
        let before = house.dump().await;
        house.step(step, &mut told).await.unwrap();
        told.messages.sort();
        let mut found = house.told().await;
        found.messages.sort();
        assert_eq!(found, told, "after {name}");
        stages.push(Stage {
            disk: start.0,
            before,
            after: house.dump().await,
            told: start.1,
        });
        house.lent = None;
        audit::fits_together(&house.committer).await;
        house.committer.close().await;
    }
    stages
}

/// The tables that differ.
fn differing<'a>(one: &'a Dump, other: &'a Dump) -> Vec<&'a String> {
    let tables = one.keys().chain(other.keys());
    tables.filter(|it| one.get(*it) != other.get(*it)).collect()
}

/// A disk that fails at its `after`th operation within a step. Answers with whether the step was acknowledged.
async fn trial(step: usize, stage: &Stage, after: usize, kind: io::ErrorKind, once: bool) -> bool {
    let disk = Disk::holding(stage.disk.clone());
    let mut house = House::on(&disk);
    house.prepare(step).await;
    assert_eq!(house.dump().await, stage.before);
    disk.fail(after, kind, once);
    let done = house.step(step, &mut stage.told.clone()).await;
    disk.heal();
    let found = house.dump().await;
    let context = format!(
        "{} that failed after {after} operations: {done:?}",
        STEPS[step]
    );
    match &done {
        Ok(()) => assert!(found == stage.after, "{context}: it is not there"),
        // Who asks a disk that is well again is told the truth.
        Err(_) if once => assert!(
            found == stage.before,
            "{context}: something is there, {:?}",
            differing(&found, &stage.before)
        ),
        Err(_) => assert!(
            found == stage.before || found == stage.after,
            "{context}: half of it is there"
        ),
    }
    let found = match STEPS[step] {
        "receive" if done.is_err() => {
            house.has_all_back().await;
            house.dump().await
        }
        _ => found,
    };
    // A power cut now loses the cache; and a process that begins anew finds the same.
    let again = House::on(&Disk::holding(disk.synced()));
    let kept = again.dump().await;
    assert!(
        kept == found,
        "{context}: another after a cut, {:?}",
        differing(&kept, &found)
    );
    audit::fits_together(&again.committer).await;
    audit::fits_together(&house.committer).await;
    // What was lent comes back to its queue, and the rooms serve on.
    house.lent = None;
    let mut told = house.told().await;
    house.step(0, &mut told).await.unwrap();
    house.step(6, &mut told).await.unwrap();
    told.messages.sort();
    let mut served = house.told().await;
    served.messages.sort();
    assert_eq!(served, told, "{context}: it does not serve on");
    audit::fits_together(&house.committer).await;
    done.is_ok()
}

/// A change takes fewer operations than that: the last rounds fail nowhere.
const OPERATIONS: usize = 48;

#[tokio::test(start_paused = true)]
async fn a_change_is_there_or_not_whatever_operation_of_the_disk_fails() {
    let stages = stages().await;
    for (step, stage) in stages.iter().enumerate() {
        let mut acknowledged = 0;
        for after in 0..OPERATIONS {
            for (kind, once) in [
                (io::ErrorKind::Other, true),
                (io::ErrorKind::StorageFull, false),
            ] {
                acknowledged += usize::from(trial(step, stage, after, kind, once).await);
            }
        }
        let refused = 2 * OPERATIONS - acknowledged;
        assert!(
            acknowledged > 0 && refused > 4,
            "{}: {refused} refused",
            STEPS[step]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_there_or_not_whatever_the_cache_loses() {
    let disk = Disk::default();
    let mut house = House::on(&disk);
    let mut told = Told::default();
    // What must be there at each sync: all that was answered before it; what may be: the step under way.
    let (mut states, mut syncs) = (vec![house.dump().await], vec![disk.syncs()]);
    for step in 0..2 * STEPS.len() {
        house.step(step, &mut told).await.unwrap();
        states.push(house.dump().await);
        syncs.push(disk.syncs());
    }
    for sync in syncs[0]..disk.syncs() {
        let answered = syncs.iter().filter(|&&at| at <= sync).count() - 1;
        let may_be = [
            &states[answered],
            &states[(answered + 1).min(states.len() - 1)],
        ];
        for bytes in disk.after_a_cut_at(sync) {
            let found = House::on(&Disk::holding(bytes));
            let dump = found.dump().await;
            let step = STEPS[answered % STEPS.len()];
            assert!(may_be.contains(&&dump), "sync {sync}, within {step}");
            audit::fits_together(&found.committer).await;
        }
    }
}
