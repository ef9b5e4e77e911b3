//! One run that has not ended, as its driver, the actor that carries it out, and those who wait for it share it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::id::{ActorId, ApplicationName};
use crate::message::MessageId;
use crate::storage::RunStatus;

/// A run. It outlives its actors: one carries it out at a time, and none while it sleeps for long.
pub struct Run {
    pub application: ApplicationName,
    pub id: Arc<str>,
    pub workflow_type: Arc<str>,
    /// Which life of its actor may take steps; 0 while none may.
    life: AtomicU64,
    mood: watch::Sender<Mood>,
    /// Signals that are on disk.
    signals: watch::Sender<u64>,
    /// The most of them that any life was given; those of an earlier process count as given.
    taken: AtomicU64,
    /// Whether it is to come to rest.
    pausing: watch::Sender<bool>,
    end: watch::Sender<Option<RunStatus>>,
    /// Somebody wants its actor, whom nobody wakes otherwise.
    wanted: watch::Sender<u64>,
    present: Mutex<Present>,
}

/// What is known of the actor that carries a run out.
#[derive(Default)]
struct Present {
    run_id: Arc<str>,
    actor: Option<ActorId>,
    /// The message of the run's own that it is given: a query is none.
    given: Option<MessageId>,
    /// How many signals its life was given and has handled.
    handled: u64,
    /// Steps that were on disk when its life began.
    steps: u64,
    /// Why its life ended, where it was not its own doing.
    verdict: Option<Verdict>,
}

/// What the actor of a run is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It is not there.
    #[default]
    Away,
    /// It has no message of the run in hand.
    Idle,
    Working,
    /// It asks an activity of this name.
    Asking(Arc<str>),
    /// It sleeps until then, by the store's time.
    Sleeping(u64),
    /// It waits for the end of a pause, which it will not see.
    Held,
}

/// Why an actor is ended that carries out a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The run has failed.
    Fails(String),
    /// It can be tried again: a disk that is full, or no room.
    Stumbles(String),
}

impl Run {
    pub fn new(
        application: ApplicationName,
        id: Arc<str>,
        workflow_type: Arc<str>,
        signals: u64,
    ) -> Self {
        Self {
            application,
            id,
            workflow_type,
            life: AtomicU64::new(0),
            mood: watch::Sender::default(),
            signals: watch::Sender::new(signals),
            taken: AtomicU64::new(signals),
            pausing: watch::Sender::new(false),
            end: watch::Sender::default(),
            wanted: watch::Sender::default(),
            present: Mutex::default(),
        }
    }

    /// A new life may take steps, and no earlier one may any more.
    pub(super) fn begin_life(&self, run_id: &str, steps: u64) -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let life = LAST.fetch_add(1, Relaxed) + 1;
        *self.present.lock().unwrap() = Present {
            run_id: run_id.into(),
            steps,
            ..Present::default()
        };
        self.life.store(life, Relaxed);
        life
    }

    pub(super) fn end_life(&self) -> Option<ActorId> {
        self.life.store(0, Relaxed);
        self.mood.send_replace(Mood::Away);
        self.present.lock().unwrap().actor.take()
    }

    pub(super) fn lives(&self, life: u64) -> bool {
        self.life.load(Relaxed) == life
    }

    /// The life that may take steps now, and how many there were when it began.
    pub(super) fn present_life(&self) -> (u64, u64) {
        (self.life.load(Relaxed), self.present.lock().unwrap().steps)
    }

    pub fn run_id(&self) -> Arc<str> {
        self.present.lock().unwrap().run_id.clone()
    }

    pub(super) fn is_carried_out_by(&self, actor: ActorId) {
        self.present.lock().unwrap().actor = Some(actor);
    }

    /// The actor that carries it out at the moment.
    pub fn actor(&self) -> Option<ActorId> {
        self.present.lock().unwrap().actor.clone()
    }

    /// A message of the run's own is about to be sent: until it is handled the run is at work.
    pub(super) fn gives(&self, message: MessageId) {
        self.present.lock().unwrap().given = Some(message);
        self.feels(Mood::Working);
    }

    pub(super) fn is_given(&self, message: MessageId) -> bool {
        self.present.lock().unwrap().given == Some(message)
    }

    pub fn feels(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub fn mood(&self) -> Mood {
        self.mood.borrow().clone()
    }

    pub(super) fn moods(&self) -> watch::Receiver<Mood> {
        self.mood.subscribe()
    }

    pub(super) fn judge(&self, verdict: Verdict) {
        self.present.lock().unwrap().verdict.get_or_insert(verdict);
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.present.lock().unwrap().verdict.take()
    }

    /// So many signals are on disk.
    pub(super) fn has_signals(&self, count: u64) {
        self.signals.send_if_modified(|known| {
            let more = count > *known;
            *known = count.max(*known);
            more
        });
    }

    pub fn signals(&self) -> u64 {
        *self.signals.borrow()
    }

    /// Signals that it has yet to take.
    pub fn signals_waiting(&self) -> u64 {
        self.signals().saturating_sub(self.taken.load(Relaxed))
    }

    pub(super) fn takes_signal(&self, number: u64) {
        self.taken.fetch_max(number + 1, Relaxed);
    }

    /// So many of them its life has handled.
    pub(super) fn has_handled(&self, count: u64) {
        self.present.lock().unwrap().handled = count;
        self.mood.send_modify(|_| {});
    }

    /// Waits until there are more signals than so many.
    pub(super) async fn gets_more_than(&self, count: u64) {
        let mut signals = self.signals.subscribe();
        let _ = signals.wait_for(|known| *known > count).await;
    }

    pub(super) fn pause(&self, pausing: bool) {
        self.pausing.send_replace(pausing);
    }

    pub(super) fn is_pausing(&self) -> bool {
        *self.pausing.borrow()
    }

    pub(super) async fn is_to_pause(&self) {
        let _ = self.pausing.subscribe().wait_for(|it| *it).await;
    }

    pub(super) fn has_ended(&self, status: RunStatus) {
        self.end.send_replace(Some(status));
    }

    pub(super) async fn ends(&self) -> RunStatus {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(Option::is_some).await;
        ended.map_or(RunStatus::Cancelled, |it| {
            it.unwrap_or(RunStatus::Cancelled)
        })
    }

    pub(super) fn waiters(&self) -> usize {
        self.end.receiver_count()
    }

    /// Wants its actor there, if it only waits for signals.
    pub(super) fn want(&self) {
        self.wanted.send_modify(|count| *count += 1);
    }

    pub(super) fn wishes(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }
}

impl Run {
    /// The actor, once it is between two messages and has come as far as any before it; one that made room is fetched
    /// back. `None` where none is by then.
    pub(super) async fn present(&self, deadline: tokio::time::Instant) -> Option<ActorId> {
        let (mut moods, signals) = (self.moods(), self.signals());
        let is_there = |mood: &Mood| {
            let present = self.present.lock().unwrap();
            *mood == Mood::Idle && present.actor.is_some() && present.handled >= signals
        };
        if !is_there(&moods.borrow_and_update()) {
            self.want();
        }
        let there = moods.wait_for(is_there);
        tokio::time::timeout_at(deadline, there).await.ok()?.ok()?;
        self.actor()
    }
}

impl Mood {
    pub fn in_words(&self) -> &'static str {
        match self {
            Self::Away => "not carried out at the moment",
            Self::Idle => "waiting for signals",
            Self::Working => "at work",
            Self::Asking(_) => "waiting for an activity",
            Self::Sleeping(_) => "asleep",
            Self::Held => "held until its application goes on",
        }
    }
}
