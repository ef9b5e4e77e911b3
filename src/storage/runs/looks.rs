//! What is told of runs: one, some of them, how many there are, and the steps and signals of one.

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable};

use super::{HEADS, Head, SIGNALS, STEPS, Status, Taken, VALUES, after, parts};
use crate::storage::store::there;

/// A run with its application and id, and its input or result.
pub type Found = (Head, Bytes);
/// Application, id and head.
pub type Listed = (String, String, Head);

pub fn find(
    transaction: &ReadTransaction,
    application: &str,
    id: &str,
) -> Result<Option<Found>, redb::Error> {
    let (Some(heads), Some(values)) = (
        there(transaction.open_table(HEADS))?,
        there(transaction.open_table(VALUES))?,
    ) else {
        return Ok(None);
    };
    let head = heads
        .get((application, id))?
        .and_then(|row| Head::decode(row.value()));
    let value = values.get((application, id))?;
    let value = value.map_or(Bytes::new(), |row| Bytes::copy_from_slice(row.value()));
    Ok(head.map(|head| (head, value)))
}

/// Those that have not ended.
pub fn running(transaction: &ReadTransaction) -> Result<Vec<Listed>, redb::Error> {
    let wanted = Wanted {
        status: Some(Status::Running),
        ..Wanted::default()
    };
    Ok(list(transaction, &wanted)?.0)
}

/// Which runs of a list are wanted. Without `limit` all are.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub application: Option<String>,
    pub status: Option<Status>,
    pub offset: usize,
    pub limit: Option<usize>,
}

/// The wanted runs by application and id, and how many there are in all.
pub fn list(
    transaction: &ReadTransaction,
    wanted: &Wanted,
) -> Result<(Vec<Listed>, usize), redb::Error> {
    let (mut listed, mut total) = (Vec::new(), 0);
    let Some(heads) = there(transaction.open_table(HEADS))? else {
        return Ok((listed, total));
    };
    for row in heads.range((wanted.application.as_deref().unwrap_or(""), "")..)? {
        let (key, row) = row?;
        let (application, id) = key.value();
        if wanted
            .application
            .as_ref()
            .is_some_and(|it| it != application)
        {
            break;
        }
        if wanted
            .status
            .is_some_and(|it| it != Status::of(row.value()))
        {
            continue;
        }
        total += 1;
        let has_room = wanted.limit.is_none_or(|limit| listed.len() < limit);
        if total > wanted.offset && has_room {
            let head = Head::decode(row.value());
            listed.extend(head.map(|head| (application.to_owned(), id.to_owned(), head)));
        }
    }
    Ok((listed, total))
}

/// How many runs there are of each status.
pub fn count(transaction: &ReadTransaction) -> Result<[u64; Status::ALL.len()], redb::Error> {
    let mut counted = [0; Status::ALL.len()];
    if let Some(heads) = there(transaction.open_table(HEADS))? {
        for row in heads.iter()? {
            counted[Status::of(row?.1.value()) as usize] += 1;
        }
    }
    Ok(counted)
}

/// As many steps from a number on as fit, at least one where there is one.
pub fn steps(
    transaction: &ReadTransaction,
    application: &str,
    id: &str,
    from: u64,
    (limit, bytes_max): (usize, usize),
) -> Result<Vec<Taken>, redb::Error> {
    let (mut steps, mut bytes) = (Vec::new(), 0);
    let Some(table) = there(transaction.open_table(STEPS))? else {
        return Ok(steps);
    };
    let range = (application, id, from)..=(application, id, u64::MAX);
    for row in table.range(range)?.take(limit) {
        let (key, row) = row?;
        bytes += row.value().len();
        if bytes > bytes_max && !steps.is_empty() {
            break;
        }
        steps.extend(Taken::decode(key.value().2, row.value()));
    }
    Ok(steps)
}

pub fn signal(
    transaction: &ReadTransaction,
    application: &str,
    id: &str,
    number: u64,
) -> Result<Option<(String, Bytes)>, redb::Error> {
    let Some(table) = there(transaction.open_table(SIGNALS))? else {
        return Ok(None);
    };
    let row = table.get((application, id, number))?;
    Ok(row.and_then(|row| {
        let (name, payload) = parts(row.value())?;
        let name = String::from_utf8_lossy(name).into_owned();
        Some((name, Bytes::copy_from_slice(payload)))
    }))
}

/// The applications that have runs, ended ones too.
pub fn applications(transaction: &ReadTransaction) -> Result<Vec<String>, redb::Error> {
    let mut found: Vec<String> = Vec::new();
    let Some(heads) = there(transaction.open_table(HEADS))? else {
        return Ok(found);
    };
    let mut from = String::new();
    while let Some(row) = heads.range((&*from, "")..)?.next() {
        let application = row?.0.value().0.to_owned();
        from = after(&application);
        found.push(application);
    }
    Ok(found)
}
