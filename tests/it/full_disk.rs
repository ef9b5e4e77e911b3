//! A disk that is full: deploys are refused and leave nothing, what runs goes on, and room made is room used.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use plexspaces_node::wasm::Kind;
use tempfile::TempDir;

use crate::guests::{COUNTER, guest};
use crate::harness::Node;
use crate::keeper::Keeper;
use crate::restore::keeper;
use crate::tokens;
use crate::uploads::echo_of;

/// A file system of its own in a temporary directory. Dropped, it is unmounted.
pub struct Disk(PathBuf);

impl Disk {
    /// With the directory that it is; `None` where this process may mount none.
    pub fn mounted(mib: u32) -> Option<(TempDir, Self)> {
        let dir = TempDir::new().unwrap();
        let path = dir.path().to_owned();
        let size = format!("size={mib}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(&path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: this process may not mount");
            return None;
        }
        Some((dir, Self(path)))
    }

    fn free_bytes(&self) -> u64 {
        let told = rustix::fs::statvfs(&self.0).unwrap();
        told.f_bavail * told.f_frsize
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        self.fill_but(0);
    }

    /// Takes what is left but so many bytes.
    fn fill_but(&self, bytes: u64) {
        let mut options = fs::File::options();
        let file = options
            .append(true)
            .create(true)
            .open(self.0.join("ballast"));
        file.unwrap()
            .write_all(&vec![7; (self.free_bytes() - bytes) as usize])
            .unwrap();
    }

    pub fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// A config with that much of an environment.
fn env_of(bytes: usize) -> String {
    const LINE_BYTES: usize = 4_000;
    let line = |number: usize| format!("K{number} = '{}'\n", "v".repeat(LINE_BYTES - 10));
    let lines: String = (0..bytes / LINE_BYTES).map(line).collect();
    format!("[env]\n{lines}")
}

#[test]
fn a_full_disk_refuses_what_is_new_and_stops_nothing() {
    let Some((dir, disk)) = Disk::mounted(8) else {
        return;
    };
    let node = Node::start(dir, &[]);
    node.deploy("keeper", &keeper()).is_deployed();
    let before = node.files();

    // Shortly before the upload's end, so that the answer finds its client.
    let free = disk.free_bytes();
    let refused = node.deploy("large", &echo_of(free + (512 << 10)));
    refused.is_refused(
        507,
        "RESOURCE_EXHAUSTED",
        &["no space left in the data directory", "free some"],
    );
    node.uploads_end();
    assert_eq!(node.files(), before);
    // The file is gone from its folder a moment before it is gone from the disk.
    while disk.free_bytes() + (64 << 10) < free {
        std::thread::yield_now();
    }

    // From its first byte, and for records too.
    disk.fill();
    let refused = node.deploy("counter", &guest(Kind::Core, COUNTER));
    refused.is_refused(
        507,
        "RESOURCE_EXHAUSTED",
        &["no space left in the data directory", "free some"],
    );
    assert_eq!(node.ask("keeper", b"5").body_payload(), "5");
    assert_eq!(node.total_applications(), 1);

    // What only changes or forgets finds the room that was there before.
    assert_eq!(node.wish("keeper", "stop").status, 200);
    assert_eq!(node.wish("keeper", "start").status, 200);
    assert_eq!(node.ask("keeper", b"").body_payload(), "6");
    assert_eq!(node.undeploy("keeper").status, 200);
    let node = Node::again(node.kill());
    assert_eq!(node.total_applications(), 0);

    disk.make_room();
    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    assert_eq!(node.ask("counter", b"").body_payload(), "1");
    let node = Node::again(node.kill());
    assert_eq!(node.total_applications(), 1);
    drop(disk);
}

/// Small writes of a guest use up what the store's file had free, and fail; what makes room still finds some.
#[test]
fn what_guests_write_on_a_full_disk_takes_nothing_from_what_makes_room() {
    let Some((dir, disk)) = Disk::mounted(16) else {
        return;
    };
    let node = Node::start(dir, &[]);
    let keeper = Keeper::deploy(&node, "writer", "");
    let others: Vec<String> = (0..8).map(|number| format!("other-{number}")).collect();
    for name in &others {
        node.deploy(name, &guest(Kind::Core, COUNTER)).is_deployed();
    }
    disk.fill();
    for (number, name) in others.iter().enumerate() {
        let refused = |round: usize| keeper.put(&format!("{number}-{round}"), "small") != 0;
        assert!((0..10_000).any(refused), "the disk is full");
        assert_eq!(node.wish(name, "stop").status, 200, "{name}");
        // What an undeploy frees is not left to it.
        disk.fill();
        if number % 2 == 0 {
            assert_eq!(node.undeploy(name).status, 200, "{name}");
            disk.fill();
        }
    }
    let node = Node::again(node.kill());
    assert_eq!(node.total_applications(), 5);
    assert_eq!(node.status_of("other-1"), "STOPPED");
    assert_eq!(node.status_of("writer"), "RUNNING");
}

/// A change that was written in part before the disk was full gives back what it took.
#[test]
fn what_is_refused_for_want_of_room_leaves_others_the_room_there_was() {
    const LEFT_BYTES: u64 = 700 << 10;
    let Some((dir, disk)) = Disk::mounted(8) else {
        return;
    };
    let node = Node::start(dir, &[]);
    let keeper = Keeper::deploy(&node, "writer", "");
    disk.fill_but(LEFT_BYTES);
    for number in 0..4 {
        let form = node.form(&format!("large-{number}"), &guest(Kind::Core, COUNTER));
        let refused = form.config(&env_of(940_000)).send();
        refused.is_refused(507, "RESOURCE_EXHAUSTED", &["no space left"]);
        node.waits_for("others can write", || keeper.put("key", "small") == 0);
    }
    node.waits_for("the room is there again", || {
        disk.free_bytes() + (128 << 10) > LEFT_BYTES
    });
}

/// The room that is held back is gone, too: what fails changes nothing, and can be done once there is some.
#[test]
fn a_start_for_which_there_is_no_room_leaves_the_application_stopped() {
    let Some((dir, disk)) = Disk::mounted(8) else {
        return;
    };
    let node = Node::start(dir, &[]);
    let keeper = Keeper::deploy(&node, "writer", "");
    let form = node.form("large", &guest(Kind::Core, COUNTER));
    form.config(&env_of(400_000)).send().is_deployed();
    assert_eq!(node.wish("large", "stop").status, 200);
    fs::remove_file(node.data_dir().join("reserve")).unwrap();
    disk.fill();
    let refused = |round: usize| keeper.put(&format!("{round}"), &"v".repeat(2_000)) != 0;
    assert!((0..10_000).any(refused), "the disk is full");
    let _ = fs::remove_file(node.data_dir().join("reserve"));
    disk.fill();
    assert_eq!(node.wish("large", "start").status, 507);
    assert_eq!(node.status_of("large"), "STOPPED");
    assert_eq!(node.wish("large", "stop").status, 200, "it is so already");
    disk.make_room();
    node.waits_for("it is well again", || {
        node.get("/health").json()["status"] == "healthy"
    });
    assert_eq!(node.wish("large", "start").status, 200);
    let node = Node::again(node.kill());
    assert_eq!(node.status_of("large"), "RUNNING");
}

#[test]
fn a_token_is_revoked_on_a_full_disk() {
    let Some((dir, disk)) = Disk::mounted(8) else {
        return;
    };
    let node = Node::start(dir, &[]);
    let (id, _) = tokens::create(node.data_dir(), "read");
    disk.fill();
    let revoked = tokens::token_json(node.data_dir(), &["revoke", &id]);
    assert_eq!(revoked["id"], id.as_str());
    let left = tokens::token_json(node.data_dir(), &["list"]);
    assert_eq!(left["tokens"], serde_json::json!([]), "{left}");
}

#[test]
fn a_full_disk_shows_in_the_nodes_health_once_a_file_was_refused() {
    let Some((dir, disk)) = Disk::mounted(8) else {
        return;
    };
    let node = Node::start(dir, &[]);
    disk.fill();
    assert_eq!(node.get("/health").json()["status"], "healthy");
    assert_eq!(
        node.deploy("counter", &guest(Kind::Core, COUNTER)).status,
        507
    );
    node.waits_for("it shows", || {
        node.get("/health").json()["status"] == "degraded"
    });
    assert_eq!(node.figure("plexspaces_store_failing"), 1);
    assert_eq!(node.figure("plexspaces_store_failed_writes_total"), 0);
    disk.make_room();
    node.waits_for("it is well again", || {
        node.get("/health").json()["status"] == "healthy"
    });
    assert_eq!(node.figure("plexspaces_store_failing"), 0);

    // At a start, too, which cannot note what it starts.
    node.deploy("counter", &guest(Kind::Core, COUNTER))
        .is_deployed();
    let dir = node.kill();
    disk.fill();
    let node = Node::again(dir);
    node.waits_for("it shows", || {
        node.get("/health").json()["status"] == "degraded"
    });
    assert_eq!(node.ask("counter", b"").body_payload(), "1");
}

#[test]
fn a_disk_that_refuses_changes_shows_in_the_nodes_health() {
    let Some((dir, disk)) = Disk::mounted(8) else {
        return;
    };
    let file = dir.path().join("node.toml");
    fs::write(file, "[tuplespace]\ndurable = ['default']").unwrap();
    let node = Node::again(dir);
    let write = || {
        let tuple = format!(r#"{{"tuple":["{}"]}}"#, "x".repeat(50_000));
        node.request("POST", "/api/v1/tuplespace/tuples", &[], tuple.as_bytes())
    };
    let shows = |text: &str| node.get("/metrics").body.contains(text);
    assert!(shows("plexspaces_store_failing 0\n"));
    disk.fill();
    let refused = loop {
        match write() {
            answer if answer.status == 200 => {}
            refused => break refused,
        }
    };
    refused.is_refused(507, "RESOURCE_EXHAUSTED", &["no space left"]);
    let health = node.get("/health");
    let told = health.json();
    assert_eq!((health.status, &told["status"]), (200, &"degraded".into()));
    assert_eq!(told["degraded"][0]["component"], "storage");
    let reason = told["degraded"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("no space left"), "{reason}");
    assert!(
        shows("plexspaces_store_failing 1\n") && shows("plexspaces_store_failed_writes_total 1\n")
    );
    // Without anybody who writes.
    disk.make_room();
    while node.get("/health").json()["status"] != "healthy" {}
    assert_eq!(write().status, 200);
    assert!(shows("plexspaces_store_failing 0\n"));
    drop(disk);
}
