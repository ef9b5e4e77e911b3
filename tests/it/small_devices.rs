//! A node that is granted 64 or 256 MiB plans with that, compiles what fits, and says what does not.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use plexspaces_node::wasm::Kind;

use crate::guests::{ECHO, guest};
use crate::harness::Node;
use crate::uploads::echo_of;

const MIB: u64 = 1 << 20;

/// Deploys and asks on a node that was granted this much.
fn works(node: &Node, granted: u64, profile: &str) {
    let plan = format!(
        "may have {} MiB of memory; profile {profile}",
        granted / MIB
    );
    node.log_says(&plan);
    for (name, kind) in [("core", Kind::Core), ("component", Kind::Component)] {
        node.deploy(name, &guest(kind, ECHO)).is_deployed();
        assert_eq!(node.ask(name, b"hello").body_payload(), "hello");
    }
}

#[test]
fn under_a_limit_of_data_the_node_and_its_compiler_live_within_it() {
    for (granted, profile) in [(64 * MIB, "tiny"), (256 * MIB, "small")] {
        let node = Node::start_under(&format!("ulimit -d {}", granted >> 10), &[]);
        works(&node, granted, profile);
    }
}

#[test]
fn in_a_control_group_the_node_plans_with_what_the_group_has() {
    for (granted, profile) in [(64 * MIB, "tiny"), (256 * MIB, "small")] {
        let Some(group) = Group::granting(granted) else {
            println!("skipped: no memory control group can be made here");
            return;
        };
        let enter = format!("echo $$ > {}", group.0.join("cgroup.procs").display());
        let node = Node::start_under(&enter, &[]);
        works(&node, granted, profile);
        let refused = node.deploy("bulky", &echo_of(16 * MIB));
        let words = [
            "compiling this module may take 256 MiB",
            "MiB are available",
        ];
        refused.is_refused(429, "RESOURCE_EXHAUSTED", &words);
        assert_eq!(node.ask("core", b"still here").body_payload(), "still here");
        assert_eq!(node.total_applications(), 2);
    }
}

/// A control group of memory. Dropped, it is removed.
struct Group(PathBuf);

impl Group {
    /// In either version of control groups; `None` where this process may make none.
    fn granting(bytes: u64) -> Option<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("plexspaces-test-{}-{number}", process::id());
        [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ]
        .into_iter()
        .find_map(|(root, limit)| {
            let group = Self(PathBuf::from(root).join(&name));
            fs::create_dir(&group.0).ok()?;
            fs::metadata(group.0.join("cgroup.procs")).ok()?;
            fs::write(group.0.join(limit), bytes.to_string()).ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was killed leaves its group some time later.
        while fs::remove_dir(&self.0).is_err_and(|error| error.raw_os_error() == Some(16)) {
            std::thread::yield_now();
        }
    }
}
