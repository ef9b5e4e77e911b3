//! Durable records a second from 1, 10 and 100 writers, beside append and fdatasync of the same bytes in the same run.
//!
//! `cargo bench --bench commits [DIR]`; DIR lies on the disk to be measured, the current folder's by default.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use plexspaces_node::storage::Storage;

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
    println!("writers  records/s  append+fdatasync/s  ratio   (medians of {ROUNDS}, 256 bytes)");
    runtime.block_on(async {
        let storage = Storage::open(&dir.path().join("data")).unwrap();
        for writers in [1, 10, 100] {
            let mut pairs = Vec::new();
            for _ in 0..ROUNDS {
                pairs.push((records(&storage, writers).await, appends(dir.path())));
            }
            let of = |pick: fn(&(f64, f64)) -> f64| {
                let mut figures: Vec<_> = pairs.iter().map(pick).collect();
                figures.sort_by(f64::total_cmp);
                figures[ROUNDS / 2]
            };
            let (records, appends) = (of(|it| it.0), of(|it| it.1));
            println!(
                "{writers:7} {records:10.0} {appends:19.0} {:6.2}",
                records / appends
            );
        }
        storage.close().await;
    });
}

/// Each writer waits until its record is on disk before it writes the next.
async fn records(storage: &Storage, writers: usize) -> f64 {
    let begin = Instant::now();
    let write = |writer: usize| {
        let deployments = storage.deployments.clone();
        async move {
            let mut written = 0_u64;
            while begin.elapsed() < STAGE {
                let name = format!("writer-{writer}");
                let put = deployments.put(name, RECORD.to_vec(), Vec::new());
                put.await.unwrap();
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
