//! A node that comes back: what was acknowledged is there again, whatever ended the node, and nothing else is.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use plexspaces_node::wasm::Kind;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::cli::to;
use crate::guests::{COUNTER, ECHO, RASCAL, for_both_kinds, guest};
use crate::harness::{Node, node};
use crate::journal::{self, ledger};
use crate::uploads::echo_of;

/// Counts its messages from `0`, or from the letter it is told, and answers with the count; keeps it over restarts.
/// A state of `x` it refuses to start from, and from `l` it never comes back.
pub fn keeper() -> Vec<u8> {
    let text = r#"(module
        (import "plexspaces" "log" (func $log (param i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 32) "resumed")
        (global $count (mut i32) (i32.const 48))
        (func (export "init") (param i32 i32) (result i32)
            (if (i32.eqz (local.get 1)) (then (return (i32.const 0))))
            (global.set $count (i32.load8_u (local.get 0)))
            (if (i32.eq (global.get $count) (i32.const 108)) (then (loop $forever (br $forever))))
            (i32.eq (global.get $count) (i32.const 120)))
        (func (export "post_resume") (call $log (i32.const 32) (i32.const 7)))
        (func $state (export "snapshot_state") (result i64)
            (i32.store8 (i32.const 64) (global.get $count))
            (i64.const 0x1_0000_0040))
        (func (export "handle_request") (param i32 i32 i32 i32 i32 i32) (result i64)
            (global.set $count (if (result i32) (local.get 5)
                (then (i32.load8_u (local.get 4)))
                (else (i32.add (global.get $count) (i32.const 1)))))
            (call $state)))"#;
    wat::parse_str(text).unwrap()
}

/// What actors left and persisted is theirs, not the node's of that name.
#[test]
fn a_node_under_another_id_has_what_its_actors_left() {
    let node = node();
    node.deploy("keeper", &keeper()).is_deployed();
    assert_eq!(node.ask("keeper", b"5").body_payload(), "5");
    node.deploy("ledger", &ledger()).is_deployed();
    assert_eq!(journal::tell(&node, "aone.").1, "one.");
    let node = Node::renamed(node.stop(), "edge-7");
    assert_eq!(node.ask("keeper", b"").body_payload(), "6");
    assert_eq!(journal::tell(&node, "atwo."), (2, "one.two.".to_owned()));
    let node = Node::renamed(node.kill(), "edge-8");
    assert_eq!(journal::tell(&node, "t").1, "one.two.");
    assert_eq!(node.undeploy("ledger").status, 200);
}

for_both_kinds! {
    fn what_is_deployed_survives_kill_9(node, kind) {
        let counter = guest(kind, COUNTER);
        node.form("counter", &counter).field("application_id", "its id").send().is_deployed();
        node.deploy("gone", &counter).is_deployed();
        assert_eq!(node.undeploy("gone").status, 200);
        let before = node.get("/api/v1/applications/counter").json();
        let node = Node::again(node.kill());
        let after = node.get("/api/v1/applications/counter").json();
        for key in ["application_id", "name", "version", "deployed_at", "module_hash", "kind", "status"] {
            assert_eq!(after[key], before[key], "{key}");
        }
        assert_eq!(node.ask("counter", b"").body_payload(), "1");
        assert_eq!(node.total_applications(), 1);
        assert_eq!(node.log_count("compiled in"), 0, "the cache was not used");
        let same = node.form("counter", &counter).field("application_id", "its id").send();
        same.is_deployed();
        assert_eq!(node.ask("counter", b"").body_payload(), "2", "it was restarted");
        assert_eq!(node.undeploy("counter").status, 200);
        assert_eq!(Node::again(node.kill()).total_applications(), 0);
    }
}

#[test]
fn the_same_deploy_after_a_restart_changes_nothing() {
    let node = node();
    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    let node = Node::again(node.kill());
    assert_eq!(node.ask("counter", b"").body_payload(), "1");
    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    assert_eq!(
        node.ask("counter", b"").body_payload(),
        "2",
        "it was restarted"
    );
}

#[test]
fn a_stopped_application_stays_stopped_and_starts_from_what_it_left() {
    let node = node();
    node.deploy("keeper", &keeper()).is_deployed();
    node.ask("keeper", b"5");
    let stopped = node.wish("keeper", "stop");
    assert_eq!(stopped.json()["status"], "APPLICATION_STATUS_STOPPED");
    assert_eq!(
        node.wish("keeper", "stop").status,
        200,
        "it is stopped already"
    );
    let words = ["application keeper", "stopped", ":start"];
    node.ask("keeper", b"")
        .is_refused(503, "UNAVAILABLE", &words);
    node.deploy("keeper", &keeper())
        .is_refused(409, "ALREADY_EXISTS", &words);

    let node = Node::again(node.kill());
    assert_eq!(node.status_of("keeper"), "STOPPED");
    assert_eq!(
        node.wish("keeper", "start").json()["status"],
        "APPLICATION_STATUS_RUNNING"
    );
    node.log_says("keeper@test-node: resumed");
    assert_eq!(node.ask("keeper", b"").body_payload(), "6");
    assert_eq!(node.wish("keeper", "start").status, 200, "it runs already");
    assert_eq!(
        node.ask("keeper", b"").body_payload(),
        "7",
        "it was restarted"
    );

    let node = Node::again(node.kill());
    assert_eq!(node.status_of("keeper"), "RUNNING");
    // What it did since was lost with the process; what it left at its last stop was not.
    assert_eq!(node.ask("keeper", b"").body_payload(), "6");
}

#[test]
fn what_actors_leave_when_the_node_stops_is_there_when_it_starts() {
    let node = node();
    node.deploy("keeper", &keeper()).is_deployed();
    node.deploy("door", &crate::routing::machine())
        .is_deployed();
    node.ask("keeper", b"7");
    assert_eq!(node.ask("door", b"+open").payload(), "closed+open");
    let node = Node::again(node.stop());
    assert_eq!(node.ask("keeper", b"").body_payload(), "8");
    assert_eq!(node.ask("door", b"+shut").payload(), "closed+open+shut");
    assert_eq!(node.undeploy("keeper").status, 200);
    node.deploy("keeper", &keeper()).is_deployed();
    assert_eq!(
        node.ask("keeper", b"").body_payload(),
        "1",
        "an undeployed actor's state came back"
    );
}

#[test]
fn a_broken_application_stops_only_itself() {
    let node = Node::unforgiving();
    node.deploy("broken", &keeper()).is_deployed();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    node.ask("broken", b"x");
    let node = Node::again(node.stop());
    assert_eq!(node.ask("echo", b"here").body_payload(), "here");
    let broken = node.get("/api/v1/applications/broken").json();
    assert_eq!(broken["status"], "APPLICATION_STATUS_FAILED");
    assert!(
        broken["error"].as_str().unwrap().contains("init failed"),
        "{broken}"
    );
    node.ask("broken", b"")
        .is_refused(503, "UNAVAILABLE", &["init failed"]);
    assert_eq!(
        node.get("/health").json()["degraded"][0]["component"],
        "application/broken"
    );
    // What it left makes it fail, and an operator may want it gone for good.
    assert_eq!(node.undeploy("broken").status, 200);
    node.deploy("broken", &keeper()).is_deployed();
}

#[test]
fn one_that_takes_long_to_start_holds_up_no_other() {
    let node = node();
    node.form("slow", &keeper())
        .config("[limits]\nmax_execution_time = '1h'")
        .send()
        .is_deployed();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    node.ask("slow", b"l");
    let node = Node::again(node.stop());
    assert_eq!(node.ask("echo", b"here").body_payload(), "here");
    assert_eq!(node.status_of("slow"), "STARTING");
    node.ask("slow", b"")
        .is_refused(503, "UNAVAILABLE", &["slow", "being started"]);
    assert_eq!(node.undeploy("slow").status, 200, "it cannot be taken away");
    assert_eq!(node.total_applications(), 1);
}

#[test]
fn callers_do_not_wait_until_the_last_one_has_started() {
    let node = node();
    let slow = ["first", "second", "third", "fourth"];
    for name in slow {
        node.form(name, &keeper())
            .config("[limits]\nmax_execution_time = '1h'")
            .send()
            .is_deployed();
    }
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    for name in slow {
        node.ask(name, b"l");
    }
    let node = Node::again(node.stop());
    let said = "ready, with 5 applications, 5 of them still being started";
    assert_eq!(node.log_count(said), 1);
    node.waits_for("the last one to start", || {
        node.status_of("echo") == "RUNNING"
    });
    assert_eq!(node.ask("echo", b"here").body_payload(), "here");
}

/// Starts a node three times, and kills it while the application `trap` is starting.
fn ends_while_trap_starts(mut dir: TempDir) -> TempDir {
    for attempt in 1..=3 {
        let node = Node::hurried(dir);
        if attempt > 1 {
            node.log_says(&format!(
                "application trap: started for the {attempt}. time"
            ));
        }
        let starting = node.data_dir().join("starting");
        while !fs::read_to_string(&starting).is_ok_and(|text| text.contains("trap")) {
            thread::yield_now();
        }
        dir = node.kill();
    }
    dir
}

#[test]
fn a_new_version_that_takes_the_node_down_is_replaced_by_the_one_before() {
    let node = node();
    let version = |version: &str| {
        let form = node.form("trap", &keeper()).field("version", version);
        let form = form.config("[limits]\nmax_execution_time = '1h'");
        form.send().is_deployed();
    };
    version("1");
    version("2");
    node.ask("trap", b"l");
    let node = Node::again(ends_while_trap_starts(node.stop()));
    node.waits_for("version 1", || node.status_of("trap") == "RUNNING");
    let shown = node.get("/api/v1/applications/trap").json();
    assert_eq!(
        (&shown["version"], &shown["undone"]["version"]),
        (&"1".into(), &"2".into())
    );
    let reason = shown["undone"]["reason"].as_str().unwrap();
    assert!(reason.contains("ended 3 times"), "{reason}");
}

#[test]
fn a_new_version_that_does_not_come_back_is_replaced_and_the_log_names_the_one_that_runs() {
    let node = node();
    for version in ["1", "2"] {
        let form = node.form("keeper", &keeper());
        form.field("version", version)
            .config(&format!("description = '{version}'"))
            .send()
            .is_deployed();
    }
    node.ask("keeper", b"x");
    let node = Node::again(node.stop());
    node.waits_for("version 1", || node.status_of("keeper") == "RUNNING");
    node.log_says("application keeper: version 1 is running");
    assert_eq!(node.log_count("version 2 is running"), 0);
    let shown = node.get("/api/v1/applications/keeper").json();
    assert_eq!(shown["version"], "1");
}

#[test]
fn an_application_that_takes_the_node_down_is_held_back() {
    let node = node();
    node.form("trap", &keeper())
        .config("[limits]\nmax_execution_time = '1h'")
        .send()
        .is_deployed();
    node.deploy("echo", &guest(Kind::Core, ECHO)).is_deployed();
    node.ask("trap", b"l");
    let node = Node::again(ends_while_trap_starts(node.stop()));
    assert_eq!(node.ask("echo", b"here").body_payload(), "here");
    let held = node.get("/api/v1/applications/trap").json();
    assert_eq!(held["status"], "APPLICATION_STATUS_FAILED");
    let error = held["error"].as_str().unwrap();
    for words in ["held back", "3 times", "trap:start"] {
        assert!(error.contains(words), "{words:?} is missing in {error:?}");
    }
    let silent = node.ask("trap", b"");
    silent.is_refused(503, "UNAVAILABLE", &["3 times", "tries once more, and"]);
    assert!(!silent.body.contains("by itself"), "{silent:?}");
    assert_eq!(
        node.get("/health").json()["degraded"][0]["component"],
        "application/trap"
    );
    for command in [&["status", "trap"][..], &["application", "logs", "trap"]] {
        let said = to(&node, command);
        let text = said.done().replace("\n            ", " ");
        let in_commands = text.contains("plexspaces application start trap tries once more");
        assert!(in_commands && !text.contains("/api/"), "{said:?}");
    }
    // A stop in order while it starts is not its fault.
    assert_eq!(node.undeploy("trap").status, 200);
    node.deploy("trap", &keeper()).is_deployed();
}

#[test]
fn a_failed_application_is_started_again_by_itself() {
    let node = Node::configured("[applications]\nrestart_delay = '10ms'");
    node.deploy("rascal", &guest(Kind::Core, RASCAL))
        .is_deployed();
    for _ in 0..4 {
        node.ask("rascal", b"t");
    }
    node.log_says("application rascal: started again in 10ms");
    node.log_says("application rascal: running again");
    assert_eq!(node.ask("rascal", b"e").body_payload(), "e");
    assert_eq!(node.status_of("rascal"), "RUNNING");
    for _ in 0..4 {
        node.ask("rascal", b"t");
    }
    node.log_says("application rascal: started again in 20ms");
}

#[test]
fn a_failed_application_says_how_often_it_failed_and_when_it_is_tried_again() {
    let node = Node::unforgiving();
    let rascal = guest(Kind::Core, RASCAL);
    node.deploy("rascal", &rascal).is_deployed();
    let revival = || node.get("/api/v1/applications/rascal").json()["revival"].clone();
    let fails = || {
        for _ in 0..4 {
            node.ask("rascal", b"t");
        }
        node.waits_for("its failure", || revival()["next_try_at"].is_string());
    };
    let status = |words: &str| {
        let said = to(&node, &["status", "rascal"]);
        let text = said.done().replace("\n            ", " ");
        assert!(text.contains(words), "{words:?} is not in {said:?}");
    };
    assert_eq!(revival(), Value::Null);
    fails();
    let failed = revival();
    let error = failed["last_error"].as_str().unwrap();
    assert!(error.contains("unreachable"), "{failed}");
    assert_eq!(failed["failures"], 1);
    let next = failed["next_try_at"].as_str().unwrap();
    let detail = node.get("/api/v1/applications/rascal").json();
    // After an hour.
    assert!(next > detail["deployed_at"].as_str().unwrap(), "{detail}");
    status(&format!("failed    once, is started again at {next}"));
    for list in ["/api/v1/applications", "/api/v1/dashboard/applications"] {
        let listed = node.get(list).json()["applications"][0]["revival"].clone();
        assert_eq!(listed["last_error"], failed["last_error"], "{list}");
    }

    // It runs, and has not run for long.
    assert_eq!(node.wish("rascal", "start").status, 200);
    assert_eq!(revival()["next_try_at"], Value::Null);
    status(&format!("failed    once, the last time: {error}"));
    fails();
    assert_eq!(revival()["failures"], 2);
    status("failed    2 times, is started again at ");

    // Of another version nothing bad is known.
    let other = node.form("rascal", &rascal).field("version", "2");
    other.send().is_deployed();
    assert_eq!(revival(), Value::Null);
}

#[test]
fn a_deploy_that_does_not_end_can_be_called_off() {
    let node = node();
    let wasm = wat::parse_str(
        r#"(module (import "plexspaces" "log" (func $log (param i32 i32)))
            (memory (export "memory") 1) (data (i32.const 0) "in init")
            (func (export "init") (param i32 i32)
                (call $log (i32.const 0) (i32.const 7)) (loop $forever (br $forever)))
            (func (export "handle_request") (param i32 i32 i32 i32 i32 i32)))"#,
    );
    let wasm = wasm.unwrap();
    thread::scope(|scope| {
        let deploy = || {
            let endless = "[limits]\nmax_execution_time = '1h'";
            node.form("endless", &wasm).config(endless).send()
        };
        let deployed = scope.spawn(deploy);
        node.log_says("endless@test-node: in init");
        node.wish("endless", "stop")
            .is_refused(409, "FAILED_PRECONDITION", &["being deployed"]);
        assert_eq!(
            node.undeploy("endless").json()["application_id"],
            "endless-app"
        );
        let refused = deployed.join().unwrap();
        refused.is_refused(
            409,
            "FAILED_PRECONDITION",
            &["endless", "while it was starting"],
        );
    });
    assert_eq!(node.total_applications(), 0);
    assert_eq!(Node::again(node.kill()).files(), Vec::<PathBuf>::new());
}

#[test]
fn compiled_code_that_is_not_as_it_was_is_made_anew() {
    let spoil: [fn(&Path); 4] = [
        |code| {
            fs::OpenOptions::new()
                .write(true)
                .open(code)
                .unwrap()
                .set_len(100)
                .unwrap()
        },
        |code| {
            let mut bytes = fs::read(code).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(code, bytes).unwrap();
        },
        |code| fs::remove_file(code).unwrap(),
        |code| fs::remove_file(PathBuf::from(format!("{}.seal", code.display()))).unwrap(),
    ];
    for (way, spoil) in spoil.into_iter().enumerate() {
        let node = node();
        node.deploy("echo", &guest(Kind::Component, ECHO))
            .is_deployed();
        let dir = node.kill();
        let compiled = fs::read_dir(dir.path().join("compiled")).unwrap();
        let code = compiled
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_none_or(|it| it != "seal"));
        spoil(&code.unwrap());
        let node = Node::again(dir);
        assert_eq!(
            node.ask("echo", b"whole").body_payload(),
            "whole",
            "way {way}"
        );
        assert_eq!(node.log_count("compiled in"), 1, "way {way}");
        assert_eq!(node.get("/health").json()["status"], "healthy", "way {way}");
    }
}

#[test]
fn a_damaged_store_is_set_aside_and_the_node_says_so() {
    let damage: [fn(&Path); 5] = [
        |store| {
            fs::OpenOptions::new()
                .write(true)
                .open(store)
                .unwrap()
                .set_len(5_000)
                .unwrap()
        },
        |store| {
            fs::OpenOptions::new()
                .write(true)
                .open(store)
                .unwrap()
                .set_len(0)
                .unwrap()
        },
        |store| fs::write(store, "not a store at all").unwrap(),
        |store| fs::remove_file(store).unwrap(),
        |store| {
            // Every page that holds the record.
            let mut bytes = fs::read(store).unwrap();
            let name = b"counter-app";
            let found: Vec<usize> = (0..bytes.len() - name.len())
                .filter(|&at| bytes[at..].starts_with(name))
                .collect();
            assert!(!found.is_empty());
            found.into_iter().for_each(|at| bytes[at] ^= 1);
            fs::write(store, bytes).unwrap();
        },
    ];
    for (way, damage) in damage.into_iter().enumerate() {
        let node = node();
        node.deploy("counter", &guest(Kind::Core, COUNTER))
            .is_deployed();
        let dir = node.kill();
        damage(&dir.path().join("node.redb"));
        let node = Node::again(dir);
        let health = node.get("/health").json();
        assert_eq!(
            (&health["status"], &health["degraded"][0]["component"]),
            (&"degraded".into(), &"storage".into()),
            "way {way}: {health}"
        );
        let reason = health["degraded"][0]["reason"].as_str().unwrap();
        assert!(
            reason.contains("quarantine") && reason.contains("deploy it again"),
            "{reason}"
        );
        assert!(
            node.data_dir()
                .join("quarantine")
                .read_dir()
                .unwrap()
                .next()
                .is_some()
        );
        let module = |path: &PathBuf| path.extension().is_some_and(|it| it == "wasm");
        assert!(
            node.files().iter().any(module),
            "way {way}: the module is gone too"
        );
        // It serves on, and what is deployed now is safe.
        node.deploy("counter", &guest(Kind::Core, COUNTER))
            .is_deployed();
        let node = Node::again(node.kill());
        assert_eq!(node.ask("counter", b"").body_payload(), "1");
        assert_eq!(
            node.get("/health").json()["status"],
            "degraded",
            "nobody has looked yet"
        );
        fs::remove_dir_all(node.data_dir().join("quarantine")).unwrap();
        assert_eq!(node.get("/health").json()["status"], "healthy");
    }
}

#[test]
fn modules_that_nothing_refers_to_are_collected() {
    let node = node();
    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    let dir = node.kill();
    let orphan = dir
        .path()
        .join("artifacts")
        .join(format!("{}.wasm", "a".repeat(64)));
    fs::write(&orphan, "left by a crash").unwrap();
    let node = Node::again(dir);
    assert!(!orphan.exists());
    assert_eq!(node.ask("counter", b"").body_payload(), "1");
}

#[test]
fn a_data_directory_of_format_1_is_taken_over() {
    let node = node();
    let dir = node.kill();
    fs::write(dir.path().join("format"), "1").unwrap();
    fs::remove_file(dir.path().join("node.redb")).unwrap();
    let node = Node::again(dir);
    assert_eq!(node.get("/health").json()["status"], "healthy");
    assert_eq!(
        fs::read_to_string(node.data_dir().join("format")).unwrap(),
        "2"
    );
}

/// One compiler runs at a time, so whoever comes to it first holds up all others.
#[test]
fn where_the_cache_is_lost_small_modules_are_compiled_before_large_ones_that_nobody_small_needs() {
    let node = node();
    let modules = [
        ("large", 400_000, "[]"),
        ("needy", 2_000, "['large']"),
        ("middle", 200_000, "[]"),
        ("small", 3_000, "[]"),
    ];
    for (name, bytes, needs) in modules {
        let form = node.form(name, &echo_of(bytes));
        form.config(&format!("dependencies = {needs}"))
            .send()
            .is_deployed();
    }
    let dir = node.kill();
    for file in fs::read_dir(dir.path().join("compiled")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let node = Node::again(dir);
    node.waits_for("all to be compiled", || {
        node.log_count(" compiled in ") == 4
    });
    let compiled = node.log_lines("module ").into_iter();
    let compiled = compiled.filter_map(|line| Some(line.split_once(" compiled in ")?.0.to_owned()));
    let digest = |bytes| format!("{:x}", Sha256::digest(echo_of(bytes)));
    assert_eq!(
        compiled.collect::<Vec<_>>(),
        [3_000, 200_000, 400_000, 2_000].map(digest)
    );
    for (name, ..) in modules {
        node.waits_for("it to run", || node.ask(name, b"x").status == 200);
    }
}
