//! One life of an actor: its turns, until it breaks, is told to stop, or hands over to its successor.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use bytes::Bytes;
use tokio::time::Instant;

use super::behavior::{Behavior, Fault, Handled, Unsnapped};
use super::control::{Control, Farewell, Wish, Wishes};
use super::exit::Exit;
use super::mailbox::Mailbox;
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
    let (mailbox, control) = (&resident.mailbox, &resident.control);
    let mut wishes = control.wishes();
    loop {
        match wishes.next() {
            Wish::Live => {}
            Wish::Quiesce => {
                control.rests(true);
                let kin = |envelope: &Envelope| resident.is_asked_by_kin(envelope);
                stirred(resident, &wishes, || mailbox.holds(kin)).await;
                if wishes.have_changed() {
                    continue;
                }
                control.rests(false);
                if let Some(envelope) = mailbox.pop_first(kin)
                    && let Err(ended) =
                        one(&mut behavior, envelope, &mut wishes, vitals, metrics).await
                {
                    return exit(ended);
                }
                continue;
            }
            Wish::Suspend => match Box::pin(suspend(&mut behavior, control, &mut wishes)).await {
                Ok(()) => continue,
                Err(ended) => return exit(ended),
            },
            Wish::Succeed => return End::Succeeded(Box::new(behavior.bequeath())),
            Wish::Stop { by, exit, farewell } => {
                return Box::pin(stop(behavior, by, exit, farewell, &mut wishes)).await;
            }
            Wish::End(ended) => return exit(ended),
        }
        stirred(resident, &wishes, || !mailbox.is_empty()).await;
        match turn(&mut behavior, mailbox, &mut wishes, vitals, metrics).await {
            Ok(()) if mailbox.is_empty() => {}
            Ok(()) => tokio::task::yield_now().await,
            Err(ended) => return exit(ended),
        }
    }
}

/// Resolves once something else is wanted of the actor, or there is something for it.
async fn stirred(resident: &Resident, wishes: &Wishes<'_>, something: impl Fn() -> bool) {
    poll_fn(|context| {
        resident.bell.listen(context.waker());
        match wishes.have_changed() || something() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await
}

/// One turn: a bounded number of messages, so that a flood to one actor starves no other.
async fn turn<B: Behavior>(
    behavior: &mut B,
    mailbox: &Mailbox,
    wishes: &mut Wishes<'_>,
    vitals: &Vitals,
    metrics: &Metrics,
) -> Result<(), Exit> {
    for _ in 0..limits::TURN_MESSAGES_MAX {
        if !wishes.are_to_live() {
            break;
        }
        let Some(envelope) = mailbox.pop() else { break };
        one(behavior, envelope, wishes, vitals, metrics).await?;
    }
    Ok(())
}

/// One message, unless nobody waits for its answer any more.
async fn one<B: Behavior>(
    behavior: &mut B,
    envelope: Envelope,
    wishes: &mut Wishes<'_>,
    vitals: &Vitals,
    metrics: &Metrics,
) -> Result<(), Exit> {
    if envelope.is_stale() {
        metrics.messages.count(Handling::Expired);
        return Ok(());
    }
    let handled = unless_ended(wishes, measured(behavior, envelope, metrics)).await?;
    match handled {
        Ok(Handled::Well) => vitals.handled.fetch_add(1, Relaxed),
        Ok(Handled::Badly) => vitals.failed.fetch_add(1, Relaxed),
        Err(fault) => {
            vitals.failed.fetch_add(1, Relaxed);
            return Err(Exit::error(fault.to_string()));
        }
    };
    Ok(())
}

async fn measured<B: Behavior>(
    behavior: &mut B,
    envelope: Envelope,
    metrics: &Metrics,
) -> Result<Handled, Fault> {
    metrics.loop_lag.stir();
    let began = Instant::now();
    // In memory of its own, which the next message of whichever actor uses again: an actor at rest keeps none of it.
    let handled = Box::pin(behavior.handle(envelope)).await;
    metrics.handling_time.observe(began.elapsed().as_secs_f64());
    metrics.messages.count(match handled {
        Ok(Handled::Well) => Handling::Handled,
        Ok(Handled::Badly) => Handling::Failed,
        Err(_) => Handling::Broken,
    });
    handled
}

/// Does `work` unless the life is to end before it does; then what it had in hand is dropped with it.
async fn unless_ended<T>(
    wishes: &mut Wishes<'_>,
    work: impl Future<Output = T>,
) -> Result<T, Exit> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        exit = end_of_time(wishes) => Err(exit),
    }
}

async fn end_of_time(wishes: &mut Wishes<'_>) -> Exit {
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
    wishes: &mut Wishes<'_>,
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
