//! Kills a node at random moments while guests put, send, receive and acknowledge, and holds what comes back against what
//! was answered.
//!
//! `PLEXSPACES_TEST_KILLS` says how often (fewer by default than a report wants), `PLEXSPACES_TEST_SEED` where the dice
//! begin; a failure prints the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::crash::Dice;
use crate::harness::{Node, node};
use crate::keeper::{Keeper, received};

const WORKERS: [&str; 3] = ["one", "two", "three"];

/// What is known of what the node must hold.
#[derive(Default)]
struct Known {
    /// The last number that each worker was told is put, and one more that it tried.
    put: BTreeMap<&'static str, u64>,
    tried: BTreeMap<&'static str, u64>,
    sent: BTreeSet<String>,
    /// Sent, and no answer came: it may be there or not.
    perhaps_sent: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
    perhaps_acknowledged: BTreeSet<String>,
    /// How often each message was received, as far as an answer told.
    deliveries: BTreeMap<String, u32>,
    answers: u64,
    redelivered: u64,
}

#[test]
fn what_was_answered_of_keys_and_queues_survives_a_kill_at_any_moment() {
    let number = |name: &str, or: u64| env::var(name).map_or(or, |text| text.parse().unwrap());
    let (kills, seed) = (
        number("PLEXSPACES_TEST_KILLS", 10),
        number("PLEXSPACES_TEST_SEED", 20_261_125),
    );
    let mut dice = Dice(seed);
    let mut node = node();
    for name in WORKERS {
        Keeper::deploy(&node, name, "");
    }
    let known = Mutex::new(Known::default());
    let (mut moment_us_max, mut before) = (250_000, 0);
    for kill in 0..kills {
        let moment = Duration::from_micros(10_000 + dice.below(moment_us_max));
        work_until_killed(&node, &known, kill, moment);
        node = Node::again(node.kill());
        let known = &mut known.lock().unwrap();
        // A busy machine needs longer for as much.
        if known.answers == before {
            moment_us_max *= 2;
        }
        before = known.answers;
        holds_what_was_put(&node, known, kill, seed);
    }
    let mut known = known.into_inner().unwrap();
    let (answers, redelivered) = (known.answers, known.redelivered);
    drain(&node, &mut known);
    let may_be_gone = |text: &String| {
        known.acknowledged.contains(text) || known.perhaps_acknowledged.contains(text)
    };
    let lost: Vec<_> = known
        .sent
        .iter()
        .filter(|text| !may_be_gone(text))
        .collect();
    assert!(lost.is_empty(), "seed {seed}: sent, and lost: {lost:?}");
    println!(
        "{kills} kills of seed {seed}: {answers} answers, {} messages, {redelivered} redelivered",
        known.sent.len()
    );
    assert!(
        answers > kills,
        "the node was killed before it could do anything"
    );
}

/// Each worker goes on until its node is gone.
fn work_until_killed(node: &Node, known: &Mutex<Known>, kill: u64, moment: Duration) {
    let (done, wait) = mpsc::channel::<()>();
    let pid = node.pid();
    thread::scope(|scope| {
        scope.spawn(move || {
            // Nobody sends: the wait is the moment.
            let _ = wait.recv_timeout(moment);
            kill_process(pid, Signal::KILL).unwrap();
        });
        for name in WORKERS {
            scope.spawn(move || {
                let keeper = Keeper { node, name };
                (0..).try_for_each(|at| turn(keeper, known, kill, at))
            });
        }
    });
    drop(done);
}

/// Puts, sends, receives and acknowledges once. `None` once the node is gone.
fn turn(keeper: Keeper<'_>, known: &Mutex<Known>, kill: u64, at: u64) -> Option<()> {
    let name = keeper.name;
    let name: &'static str = WORKERS.into_iter().find(|it| *it == name).unwrap();
    let next = known
        .lock()
        .unwrap()
        .put
        .get(name)
        .map_or(1, |last| last + 1);
    known.lock().unwrap().tried.insert(name, next);
    let (status, _) = keeper.try_to('p', 0, [name, &next.to_string(), ""])?;
    assert_eq!(status, 0);
    known.lock().unwrap().put.insert(name, next);

    let text = format!("{name}-{kill}-{at}");
    known.lock().unwrap().perhaps_sent.insert(text.clone());
    let (status, _) = keeper.try_to('s', 0, ["q", "note", &text])?;
    assert_eq!(status, 0);
    known.lock().unwrap().sent.insert(text);

    let told = keeper.try_to('r', 0, ["q", "", ""])?;
    if let Some((deliveries, text)) = received(told) {
        known.lock().unwrap().received(&text, deliveries);
        // A third is left to be delivered again.
        if !at.is_multiple_of(3) {
            known
                .lock()
                .unwrap()
                .perhaps_acknowledged
                .insert(text.clone());
            let (status, _) = keeper.try_to('k', 0, ["q", "", ""])?;
            assert_eq!(status, 0);
            known.lock().unwrap().acknowledged.insert(text);
        }
    }
    known.lock().unwrap().answers += 3;
    Some(())
}

impl Known {
    fn received(&mut self, text: &str, deliveries: u32) {
        assert!(self.perhaps_sent.contains(text), "{text} was never sent");
        assert!(
            !self.acknowledged.contains(text),
            "{text} came after it was acknowledged"
        );
        let before = self.deliveries.insert(text.to_owned(), deliveries);
        let before = before.unwrap_or(0);
        assert!(
            deliveries > before,
            "{text}: delivery {deliveries} after {before}"
        );
        self.redelivered += u64::from(deliveries > 1);
    }
}

fn holds_what_was_put(node: &Node, known: &mut Known, kill: u64, seed: u64) {
    for name in WORKERS {
        let keeper = Keeper { node, name };
        let (_, found) = keeper.one('g', name);
        let found = found.parse().unwrap_or(0);
        let put = known.put.get(name).copied().unwrap_or(0);
        let tried = known.tried.get(name).copied().unwrap_or(0);
        assert!(
            found == put || found == tried,
            "kill {kill} of seed {seed}: {name} is {found}, answered was {put}, tried {tried}"
        );
        known.put.insert(name, found);
    }
}

/// Receives and acknowledges until nothing is left.
fn drain(node: &Node, known: &mut Known) {
    let keeper = Keeper {
        node,
        name: WORKERS[0],
    };
    while let Some((deliveries, text)) = keeper.receive("q", 0) {
        known.received(&text, deliveries);
        assert_eq!(keeper.ack("q"), 0);
        known.acknowledged.insert(text);
    }
    // Nobody rejected anything, but what was left often enough is among the dead letters.
    while let Some((_, text)) = keeper.receive("q.dlq", 0) {
        assert_eq!(keeper.ack("q.dlq"), 0);
        known.acknowledged.insert(text);
    }
}
