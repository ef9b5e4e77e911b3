//! What is wanted of an actor, and how its life hears of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::exit::Exit;
use super::mailbox::Mailbox;

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
        /// When it was first told.
        since: Instant,
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
    wish: Mutex<Wish>,
    /// How often the wish has changed.
    changes: AtomicU64,
    changed: Notify,
    /// Over whose messages its owner waits.
    mailbox: Arc<Mailbox>,
    suspended: Mutex<Option<oneshot::Sender<Told>>>,
    /// Whether it has no message in hand, once it is to be quiet. Few actors ever are.
    quiet: OnceLock<watch::Sender<bool>>,
}

/// What is wanted, as a life hears of it.
#[derive(Clone)]
pub struct Wishes<'a> {
    control: &'a Control,
    seen: u64,
}

impl Control {
    pub fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            wish: Mutex::new(Wish::Live),
            changes: AtomicU64::new(0),
            changed: Notify::new(),
            mailbox,
            suspended: Mutex::default(),
            quiet: OnceLock::new(),
        }
    }

    /// A new life begins: what was wanted of the one before does not concern it.
    pub fn begin(&self) {
        self.change(|wish| {
            *wish = Wish::Live;
            true
        });
    }

    /// What is wanted, to one that has seen nothing of it yet.
    pub fn wishes(&self) -> Wishes<'_> {
        Wishes {
            control: self,
            seen: self.changes.load(Relaxed).wrapping_sub(1),
        }
    }

    /// Changes the wish, and wakes whoever waits for another one where it says that it has.
    fn change(&self, change: impl FnOnce(&mut Wish) -> bool) -> bool {
        let changed = change(&mut self.wish.lock().unwrap());
        if changed {
            self.changes.fetch_add(1, Relaxed);
            self.changed.notify_waiters();
            self.mailbox.ring();
        }
        changed
    }

    /// Stops it in order. Of two such wishes the earlier time counts, and that there be a snapshot.
    pub fn stop(&self, by: Instant, exit: Exit, farewell: Farewell) {
        self.change(|wish| {
            match wish {
                Wish::End(_) => return false,
                Wish::Stop { by: known, .. } => *known = by.min(*known),
                _ => {
                    *wish = Wish::Stop {
                        since: Instant::now(),
                        by,
                        exit,
                        farewell,
                    }
                }
            }
            true
        });
    }

    /// How long it has to stop, to the millisecond; `None` where it is not to stop in order.
    pub fn time_to_stop(&self) -> Option<Duration> {
        let Wish::Stop { since, by, .. } = *self.wish.lock().unwrap() else {
            return None;
        };
        let given = by.saturating_duration_since(since) + Duration::from_micros(500);
        Some(Duration::from_millis(given.as_millis() as u64))
    }

    /// Ends it at once.
    pub fn end(&self, exit: Exit) {
        self.change(|wish| {
            *wish = Wish::End(exit);
            true
        });
    }

    /// Lets it come to rest; the answer tells whether it has.
    pub fn quiesce(&self) -> watch::Receiver<bool> {
        let quiet = self.quiet.get_or_init(|| watch::Sender::new(false));
        self.change(|wish| {
            let lives = *wish == Wish::Live;
            if lives {
                quiet.send_replace(false);
                *wish = Wish::Quiesce;
            }
            lives
        });
        quiet.subscribe()
    }

    /// Suspends it. The answer is its state, or why it has none to show; it is dropped where the life ends instead.
    pub fn suspend(&self) -> oneshot::Receiver<Told> {
        let (told, tells) = oneshot::channel();
        *self.suspended.lock().unwrap() = Some(told);
        self.change(|wish| {
            let lives = matches!(wish, Wish::Live | Wish::Quiesce);
            if lives {
                *wish = Wish::Suspend;
            }
            lives
        });
        tells
    }

    /// The life that was to be quiet is so now, or has something in hand again.
    pub fn rests(&self, quiet: bool) {
        if let Some(seen) = self.quiet.get() {
            seen.send_replace(quiet);
        }
    }

    /// Who is to be told the state of the life that is being suspended.
    pub fn take_suspender(&self) -> Option<oneshot::Sender<Told>> {
        self.suspended.lock().unwrap().take()
    }

    /// Resolves once it is not simply to go on.
    pub async fn interrupted(&self) {
        let mut wishes = self.wishes();
        while wishes.next() == Wish::Live {
            wishes.changed().await;
        }
    }

    /// Lets it go on, or make way. `false` where it was not suspended.
    pub fn release(&self, to: Wish) -> bool {
        self.suspended.lock().unwrap().take();
        self.change(|wish| {
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

impl Wishes<'_> {
    /// What is wanted now.
    pub fn next(&mut self) -> Wish {
        let wish = self.control.wish.lock().unwrap();
        self.seen = self.control.changes.load(Relaxed);
        wish.clone()
    }

    /// Whether something else is wanted than was seen last.
    pub fn have_changed(&self) -> bool {
        self.control.changes.load(Relaxed) != self.seen
    }

    /// Resolves once that is so.
    pub async fn changed(&self) {
        while !self.have_changed() {
            let mut changed = std::pin::pin!(self.control.changed.notified());
            changed.as_mut().enable();
            if !self.have_changed() {
                changed.await;
            }
        }
    }
}
