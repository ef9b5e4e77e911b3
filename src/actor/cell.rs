//! One life of an actor: its turns, until it breaks, is told to stop, or hands over to its successor.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::behavior::{Behavior, Fault, Handled, Unsnapped};
use super::exit::Exit;
use super::mailbox::Mailbox;
use super::resident::Resident;
use crate::limits;
use crate::message::Envelope;
use crate::metrics::{Handling, Metrics};

/// What its surroundings want of a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Live,
    /// Finish the message in hand and take no other, but what those of the same application ask: they may be waiting
    /// for that to finish theirs.
    Quiesce,
    /// Finish the message in hand, tell the state, and wait for what comes next.
    Suspend,
    /// Make way for a successor, after a suspension.
    Succeed,
    /// Finish the message in hand and end in order; end at once when this time has come.
    Stop {
        by: Instant,
        exit: Exit,
        farewell: Farewell,
    },
    End(Exit),
}

/// Whether an actor that stops leaves its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    Plain,
    /// It is asked for its state first: its next life may begin with it.
    Snapshot,
}

/// Its state, if it has one; or why it does not tell it.
pub type Told = Result<Option<Bytes>, String>;

/// Through which an actor is told. It outlives the restarts of its actor.
pub struct Control {
    wish: watch::Sender<Wish>,
    suspended: Mutex<Option<oneshot::Sender<Told>>>,
    /// Whether it has no message in hand, once it is to be quiet.
    quiet: watch::Sender<bool>,
}

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
    Succeeded(E),
}

impl Control {
    pub fn new() -> Self {
        Self {
            wish: watch::Sender::new(Wish::Live),
            suspended: Mutex::default(),
            quiet: watch::Sender::new(false),
        }
    }

    /// A new life begins: what was wanted of the one before does not concern it.
    pub fn begin(&self) -> watch::Receiver<Wish> {
        self.wish.send_replace(Wish::Live);
        self.wish.subscribe()
    }

    /// Stops it in order. Of two such wishes the earlier time counts, and that there be a snapshot.
    pub fn stop(&self, by: Instant, exit: Exit, farewell: Farewell) {
        self.wish.send_if_modified(|wish| {
            let (by, exit, farewell) = match wish {
                Wish::End(_) => return false,
                Wish::Stop {
                    by: known,
                    exit,
                    farewell,
                } => (by.min(*known), exit.clone(), *farewell),
                _ => (by, exit.clone(), farewell),
            };
            *wish = Wish::Stop { by, exit, farewell };
            true
        });
    }

    /// Ends it at once.
    pub fn end(&self, exit: Exit) {
        self.wish.send_replace(Wish::End(exit));
    }

    /// Lets it come to rest; the answer tells whether it has.
    pub fn quiesce(&self) -> watch::Receiver<bool> {
        self.wish.send_if_modified(|wish| {
            let lives = *wish == Wish::Live;
            if lives {
                self.quiet.send_replace(false);
                *wish = Wish::Quiesce;
            }
            lives
        });
        self.quiet.subscribe()
    }

    /// Suspends it. The answer is its state, or why it has none to show; it is dropped where the life ends instead.
    pub fn suspend(&self) -> oneshot::Receiver<Told> {
        let (told, tells) = oneshot::channel();
        *self.suspended.lock().unwrap() = Some(told);
        self.wish.send_if_modified(|wish| {
            let lives = matches!(wish, Wish::Live | Wish::Quiesce);
            if lives {
                *wish = Wish::Suspend;
            }
            lives
        });
        tells
    }

    /// Resolves once it is not simply to go on; owned, so that the wait may outlive the actor, and then never ends.
    pub fn interrupted(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut wish = self.wish.subscribe();
        async move {
            if wish.wait_for(|wish| *wish != Wish::Live).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Lets it go on, or make way. `false` where it was not suspended.
    pub fn release(&self, to: Wish) -> bool {
        self.suspended.lock().unwrap().take();
        self.wish.send_if_modified(|wish| {
            let held = match to {
                Wish::Live => matches!(wish, Wish::Suspend | Wish::Quiesce),
                _ => *wish == Wish::Suspend,
            };
            if held {
                *wish = to.clone();
            }
            held
        })
    }
}

/// Handles what arrives for as long as that is wanted.
pub async fn live<B: Behavior>(
    mut behavior: B,
    resident: &Resident,
    mut wishes: watch::Receiver<Wish>,
    vitals: &Vitals,
    metrics: &Metrics,
) -> End<B::Estate> {
    let exit = |exit| End::Exit { exit, left: None };
    let (mailbox, control) = (&resident.mailbox, &resident.control);
    loop {
        let wish = wishes.borrow_and_update().clone();
        match wish {
            Wish::Live => {}
            Wish::Quiesce => {
                control.quiet.send_replace(true);
                let kin = |envelope: &Envelope| resident.is_asked_by_kin(envelope);
                tokio::select! {
                    biased;
                    changed = wishes.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return exit(Exit::Killed),
                    },
                    () = mailbox.holds(kin) => {}
                }
                control.quiet.send_replace(false);
                if let Some(envelope) = mailbox.pop_first(kin)
                    && let Err(ended) =
                        one(&mut behavior, envelope, &mut wishes, vitals, metrics).await
                {
                    return exit(ended);
                }
                continue;
            }
            Wish::Suspend => match suspend(&mut behavior, control, &mut wishes).await {
                Ok(()) => continue,
                Err(ended) => return exit(ended),
            },
            Wish::Succeed => return End::Succeeded(behavior.bequeath()),
            Wish::Stop { by, exit, farewell } => {
                return stop(behavior, by, exit, farewell, &mut wishes).await;
            }
            Wish::End(ended) => return exit(ended),
        }
        tokio::select! {
            biased;
            changed = wishes.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return exit(Exit::Killed),
            },
            () = mailbox.filled() => {}
        }
        if let Err(ended) = turn(&mut behavior, mailbox, &mut wishes, vitals, metrics).await {
            return exit(ended);
        }
        tokio::task::yield_now().await;
    }
}

/// One turn: a bounded number of messages, so that a flood to one actor starves no other.
async fn turn<B: Behavior>(
    behavior: &mut B,
    mailbox: &Mailbox,
    wishes: &mut watch::Receiver<Wish>,
    vitals: &Vitals,
    metrics: &Metrics,
) -> Result<(), Exit> {
    for _ in 0..limits::TURN_MESSAGES_MAX {
        if *wishes.borrow() != Wish::Live {
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
    wishes: &mut watch::Receiver<Wish>,
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
    let handled = behavior.handle(envelope).await;
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
    wishes: &mut watch::Receiver<Wish>,
    work: impl Future<Output = T>,
) -> Result<T, Exit> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        exit = end_of_time(wishes) => Err(exit),
    }
}

async fn end_of_time(wishes: &mut watch::Receiver<Wish>) -> Exit {
    loop {
        let wish = wishes.borrow_and_update().clone();
        let changed = match wish {
            Wish::End(exit) => return exit,
            Wish::Stop { by, .. } => tokio::select! {
                changed = wishes.changed() => changed,
                () = tokio::time::sleep_until(by) => return Exit::Killed,
            },
            Wish::Live | Wish::Quiesce | Wish::Suspend | Wish::Succeed => wishes.changed().await,
        };
        if changed.is_err() {
            return Exit::Killed;
        }
    }
}

/// Tells its state, then waits until it is known what comes next.
async fn suspend<B: Behavior>(
    behavior: &mut B,
    control: &Control,
    wishes: &mut watch::Receiver<Wish>,
) -> Result<(), Exit> {
    let tell = control.suspended.lock().unwrap().take();
    if let Some(tell) = tell {
        match unless_ended(wishes, behavior.snapshot()).await? {
            Ok(state) => drop(tell.send(Ok(state))),
            Err(Unsnapped::Refused(text)) => drop(tell.send(Err(text))),
            Err(Unsnapped::Broken(fault)) => return Err(Exit::error(fault.to_string())),
        }
    }
    while *wishes.borrow_and_update() == Wish::Suspend {
        if wishes.changed().await.is_err() {
            return Err(Exit::Killed);
        }
    }
    Ok(())
}

async fn stop<B: Behavior, E>(
    mut behavior: B,
    by: Instant,
    exit: Exit,
    farewell: Farewell,
    wishes: &mut watch::Receiver<Wish>,
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
