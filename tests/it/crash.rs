//! Kills a node at random moments and holds what comes back against what it had acknowledged.
//!
//! `PLEXSPACES_TEST_KILLS` says how often (fewer by default than a report wants), `PLEXSPACES_TEST_SEED` where the dice
//! begin; a failure prints the seed.

use std::collections::BTreeMap;
use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use plexspaces_node::wasm::Kind;
use rustix::process::{Signal, kill_process};

use crate::guests::{COUNTER, ECHO, guest};
use crate::harness::{Node, node};

/// What the node has said of an application, or might have said had it lived a moment longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Running,
    Stopped,
}

/// A xorshift generator: the same seed throws the same dice.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

const NAMES: [&str; 4] = ["one", "two", "three", "four"];

type States = BTreeMap<&'static str, State>;

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let number = |name: &str, or: u64| env::var(name).map_or(or, |text| text.parse().unwrap());
    let (kills, seed) = (
        number("PLEXSPACES_TEST_KILLS", 25),
        number("PLEXSPACES_TEST_SEED", 20_261_124),
    );
    let mut dice = Dice(seed);
    let modules = [COUNTER, ECHO].map(|body| guest(Kind::Core, body));
    let mut node = node();
    let mut known: States = NAMES.map(|name| (name, State::Absent)).into();
    let (mut acknowledged, mut undecided) = (0, 0);
    let mut moment_us_max = 60_000;
    for kill in 0..kills {
        let moment = Duration::from_micros(dice.below(moment_us_max));
        let ran = run_until_killed(node, moment, &modules, &mut known, &mut dice);
        acknowledged += ran.acknowledged;
        // A busy machine needs longer for as much.
        if ran.acknowledged == 0 {
            moment_us_max *= 2;
        }
        node = Node::again(ran.dir);
        let found = states(&node);
        for (name, state) in &found {
            let decided = known[name];
            let may_be = ran.in_flight.filter(|(concerned, _)| concerned == name);
            let fits = *state == decided || may_be.is_some_and(|(_, wanted)| *state == wanted);
            assert!(
                fits,
                "kill {kill} of seed {seed}: {name} is {state:?}, acknowledged was {decided:?}, in flight {:?}",
                ran.in_flight
            );
            undecided += u64::from(*state != decided);
        }
        known = found;
        nothing_is_half(&node, &known);
    }
    println!(
        "{kills} kills, {acknowledged} changes acknowledged, {undecided} that no answer told of"
    );
    assert!(
        acknowledged > kills,
        "the node was killed before it could do anything"
    );
}

struct Ran {
    dir: tempfile::TempDir,
    acknowledged: u64,
    in_flight: Option<(&'static str, State)>,
}

/// Changes applications as fast as they go until the node is killed under it, at this moment from now.
fn run_until_killed(
    node: Node,
    moment: Duration,
    modules: &[Vec<u8>; 2],
    known: &mut States,
    dice: &mut Dice,
) -> Ran {
    let pid = node.pid();
    let (done, wait) = mpsc::channel::<()>();
    let killer = thread::spawn(move || {
        // Nobody sends: the wait is the moment.
        let _ = wait.recv_timeout(moment);
        kill_process(pid, Signal::KILL).unwrap();
    });
    let mut acknowledged = 0;
    let in_flight = loop {
        let name = NAMES[dice.below(NAMES.len() as u64) as usize];
        let (change, wanted) = match (known[name], dice.below(2)) {
            (State::Absent, _) => (0, State::Running),
            (State::Running, 0) => (2, State::Stopped),
            (State::Stopped, 0) => (3, State::Running),
            (State::Running | State::Stopped, _) => (1, State::Absent),
        };
        let module = &modules[dice.below(2) as usize];
        let answer = panic::catch_unwind(AssertUnwindSafe(|| match change {
            0 => node.deploy(name, module),
            1 => node.undeploy(name),
            2 => node.wish(name, "stop"),
            _ => node.wish(name, "start"),
        }));
        match answer {
            Ok(answer) if answer.status == 200 => {
                acknowledged += 1;
                known.insert(name, wanted);
            }
            Ok(answer) => panic!("{name} to {wanted:?}: {answer:?}"),
            Err(_) => break Some((name, wanted)),
        }
    };
    killer.join().unwrap();
    drop(done);
    Ran {
        dir: node.kill(),
        acknowledged,
        in_flight,
    }
}

fn states(node: &Node) -> States {
    let listed = node.get("/api/v1/applications").json();
    let mut states: States = NAMES.map(|name| (name, State::Absent)).into();
    for application in listed["applications"].as_array().unwrap() {
        let name = NAMES
            .into_iter()
            .find(|name| application["name"] == *name)
            .unwrap();
        let state = match application["status"].as_str().unwrap() {
            "APPLICATION_STATUS_RUNNING" => State::Running,
            "APPLICATION_STATUS_STOPPED" => State::Stopped,
            other => panic!("{name} came back as {other}"),
        };
        states.insert(name, state);
    }
    states
}

/// What runs answers, every module on disk is somebody's, and no upload is left.
fn nothing_is_half(node: &Node, known: &States) {
    let listed = node.get("/api/v1/applications").json();
    let mut wanted: Vec<String> = listed["applications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{}.wasm", it["module_hash"].as_str().unwrap()))
        .collect();
    wanted.sort();
    wanted.dedup();
    let mut found: Vec<String> = node
        .files()
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name.ends_with(".wasm") || name.ends_with(".part"))
        .collect();
    found.sort();
    assert_eq!(found, wanted);
    for (name, _) in known.iter().filter(|(_, state)| **state == State::Running) {
        assert_eq!(node.ask(name, b"1").status, 200, "{name} does not answer");
    }
    assert_eq!(node.get("/health").json()["status"], "healthy");
}
