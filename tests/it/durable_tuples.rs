//! Tuples of durable namespaces: as those in memory are, and there again after a kill, with what is left of their time.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use plexspaces_node::budget::Budget;
use plexspaces_node::coordination::tuplespace::{TupleSpaces, Wish};
use plexspaces_node::coordination::{Pattern, Tuple, read_pattern, read_tuple};
use plexspaces_node::place::Place;
use plexspaces_node::storage::Storage;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backup::{backup, restore, succeeds};
use crate::full_disk::Disk;
use crate::harness::{Answer, Node};
use crate::tuplespace::{
    asked, core_guest, every_function_works, fleet_tools_work, post, takers_over_http_wait,
    waiting_guests_work,
};

const CONFIG: &str = "[tuplespace]\ndurable = ['default', 'kept']";

fn durable() -> Node {
    Node::configured(CONFIG)
}

fn all(node: &Node, pattern: &Value) -> Value {
    let body = json!({"pattern": pattern, "limit": 0, "namespace": "kept"});
    post(node, "read", &body).json()["tuples"].clone()
}

#[track_caller]
fn write(node: &Node, tuple: &Value) {
    let body = json!({"tuple": tuple, "namespace": "kept"});
    assert_eq!(post(node, "tuples", &body).status, 200);
}

fn take(node: &Node, pattern: &Value) -> Value {
    let body = json!({"pattern": pattern, "namespace": "kept"});
    post(node, "take", &body).json()["tuples"].clone()
}

#[test]
fn they_do_what_those_in_memory_do() {
    fleet_tools_work(&durable());
    takers_over_http_wait(&durable());
    every_function_works(&durable());
    waiting_guests_work(&durable());
}

#[test]
fn they_are_there_after_a_kill_in_their_order_and_as_they_were() {
    let node = durable();
    let kinds = json!(["k", "é", -7, 2.0, {"float": "NaN"}, true, {"bytes": "AQI="}, null]);
    write(&node, &kinds);
    for number in 1..=5 {
        write(&node, &json!(["n", number]));
    }
    let any = json!(["n", {"any": true}]);
    assert_eq!(take(&node, &any), json!([["n", 1]]));
    assert_eq!(take(&node, &json!(["n", 4])), json!([["n", 4]]));
    let elsewhere = json!({"tuple": ["n", 9], "namespace": "in-memory"});
    assert_eq!(post(&node, "tuples", &elsewhere).status, 200);
    let tenant = json!({"tuple": ["n", 8], "namespace": "kept", "tenant": "other"});
    assert_eq!(post(&node, "tuples", &tenant).status, 200);
    node.deploy("core", &core_guest()).is_deployed();
    assert_eq!(asked(&node, "core", "w", r#"["s",1]"#), "0");
    assert_eq!(asked(&node, "core", "x", ""), "1");
    assert_eq!(node.undeploy("core").status, 200, "they are the place's");
    let node = Node::again(node.kill());
    assert_eq!(all(&node, &any), json!([["n", 2], ["n", 3], ["n", 5]]));
    let whole = json!(["k", {"any": true}, {"any": true}, {"any": true}, {"any": true}, {"any": true},
        {"any": true}, {"any": true}]);
    assert_eq!(all(&node, &whole), json!([kinds]));
    let count = |body: Value| post(&node, "count", &body).json()["count"].clone();
    assert_eq!(count(json!({"pattern": any, "namespace": "in-memory"})), 0);
    let other = json!({"pattern": any, "namespace": "kept", "tenant": "other"});
    assert_eq!(count(other), 1);
    node.deploy("core", &core_guest()).is_deployed();
    assert_eq!(
        asked(&node, "core", "a", r#"["s",{"any":true}]"#),
        r#"[["s",2]]"#
    );
    // What comes now comes behind what was there.
    write(&node, &json!(["n", 6]));
    let node = Node::again(node.kill());
    assert_eq!(
        all(&node, &any),
        json!([["n", 2], ["n", 3], ["n", 5], ["n", 6]])
    );
}

#[test]
fn their_time_goes_on_over_a_restart() {
    let node = durable();
    let brief =
        |ttl_ms: u64| json!({"tuple": ["t", ttl_ms], "ttl_ms": ttl_ms, "namespace": "kept"});
    for ttl_ms in [1_500, 3_600_000] {
        assert_eq!(post(&node, "tuples", &brief(ttl_ms)).status, 200);
    }
    let any = json!(["t", {"any": true}]);
    let node = Node::again(node.kill());
    node.waits_for("the brief one to end", || {
        all(&node, &any) == json!([["t", 3_600_000]])
    });
    let node = Node::again(node.kill());
    assert_eq!(all(&node, &any), json!([["t", 3_600_000]]));
}

#[test]
fn those_of_a_namespace_that_is_durable_no_more_wait_on_the_disk() {
    let node = durable();
    write(&node, &json!(["n", 1]));
    let node = Node::start(node.kill(), &[]);
    node.log_says("1 tuples stay on disk unused");
    assert_eq!(all(&node, &json!(["n", 1])), json!([]));
    let node = Node::again(node.kill());
    assert_eq!(all(&node, &json!(["n", 1])), json!([["n", 1]]));
}

#[test]
fn they_come_back_with_a_backup() {
    let (node, elsewhere) = (durable(), TempDir::new().unwrap());
    for number in 1..=3 {
        write(&node, &json!(["n", number]));
    }
    let file = elsewhere.path().join("node.tar");
    succeeds(&backup(&node, &file));
    let dir = TempDir::new().unwrap();
    succeeds(&restore(&file, dir.path()));
    fs::write(dir.path().join("node.toml"), CONFIG).unwrap();
    let found = all(&Node::again(dir), &json!(["n", {"any": true}]));
    assert_eq!(found, json!([["n", 1], ["n", 2], ["n", 3]]));
}

#[test]
fn a_full_disk_refuses_them_and_changes_nothing() {
    let Some((dir, disk)) = Disk::mounted(8) else {
        return;
    };
    fs::write(dir.path().join("node.toml"), CONFIG).unwrap();
    let node = Node::again(dir);
    let mut written = vec![json!(["n", 0, "before"])];
    write(&node, &written[0]);
    disk.fill();
    let refused = loop {
        let tuple = json!(["n", written.len(), "x".repeat(100_000)]);
        let answer: Answer = post(
            &node,
            "tuples",
            &json!({"tuple": tuple, "namespace": "kept"}),
        );
        if answer.status != 200 {
            break answer;
        }
        written.push(tuple);
    };
    let words = ["no space left in the data directory", "free some"];
    refused.is_refused(507, "RESOURCE_EXHAUSTED", &words);
    let any = json!(["n", {"any": true}, {"any": true}]);
    // What only forgets may find room, or not: then nothing is forgotten.
    let body = json!({"pattern": any, "namespace": "kept"});
    match post(&node, "take", &body) {
        taken if taken.status == 200 => assert_eq!(taken.json()["tuples"][0], written.remove(0)),
        refused => refused.is_refused(507, "RESOURCE_EXHAUSTED", &words),
    }
    assert_eq!(
        all(&node, &any),
        json!(written),
        "what was refused is not there"
    );
    let node = Node::again(node.kill());
    assert_eq!(all(&node, &any), json!(written));
    disk.make_room();
    write(&node, &json!(["n", -1, ""]));
    assert_eq!(take(&node, &json!(["n", -1, ""])), json!([["n", -1, ""]]));
    drop(disk);
}

// ── many at once, on a store of their own ───────────────────────────────────

fn tuple(json: &Value) -> Tuple {
    read_tuple(json.to_string().as_bytes()).unwrap()
}

fn pattern(json: &Value) -> Pattern {
    read_pattern(json.to_string().as_bytes()).unwrap()
}

async fn spaces() -> (TupleSpaces, Storage, TempDir) {
    let dir = TempDir::new().unwrap();
    let storage = Storage::open(dir.path()).unwrap();
    (opened(&storage).await, storage, dir)
}

async fn opened(storage: &Storage) -> TupleSpaces {
    let spaces = TupleSpaces::new(Budget::new(usize::MAX), usize::MAX);
    let namespaces = HashSet::from(["default".to_owned()]);
    let rows = storage.tuples.clone();
    assert_eq!(spaces.open_log(rows, namespaces).await.unwrap(), 0);
    spaces
}

async fn put(spaces: &TupleSpaces, json: Value) {
    let batch = vec![(tuple(&json), None)];
    spaces
        .put(&Place::default(), batch, |_, _| {})
        .await
        .unwrap();
}

#[tokio::test]
async fn readers_see_one_of_the_two_and_no_swap_is_lost() {
    let (spaces, storage, _dir) = spaces().await;
    put(&spaces, json!(["counter", 0])).await;
    let (place, any) = (
        Place::default(),
        pattern(&json!(["counter", {"any": true}])),
    );
    let done = Arc::new(AtomicBool::new(false));
    let looks = {
        let (spaces, place, any, done) = (spaces.clone(), place.clone(), any.clone(), done.clone());
        tokio::spawn(async move {
            let mut looks = 0;
            while !done.load(SeqCst) {
                assert_eq!(spaces.read_all(&place, &any, None).unwrap().len(), 1);
                looks += 1;
                tokio::task::yield_now().await;
            }
            looks
        })
    };
    let mut swappers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (spaces, place, any) = (spaces.clone(), place.clone(), any.clone());
        swappers.spawn(async move {
            let mut swapped = 0;
            while swapped < 20 {
                let old = spaces.read(&place, &any).unwrap();
                let number = serde_json::to_value(&old).unwrap()[1].as_i64().unwrap();
                let new = tuple(&json!(["counter", number + 1]));
                let exchanged = spaces.exchange(&place, &any, &old, new, |_, _| {}).await;
                swapped += i64::from(exchanged.unwrap());
            }
        });
    }
    swappers.join_all().await;
    done.store(true, SeqCst);
    assert!(looks.await.unwrap() > 80);
    let last = tuple(&json!(["counter", 80]));
    assert_eq!(
        spaces.read_all(&place, &any, None).unwrap(),
        std::slice::from_ref(&last)
    );
    // A taker that meets only what is being swapped waits for what comes of it.
    let new = tuple(&json!(["counter", 81]));
    let (swapped, taken) = tokio::join!(
        spaces.exchange(&place, &any, &last, new.clone(), |_, _| {}),
        spaces.pick(&place, &any, Some(1))
    );
    assert_eq!((swapped.unwrap(), taken.unwrap()), (true, vec![new]));
    let again = opened(&storage).await;
    assert_eq!(again.total().tuples, 0);
    assert_eq!(spaces.total().bytes, 0);
}

/// Takers that wait, that take at once, and that leave at any moment: each tuple is with one of those who stayed.
#[tokio::test]
async fn each_goes_to_one_taker_and_none_is_lost_with_one_that_leaves() {
    let (spaces, storage, _dir) = spaces().await;
    let (place, any) = (Place::default(), pattern(&json!(["n", {"any": true}])));
    let taken = Arc::new(std::sync::Mutex::new(Vec::new()));
    let left = Arc::new(AtomicUsize::new(0));
    const TUPLES: usize = 200;
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..2 {
        let spaces = spaces.clone();
        tasks.spawn(async move {
            for number in 0..TUPLES / 2 {
                put(&spaces, json!(["n", number * 2 + sender])).await;
            }
        });
    }
    for taker in 0..6_usize {
        let (spaces, place, any) = (spaces.clone(), place.clone(), any.clone());
        let (taken, left) = (taken.clone(), left.clone());
        tasks.spawn(async move {
            let mut patience = taker;
            while taken.lock().unwrap().len() < TUPLES {
                let take = async {
                    if taker % 2 == 0 {
                        return spaces.pick(&place, &any, Some(1)).await.unwrap();
                    }
                    let caught = spaces.catch(&place, any.clone(), Wish::Take).unwrap().await;
                    vec![caught.settle().await.unwrap()]
                };
                patience = (patience * 31 + 7) % 53;
                let leaves = async {
                    for _ in 0..patience * patience {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    tuples = take => taken.lock().unwrap().extend(tuples),
                    () = leaves => drop(left.fetch_add(1, SeqCst)),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    let taken = taken.lock().unwrap().clone();
    let different: HashSet<String> = taken.iter().map(|it| format!("{it:?}")).collect();
    assert_eq!((taken.len(), different.len()), (TUPLES, TUPLES));
    assert!(left.load(SeqCst) > 20, "too few left: {left:?}");
    let stats = spaces.stats(&place);
    assert_eq!((stats.tuples, stats.bytes, stats.waiting), (0, 0, 0));
    assert_eq!(opened(&storage).await.total().tuples, 0);
}
