//! One life of an actor: its turns, until it breaks, is told to stop, or hands over to its successor.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::behavior::{Behavior, Fault, Handled, Unsnapped};
use super::busy::Busy;
use super::control::{Control, Farewell, Told, Wish, Wishes};
use super::exit::Exit;
use super::resident::Resident;
use crate::limits;
use crate::message::Envelope;
use crate::metrics::{Handling, Metrics};

/// What an onlooker may know of an actor's work.
#[derive(Debug, Default)]
pub struct Vitals {
    pub handled: AtomicU64,
    pub failed: AtomicU64,
    /// Of the guest's own memory.
    pub memory_bytes: AtomicU64,
    pub busy: Busy,
}

impl Vitals {
    /// Messages that are behind it.
    pub fn done(&self) -> u64 {
        let (well, badly) = (self.handled.load(Relaxed), self.failed.load(Relaxed));
        well.wrapping_add(badly)
    }
}

/// How a life ended.
pub enum End<E> {
    Exit {
        exit: Exit,
        /// The state that it left, where it was asked for it and has one; or why it is lost.
        left: Told,
    },
    /// It made way, and leaves what stays with the actor.
    Succeeded(Box<E>),
}

/// Handles what arrives for as long as that is wanted.
pub async fn live<B: Behavior>(
    mut behavior: B,
    resident: &Resident,
    vitals: &Vitals,
    metrics: &Metrics,
) -> End<B::Estate> {
    let exit = |exit| End::Exit {
        exit,
        left: Ok(None),
    };
    let control = &resident.control;
    let mut wishes = control.wishes();
    vitals.busy.rests();
    behavior.begins();
    loop {
        let kin_only = match wishes.next() {
            Wish::Live => false,
            Wish::Quiesce => true,
            Wish::Suspend => match Box::pin(suspend(&mut behavior, control, &mut wishes)).await {
                Ok(()) => continue,
                Err(ended) => return exit(ended),
            },
            Wish::Succeed => return End::Succeeded(Box::new(behavior.bequeath())),
            Wish::Stop {
                by, exit, farewell, ..
            } => {
                return Box::pin(stop(behavior, by, exit, farewell, &wishes)).await;
            }
            Wish::End(ended) => return exit(ended),
        };
        let arrivals = Arrivals {
            resident,
            wishes: &wishes,
            kin_only,
        };
        let mut taken_this_turn = 0;
        loop {
            if taken_this_turn == limits::TURN_MESSAGES_MAX {
                // A flood to one actor starves no other.
                taken_this_turn = 0;
                tokio::task::yield_now().await;
            }
            let next = poll_fn(|context| arrivals.poll_next(context, &mut taken_this_turn));
            let Some(envelope) = next.await else {
                break;
            };
            if envelope.is_stale() {
                metrics.messages.count(Handling::Expired);
                continue;
            }
            metrics.loop_lag.stir();
            let began = Instant::now();
            vitals.busy.begins(began, vitals.done());
            let handled = match unless_ended(&wishes, behavior.handle(envelope)).await {
                Ok(handled) => handled,
                Err(ended) => return exit(ended),
            };
            note(began, &handled, vitals, metrics);
            if let Err(fault) = handled {
                return exit(Exit::error(fault.to_string()));
            }
        }
    }
}

/// What a life gets to do.
struct Arrivals<'a> {
    resident: &'a Resident,
    wishes: &'a Wishes<'a>,
    kin_only: bool,
}

impl Arrivals<'_> {
    /// The next message, `None` once something else is wanted of the actor. A rest ends the turn.
    fn poll_next(
        &self,
        context: &mut Context<'_>,
        taken_this_turn: &mut usize,
    ) -> Poll<Option<Envelope>> {
        if self.wishes.have_changed() {
            return Poll::Ready(None);
        }
        let popped = match self.kin_only {
            false => self.resident.mailbox.poll_pop(context),
            true => self.poll_kin(context),
        };
        if popped.is_ready() {
            *taken_this_turn += 1;
            return popped.map(Some);
        }
        *taken_this_turn = 0;
        // What has changed since the first look has rung before there was anyone who listened.
        match self.wishes.have_changed() {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }

    /// The next that must be answered before those who wait for it can rest; without one, it rests itself.
    fn poll_kin(&self, context: &mut Context<'_>) -> Poll<Envelope> {
        let Self { resident, .. } = self;
        let asked = |envelope: &Envelope| resident.is_asked_by_kin(envelope);
        let popped = resident.mailbox.poll_pop_first(context, asked);
        resident.control.rests(popped.is_pending());
        popped
    }
}

/// Counts a message that has been handled.
fn note(began: Instant, handled: &Result<Handled, Fault>, vitals: &Vitals, metrics: &Metrics) {
    metrics.handling_time.observe(began.elapsed().as_secs_f64());
    let (handling, counter) = match handled {
        Ok(Handled::Well) => (Handling::Handled, &vitals.handled),
        Ok(Handled::Badly) => (Handling::Failed, &vitals.failed),
        Err(_) => (Handling::Broken, &vitals.failed),
    };
    metrics.messages.count(handling);
    counter.fetch_add(1, Relaxed);
}

/// Does `work` unless the life is to end before it does; then what it had in hand is dropped with it.
async fn unless_ended<T>(wishes: &Wishes<'_>, work: impl Future<Output = T>) -> Result<T, Exit> {
    let mut work = pin!(work);
    // Most work is done when it is first looked at, and needs nobody who watches for the end.
    let mut ends: Option<Pin<Box<dyn Future<Output = Exit> + Send + '_>>> = None;
    poll_fn(move |context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        // With an eye of its own: what it sees, the life has not seen yet.
        let ends = ends.get_or_insert_with(|| Box::pin(end_of_time(wishes.clone())));
        ends.as_mut().poll(context).map(Err)
    })
    .await
}

async fn end_of_time(mut wishes: Wishes<'_>) -> Exit {
    loop {
        match wishes.next() {
            Wish::End(exit) => return exit,
            Wish::Stop { by, .. } => tokio::select! {
                () = wishes.changed() => {}
                () = tokio::time::sleep_until(by) => return Exit::Killed,
            },
            Wish::Live | Wish::Quiesce | Wish::Suspend | Wish::Succeed => wishes.changed().await,
        }
    }
}

/// Tells its state, then waits until it is known what comes next.
async fn suspend<B: Behavior>(
    behavior: &mut B,
    control: &Control,
    wishes: &mut Wishes<'_>,
) -> Result<(), Exit> {
    if let Some(tell) = control.take_suspender() {
        match unless_ended(wishes, behavior.snapshot()).await? {
            Ok(state) => drop(tell.send(Ok(state))),
            Err(Unsnapped::Refused(text)) => drop(tell.send(Err(text))),
            Err(Unsnapped::Broken(fault)) => return Err(Exit::error(fault.to_string())),
        }
    }
    while wishes.next() == Wish::Suspend {
        wishes.changed().await;
    }
    Ok(())
}

async fn stop<B: Behavior, E>(
    mut behavior: B,
    by: Instant,
    exit: Exit,
    farewell: Farewell,
    wishes: &Wishes<'_>,
) -> End<E> {
    let mut left = Ok(None);
    let words = async {
        if farewell == Farewell::Snapshot {
            left = Err("it was killed before it had told it".to_owned());
            let told = behavior.snapshot().await;
            let broke = matches!(told, Err(Unsnapped::Broken(_)));
            left = told.map_err(|why| why.to_string());
            if broke {
                return;
            }
        }
        behavior.terminate().await;
    };
    let said = tokio::select! {
        biased;
        said = unless_ended(wishes, words) => said,
        () = tokio::time::sleep_until(by) => Err(Exit::Killed),
    };
    let exit = said.map_or_else(|killed| killed, |()| exit);
    End::Exit { exit, left }
}
