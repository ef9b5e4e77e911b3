//! Supervision trees without WebAssembly, on a paused clock: random trees and histories against a model of Erlang/OTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::otp::{self, Reason};
use plexspaces_node::actor::{
    Actors, Behavior, Bounds, ChildSpec, Estate, Exit, Farewell, Fault, Handled, NodeState, Place,
    Planting, Restart, Standing, Start, Strategy, SupervisorSpec, Tree, TreeSpec, Unsnapped,
};
use plexspaces_node::clock::Clock;
use plexspaces_node::id::{ApplicationName, ChildId, NodeId, Scope};
use plexspaces_node::message::Envelope;
use plexspaces_node::metrics::Metrics;
use plexspaces_node::storage::Logs;

/// What the workers of one run have done, and which of their starts fail.
#[derive(Clone)]
struct Stage {
    seed: u64,
    trace: Arc<Mutex<Vec<String>>>,
    starts: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// Breaks at its first message; writes down its starts and its ends.
#[derive(Clone)]
struct Worker {
    id: String,
    stage: Stage,
}

impl Start for Worker {
    type Behavior = Worker;

    async fn start(&self, _: &Place<Self>) -> Result<Worker, Fault> {
        self.stage.says(format!("start {}", self.id));
        // Others get their turn while it starts.
        tokio::task::yield_now().await;
        let number = {
            let mut starts = self.stage.starts.lock().unwrap();
            let number = starts.entry(self.id.clone()).or_default();
            *number += 1;
            *number
        };
        match fails(self.stage.seed, &self.id, number) {
            true => Err(Fault::Broken("not this time".into())),
            false => Ok(self.clone()),
        }
    }

    fn resume(&mut self, _: Bytes) {}
}

impl Behavior for Worker {
    type Estate = ();

    async fn handle(&mut self, _: Envelope) -> Result<Handled, Fault> {
        Err(Fault::Broken("told to".into()))
    }

    async fn snapshot(&mut self) -> Result<Option<Bytes>, Unsnapped> {
        Ok(None)
    }

    async fn terminate(self) {
        tokio::task::yield_now().await;
        self.stage.says(format!("stop {}", self.id));
    }

    fn traps_exits(&self) -> bool {
        true
    }

    fn bequeath(self) {}

    fn inherit(&mut self, (): ()) {}
}

impl Stage {
    fn says(&self, what: String) {
        self.trace.lock().unwrap().push(what);
    }
}

/// Numbers that follow from a seed alone.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, sides: usize) -> usize {
        (self.roll() % sides as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Some restarts fail, and now and then a first start.
fn fails(seed: u64, id: &str, number: usize) -> bool {
    let mixed = id.bytes().fold(seed, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let roll = Dice(mixed.wrapping_add(number as u64 * 7_919)).roll();
    match number {
        1 => roll.is_multiple_of(120),
        _ => roll.is_multiple_of(8),
    }
}

fn supervisor(dice: &mut Dice, level: usize, ids: &mut usize) -> otp::SupervisorSpec {
    let children = (0..dice.below(4) + usize::from(level == 1)).map(|_| {
        *ids += 1;
        let id = format!("n{ids}");
        let restart = dice.pick(&[
            otp::Restart::Permanent,
            otp::Restart::Permanent,
            otp::Restart::Transient,
            otp::Restart::Temporary,
        ]);
        let nested = level < 3 && dice.below(5) < 2;
        let supervisor = nested.then(|| supervisor(dice, level + 1, ids));
        otp::Spec {
            id,
            restart,
            supervisor,
        }
    });
    let children: Vec<otp::Spec> = children.collect();
    otp::SupervisorSpec {
        strategy: dice.pick(&[
            otp::Strategy::OneForOne,
            otp::Strategy::OneForAll,
            otp::Strategy::RestForOne,
        ]),
        intensity: dice.below(4),
        period_ms: dice.pick(&[1_000, 5_000]),
        children,
    }
}

/// The same for the node.
fn wanted(spec: &otp::SupervisorSpec) -> SupervisorSpec {
    let child = |spec: &otp::Spec| ChildSpec {
        id: ChildId::parse(&spec.id).unwrap(),
        restart: match spec.restart {
            otp::Restart::Permanent => Restart::Permanent,
            otp::Restart::Transient => Restart::Transient,
            otp::Restart::Temporary => Restart::Temporary,
        },
        shutdown_timeout: None,
        args: BTreeMap::new(),
        supervisor: spec.supervisor.as_ref().map(wanted),
    };
    SupervisorSpec {
        strategy: match spec.strategy {
            otp::Strategy::OneForOne => Strategy::OneForOne,
            otp::Strategy::OneForAll => Strategy::OneForAll,
            otp::Strategy::RestForOne => Strategy::RestForOne,
        },
        restarts_max: spec.intensity,
        restart_window: Duration::from_millis(spec.period_ms),
        children: spec.children.iter().map(child).collect(),
    }
}

fn actors() -> Actors {
    let node = NodeId::parse("n").unwrap();
    Actors::new(node, Clock::system(), Metrics::new(), Logs::nowhere())
}

fn estate() -> Estate {
    Estate {
        tenant: Scope::default(),
        worker_type: None,
        namespace: Scope::default(),
        application: ApplicationName::parse("tree").unwrap(),
    }
}

fn alive(tree: &Tree<Worker>) -> Vec<String> {
    let view = tree.view();
    let workers = view.workers().into_iter();
    let running = workers.filter(|worker| worker.standing == NodeState::Running);
    running.map(|worker| worker.id.to_string()).collect()
}

/// Waits until nothing moves: a paused clock goes on only then.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// One random tree and its history, up to its end.
async fn live_through(seed: u64) {
    let mut dice = Dice(seed);
    let spec = supervisor(&mut dice, 1, &mut 0);
    let stage = Stage {
        seed,
        trace: Arc::default(),
        starts: Arc::default(),
    };
    let mut world = otp::World::new(Box::new(move |id, number| fails(seed, id, number)));
    let model = otp::Supervisor::start(&spec, &mut world);
    let tree = TreeSpec::checked(wanted(&spec)).unwrap();
    let workers = tree.children().into_iter();
    let workers = workers.filter(|child| child.supervisor.is_none());
    let seeds = workers.map(|child| {
        let id = child.id.to_string();
        let stage = stage.clone();
        (child.id.clone(), Worker { id, stage })
    });
    let actors = actors();
    let planting = Planting {
        seeds: seeds.collect(),
        bounds: Bounds::default(),
        spec: tree,
    };
    let began = Instant::now();
    let planted = Tree::plant(&actors, estate(), planting).await;
    let check = |doing: &str, world: &otp::World| {
        let trace = stage.trace.lock().unwrap().clone();
        assert_eq!(trace, world.trace, "seed {seed}, {doing}: {spec:#?}");
    };
    let (mut model, tree) = match (model, planted) {
        (Err(culprit), Err(not_started)) => {
            check("not started", &world);
            assert_eq!(*not_started.child, *culprit, "seed {seed}");
            assert_eq!(actors.census().actors, 0, "seed {seed}: something is left");
            return;
        }
        (Ok(model), Ok(tree)) => (model, tree),
        (model, planted) => panic!("seed {seed}: {:?}, {:?}", model.err(), planted.err()),
    };
    check("started", &world);
    for step in 0..12 {
        tokio::time::sleep(Duration::from_millis(dice.pick(&[0, 0, 300, 2_000, 6_000]))).await;
        let living = model.alive();
        assert_eq!(alive(&tree), living, "seed {seed}, step {step}: {spec:#?}");
        if living.is_empty() {
            break;
        }
        let victim = living[dice.below(living.len())].clone();
        let reason = dice.pick(&[Reason::Error, Reason::Error, Reason::Normal]);
        let now = began.elapsed().as_millis() as u64;
        let address = format!("tree/{victim}");
        match reason {
            Reason::Normal => assert!(actors.stop(&address, None, Exit::Normal)),
            Reason::Error => {
                let message = actors.message("tester".into(), "break", Bytes::new());
                actors.tell(&address, message).unwrap();
            }
        }
        settled().await;
        let goes_on = model.exit(&victim, reason, now, &mut world);
        check(&format!("step {step}, {victim} ended: {reason:?}"), &world);
        let failed = matches!(tree.standing(), Standing::Failed(_));
        assert_eq!(failed, !goes_on, "seed {seed}, step {step}: {spec:#?}");
        if failed {
            assert_eq!(actors.census().actors, 0, "seed {seed}: something is left");
            return;
        }
    }
    tree.stop(Instant::now() + Duration::from_secs(60), Farewell::Plain)
        .await;
    model.terminate(&mut world);
    check("stopped", &world);
    assert_eq!(actors.census().actors, 0, "seed {seed}: something is left");
}

/// Ten thousand histories; `SUPERVISION_SEED=N` lives through one of them again.
#[test]
fn supervisors_do_what_those_of_erlang_do() {
    let replayed = std::env::var("SUPERVISION_SEED").ok();
    let seeds = match replayed.map(|seed| seed.parse().unwrap()) {
        Some(seed) => seed..=seed,
        None => 1..=10_000,
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.unwrap().block_on(live_through(seed));
    }
}
