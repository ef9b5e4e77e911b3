//! Rows that bear an actor's address, with the node's id in it, as earlier builds wrote them: they are the actor's,
//! whatever the node is called now.

use std::collections::BTreeSet;

use redb::{
    ReadTransaction, ReadableTable, StorageError as Broken, TableDefinition, WriteTransaction,
};

use super::deployments::{AT_UPGRADE, SNAPSHOTS};
use super::entries::{self, CHECKPOINTS, EFFECTS, ENTRIES, HEADS};
use super::store::there;
use crate::id::child_of;

/// Application and address.
type Of = (String, String);

/// Tables of states, by application and actor.
const STATES: [TableDefinition<(&str, &str), &[u8]>; 2] = [SNAPSHOTS, AT_UPGRADE];

/// Whether there are such rows.
pub fn any(transaction: &ReadTransaction) -> Result<bool, redb::Error> {
    for table in STATES {
        if let Some(table) = there(transaction.open_table(table))?
            && !addressed(&table)?.is_empty()
        {
            return Ok(true);
        }
    }
    let heads = there(transaction.open_table(HEADS))?;
    let found = heads.map_or(Ok(BTreeSet::new()), |heads| addressed(&heads))?;
    Ok(!found.is_empty())
}

/// Gives them the actor's id within its application instead. Of several nodes' rows of one actor the first stay.
pub fn to_ids(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    for table in STATES {
        let of = addressed(&transaction.open_table(table)?)?;
        of.iter()
            .try_for_each(|of| rename_state(transaction, table, of))?;
    }
    let journals = addressed(&transaction.open_table(HEADS)?)?;
    for of in &journals {
        let (application, address) = (&*of.0, &*of.1);
        let is_taken = transaction
            .open_table(HEADS)?
            .get((application, child_of(address)))?
            .is_some();
        match is_taken {
            true => entries::forget_actor(transaction, application, address)?,
            false => rename_journal(transaction, of)?,
        }
    }
    Ok(())
}

fn addressed<V: redb::Value + 'static>(
    table: &impl ReadableTable<(&'static str, &'static str), V>,
) -> Result<BTreeSet<Of>, Broken> {
    let mut found = BTreeSet::new();
    for entry in table.iter()? {
        let (key, _) = entry?;
        let (application, actor) = key.value();
        if actor.contains('@') {
            found.insert((application.to_owned(), actor.to_owned()));
        }
    }
    Ok(found)
}

fn rename_state(
    transaction: &WriteTransaction,
    table: TableDefinition<(&str, &str), &[u8]>,
    (application, address): &Of,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(table)?;
    let child = child_of(address);
    let state = table.remove((&**application, &**address))?;
    let state = state.map(|state| state.value().to_vec());
    if let Some(state) = state
        && table.get((&**application, child))?.is_none()
    {
        table.insert((&**application, child), &*state)?;
    }
    Ok(())
}

fn rename_journal(transaction: &WriteTransaction, of: &Of) -> Result<(), redb::Error> {
    let (application, address) = (&*of.0, &*of.1);
    let child = child_of(address);
    rename_state(transaction, CHECKPOINTS, of)?;
    let mut heads = transaction.open_table(HEADS)?;
    let head = heads
        .remove((application, address))?
        .map(|head| head.value());
    if let Some(head) = head {
        heads.insert((application, child), head)?;
    }
    let mut noted = transaction.open_table(entries::AT_UPGRADE)?;
    let sequence = noted.remove((application, address))?.map(|it| it.value());
    if let Some(sequence) = sequence {
        noted.insert((application, child), sequence)?;
    }
    // One by one: a journal may be larger than what the machine has to spare.
    let mut rows = transaction.open_table(ENTRIES)?;
    while let Some((number, entry)) = first_entry(&rows, of)? {
        rows.remove((application, address, number))?;
        rows.insert((application, child, number), &*entry)?;
    }
    let mut effects = transaction.open_table(EFFECTS)?;
    while let Some((key, effect)) = first_effect(&effects, of)? {
        effects.remove((application, address, &*key))?;
        effects.insert((application, child, &*key), &*effect)?;
    }
    Ok(())
}

fn first_entry(
    entries: &impl ReadableTable<(&'static str, &'static str, u64), &'static [u8]>,
    (application, address): &Of,
) -> Result<Option<(u64, Vec<u8>)>, Broken> {
    let (application, address) = (&**application, &**address);
    let mut range = entries.range((application, address, 0)..=(application, address, u64::MAX))?;
    let first = range.next().transpose()?;
    Ok(first.map(|(key, entry)| (key.value().2, entry.value().to_vec())))
}

fn first_effect(
    effects: &impl ReadableTable<(&'static str, &'static str, &'static str), &'static [u8]>,
    (application, address): &Of,
) -> Result<Option<(String, Vec<u8>)>, Broken> {
    let next = entries::after(address);
    let mut range =
        effects.range((&**application, &**address, "")..(&**application, &*next, ""))?;
    let first = range.next().transpose()?;
    Ok(first.map(|(key, effect)| (key.value().2.to_owned(), effect.value().to_vec())))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::storage::audit;
    use crate::storage::committer::Committer;
    use crate::storage::entries::Rows;
    use crate::storage::journal::{Event, Span};
    use crate::storage::store::tests::on;

    const ALL: Span = Span {
        from: 0,
        to: u64::MAX,
        limit: usize::MAX,
    };

    /// A journal with one entry that says whose it is, an effect, and a state, as earlier builds wrote them.
    fn written(transaction: &WriteTransaction, address: &str) -> Result<(), redb::Error> {
        let event = Event {
            event_type: "add".into(),
            payload: Bytes::copy_from_slice(address.as_bytes()),
        };
        let mut rows = Rows::open(transaction, "orders", address)?;
        rows.append(&[event], 1)?.unwrap();
        rows.checkpoint(address.as_bytes(), 1)?.unwrap();
        rows.record("key", b"value", 1)?.unwrap();
        drop(rows);
        entries::note_upgrade(transaction, "orders")?;
        for table in STATES {
            let mut table = transaction.open_table(table)?;
            table.insert(("orders", address), address.as_bytes())?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn rows_are_the_actors_whatever_the_node_was_called() {
        let mut store = on(InMemoryBackend::new).unwrap();
        assert!(!store.read(any).unwrap());
        let addresses = ["orders/worker@a", "orders/worker@b", "orders@b"];
        let write = |transaction: &WriteTransaction| {
            let mut all = addresses.into_iter();
            all.try_for_each(|address| written(transaction, address))
        };
        store.write(write).unwrap();
        assert!(store.read(any).unwrap());
        store.write(to_ids).unwrap();
        assert!(!store.read(any).unwrap());
        let check = |transaction: &ReadTransaction| {
            for (actor, of) in [("worker", "orders/worker@a"), ("orders", "orders@b")] {
                let (read, _) = entries::read(transaction, "orders", actor, ALL, usize::MAX)?;
                assert_eq!(read.len(), 1);
                assert_eq!(read[0].event.payload, of);
                let state = entries::checkpoint(transaction, "orders", actor)?;
                assert_eq!(state.unwrap(), of);
                let effect = entries::recorded(transaction, "orders", actor, "key")?;
                assert_eq!(effect.unwrap(), "value");
                let noted = transaction.open_table(entries::AT_UPGRADE)?;
                assert_eq!(noted.get(("orders", actor))?.unwrap().value(), 1);
                for table in STATES {
                    let state = transaction.open_table(table)?.get(("orders", actor))?;
                    assert_eq!(state.unwrap().value(), of.as_bytes());
                }
            }
            assert_eq!(entries::heads(transaction)?.len(), 2);
            Ok(())
        };
        store.read(check).unwrap();
        audit::fits_together(&Committer::start(store).unwrap()).await;
    }
}
