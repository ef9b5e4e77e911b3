//! Durable records, values, queued messages and journal entries a second from 1, 10 and 100 writers, beside append and fdatasync of the same bytes in the same run.
//!
//! `cargo bench --bench commits [DIR]`; DIR lies on the disk to be measured, the current folder's by default.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use plexspaces_node::id::{ActorId, ApplicationName, NodeId, Scope};
use plexspaces_node::place::Place;
use plexspaces_node::storage::{Event, Parcel, QueueName, Storage};

const STAGE: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
const RECORD: [u8; 256] = [b'7'; 256];

fn main() {
    let given = std::env::args().skip(1).find(|it| !it.starts_with("--"));
    let dir = tempfile::tempdir_in(given.as_deref().unwrap_or(".")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "writers  records/s  puts/s  enqueues/s  entries/s  append+fdatasync/s   (medians of {ROUNDS}, 256 bytes)"
    );
    runtime.block_on(async {
        let storage = Storage::open(&dir.path().join("data")).unwrap();
        for writers in [1, 10, 100] {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                rounds.push([
                    writing(&storage, writers, record).await,
                    writing(&storage, writers, put).await,
                    writing(&storage, writers, enqueue).await,
                    writing(&storage, writers, persist).await,
                    appends(dir.path()),
                ]);
            }
            let median = |at: usize| {
                let mut figures: Vec<_> = rounds.iter().map(|round| round[at]).collect();
                figures.sort_by(f64::total_cmp);
                figures[ROUNDS / 2]
            };
            let [records, puts, enqueues, entries, appends] = [0, 1, 2, 3, 4].map(median);
            println!(
                "{writers:7} {records:10.0} {puts:7.0} {enqueues:11.0} {entries:10.0} {appends:19.0}"
            );
        }
        storage.close().await;
    });
}

/// Each writer waits until its record is on disk before it writes the next.
async fn writing<F: Future<Output = ()> + Send>(
    storage: &Storage,
    writers: usize,
    write: impl Fn(Storage, usize, u64) -> F + Copy + Send + 'static,
) -> f64 {
    let begin = Instant::now();
    let write = |writer: usize| {
        let storage = storage.clone();
        async move {
            let mut written = 0_u64;
            while begin.elapsed() < STAGE {
                write(storage.clone(), writer, written).await;
                written += 1;
            }
            written
        }
    };
    let tasks: Vec<_> = (0..writers).map(|it| tokio::spawn(write(it))).collect();
    let mut written = 0;
    for task in tasks {
        written += task.await.unwrap();
    }
    written as f64 / begin.elapsed().as_secs_f64()
}

async fn record(storage: Storage, writer: usize, _: u64) {
    let name = format!("writer-{writer}");
    let put = storage.deployments.put(name, RECORD.to_vec());
    put.await.unwrap();
}

/// A thousand keys for each writer, written over and over.
async fn put(storage: Storage, writer: usize, written: u64) {
    let (place, owner) = (Place::default(), owner(writer));
    let key = format!("key-{writer}-{}", written % 1_000);
    let value = RECORD.to_vec().into();
    let put = storage.keyvalue.put(&place, &owner, &key, value, None);
    put.await.unwrap();
}

/// To a queue of the writer's own, which fits what a run sends.
async fn enqueue(storage: Storage, writer: usize, _: u64) {
    let name = QueueName::parse(Place::default(), &format!("queue-{writer}")).unwrap();
    let parcel = Parcel {
        payload: RECORD.to_vec().into(),
        ..Parcel::default()
    };
    storage
        .queues
        .send(&name, &owner(writer), parcel)
        .await
        .unwrap();
}

/// To the journal of an actor of the writer's own, which is emptied before it is full.
async fn persist(storage: Storage, writer: usize, written: u64) {
    let (scope, node) = (Scope::default(), NodeId::default());
    let actor = ActorId::worker(&scope, &scope, &owner(writer), &node);
    if written % 10_000 == 9_999 {
        storage.journals.forget_actor(&actor).await.unwrap();
    }
    let event = Event {
        event_type: "written".into(),
        payload: RECORD.to_vec().into(),
    };
    let appended = storage.journals.append(&actor, vec![event], 0);
    appended.await.unwrap();
}

/// Each writer is an application of its own, with its own bounds.
fn owner(writer: usize) -> ApplicationName {
    ApplicationName::parse(&format!("writer-{writer}")).unwrap()
}

/// One writer without a database.
fn appends(dir: &Path) -> f64 {
    let mut file = File::create(dir.join("appended")).unwrap();
    let (begin, mut written) = (Instant::now(), 0_u64);
    while begin.elapsed() < STAGE {
        file.write_all(&RECORD).unwrap();
        file.sync_data().unwrap();
        written += 1;
    }
    written as f64 / begin.elapsed().as_secs_f64()
}
