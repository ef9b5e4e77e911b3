//! The examples of docs/polyglot.md, each of which `run` calls.

use crate::plexspaces::actor::types::{ActorError, Context, FieldType, PatternField, TupleField};
use crate::plexspaces::actor::workflow::{ActivityOptions, WorkflowOptions};
use crate::plexspaces::actor::{
    blob, channels, durability, keyvalue, locks, process_groups, tuplespace, workflow,
};

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

/// Keys: remembers for a day who came last, and counts everybody.
fn visit(name: &str) -> Result<i64, ActorError> {
    keyvalue::put_with_ttl(&own(), "visitor/last", name.as_bytes(), 86_400_000)?;
    keyvalue::increment(&own(), "visitor/count", 1)
}

/// Queues: works off all jobs there are, and acknowledges each when its result is on disk.
fn work_off() -> Result<(), ActorError> {
    while let Some(job) = channels::receive_from_queue(&own(), "jobs", 0)? {
        match std::str::from_utf8(&job.payload) {
            Ok(text) => {
                channels::send_to_queue(&own(), "results", "text", text.to_uppercase().as_bytes())?;
                channels::ack(&own(), "jobs", &job.id)?;
            }
            // What cannot be read goes to the dead letters, the queue `jobs.dlq`.
            Err(_) => channels::nack(&own(), "jobs", &job.id, false)?,
        }
    }
    Ok(())
}

/// Topics: `handle-event` gets all about orders from now on, then that one was made.
fn hear_of_orders() -> Result<(), ActorError> {
    channels::subscribe_to_topic(&own(), "shop", Some("order.*"))?;
    channels::publish_to_topic(&own(), "shop", "order.made", b"{\"order\":7}")?;
    Ok(())
}

/// Blobs: keeps a map that is too large for a key, and reads it again.
fn keep_map(map: &[u8]) -> Result<Vec<u8>, ActorError> {
    let stored = blob::upload(&own(), "maps", "north.bin", map, Some("image/png"))?;
    blob::download(&own(), &stored.blob_id, "", "")
}

/// The journal: an order is on disk before it counts, and has one receipt, however often it is sent.
fn take_order(id: &str, receipt: &[u8]) -> Result<Vec<u8>, ActorError> {
    let first = durability::cache_side_effect(&own(), &format!("receipt/{id}"), receipt)?;
    let number = durability::persist(&own(), "ordered", id.as_bytes())?;
    // Every hundred orders the state is kept, and the journal begins anew.
    if number % 100 == 0 {
        durability::checkpoint(&own())?;
        durability::compact(&own(), number)?;
    }
    Ok(first)
}

/// Workflows: starts a run under an id of its own; a second start of the same is refused.
fn order_tea(water: &[u8]) -> Result<String, ActorError> {
    let options = WorkflowOptions {
        workflow_id: None,
        task_queue: None,
        execution_timeout: Some(3_600_000),
        retry_policy: None,
    };
    workflow::start_workflow(&own(), "guest", Some("tea-1"), water, &options)
}

/// The run itself, a message of type `workflow`. Each step it takes is on disk before the next: after a restart of the node it
/// comes here anew, the activity that was done is answered from the disk, and it sleeps for what is left.
pub fn brew(water: &[u8]) -> Result<Vec<u8>, ActorError> {
    let options = ActivityOptions {
        activity_id: None,
        start_to_close_timeout: Some(5_000),
        schedule_to_close_timeout: None,
        retry_policy: Some(r#"{"max_attempts":3,"initial_ms":100}"#.into()),
    };
    let hot = workflow::schedule_activity(&own(), "guest", water, &options)?;
    workflow::sleep(100);
    Ok([b"tea of ", hot.as_slice()].concat())
}

/// Calls each once, and says what came of it.
pub fn run() -> Result<Vec<u8>, String> {
    outcomes().map(String::into_bytes).map_err(|error| error.message)
}

fn outcomes() -> Result<String, ActorError> {
    let job = |word: &str, number| [TupleField::StringVal(word.into()), TupleField::IntVal(number)];
    tuplespace::write(&own(), &job("job", 21))?;
    work()?;
    let done = job("done", 42).map(PatternField::Exact);
    let doubled = tuplespace::take(&own(), &done)?.is_some();
    channels::send_to_queue(&own(), "jobs", "text", b"hello")?;
    channels::send_to_queue(&own(), "jobs", "text", b"\xff")?;
    work_off()?;
    let results = channels::queue_depth(&own(), "results")?;
    let dead = channels::queue_depth(&own(), "jobs.dlq")?;
    hear_of_orders()?;
    let visits = (visit("Ada")?, visit("Bob")?).1;
    let map = keep_map(b"map")?.len();
    take_order("7", b"first")?;
    let receipt = String::from_utf8_lossy(&take_order("7", b"second")?).into_owned();
    let (led, told) = (lead()?, announce()?);
    order_tea(b"brew echo water")?;
    Ok(format!(
        "doubled: {doubled}, led: {led}, told: {told}, visits: {visits}, results: {results}, dead letters: {dead}, \
         bytes: {map}, receipt: {receipt}"
    ))
}
