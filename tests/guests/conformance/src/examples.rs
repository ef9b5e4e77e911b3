//! The examples of docs/polyglot.md, compiled here and never called.
#![allow(dead_code)]

use crate::plexspaces::actor::types::{ActorError, Context, FieldType, PatternField, TupleField};
use crate::plexspaces::actor::{locks, process_groups, tuplespace};

fn own() -> Context {
    Context {
        tenant_id: String::new(),
        namespace: String::new(),
    }
}

/// Tuples: takes the next job, waiting up to five seconds, and writes what came of it.
fn work() -> Result<(), ActorError> {
    let job = [
        PatternField::Exact(TupleField::StringVal("job".into())),
        PatternField::Typed(FieldType::IntType),
    ];
    let taken = tuplespace::take_blocking(&own(), &job, 5_000)?;
    if let Some([_, TupleField::IntVal(number)]) = taken.as_deref() {
        let done = [
            TupleField::StringVal("done".into()),
            TupleField::IntVal(number * 2),
        ];
        tuplespace::write_with_ttl(&own(), &done, 60_000)?;
    }
    Ok(())
}

/// Locks: leads for ten seconds, if nobody else does.
fn lead() -> Result<bool, ActorError> {
    let Some(lock) = locks::try_acquire(&own(), "leader", "", 10_000)? else {
        return Ok(false);
    };
    locks::release(&own(), &lock.lock_key, "", &lock.version, false)?;
    Ok(true)
}

/// Groups: joins for a topic, and tells everybody who is in for it.
fn announce() -> Result<usize, ActorError> {
    process_groups::join_group(&own(), "sensors", "", &["alarm".into()])?;
    let reached =
        process_groups::publish_to_group(&own(), "sensors", Some("alarm"), b"{\"level\":3}")?;
    Ok(reached.len())
}
