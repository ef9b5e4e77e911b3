//! Actors without WebAssembly: plain Rust behaviors on a paused clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use plexspaces_node::actor::{
    Actors, Behavior, Bounds, Estate, Farewell, Fault, Handled, Match, NodeView, Place, Planting,
    SendError, Standing, Start, TimerError, Timers, Tree, TreeSpec, Unsnapped, Worker,
};
use plexspaces_node::budget::Budget;
use plexspaces_node::clock::Clock;
use plexspaces_node::id::{ApplicationName, ChildId, NodeId, Scope};
use plexspaces_node::limits;
use plexspaces_node::message::{Envelope, Failure, Reply};
use plexspaces_node::metrics::Metrics;
use plexspaces_node::storage::Logs;

/// What a scripted actor does with its next message.
#[derive(Clone, Copy)]
enum Step {
    Answer,
    Refuse,
    Break,
    Work(Duration),
}

/// Does as its script says, then answers everything; keeps a list of what it handled, over all its lives.
#[derive(Clone, Default)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    handled: Arc<Mutex<Vec<String>>>,
    ended: Arc<Mutex<bool>>,
}

impl Script {
    fn of(steps: &[Step]) -> Self {
        let script = Self::default();
        script.steps.lock().unwrap().extend(steps);
        script
    }

    fn handled(&self) -> Vec<String> {
        self.handled.lock().unwrap().clone()
    }
}

impl Start for Script {
    type Behavior = Script;

    async fn start(&self, _: &Place<Self>) -> Result<Script, Fault> {
        Ok(self.clone())
    }

    fn resume(&mut self, _: Bytes) {}
}

impl Behavior for Script {
    type Estate = ();

    async fn handle(&mut self, envelope: Envelope) -> Result<Handled, Fault> {
        self.handled
            .lock()
            .unwrap()
            .push(String::from_utf8(envelope.message.payload.to_vec()).unwrap());
        let step = self
            .steps
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Step::Answer);
        let (answer, result) = match step {
            Step::Answer => (Ok(envelope.message.payload.clone()), Ok(Handled::Well)),
            Step::Refuse => (Err(Failure::Refused("no".into())), Ok(Handled::Badly)),
            Step::Break => (
                Err(Failure::Trapped("broken".into())),
                Err(Fault::Broken("broken".into())),
            ),
            Step::Work(time) => {
                tokio::time::sleep(time).await;
                (Ok(envelope.message.payload.clone()), Ok(Handled::Well))
            }
        };
        if let Some(reply) = envelope.reply {
            reply.send(answer);
        }
        result
    }

    async fn snapshot(&mut self) -> Result<Option<Bytes>, Unsnapped> {
        Ok(None)
    }

    async fn terminate(self) {
        *self.ended.lock().unwrap() = true;
    }

    fn traps_exits(&self) -> bool {
        true
    }

    fn bequeath(self) {}

    fn inherit(&mut self, (): ()) {}
}

/// An application of one actor.
struct Actor {
    tree: Tree<Script>,
    actors: Actors,
}

impl Actor {
    fn restarts(&self) -> u32 {
        self.tree.view().workers()[0].restarts
    }

    fn worker(&self) -> Worker {
        match &self.tree.view().workers()[0].node {
            NodeView::Worker(worker) => (**worker).clone(),
            NodeView::Supervisor { .. } => unreachable!(),
        }
    }

    fn has_failed(&self) -> bool {
        matches!(self.tree.standing(), Standing::Failed(_))
    }

    async fn stop(self, grace: Duration) {
        let by = self.actors.clock().now() + grace;
        self.tree.stop(by, Farewell::Snapshot).await;
    }
}

/// Plants an application of one actor, named `script`.
async fn plant<S: Start>(actors: &Actors, seed: S, bounds: Bounds) -> Result<Tree<S>, Fault> {
    let application = ApplicationName::parse("script").unwrap();
    let id = ChildId::of_application(&application);
    let planting = Planting {
        spec: TreeSpec::of_one(id.clone()),
        seeds: [(id, seed)].into(),
        bounds,
    };
    let estate = Estate {
        tenant: Scope::default(),
        worker_type: None,
        namespace: Scope::default(),
        application,
    };
    let planted = Tree::plant(actors, estate, planting).await;
    planted.map_err(|not_started| not_started.fault)
}

async fn spawn(script: &Script, bounds: Bounds) -> (Actors, Actor) {
    spawn_within(script, bounds, Budget::new(usize::MAX)).await
}

async fn spawn_within(script: &Script, bounds: Bounds, budget: Budget) -> (Actors, Actor) {
    let node = NodeId::parse("n").unwrap();
    let actors = Actors::new(
        node.clone(),
        Clock::system(),
        Metrics::new(),
        Logs::nowhere(),
    )
    .sharing(budget);
    let tree = plant(&actors, script.clone(), bounds).await.unwrap();
    let actor = Actor {
        tree,
        actors: actors.clone(),
    };
    (actors, actor)
}

async fn ask(actors: &Actors, payload: &'static str, within: Duration) -> Result<Bytes, SendError> {
    let message = actors.message(
        "tester".into(),
        "call",
        Bytes::from_static(payload.as_bytes()),
    );
    actors.ask("script", message, Instant::now() + within).await
}

fn tell(actors: &Actors, payload: &'static str) -> Result<(), SendError> {
    let message = actors.message(
        "tester".into(),
        "cast",
        Bytes::from_static(payload.as_bytes()),
    );
    actors.tell("script", message).map(drop)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn messages_of_one_sender_are_handled_in_order() {
    let script = Script::default();
    let (actors, _actor) = spawn(&script, Bounds::default()).await;
    for payload in ["1", "2", "3"] {
        tell(&actors, payload).unwrap();
    }
    assert_eq!(ask(&actors, "4", SECOND).await.unwrap(), "4");
    assert_eq!(script.handled(), ["1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_and_not_the_work() {
    let script = Script::of(&[Step::Work(3 * SECOND)]);
    let (actors, _actor) = spawn(&script, Bounds::default()).await;
    let (late, skipped) = tokio::join!(
        ask(&actors, "slow", SECOND),
        ask(&actors, "never begun", 2 * SECOND)
    );
    assert_eq!(late, Err(SendError::DeadlineExceeded("script@n".into())));
    assert_eq!(skipped, late);
    assert_eq!(ask(&actors, "next", 5 * SECOND).await.unwrap(), "next");
    assert_eq!(
        script.handled(),
        ["slow", "next"],
        "a message nobody waits for any more is not begun"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_actor_comes_back_with_its_mailbox() {
    let script = Script::of(&[Step::Break]);
    let (actors, actor) = spawn(&script, Bounds::default()).await;
    let (broken, next) = tokio::join!(ask(&actors, "1", SECOND), ask(&actors, "2", SECOND));
    assert_eq!(
        broken,
        Err(SendError::Failed(Failure::Trapped("broken".into())))
    );
    assert_eq!(next.unwrap(), "2");
    assert_eq!((actor.restarts(), actor.has_failed()), (1, false));
}

#[tokio::test(start_paused = true)]
async fn the_fourth_break_within_five_seconds_is_the_last() {
    let script = Script::of(&[Step::Break; 4]);
    let (actors, actor) = spawn(&script, Bounds::default()).await;
    for _ in 0..4 {
        let broken = ask(&actors, "x", SECOND).await;
        assert_eq!(
            broken,
            Err(SendError::Failed(Failure::Trapped("broken".into())))
        );
    }
    tokio::task::yield_now().await;
    assert!(actor.has_failed());
    assert_eq!(actor.worker().last_error.as_deref(), Some("broken"));
    assert!(matches!(
        ask(&actors, "x", SECOND).await,
        Err(SendError::UnknownActor(_))
    ));
    assert!(matches!(
        actors.find(&Scope::default(), "default", "script"),
        Match::None
    ));
}

#[tokio::test(start_paused = true)]
async fn breaks_that_are_far_apart_are_forgiven() {
    let script = Script::of(&[Step::Break; 8]);
    let (actors, actor) = spawn(&script, Bounds::default()).await;
    for _ in 0..8 {
        assert!(ask(&actors, "x", SECOND).await.is_err());
        tokio::time::sleep(2 * SECOND).await;
    }
    assert!(!actor.has_failed());
    assert_eq!(ask(&actors, "y", SECOND).await.unwrap(), "y");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_an_error_is_no_fault() {
    let script = Script::of(&[Step::Refuse]);
    let (actors, actor) = spawn(&script, Bounds::default()).await;
    assert_eq!(
        ask(&actors, "x", SECOND).await,
        Err(SendError::Failed(Failure::Refused("no".into())))
    );
    assert_eq!(actor.restarts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_bounded_in_number_and_in_bytes() {
    let check = async |bounds, payload: &'static str, fit: usize| {
        let (actors, _actor) = spawn(&Script::default(), bounds).await;
        for sent in 0..fit {
            assert_eq!(tell(&actors, payload), Ok(()), "message {sent}");
        }
        assert_eq!(
            tell(&actors, payload),
            Err(SendError::MailboxFull("script@n".into()))
        );
        // What was handled makes room again.
        tokio::time::sleep(SECOND).await;
        assert_eq!(tell(&actors, payload), Ok(()));
    };
    check(
        Bounds {
            messages_max: 3,
            bytes_max: 1 << 20,
            ..Bounds::default()
        },
        "x",
        3,
    )
    .await;
    check(
        Bounds {
            messages_max: 1_000,
            bytes_max: 1_000,
            ..Bounds::default()
        },
        "some payload",
        6,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_the_message_in_hand_and_fails_those_that_wait() {
    let script = Script::of(&[Step::Work(SECOND)]);
    let (actors, actor) = spawn(&script, Bounds::default()).await;
    let stop = async {
        tokio::time::sleep(SECOND / 2).await;
        actor.stop(5 * SECOND).await;
    };
    let (first, second, ()) = tokio::join!(
        ask(&actors, "1", 9 * SECOND),
        ask(&actors, "2", 9 * SECOND),
        stop
    );
    assert_eq!(first.unwrap(), "1");
    assert_eq!(second, Err(SendError::Stopped("script@n".into())));
    assert!(
        *script.ended.lock().unwrap(),
        "it got no chance to say goodbye"
    );
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_does_not_stop_in_time_is_ended() {
    let script = Script::of(&[Step::Work(3600 * SECOND)]);
    let (actors, actor) = spawn(&script, Bounds::default()).await;
    let began = Instant::now();
    let stop = async {
        tokio::time::sleep(SECOND).await;
        actor.stop(5 * SECOND).await;
    };
    let (cut_off, ()) = tokio::join!(ask(&actors, "1", 9000 * SECOND), stop);
    assert_eq!(cut_off, Err(SendError::Stopped("script@n".into())));
    assert_eq!(began.elapsed().as_secs(), 6);
    assert!(matches!(
        tell(&actors, "2"),
        Err(SendError::UnknownActor(_))
    ));
}

fn timers(actors: &Actors) -> Timers {
    Timers::new(actors.clone(), "script@n".into(), Arc::default())
}

#[tokio::test(start_paused = true)]
async fn timers_fire_in_the_order_of_their_times() {
    let script = Script::default();
    let (actors, _actor) = spawn(&script, Bounds::default()).await;
    let mut timers = timers(&actors);
    for (seconds, payload) in [(2, "2a"), (1, "1"), (2, "2b"), (0, "0")] {
        timers
            .start(seconds * SECOND, "tick", payload.into())
            .unwrap();
    }
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(script.handled(), ["0"]);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(script.handled(), ["0", "1", "2a", "2b"]);
}

/// `PLEXSPACES_TEST_TIMERS` says how many; a million takes a minute without optimisation.
#[tokio::test(start_paused = true)]
async fn of_many_timers_each_fires_once_and_in_order() {
    let count: usize = std::env::var("PLEXSPACES_TEST_TIMERS")
        .map_or(50_000, |number| number.parse().expect("a number"));
    let script = Script::default();
    let wide = Bounds {
        messages_max: count,
        bytes_max: usize::MAX,
        ..Bounds::default()
    };
    let (actors, _actor) = spawn(&script, wide).await;
    let mut owners = Vec::new();
    for number in 0..count {
        if number % limits::TIMERS_MAX == 0 {
            owners.push(timers(&actors));
        }
        // A step through all of them that leaves none out, so that they are not set in their order.
        let due = (number * 7_919 % count) as u32 % 1_000;
        let owner = owners.last_mut().unwrap();
        let payload = format!("{due:03}").into();
        owner.start(due * SECOND, "tick", payload).unwrap();
    }
    tokio::time::sleep(1_000 * SECOND).await;
    let fired = script.handled();
    assert_eq!(fired.len(), count);
    assert!(fired.is_sorted());
    assert_eq!(actors.budget().taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_cancelled_or_whose_owner_is_gone_never_fires() {
    let script = Script::default();
    let (actors, _actor) = spawn(&script, Bounds::default()).await;
    let mut timers = timers(&actors);
    let cancelled = timers.start(SECOND, "tick", "cancelled".into()).unwrap();
    timers.start(SECOND, "tick", "fired".into()).unwrap();
    assert!(timers.cancel(cancelled));
    assert!(!timers.cancel(cancelled));
    tokio::time::sleep(2 * SECOND).await;
    timers.start(SECOND, "tick", "orphan".into()).unwrap();
    drop(timers);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(script.handled(), ["fired"]);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_the_next_instance_sets_anew_fires_once() {
    let script = Script::default();
    let (actors, _actor) = spawn(&script, Bounds::default()).await;
    let mut earlier = timers(&actors);
    for payload in ["tick", "tick", "other"] {
        earlier.start(SECOND, "beat", payload.into()).unwrap();
    }
    let mut next = timers(&actors);
    next.start(2 * SECOND, "beat", "tick".into()).unwrap();
    next.start(3 * SECOND, "pulse", "other".into()).unwrap();
    next.absorb(earlier);
    tokio::time::sleep(5 * SECOND).await;
    // Of two the actor had, its `init` set one anew.
    assert_eq!(script.handled(), ["tick", "other", "tick", "other"]);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_finds_the_mailbox_full_comes_later() {
    let script = Script::of(&[Step::Work(3 * SECOND)]);
    let one = Bounds {
        messages_max: 1,
        bytes_max: 1 << 20,
        ..Bounds::default()
    };
    let (actors, _actor) = spawn(&script, one).await;
    tell(&actors, "slow").unwrap();
    tokio::time::sleep(SECOND).await;
    tell(&actors, "waiting").unwrap();
    let mut timers = timers(&actors);
    timers.start(SECOND, "tick", "timer".into()).unwrap();
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(script.handled(), ["slow", "waiting", "timer"]);
}

#[tokio::test(start_paused = true)]
async fn mailboxes_and_timers_share_what_the_node_keeps() {
    let script = Script::of(&[Step::Work(3 * SECOND)]);
    let budget = Budget::new(400);
    let (actors, actor) = spawn_within(&script, Bounds::default(), budget.clone()).await;
    tell(&actors, "slow").unwrap();
    tokio::time::sleep(SECOND).await;
    // Two fit beside each other, bookkeeping included.
    tell(&actors, "one").unwrap();
    tell(&actors, "two").unwrap();
    assert!(matches!(
        tell(&actors, "three"),
        Err(SendError::NodeFull(_))
    ));
    let mut timers = timers(&actors);
    let full = timers.start(SECOND, "tick", Bytes::from(vec![b'x'; 200]));
    assert_eq!(full, Err(TimerError::NodeFull));
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!((script.handled().len(), budget.taken()), (3, 0));
    // A timer that takes more than half of all reaches its mailbox all the same.
    timers
        .start(SECOND, "tick", Bytes::from(vec![b'x'; 230]))
        .unwrap();
    assert!(budget.taken() > 230);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!((script.handled().len(), budget.taken()), (4, 0));
    timers
        .start(SECOND, "tick", Bytes::from(vec![b'x'; 230]))
        .unwrap();
    drop(timers);
    tell(&actors, "last").unwrap();
    actor.stop(SECOND).await;
    tokio::task::yield_now().await;
    assert_eq!(budget.taken(), 0, "what is gone holds nothing");
}

#[tokio::test(start_paused = true)]
async fn timers_are_bounded_in_number_in_bytes_and_in_time() {
    let (actors, _actor) = spawn(&Script::default(), Bounds::default()).await;
    let mut many = timers(&actors);
    for _ in 0..limits::TIMERS_MAX {
        many.start(SECOND, "tick", Bytes::new()).unwrap();
    }
    assert_eq!(
        many.start(SECOND, "tick", Bytes::new()),
        Err(TimerError::TooMany)
    );
    tokio::time::sleep(2 * SECOND).await;
    assert!(
        many.start(SECOND, "tick", Bytes::new()).is_ok(),
        "those that fired make room"
    );

    let mut large = timers(&actors);
    let whole = Bytes::from(vec![0; limits::TIMERS_BYTES_MAX - 4]);
    let id = large.start(SECOND, "tick", whole).unwrap();
    assert_eq!(
        large.start(SECOND, "t", Bytes::new()),
        Err(TimerError::TooMany)
    );
    assert!(large.cancel(id));
    assert!(large.start(SECOND, "t", Bytes::new()).is_ok());
    let too_long = limits::TIMER_DELAY_MAX + SECOND;
    assert_eq!(
        large.start(too_long, "t", Bytes::new()),
        Err(TimerError::TooLong)
    );
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_ask_is_answered_by_whoever_gets_it() {
    let script = Script::default();
    let (actors, _actor) = spawn(&script, Bounds::default()).await;
    let message = |payload| actors.message("asker".into(), "call", payload);
    let script = actors.recipient("script").unwrap();
    let (reply, answer) = Reply::channel();
    actors
        .forward(&script, message(Bytes::from("handed on")), reply)
        .unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), "handed on");

    let (reply, answer) = Reply::channel();
    let long = message(vec![0; limits::MESSAGE_BYTES_MAX + 1].into());
    let (error, reply) = actors.forward(&script, long, reply).unwrap_err();
    assert!(matches!(error, SendError::TooLong { .. }), "{error}");
    reply.send(Ok("still mine to answer".into()));
    assert_eq!(answer.await.unwrap().unwrap(), "still mine to answer");
}

/// Waits for something that never comes.
#[derive(Clone)]
struct NeverStarts;

impl Start for NeverStarts {
    type Behavior = Script;

    async fn start(&self, _: &Place<Self>) -> Result<Script, Fault> {
        std::future::pending().await
    }

    fn resume(&mut self, _: Bytes) {}
}

#[tokio::test(start_paused = true)]
async fn a_start_that_never_ends_is_ended() {
    let node = NodeId::parse("n").unwrap();
    let actors = Actors::new(
        node.clone(),
        Clock::system(),
        Metrics::new(),
        Logs::nowhere(),
    );
    let planted = plant(&actors, NeverStarts, Bounds::default()).await;
    assert!(
        matches!(planted, Err(Fault::Broken(text)) if text.contains("did not start within 60s"))
    );
}

#[tokio::test(start_paused = true)]
async fn no_jump_of_the_wall_clock_moves_a_timer_or_a_deadline() {
    let wall = Arc::new(Mutex::new(SystemTime::now()));
    let told = wall.clone();
    let clock = Clock::with_wall(move || *told.lock().unwrap());
    let node = NodeId::parse("n").unwrap();
    let actors = Actors::new(node, clock, Metrics::new(), Logs::nowhere());
    let script = Script::default();
    script
        .steps
        .lock()
        .unwrap()
        .push_back(Step::Work(20 * SECOND));
    let planted = plant(&actors, script.clone(), Bounds::default()).await;
    let _tree = planted.unwrap();
    let began = Instant::now();
    let late = ask(&actors, "late", 10 * SECOND);
    let jump = async {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        *wall.lock().unwrap() += 10 * YEAR;
        tokio::time::sleep(SECOND).await;
        *wall.lock().unwrap() -= 11 * YEAR;
        tokio::time::sleep(SECOND).await;
        *wall.lock().unwrap() = SystemTime::UNIX_EPOCH;
    };
    let (late, ()) = tokio::join!(late, jump);
    assert!(
        matches!(late, Err(SendError::DeadlineExceeded(_))),
        "{late:?}"
    );
    assert_eq!(began.elapsed(), 10 * SECOND);
}
