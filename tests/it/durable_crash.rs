//! Kills a node while durable tuples are written and taken, and holds what comes back against what it had acknowledged.
//!
//! `PLEXSPACES_TEST_KILLS` and `PLEXSPACES_TEST_SEED` are as in `crash`.

use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use plexspaces_node::grpc::proto::tuplespace::tuple_field::Value as Field;
use plexspaces_node::grpc::proto::tuplespace::tuple_plex_space_service_client::TuplePlexSpaceServiceClient;
use plexspaces_node::grpc::proto::tuplespace::{ReadRequest, WriteRequest};
use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::crash::Dice;
use crate::grpc_client::Rpc;
use crate::grpc_tuples::{tuple, tuples};
use crate::harness::Node;
use crate::tuplespace::{asked, core_guest, post};

/// How tuples of a lane are written and taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Http,
    Grpc,
    Guest,
}

/// Numbers that go in at one end and out at the other: one writer, one taker.
#[derive(Clone, Copy, Debug)]
struct Lane {
    door: Door,
    /// The last number whose write was acknowledged, and whose take was.
    written: i64,
    taken: i64,
}

#[test]
fn what_was_written_is_there_or_was_taken_once_after_a_kill_at_any_moment() {
    let number = |name: &str, or: u64| env::var(name).map_or(or, |text| text.parse().unwrap());
    let (kills, seed) = (
        number("PLEXSPACES_TEST_KILLS", 25),
        number("PLEXSPACES_TEST_SEED", 20_261_125),
    );
    let mut dice = Dice(seed);
    let mut lanes = [Door::Http, Door::Grpc, Door::Guest, Door::Http].map(|door| Lane {
        door,
        written: 0,
        taken: 0,
    });
    let mut node = Node::configured("[tuplespace]\ndurable = ['default']");
    for name in ["writer", "taker"] {
        node.deploy(name, &core_guest()).is_deployed();
    }
    let (mut acknowledged, mut undecided) = (0, 0);
    let mut moment_us_max = 200_000;
    for kill in 0..kills {
        let moment = Duration::from_micros(dice.below(moment_us_max));
        let before: i64 = lanes.iter().map(|lane| lane.written + lane.taken).sum();
        let dir = run_until_killed(node, moment, &mut lanes);
        let after: i64 = lanes.iter().map(|lane| lane.written + lane.taken).sum();
        acknowledged += after - before;
        // A busy machine needs longer for as much.
        if after == before {
            moment_us_max *= 2;
        }
        node = Node::again(dir);
        for (at, lane) in lanes.iter_mut().enumerate() {
            let found = found(&node, at);
            let context = format!("kill {kill} of seed {seed}: {lane:?} has {found:?}");
            // One write and one take may have been under way.
            let first = found.first().copied().unwrap_or(lane.written + 1);
            let last = found.last().copied().unwrap_or(first - 1);
            assert_eq!(found, (first..=last).collect::<Vec<_>>(), "{context}");
            assert!([1, 2].contains(&(first - lane.taken)), "{context}");
            assert!([0, 1].contains(&(last - lane.written)), "{context}");
            undecided += (first - lane.taken - 1) + (last - lane.written);
            (lane.taken, lane.written) = (first - 1, last);
        }
    }
    println!(
        "{kills} kills, {acknowledged} changes acknowledged, {undecided} that no answer told of"
    );
    assert!(
        acknowledged > kills as i64,
        "it was killed before it could do anything"
    );
}

/// The numbers in a lane, in their order.
fn found(node: &Node, lane: usize) -> Vec<i64> {
    let body = json!({"pattern": ["n", lane, {"any": true}], "limit": 0});
    let read = post(node, "read", &body).json();
    let tuples = read["tuples"].as_array().unwrap();
    tuples.iter().map(|it| it[2].as_i64().unwrap()).collect()
}

fn run_until_killed(node: Node, moment: Duration, lanes: &mut [Lane; 4]) -> tempfile::TempDir {
    let (pid, dead) = (node.pid(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::park_timeout(moment);
            kill_process(pid, Signal::KILL).unwrap();
            dead.store(true, SeqCst);
        });
        for (at, lane) in lanes.iter_mut().enumerate() {
            let (node, dead, door) = (&node, &dead, lane.door);
            let Lane { written, taken, .. } = lane;
            scope.spawn(move || {
                let rpc = Rpc::to(node);
                while attempt(|| write(node, &rpc, door, at, *written + 1)) == Some(true) {
                    *written += 1;
                }
                assert!(dead.load(SeqCst) || ends(node), "a write was refused");
            });
            scope.spawn(move || {
                let rpc = Rpc::to(node);
                while let Some(number) = attempt(|| take(node, &rpc, door, at)) {
                    match number {
                        Some(number) => {
                            assert_eq!(number, *taken + 1, "out of its order, or twice");
                            *taken = number;
                        }
                        None => thread::yield_now(),
                    }
                }
            });
        }
    });
    node.kill()
}

/// The process was killed a moment ago: it answers nothing any more.
fn ends(node: &Node) -> bool {
    while attempt(|| node.get("/health").status).is_some() {
        thread::yield_now();
    }
    true
}

/// `None` where no answer came.
fn attempt<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

fn write(node: &Node, rpc: &Rpc, door: Door, lane: usize, number: i64) -> bool {
    let json = json!(["n", lane, number]);
    match door {
        Door::Http => post(node, "tuples", &json!({"tuple": json})).status == 200,
        Door::Guest => asked(node, "writer", "w", &json.to_string()) == "0",
        Door::Grpc => {
            let fields = [
                Field::String("n".into()),
                Field::Integer(lane as i64),
                Field::Integer(number),
            ];
            let request = WriteRequest {
                tuples: vec![tuple(fields)],
                ..WriteRequest::default()
            };
            tuples!(rpc, write(request)).unwrap().tuple_ids.len() == 1
        }
    }
}

fn take(node: &Node, rpc: &Rpc, door: Door, lane: usize) -> Option<i64> {
    let pattern = json!(["n", lane, {"any": true}]);
    match door {
        Door::Http => {
            let body = json!({"pattern": pattern, "timeout_ms": 20});
            post(node, "take", &body).json()["tuples"][0][2].as_i64()
        }
        Door::Guest => {
            let told = asked(node, "taker", "t", &pattern.to_string());
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            told[2].as_i64()
        }
        Door::Grpc => {
            let fields = [
                Field::String("n".into()),
                Field::Integer(lane as i64),
                Field::Wildcard(true),
            ];
            let request = ReadRequest {
                template: Some(tuple(fields)),
                blocking: true,
                timeout: Some(prost_types::Duration {
                    seconds: 0,
                    nanos: 20_000_000,
                }),
                ..ReadRequest::default()
            };
            let taken = tuples!(rpc, take(request)).unwrap();
            let value = taken.tuples.first()?.fields[2].value.clone();
            match value {
                Some(Field::Integer(number)) => Some(number),
                other => panic!("{other:?}"),
            }
        }
    }
}
