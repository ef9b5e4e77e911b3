//! What guests keep, in a backup: all of it comes back as of one moment, and nothing of what is damaged or forged.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use plexspaces_node::wasm::Kind;
use tempfile::TempDir;

use crate::backup::{backup, fails, restore, succeeds};
use crate::forgery::Forgery;
use crate::grpc_actors::{instantiate, keep};
use crate::grpc_client::Rpc;
use crate::guests::{COUNTER, ECHO, guest};
use crate::harness::{Node, node};
use crate::journal::{ledger, tell};
use crate::keeper::Keeper;

const BLOB: &str = "/api/v1/blobs/maps/north.bin";
const HOUR_MS: i64 = 3_600_000;

fn told(deliveries: u32, text: &str) -> Option<(u32, String)> {
    Some((deliveries, text.to_owned()))
}

/// A node on which everything is kept that can be.
fn full() -> Node {
    let node = node();
    let keeper = Keeper::deploy(&node, "keeper", "");
    keeper.put("key", "value");
    keeper.tell('t', HOUR_MS, ["brief", "here", ""]);
    for text in ["lent", "waiting"] {
        keeper.send("q", text);
    }
    assert_eq!(keeper.receive("q", 0), told(1, "lent"));
    assert_eq!(keeper.tell('o', HOUR_MS, ["later", "note", "delayed"]).0, 0);
    // One of another actor, so that the first one's delivery stays the last of its own.
    let other = Keeper::deploy(&node, "other", "");
    other.send("bad", "dead");
    assert_eq!(other.receive("bad", 0), told(1, "dead"));
    assert_eq!(other.tell('n', 0, ["bad", "", ""]).0, 0);
    node.deploy("ledger", &ledger()).is_deployed();
    for order in ["aone.", "c", "atwo."] {
        tell(&node, order);
    }
    assert_eq!(node.request("PUT", BLOB, &[], &blob()).status, 200);
    for (version, module) in [("1", COUNTER), ("2", ECHO)] {
        let form = node.form("versions", &guest(Kind::Core, module));
        form.field("version", version).send().is_deployed();
    }
    let rpc = Rpc::to(&node);
    keep(&rpc, "library", "1", &guest(Kind::Component, COUNTER)).unwrap();
    node
}

/// Of more bytes than one piece.
fn blob() -> Vec<u8> {
    (0..3 << 20).map(|at: u32| (at % 251) as u8).collect()
}

#[track_caller]
fn is_full(node: &Node) {
    let [keeper, other] = ["keeper", "other"].map(|name| Keeper { node, name });
    assert_eq!(keeper.one('g', "key"), (1, "value".into()));
    assert_eq!(keeper.one('g', "brief"), (1, "here".into()));
    assert_eq!(
        other.receive("q", 60_000),
        told(2, "lent"),
        "nobody has it now"
    );
    assert_eq!(other.ack("q"), 0);
    assert_eq!(other.receive("q", 0), told(1, "waiting"));
    assert_eq!(other.receive("later", 0), None, "it is held back");
    assert_eq!(other.receive("bad.dlq", 0), told(1, "dead"));
    let headers = r#"[["dead-letter-queue","bad"],["dead-letter-deliveries","1"]]"#;
    assert_eq!(other.one('M', ""), (0, headers.into()));
    assert_eq!(tell(node, "t"), (0, "one.two.".into()));
    assert_eq!((tell(node, "s").0, tell(node, "S").0), (2, 1));
    let fetched = node.request("HEAD", BLOB, &[], b"");
    assert_eq!(fetched.header("content-length"), Some("3145728"));
    let etag = fetched.header("etag").unwrap().to_owned();
    let again = node.request("PUT", BLOB, &[], &blob()).json();
    let digest = again["blob"]["etag"].as_str().unwrap();
    assert_eq!(etag.trim_matches('"'), digest, "its bytes");
    assert_eq!(node.ask("versions", b"echo").body_payload(), "echo");
    assert_eq!(node.wish("versions", "rollback").status, 200);
    assert_eq!(node.ask("versions", b"echo").body_payload(), "1");
    instantiate(&Rpc::to(node), "library@1", "of-the-library").unwrap();
}

#[test]
fn all_that_is_kept_comes_back_as_of_one_moment_while_others_write() {
    let node = full();
    let writer = Keeper::deploy(&node, "writer", "");
    let (elsewhere, last) = (TempDir::new().unwrap(), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let file = elsewhere.path().join("node.tar");
    let (before, after) = thread::scope(|scope| {
        let write = scope.spawn(|| {
            // Each says how far it has come, under a key of its own and under one that all share.
            let mut number = 0;
            while !stop.load(SeqCst) {
                number += 1;
                assert_eq!(writer.put(&format!("n{number}"), "x"), 0);
                assert_eq!(writer.send("numbers", &number.to_string()), 0);
                last.store(number, SeqCst);
            }
        });
        node.waits_for("something written", || last.load(SeqCst) > 20);
        let before = last.load(SeqCst);
        succeeds(&backup(&node, &file));
        let after = last.load(SeqCst);
        stop.store(true, SeqCst);
        write.join().unwrap();
        (before, after)
    });
    let dir = TempDir::new().unwrap();
    succeeds(&restore(&file, dir.path()));
    drop(node);
    let node = Node::again(dir);
    is_full(&node);
    let writer = Keeper {
        node: &node,
        name: "writer",
    };
    let keys = (1..).take_while(|n| writer.one('e', &format!("n{n}")).0 == 1);
    let (keys, mut sent) = (keys.count() as u64, 0);
    while let Some((_, number)) = writer.receive("numbers", 0) {
        sent += 1;
        assert_eq!(number, sent.to_string());
        assert_eq!(writer.ack("numbers"), 0);
    }
    assert!(
        (before..=after + 1).contains(&keys),
        "{before} {keys} {after}"
    );
    // A number's key is written before it is sent.
    assert!(sent == keys || sent + 1 == keys, "{sent} {keys}");
    assert_eq!(writer.put("after", "all"), 0);
    assert_eq!(writer.send("after", "all"), 0);
}

#[test]
fn a_backup_that_was_changed_leaves_nothing() {
    let node = full();
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("node.tar");
    succeeds(&backup(&node, &file));
    drop(node);
    let dir = TempDir::new().unwrap();
    let refused = |forgery: Forgery, seal: Option<&str>, words: &[&str]| {
        let own = forgery.seal();
        let file = elsewhere.path().join("forged.tar");
        forgery.write(
            &file,
            seal.map(|seal| if seal.is_empty() { &*own } else { seal }),
        );
        fails(
            &restore(&file, dir.path()),
            &[&["forged.tar"], words].concat(),
        );
        let left = fs::read_dir(dir.path()).unwrap();
        let left: Vec<PathBuf> = left.map(|it| it.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "of {words:?}");
    };
    let sealed = Some("");
    let forgery = || Forgery::of(&file);
    let bend = |start: &'static str| forgery().with(start, |_, bytes| bytes[0] ^= 1);
    let zeroes = "0".repeat(64);
    refused(forgery(), None, &["its end is missing"]);
    refused(forgery(), Some(&zeroes), &["other bytes than were written"]);
    refused(
        bend("blobs/"),
        sealed,
        &["damaged", "blob", "has other bytes"],
    );
    refused(bend("artifacts/"), sealed, &["damaged", "has other bytes"]);
    refused(
        forgery().without("blobs/"),
        sealed,
        &["damaged", "is missing"],
    );
    refused(
        forgery().without("artifacts/"),
        sealed,
        &["module", "is missing"],
    );
    for table in [
        "letters/",
        "queue-names",
        "queue-counts",
        "letters-ready",
        "journals/",
    ] {
        let forgery = forgery().without(&format!("rows/{table}"));
        refused(forgery, sealed, &["damaged"]);
    }
    let stray = forgery().and(&format!("blobs/{}", "0".repeat(32)), b"");
    refused(stray, sealed, &["nothing refers to blob 0000"]);
    refused(
        forgery().and("blobs/../../x", b"x"),
        sealed,
        &["is no blob's id"],
    );
    refused(
        forgery().and("rows/values/9", &[0xff; 64]),
        sealed,
        &["\"values\" cannot be read"],
    );
    refused(
        forgery().and("rows/secrets/0", b""),
        sealed,
        &["\"secrets\" cannot be read"],
    );
    refused(forgery().and("../x", b""), sealed, &["it holds \"../x\""]);
    let twice = forgery()
        .0
        .into_iter()
        .find(|it| it.0.starts_with("rows/values/"));
    let twice = forgery().and("rows/values/1", &twice.unwrap().1);
    refused(twice, sealed, &["\"values\" cannot be read"]);
    // A blob's record that leads elsewhere.
    let elsewhere_id = forgery().with("rows/blobs/", |_, bytes| {
        let at = bytes.windows(6).position(|it| it == b"\"id\":\"").unwrap() + 6;
        bytes[at..at + 4].copy_from_slice(b"../x");
    });
    refused(elsewhere_id, sealed, &["damaged", "the record of blob"]);
    assert!(!dir.path().join("x").exists());
    succeeds(&restore(&file, dir.path()));
    is_full(&Node::again(dir));
}

#[test]
fn a_backup_does_not_go_where_guests_keep_something() {
    let node = node();
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("node.tar");
    succeeds(&backup(&node, &file));
    Keeper::deploy(&node, "keeper", "").put("key", "value");
    assert_eq!(node.undeploy("keeper").status, 200);
    let dir = node.kill();
    let words = ["node.tar", "holds keys", "--data-dir"];
    fails(&restore(&file, dir.path()), &words);
    let node = Node::again(dir);
    let keeper = Keeper::deploy(&node, "keeper", "");
    assert_eq!(keeper.one('g', "key"), (1, "value".into()));
    keeper.one('d', "key");
    assert_eq!(node.undeploy("keeper").status, 200);
    let dir = node.stop();
    succeeds(&restore(&file, dir.path()));
}
