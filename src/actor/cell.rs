//! One life of an actor: its turns, until it breaks, is told to stop, or hands over to its successor.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use bytes::Bytes;
use tokio::time::Instant;

use super::behavior::{Behavior, Handled, Unsnapped};
use super::busy::Busy;
use super::control::{Control, Farewell, Wish, Wishes};
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
        /// The state that it left, where it was asked for it.
        left: Option<Bytes>,
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
    let exit = |exit| End::Exit { exit, left: None };
    let control = &resident.control;
    let mut wishes = control.wishes();
    let mut handled_this_turn = 0;
    vitals.busy.rests();
    loop {
        let kin_only = match wishes.next() {
            Wish::Live => false,
            Wish::Quiesce => true,
            Wish::Suspend => match Box::pin(suspend(&mut behavior, control, &mut wishes)).await {
                Ok(()) => continue,
                Err(ended) => return exit(ended),
            },
            Wish::Succeed => return End::Succeeded(Box::new(behavior.bequeath())),
            Wish::Stop { by, exit, farewell } => {
                return Box::pin(stop(behavior, by, exit, farewell, &wishes)).await;
            }
            Wish::End(ended) => return exit(ended),
        };
        while let Some(envelope) = next(resident, &wishes, kin_only, &mut handled_this_turn).await {
            if let Err(ended) = one(&mut behavior, envelope, &wishes, vitals, metrics).await {
                return exit(ended);
            }
        }
    }
}

/// The next message, `None` once something else is wanted of the actor. After a turn's worth of messages, which it
/// counts, others get theirs first: a flood to one actor starves no other.
async fn next(
    resident: &Resident,
    wishes: &Wishes<'_>,
    kin_only: bool,
    handled_this_turn: &mut usize,
) -> Option<Envelope> {
    let pop = || match kin_only {
        true => resident
            .mailbox
            .pop_first(|it| resident.is_asked_by_kin(it)),
        false => resident.mailbox.pop(),
    };
    if *handled_this_turn == limits::TURN_MESSAGES_MAX {
        *handled_this_turn = 0;
        tokio::task::yield_now().await;
    }
    *handled_this_turn += 1;
    if wishes.have_changed() {
        return None;
    }
    if let Some(envelope) = pop() {
        return Some(envelope);
    }
    if kin_only {
        resident.control.rests(true);
    }
    let stirred = poll_fn(|context| {
        *handled_this_turn = 1;
        resident.bell.listen(context.waker());
        match wishes.have_changed() {
            true => Poll::Ready(None),
            false => pop().map_or(Poll::Pending, |envelope| Poll::Ready(Some(envelope))),
        }
    });
    let envelope = stirred.await;
    if kin_only && envelope.is_some() {
        resident.control.rests(false);
    }
    envelope
}

/// One message, unless nobody waits for its answer any more.
async fn one<B: Behavior>(
    behavior: &mut B,
    envelope: Envelope,
    wishes: &Wishes<'_>,
    vitals: &Vitals,
    metrics: &Metrics,
) -> Result<(), Exit> {
    if envelope.is_stale() {
        metrics.messages.count(Handling::Expired);
        return Ok(());
    }
    metrics.loop_lag.stir();
    let began = Instant::now();
    vitals.busy.begins(began, vitals.done());
    let handled = unless_ended(wishes, behavior.handle(envelope)).await?;
    metrics.handling_time.observe(began.elapsed().as_secs_f64());
    let (handling, counter) = match handled {
        Ok(Handled::Well) => (Handling::Handled, &vitals.handled),
        Ok(Handled::Badly) => (Handling::Failed, &vitals.failed),
        Err(_) => (Handling::Broken, &vitals.failed),
    };
    metrics.messages.count(handling);
    counter.fetch_add(1, Relaxed);
    handled.map_err(|fault| Exit::error(fault.to_string()))?;
    Ok(())
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
    let mut left = None;
    let words = async {
        if farewell == Farewell::Snapshot {
            left = match behavior.snapshot().await {
                Ok(state) => state,
                Err(Unsnapped::Refused(text)) => {
                    log::warn!("an actor that stops has no snapshot: {text}");
                    None
                }
                Err(Unsnapped::Broken(_)) => return,
            };
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
