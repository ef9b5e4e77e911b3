//! Random concurrent histories of the tuple space and of locks, each held against a model that does one thing at a time.
//!
//! A history is a few tasks that write, take, swap, wait, give up and are dropped in the middle, on a paused clock. Every
//! call is noted with when it began and ended; then an order is sought in which the model, one call after the other and
//! none outside its time, answers as the node did. `HISTORIES_SEED` runs one history again.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use plexspaces_node::budget::Budget;
use plexspaces_node::clock::Clock;
use plexspaces_node::coordination::locks::Afterwards;
use plexspaces_node::coordination::tuplespace::Wish;
use plexspaces_node::coordination::{Coordination, Field, FieldPattern, Pattern, Tuple};
use plexspaces_node::place::Place;

const HISTORIES: u64 = 10_000;

/// Numbers that follow from a seed.
#[derive(Clone)]
struct Dice(Rc<Cell<u64>>);

impl Dice {
    fn of(seed: u64) -> Self {
        Self(Rc::new(Cell::new(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        )))
    }

    /// One of `0..sides`.
    fn throw(&self, sides: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        (state >> 33) % sides
    }

    async fn dawdle(&self) {
        match self.throw(4) {
            0 => tokio::time::sleep(Duration::from_millis(self.throw(3))).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
    }
}

/// What was called and what came of it.
#[derive(Clone, Debug)]
struct Call<O> {
    began: u64,
    ended: u64,
    /// May have had no effect: whoever called was dropped.
    optional: bool,
    /// Only after this other one, if at all.
    after: Option<usize>,
    outcome: O,
}

/// The calls of one history, with a clock that counts them.
struct Notes<O> {
    clock: Cell<u64>,
    calls: RefCell<Vec<Call<O>>>,
}

impl<O> Notes<O> {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            clock: Cell::new(0),
            calls: RefCell::new(Vec::new()),
        })
    }

    fn tick(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    fn ended(&self, began: u64, outcome: O) {
        let ended = self.tick();
        self.calls.borrow_mut().push(Call {
            began,
            ended,
            optional: false,
            after: None,
            outcome,
        });
    }

    /// What its caller did not live to see: it happened and was undone, or never was.
    fn dropped(&self, began: u64, done: O, undone: O) {
        let ended = self.tick();
        let mut calls = self.calls.borrow_mut();
        let first = calls.len();
        for (outcome, after) in [(done, None), (undone, Some(first))] {
            calls.push(Call {
                began,
                ended,
                optional: true,
                after,
                outcome,
            });
        }
    }
}

/// Something that answers one call at a time.
trait Model: Clone + Eq + std::hash::Hash + Default {
    type Outcome;

    /// All that may be after this call, where it may answer so.
    fn after(&self, outcome: &Self::Outcome) -> Vec<Self>;
}

/// Whether some order explains all calls. Depth first; what was tried is not tried again.
fn explained<M: Model>(calls: &[Call<M::Outcome>]) -> bool {
    assert!(calls.len() <= 64);
    let mut tried = HashSet::new();
    let mut open = vec![(0_u64, M::default())];
    while let Some((done, model)) = open.pop() {
        let is_done = |index: usize| done & (1 << index) != 0;
        // What must come, and what must be undone: one who was dropped leaves nothing behind.
        let due = calls.iter().enumerate().filter(|(index, call)| {
            !is_done(*index) && (!call.optional || call.after.is_some_and(is_done))
        });
        let Some(first_end) = due.map(|(_, call)| call.ended).min() else {
            return true;
        };
        for (index, call) in calls.iter().enumerate() {
            let possible =
                !is_done(index) && call.began < first_end && call.after.is_none_or(is_done);
            if possible {
                let after = model.after(&call.outcome);
                let next = after.into_iter().map(|model| (done | 1 << index, model));
                open.extend(next.filter(|step| tried.insert(step.clone())));
            }
        }
    }
    false
}

fn seeds() -> Vec<u64> {
    match std::env::var("HISTORIES_SEED") {
        Ok(seed) => vec![seed.parse().expect("HISTORIES_SEED is a number")],
        Err(_) => (1..=HISTORIES).collect(),
    }
}

/// Runs `history` for each seed, each on a paused clock of its own.
fn for_each_seed(history: impl AsyncFn(Dice)) {
    for seed in seeds() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            LocalSet::new().block_on(&runtime, history(Dice::of(seed)));
        }));
        assert!(
            told.is_ok(),
            "history {seed} has no order: run it again with HISTORIES_SEED={seed}"
        );
    }
}

// ── tuples ──────────────────────────────────────────────────────────────────

#[derive(Clone, Debug)]
enum TupleCall {
    Wrote(i64, i64),
    /// The pattern's fields, `None` being any, and the tuple's, if there was one.
    Took(Option<i64>, Option<i64>, Option<(i64, i64)>),
    Read(Option<i64>, Option<i64>, Option<(i64, i64)>),
    Counted(Option<i64>, usize),
    Swapped(i64, i64, i64, bool),
    /// Took something that nobody saw.
    TookUnseen(Option<i64>, Option<i64>),
    GaveBack,
}

/// Tuples with their ages, and the one that a taker who was dropped has; of those there is one in a history.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Tuples {
    lying: Vec<(u64, i64, i64)>,
    unseen: Option<(u64, i64, i64)>,
    written: u64,
}

fn fits(wanted: (Option<i64>, Option<i64>), (first, second): (i64, i64)) -> bool {
    wanted.0.is_none_or(|it| it == first) && wanted.1.is_none_or(|it| it == second)
}

impl Tuples {
    fn oldest(&self, wanted: (Option<i64>, Option<i64>)) -> Option<usize> {
        self.lying
            .iter()
            .position(|&(_, first, second)| fits(wanted, (first, second)))
    }

    fn holds(&self, index: Option<usize>, seen: Option<(i64, i64)>) -> bool {
        index.map(|index| (self.lying[index].1, self.lying[index].2)) == seen
    }

    fn write(&mut self, first: i64, second: i64) {
        self.written += 1;
        self.lying.push((self.written, first, second));
    }
}

impl Model for Tuples {
    type Outcome = TupleCall;

    fn after(&self, outcome: &TupleCall) -> Vec<Self> {
        let mut next = self.clone();
        match *outcome {
            TupleCall::Wrote(first, second) => next.write(first, second),
            TupleCall::Took(first, second, seen) => {
                let oldest = self.oldest((first, second));
                if !self.holds(oldest, seen) {
                    return Vec::new();
                }
                if let Some(index) = oldest {
                    next.lying.remove(index);
                }
            }
            TupleCall::Read(first, second, seen) => {
                if !self.holds(self.oldest((first, second)), seen) {
                    return Vec::new();
                }
            }
            TupleCall::Counted(first, seen) => {
                let fitting = self
                    .lying
                    .iter()
                    .filter(|it| fits((first, None), (it.1, it.2)));
                if fitting.count() != seen {
                    return Vec::new();
                }
            }
            TupleCall::Swapped(first, old, new, swapped) => {
                let found = self.oldest((Some(first), Some(old)));
                if found.is_some() != swapped {
                    return Vec::new();
                }
                if let Some(index) = found {
                    next.lying.remove(index);
                    next.write(first, new);
                }
            }
            TupleCall::TookUnseen(first, second) => {
                let Some(index) = self.oldest((first, second)) else {
                    return Vec::new();
                };
                next.unseen = Some(next.lying.remove(index));
            }
            TupleCall::GaveBack => {
                let Some(tuple) = next.unseen.take() else {
                    return Vec::new();
                };
                next.lying.push(tuple);
                next.lying.sort_unstable();
            }
        }
        vec![next]
    }
}

fn pattern(first: Option<i64>, second: Option<i64>) -> Pattern {
    let field =
        |wanted: Option<i64>| wanted.map_or(FieldPattern::Any, |it| FieldPattern::Exact(it.into()));
    Pattern::new([field(first), field(second)])
}

fn tuple(first: i64, second: i64) -> Tuple {
    Tuple::new([first.into(), second.into()])
}

fn numbers(tuple: &Tuple) -> (i64, i64) {
    match tuple.fields() {
        [Field::Int(first), Field::Int(second)] => (*first, *second),
        other => panic!("{other:?} was never written"),
    }
}

struct Table {
    coordination: Coordination,
    place: Place,
    dice: Dice,
}

impl Table {
    fn number(&self) -> i64 {
        self.dice.throw(2).cast_signed()
    }

    fn wanted(&self) -> Option<i64> {
        (self.dice.throw(3) > 0).then(|| self.number())
    }

    async fn tuple_call(&self, notes: &Notes<TupleCall>, drops: &Cell<bool>) {
        let tuples = &self.coordination.tuples;
        let began = notes.tick();
        let (first, second) = (self.wanted(), self.wanted());
        match self.dice.throw(9) {
            0..=2 => {
                let (first, second) = (self.number(), self.number());
                tuples
                    .write(&self.place, tuple(first, second), None)
                    .unwrap();
                notes.ended(began, TupleCall::Wrote(first, second));
            }
            3 => {
                let taken = tuples.take(&self.place, &pattern(first, second));
                let seen = taken.as_ref().map(numbers);
                notes.ended(began, TupleCall::Took(first, second, seen));
            }
            4 => {
                let read = tuples.read(&self.place, &pattern(first, second));
                let seen = read.as_ref().map(numbers);
                notes.ended(began, TupleCall::Read(first, second, seen));
            }
            5 => {
                let count = tuples.count(&self.place, &pattern(first, None));
                notes.ended(began, TupleCall::Counted(first, count));
            }
            6 => {
                let (first, old, new) = (self.number(), self.number(), self.number());
                let wanted = pattern(Some(first), None);
                let (old_tuple, new_tuple) = (tuple(first, old), tuple(first, new));
                let swapped = tuples
                    .swap(&self.place, &wanted, &old_tuple, new_tuple)
                    .unwrap();
                notes.ended(
                    began,
                    TupleCall::Swapped(first, old, new, swapped.is_some()),
                );
            }
            7 if !drops.replace(true) => {
                let mut waiting = Box::pin(
                    tuples
                        .wait(&self.place, pattern(first, second), Wish::Take)
                        .unwrap(),
                );
                let polled = futures_poll(&mut waiting).await;
                if let Some(taken) = polled {
                    notes.ended(began, TupleCall::Took(first, second, Some(numbers(&taken))));
                    return;
                }
                // Given something in between, perhaps, but never asked again.
                for _ in 0..self.dice.throw(4) {
                    self.dice.dawdle().await;
                }
                drop(waiting);
                notes.dropped(
                    began,
                    TupleCall::TookUnseen(first, second),
                    TupleCall::GaveBack,
                );
            }
            _ => {
                let wish = if self.number() == 0 {
                    Wish::Take
                } else {
                    Wish::Read
                };
                let waiting = tuples
                    .wait(&self.place, pattern(first, second), wish)
                    .unwrap();
                let patience = Duration::from_millis(1 + self.dice.throw(6));
                let seen = tokio::time::timeout(patience, waiting).await.ok();
                let seen = seen.as_ref().map(numbers);
                notes.ended(
                    began,
                    match wish {
                        Wish::Take => TupleCall::Took(first, second, seen),
                        Wish::Read => TupleCall::Read(first, second, seen),
                    },
                );
            }
        }
    }
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

fn table(dice: &Dice, budget: &Budget) -> Rc<Table> {
    Rc::new(Table {
        coordination: Coordination::new(&Clock::system(), budget),
        place: Place::default(),
        dice: dice.clone(),
    })
}

#[test]
fn tuples_behave_as_if_one_call_came_after_the_other() {
    let (taken_unseen, waited) = (Cell::new(0_u64), Cell::new(0_u64));
    for_each_seed(async |dice| {
        let budget = Budget::new(1 << 20);
        let (table, notes, drops) = (
            table(&dice, &budget),
            Notes::new(),
            Rc::new(Cell::new(false)),
        );
        let tasks: Vec<_> = (0..3 + dice.throw(3))
            .map(|_| {
                let (table, notes, drops) = (table.clone(), notes.clone(), drops.clone());
                tokio::task::spawn_local(async move {
                    for _ in 0..2 + table.dice.throw(3) {
                        table.dice.dawdle().await;
                        table.tuple_call(&notes, &drops).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let calls = notes.calls.borrow();
        assert!(explained::<Tuples>(&calls), "{calls:#?}");
        taken_unseen.set(taken_unseen.get() + u64::from(calls.iter().any(|call| call.optional)));
        let waits = calls.iter().filter(|call| call.ended > call.began + 1);
        waited.set(waited.get() + waits.count() as u64);
        // Nothing is left over: what lies there can be taken, and then all bytes are back.
        while table
            .coordination
            .tuples
            .take(&table.place, &pattern(None, None))
            .is_some()
        {}
        assert_eq!(table.coordination.tuples.total(), Default::default());
        assert_eq!(budget.taken(), 0);
    });
    println!(
        "{} histories; {} calls saw others begin or end, {} takers were dropped",
        seeds().len(),
        waited.get(),
        taken_unseen.get()
    );
}

#[test]
fn the_model_finds_a_tuple_that_two_have_taken() {
    let call = |began, ended, outcome| Call {
        began,
        ended,
        optional: false,
        after: None,
        outcome,
    };
    let took = |began, ended| call(began, ended, TupleCall::Took(None, None, Some((1, 1))));
    let wrote = call(1, 2, TupleCall::Wrote(1, 1));
    assert!(explained::<Tuples>(&[wrote.clone(), took(3, 4)]));
    assert!(!explained::<Tuples>(&[
        wrote.clone(),
        took(3, 6),
        took(4, 5)
    ]));
    assert!(!explained::<Tuples>(&[
        took(1, 2),
        call(3, 4, TupleCall::Wrote(1, 1))
    ]));
    // A tuple that was there all the time is not missed.
    assert!(!explained::<Tuples>(&[
        wrote,
        call(3, 4, TupleCall::Took(None, None, None))
    ]));
}

// ── locks ───────────────────────────────────────────────────────────────────

#[derive(Clone, Debug)]
enum LockCall {
    Acquired {
        life: u64,
        version: u64,
    },
    /// Somebody else has it.
    Refused {
        life: u64,
    },
    Renewed {
        old: u64,
        new: Option<u64>,
    },
    Released {
        version: u64,
        done: bool,
    },
    /// The life of its holder ended.
    Ended {
        life: u64,
    },
    AcquiredUnseen {
        life: u64,
    },
    GivenUp {
        life: u64,
    },
}

/// The version of a lease that nobody saw.
const UNSEEN: u64 = u64::MAX;

/// Who holds the lock, and under which version.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct OneLock {
    held: Option<(u64, u64)>,
    last_version: u64,
}

impl Model for OneLock {
    type Outcome = LockCall;

    fn after(&self, outcome: &LockCall) -> Vec<Self> {
        let mut next = self.clone();
        let free_for = |life: u64| self.held.is_none_or(|(holder, _)| holder == life);
        let is_version = |version: u64| self.held.is_some_and(|(_, held)| held == version);
        let so = match *outcome {
            LockCall::Acquired { life, version } => {
                let so = free_for(life) && version > self.last_version;
                next.held = Some((life, version));
                next.last_version = version;
                so
            }
            LockCall::Refused { life } => !free_for(life),
            LockCall::Renewed { old, new } => {
                if let Some(new) = new {
                    next.held = self.held.map(|(life, _)| (life, new));
                    next.last_version = new;
                }
                is_version(old) == new.is_some() && new.is_none_or(|new| new > self.last_version)
            }
            LockCall::Released { version, done } => {
                if done {
                    next.held = None;
                }
                is_version(version) == done
            }
            LockCall::Ended { life } => {
                next.held = self.held.filter(|(holder, _)| *holder != life);
                true
            }
            LockCall::AcquiredUnseen { life } => {
                next.held = Some((life, UNSEEN));
                free_for(life)
            }
            LockCall::GivenUp { life } => {
                next.held = None;
                self.held == Some((life, UNSEEN))
            }
        };
        if so { vec![next] } else { Vec::new() }
    }
}

const LONG: Duration = Duration::from_secs(3600);

/// One life after another that wants the lock.
async fn contend(
    table: Rc<Table>,
    notes: Rc<Notes<LockCall>>,
    lives: Rc<Cell<u64>>,
    drops: Rc<Cell<bool>>,
) {
    for _ in 0..1 + table.dice.throw(2) {
        lives.set(lives.get() + 1);
        let life = lives.get();
        let holder = table.coordination.locks.holder(life.to_string().into());
        let name = life.to_string();
        let mut version = 0;
        for _ in 0..1 + table.dice.throw(3) {
            table.dice.dawdle().await;
            let (locks, place) = (&table.coordination.locks, &table.place);
            let began = notes.tick();
            match table.dice.throw(6) {
                0 | 1 => match holder.try_acquire(place, "k", &name, LONG).unwrap() {
                    Some(lease) => {
                        version = lease.version;
                        notes.ended(began, LockCall::Acquired { life, version });
                    }
                    None => notes.ended(began, LockCall::Refused { life }),
                },
                2 => {
                    let renewed = locks.renew(place, "k", &name, version, LONG).ok();
                    let new = renewed.map(|lease| lease.version);
                    notes.ended(began, LockCall::Renewed { old: version, new });
                    version = new.unwrap_or(version);
                }
                3 => {
                    let done = locks
                        .release(place, "k", &name, version, Afterwards::Keep)
                        .is_ok();
                    notes.ended(began, LockCall::Released { version, done });
                }
                4 if version == 0 && !drops.replace(true) => {
                    let mut waiting = Box::pin(holder.acquire(place, "k", &name, LONG).unwrap());
                    if let Some(lease) = futures_poll(&mut waiting).await {
                        version = lease.version;
                        notes.ended(began, LockCall::Acquired { life, version });
                        continue;
                    }
                    for _ in 0..table.dice.throw(4) {
                        table.dice.dawdle().await;
                    }
                    drop(waiting);
                    notes.dropped(
                        began,
                        LockCall::AcquiredUnseen { life },
                        LockCall::GivenUp { life },
                    );
                }
                _ => {
                    let waiting = holder.acquire(place, "k", &name, LONG).unwrap();
                    let patience = Duration::from_millis(1 + table.dice.throw(6));
                    match tokio::time::timeout(patience, waiting).await {
                        Ok(lease) => {
                            version = lease.version;
                            notes.ended(began, LockCall::Acquired { life, version });
                        }
                        Err(_) => notes.ended(began, LockCall::Refused { life }),
                    }
                }
            }
        }
        let began = notes.tick();
        drop(holder);
        notes.ended(began, LockCall::Ended { life });
    }
}

#[test]
fn locks_behave_as_if_one_call_came_after_the_other() {
    for_each_seed(async |dice| {
        let budget = Budget::new(1 << 20);
        let (table, notes) = (table(&dice, &budget), Notes::new());
        let (lives, drops) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let tasks: Vec<_> = (0..2 + dice.throw(3))
            .map(|_| {
                tokio::task::spawn_local(contend(
                    table.clone(),
                    notes.clone(),
                    lives.clone(),
                    drops.clone(),
                ))
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let calls = notes.calls.borrow();
        assert!(explained::<OneLock>(&calls), "{calls:#?}");
        // All lives are over, so nobody holds it.
        let last = table.coordination.locks.look(&table.place, "k");
        assert!(last.is_none_or(|lease| !lease.locked));
    });
}

#[test]
fn the_model_finds_a_lock_that_two_hold() {
    let call = |began, ended, outcome| Call {
        began,
        ended,
        optional: false,
        after: None,
        outcome,
    };
    let acquired =
        |life, version, began, ended| call(began, ended, LockCall::Acquired { life, version });
    assert!(!explained::<OneLock>(&[
        acquired(1, 5, 1, 2),
        acquired(2, 6, 3, 4)
    ]));
    let released = call(
        3,
        4,
        LockCall::Released {
            version: 5,
            done: true,
        },
    );
    assert!(explained::<OneLock>(&[
        acquired(1, 5, 1, 2),
        released.clone(),
        acquired(2, 6, 3, 5)
    ]));
    assert!(
        !explained::<OneLock>(&[acquired(1, 5, 1, 2), released, acquired(2, 4, 3, 5)]),
        "an older version"
    );
}
