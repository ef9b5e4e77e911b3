//! Whether rows fit together: what one refers to is there, and what is counted beside them is what there is.
//!
//! A node writes no others; a backup may have been written by anybody.

use std::collections::HashMap;

use prost::Message as _;
use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::blob_rows;
use super::entries;
use super::letters::{self, At, Letter};
use super::runs;
use super::tuples::{self, StoredTuple};
use super::usage::{Kept, Tally};
use super::values::{self, NEVER};
use crate::id::{Digest, Scope};
use crate::limits;

/// Why rows do not fit together.
#[derive(Debug)]
pub enum Flaw {
    /// In words.
    Wrong(String),
    /// The transaction is lost.
    Broken(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Flaw {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

type Audited<T = ()> = Result<T, Flaw>;

/// A blob's file, as its record describes it.
#[derive(Clone)]
pub struct BlobFile {
    pub id: String,
    pub bytes: u64,
    pub digest: Digest,
}

/// Looks at every row that guests' services keep, and counts what each application has of them.
pub fn audit(transaction: &WriteTransaction) -> Audited<(Tally, Vec<BlobFile>)> {
    let mut tally = Tally::default();
    values(transaction, &mut tally)?;
    let queues = queues(transaction, &mut tally)?;
    letters_of(transaction, &queues, &mut tally)?;
    journals(transaction, &mut tally)?;
    runs_of(transaction, &mut tally)?;
    tuples(transaction)?;
    let blobs = blobs(transaction, &mut tally)?;
    Ok((tally, blobs))
}

fn demand(so: bool, otherwise: impl FnOnce() -> String) -> Audited {
    so.then_some(()).ok_or_else(|| Flaw::Wrong(otherwise()))
}

fn values(transaction: &WriteTransaction, tally: &mut Tally) -> Audited {
    let expiries = transaction.open_table(values::EXPIRIES)?;
    let mut expiring = 0;
    for entry in transaction.open_table(values::VALUES)?.iter()? {
        let (key, row) = entry?;
        let (tenant, namespace, key) = key.value();
        let wrong = || format!("the value of {key:?}");
        let placed = values::place(tenant, namespace).is_some();
        demand(
            placed && (1..=limits::KEY_BYTES_MAX).contains(&key.len()),
            wrong,
        )?;
        let row = values::Row::checked(row.value()).ok_or_else(|| Flaw::Wrong(wrong()))?;
        if row.expires_ms != NEVER {
            let noted = expiries.get((row.expires_ms, tenant, namespace, key))?;
            demand(noted.is_some(), wrong)?;
            expiring += 1;
        }
        tally.count(Kept::Keys, row.owner, values::weight(key, row.value));
    }
    demand(expiries.len()? == expiring, || {
        "values that expire".to_owned()
    })
}

/// How many letters of a queue are ready, how many there are, and the number of the next.
#[derive(Clone, Copy, Default)]
struct Counted {
    ready: u64,
    all: u64,
    next: u64,
}

fn queues(
    transaction: &WriteTransaction,
    tally: &mut Tally,
) -> Audited<HashMap<u64, (Counted, Counted)>> {
    let names = transaction.open_table(letters::NAMES)?;
    let counts = transaction.open_table(letters::COUNTS)?;
    let last_id = transaction.open_table(letters::LAST_ID)?;
    let last_id = last_id.get(())?.map_or(0, |last| last.value());
    let mut queues = HashMap::new();
    for entry in transaction.open_table(letters::QUEUES)?.iter()? {
        let (name, row) = entry?;
        let (name, (id, _, _, owner)) = (name.value(), row.value());
        let wrong = || format!("queue {:?}", name.2);
        demand(
            values::place(name.0, name.1).is_some() && id <= last_id,
            wrong,
        )?;
        let known = names.get(id)?;
        demand(known.is_some_and(|known| known.value() == name), wrong)?;
        let said = counts.get(id)?.map(|row| row.value());
        let (next, ready, all) = said.ok_or_else(|| Flaw::Wrong(wrong()))?;
        queues.insert(id, (Counted { ready, all, next }, Counted::default()));
        tally.count(Kept::Queues, owner, 0);
    }
    let same = names.len()? == queues.len() as u64 && counts.len()? == queues.len() as u64;
    demand(same, || "queues".to_owned())?;
    Ok(queues)
}

fn letters_of(
    transaction: &WriteTransaction,
    queues: &HashMap<u64, (Counted, Counted)>,
    tally: &mut Tally,
) -> Audited {
    let mut queues = queues.clone();
    let ready = transaction.open_table(letters::READY)?;
    let leased = transaction.open_table(letters::LEASED)?;
    let delayed = transaction.open_table(letters::DELAYED)?;
    let expiries = transaction.open_table(letters::EXPIRIES)?;
    let doomed = transaction.open_table(letters::DOOMED)?;
    let letters = transaction.open_table(letters::LETTERS)?;
    for entry in letters.iter()? {
        let (at, bytes) = entry?;
        let at: At = at.value();
        let wrong = || format!("message {}-{}", at.0, at.1);
        let letter = Letter::decode(bytes.value()).map_err(|_| Flaw::Wrong(wrong()))?;
        let lies = (
            ready.get(at)?.is_some(),
            leased.get(at)?.is_some(),
            delayed.get((letter.due_ms, at.0, at.1))?.is_some(),
        );
        demand(
            u8::from(lies.0) + u8::from(lies.1) + u8::from(lies.2) == 1,
            wrong,
        )?;
        // What is lent outlives its time until it comes back.
        if letter.expires_ms != 0 && !lies.1 {
            let noted = expiries.get((letter.expires_ms, at.0, at.1))?;
            demand(noted.is_some(), wrong)?;
        }
        match queues.get_mut(&at.0) {
            Some((said, found)) => {
                demand(at.1 < said.next, wrong)?;
                found.ready += u64::from(lies.0);
                found.all += 1;
            }
            None => demand(doomed.get(at.0)?.is_some(), wrong)?,
        }
        tally.count(Kept::Messages, &letter.owner, letter.weight());
    }
    let lying = ready.len()? + leased.len()? + delayed.len()?;
    demand(lying == letters.len()?, || "messages".to_owned())?;
    for entry in expiries.iter()? {
        let (expires_ms, queue, number) = entry?.0.value();
        let letter = letters.get((queue, number))?;
        let letter = letter.and_then(|bytes| Letter::decode(bytes.value()).ok());
        demand(letter.is_some_and(|it| it.expires_ms == expires_ms), || {
            format!("the time of message {queue}-{number}")
        })?;
    }
    for (id, (said, found)) in queues {
        demand((said.ready, said.all) == (found.ready, found.all), || {
            format!("what is counted of queue {id}")
        })?;
    }
    Ok(())
}

fn journals(transaction: &WriteTransaction, tally: &mut Tally) -> Audited {
    let heads = transaction.open_table(entries::HEADS)?;
    for entry in heads.iter()? {
        let (key, _) = entry?;
        tally.count(Kept::Journals, key.value().0, 0);
    }
    for entry in transaction.open_table(entries::ENTRIES)?.iter()? {
        let (key, bytes) = entry?;
        let (application, actor, number) = key.value();
        let wrong = || format!("entry {number} of {actor:?}");
        let head = heads.get((application, actor))?;
        demand(
            head.is_some_and(|head| (1..=head.value().1).contains(&number)),
            wrong,
        )?;
        let bytes = entries::checked(bytes.value()).ok_or_else(|| Flaw::Wrong(wrong()))?;
        tally.count(Kept::Entries, application, entries::weight(bytes));
    }
    for entry in transaction.open_table(entries::EFFECTS)?.iter()? {
        let (key, bytes) = entry?;
        let (application, actor, key) = key.value();
        let wrong = || format!("a side effect of {actor:?}");
        demand(heads.get((application, actor))?.is_some(), wrong)?;
        let bytes = bytes.value().len().checked_sub(size_of::<u64>());
        let bytes = bytes.ok_or_else(|| Flaw::Wrong(wrong()))?;
        let weight = entries::weight(key.len() + bytes);
        tally.count(Kept::Entries, application, weight);
    }
    for entry in transaction.open_table(entries::CHECKPOINTS)?.iter()? {
        let (key, _) = entry?;
        let wrong = || format!("the checkpoint of {:?}", key.value().1);
        demand(heads.get(key.value())?.is_some(), wrong)?;
    }
    Ok(())
}

/// How many steps or signals a run has, and what they weigh.
type Weighed = HashMap<(String, String), (u64, u64)>;

fn runs_of(transaction: &WriteTransaction, tally: &mut Tally) -> Audited {
    let steps = weighed(&transaction.open_table(runs::STEPS)?, |number, row| {
        runs::Taken::decode(number, row).is_some()
    })?;
    let signals = weighed(&transaction.open_table(runs::SIGNALS)?, |_, row| {
        runs::parts(row).is_some_and(|(name, _)| std::str::from_utf8(name).is_ok())
    })?;
    let values = transaction.open_table(runs::VALUES)?;
    let ended = transaction.open_table(runs::ENDED)?;
    let (mut heads, mut at_end, mut found) = (0, 0, (0, 0));
    for entry in transaction.open_table(runs::HEADS)?.iter()? {
        let (key, row) = entry?;
        let (application, id) = key.value();
        let wrong = || format!("workflow {id:?}");
        let head = runs::Head::checked(row.value()).ok_or_else(|| Flaw::Wrong(wrong()))?;
        let value = values.get((application, id))?;
        let value = value.ok_or_else(|| Flaw::Wrong(wrong()))?;
        let mut weight = runs::weight(id.len() + head.workflow_type.len() + value.value().len());
        let (steps_bytes, signals_bytes, bytes) = head.weighs();
        let of = (application.to_owned(), id.to_owned());
        let steps = steps.get(&of).copied().unwrap_or_default();
        let signals = signals.get(&of).copied().unwrap_or_default();
        let all_steps = (head.steps, steps_bytes) == steps;
        let kept = match head.ended_ms {
            None => {
                let all = all_steps && (head.signals, signals_bytes) == signals;
                demand(all, wrong)?;
                Kept::Runs
            }
            Some(at_ms) => {
                let all = (all_steps || steps.0 == 0) && signals.0 == 0;
                demand(all && ended.get((application, at_ms, id))?.is_some(), wrong)?;
                at_end += 1;
                Kept::EndedRuns
            }
        };
        found.0 += usize::from(steps.0 > 0);
        found.1 += usize::from(signals.0 > 0);
        weight += steps.1 + signals.1;
        let is_running = head.status == runs::Status::Running;
        demand(
            weight == bytes && is_running == head.ended_ms.is_none(),
            wrong,
        )?;
        tally.count(kept, application, bytes);
        heads += 1;
    }
    let same = values.len()? == heads && ended.len()? == at_end;
    let all = found == (steps.len(), signals.len());
    demand(same && all, || "workflows".to_owned())
}

/// Rows that are numbered from 0 within each run.
fn weighed(
    table: &impl ReadableTable<(&'static str, &'static str, u64), &'static [u8]>,
    is_one: impl Fn(u64, &[u8]) -> bool,
) -> Audited<Weighed> {
    let mut weighed = Weighed::new();
    for entry in table.iter()? {
        let (key, row) = entry?;
        let ((application, id, number), row) = (key.value(), row.value());
        let of = (application.to_owned(), id.to_owned());
        let (count, bytes) = weighed.entry(of).or_default();
        demand(*count == number && is_one(number, row), || {
            format!("step or signal {number} of workflow {id:?}")
        })?;
        (*count, *bytes) = (number + 1, *bytes + runs::weight(row.len()));
    }
    Ok(weighed)
}

fn tuples(transaction: &WriteTransaction) -> Audited {
    for entry in transaction.open_table(tuples::TUPLES)?.iter()? {
        let (key, row) = entry?;
        let (tenant, namespace, number) = key.value();
        let wrong = || format!("tuple {number} of {namespace:?}");
        demand(values::place(tenant, namespace).is_some(), wrong)?;
        let tuple = StoredTuple::decode(row.value()).map_err(|_| Flaw::Wrong(wrong()))?;
        let whole = tuple.fields.iter().all(|field| field.value.is_some());
        demand(
            whole && tuple.fields.len() <= limits::TUPLE_FIELDS_MAX,
            wrong,
        )?;
    }
    Ok(())
}

fn blobs(transaction: &WriteTransaction, tally: &mut Tally) -> Audited<Vec<BlobFile>> {
    let ids = transaction.open_table(blob_rows::IDS)?;
    let mut files = Vec::new();
    for entry in transaction.open_table(blob_rows::BLOBS)?.iter()? {
        let (key, row) = entry?;
        let at = key.value();
        let wrong = || format!("the record of blob {:?}", at.3);
        let row = blob_rows::Row::parse(row.value()).map_err(|_| Flaw::Wrong(wrong()))?;
        let placed = values::place(at.0, at.1).is_some() && Scope::parse("bucket", at.2).is_ok();
        demand(placed && super::blobs::is_id(&row.id), wrong)?;
        let known = ids.get(&*row.id)?;
        demand(known.is_some_and(|known| known.value() == at), wrong)?;
        let digest = Digest::parse(&row.digest).ok_or_else(|| Flaw::Wrong(wrong()))?;
        tally.count(Kept::Blobs, &row.owner, row.bytes);
        files.push(BlobFile {
            id: row.id,
            bytes: row.bytes,
            digest,
        });
    }
    demand(ids.len()? == files.len() as u64, || "blobs".to_owned())?;
    Ok(files)
}

/// Every row that refers to another finds it, and the counts are those of the rows.
#[cfg(test)]
pub async fn fits_together(committer: &super::Committer) {
    let counted = committer.commit(|transaction| {
        let tally = match audit(transaction) {
            Ok((tally, _)) => tally,
            Err(Flaw::Wrong(what)) => panic!("{what} does not fit"),
            Err(Flaw::Broken(error)) => return Err(error),
        };
        Ok((tally, super::usage::Usage::open(transaction)?.all()?))
    });
    let (tally, usage) = counted.await.unwrap();
    assert_eq!(usage, tally, "what is counted is not what there is");
}
