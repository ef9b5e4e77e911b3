//! Whose turn it is to compute: at most one guest slice passes between two polls of the I/O driver, whoever spins.
//!
//! A guest that is preempted has *spent* the slice. Until the driver has been polled, which its own `yield_now`
//! waits for, every other guest that wants to run queues up; then the one at the front gets the next slice.
//!
//! ```text
//!  free ──guest preempted──► spent ──driver polled──► free            (nobody waits)
//!    ▲                         ▲     └──────────────► turn of the front
//!    └──it finished early──────┼────────────────────────────┤
//!                              └───────it was preempted─────┘
//! ```

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime::UpdateDeadline;

use super::ticker::Ticker;
use crate::limits;

/// Beats of the ticker that make a slice: the first may come right after the guest has begun.
pub const SLICE_BEATS: u64 = 2;

/// The queue of guests for the one thread; cloning shares it.
#[derive(Clone)]
pub struct Slices(Arc<Shared>);

struct Shared {
    ticker: Ticker,
    last_ticket: AtomicU64,
    /// Whether the queue has anything to say: while it does not, a call costs no look at it.
    contended: AtomicBool,
    /// The beat after which the driver was last polled for the sake of others.
    let_in_at: AtomicU64,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Who used up the slice since the driver was last polled.
    spent_by: Option<u64>,
    /// Who alone may run next.
    turn_of: Option<u64>,
    waiting: VecDeque<(u64, Waker)>,
}

/// What one guest's current call has used, shared between the call and the epoch callback. Times are the ticker's, in
/// microseconds: a call between two beats counts as nothing, and one that a beat falls into as a whole beat.
#[derive(Default)]
pub struct Meter {
    ticket: AtomicU64,
    entered_at: AtomicU64,
    used: AtomicU64,
    allowed: AtomicU64,
}

/// A call computed longer than its limit.
#[derive(Debug, thiserror::Error)]
#[error(
    "the call computed for longer than its limit of {0:?}; raise max_execution_time or do less in one message"
)]
pub struct OutOfTime(Duration);

impl Slices {
    pub fn new(ticker: Ticker) -> Self {
        Self(Arc::new(Shared {
            ticker,
            last_ticket: AtomicU64::new(0),
            contended: AtomicBool::new(false),
            let_in_at: AtomicU64::new(0),
            queue: Mutex::default(),
        }))
    }

    /// What one guest's calls are driven with.
    pub fn pace(&self, meter: &Arc<Meter>, allowed: Duration) -> Pace {
        Pace {
            slices: self.clone(),
            meter: meter.clone(),
            allowed: u64::try_from(allowed.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// What to do when the epoch's deadline finds a guest computing.
    pub fn at_deadline(&self, meter: &Meter) -> wasmtime::Result<UpdateDeadline> {
        let now = self.0.ticker.now();
        let slice = now.saturating_sub(meter.entered_at.load(Relaxed));
        let allowed = meter.allowed.load(Relaxed);
        if meter.used.load(Relaxed) + slice > allowed {
            let allowed = Duration::from_micros(allowed);
            return Err(wasmtime::Error::new(OutOfTime(allowed)));
        }
        if slice < limits::GUEST_SLICE.as_micros() as u64 {
            // The deadline was set before a wait outside the guest; this slice has only begun.
            return Ok(UpdateDeadline::Continue(1));
        }
        self.spend(meter.ticket.load(Relaxed), now);
        // Through the runtime, so that the driver is polled before the guest goes on.
        Ok(UpdateDeadline::YieldCustom(
            SLICE_BEATS,
            Box::pin(tokio::task::yield_now()),
        ))
    }

    fn spend(&self, ticket: u64, now: u64) {
        self.0.let_in_at.store(now, Relaxed);
        self.change(|queue| queue.spent_by = Some(ticket));
    }

    /// Changes the queue where it has anything to say.
    fn settle(&self, change: impl FnOnce(&mut Queue)) {
        if self.0.contended.load(Relaxed) {
            self.change(change);
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.0.queue.lock().unwrap();
        let changed = change(&mut queue);
        self.0.contended.store(queue.is_contended(), Relaxed);
        changed
    }
}

impl Shared {
    /// Guests are called on one thread only, so nobody else counts meanwhile.
    fn next_ticket(&self) -> u64 {
        let ticket = self.last_ticket.load(Relaxed) + 1;
        self.last_ticket.store(ticket, Relaxed);
        ticket
    }
}

/// One guest's share of the thread: the time that each of its calls has, and what measures it.
pub struct Pace {
    slices: Slices,
    meter: Arc<Meter>,
    /// Microseconds.
    allowed: u64,
}

impl Pace {
    /// Drives one call into the guest. What it waits for outside is not counted.
    pub async fn run<T>(&self, mut call: Pin<&mut impl Future<Output = T>>) -> T {
        let (Slices(shared), meter) = (&self.slices, &self.meter);
        let ticket = Ticket {
            id: shared.next_ticket(),
            slices: &self.slices,
        };
        meter.begin(ticket.id, self.allowed);
        let done = poll_fn(|context| {
            if !ticket.admitted(context) {
                return Poll::Pending;
            }
            meter.entered_at.store(shared.ticker.enter(), Relaxed);
            let polled = call.as_mut().poll(context);
            meter.leave(shared.ticker.leave());
            self.slices.settle(Queue::pass_on);
            polled
        })
        .await;
        ticket.let_the_driver_in().await;
        done
    }
}

impl Meter {
    fn begin(&self, ticket: u64, allowed: u64) {
        self.ticket.store(ticket, Relaxed);
        self.used.store(0, Relaxed);
        self.allowed.store(allowed, Relaxed);
    }

    fn leave(&self, now: u64) {
        let slice = now.saturating_sub(self.entered_at.load(Relaxed));
        if slice > 0 {
            self.used.fetch_add(slice, Relaxed);
        }
    }
}

/// One call's place in the queue; dropped, it holds nobody up.
struct Ticket<'a> {
    id: u64,
    slices: &'a Slices,
}

impl Ticket<'_> {
    fn admitted(&self, context: &mut Context<'_>) -> bool {
        !self.slices.0.contended.load(Relaxed)
            || self.slices.change(|it| it.admit(self.id, context.waker()))
    }

    /// Many short calls, too, keep others from the thread: after a beat, whoever ends one waits for the driver.
    async fn let_the_driver_in(&self) {
        let now = self.slices.0.ticker.now();
        if now == self.slices.0.let_in_at.load(Relaxed) {
            return;
        }
        self.slices.spend(self.id, now);
        tokio::task::yield_now().await;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.slices.settle(|queue| queue.leave(self.id));
    }
}

impl Queue {
    fn is_contended(&self) -> bool {
        self.spent_by.is_some() || self.turn_of.is_some() || !self.waiting.is_empty()
    }

    fn admit(&mut self, id: u64, waker: &Waker) -> bool {
        if self.spent_by == Some(id) {
            // It is polled again after its `yield_now`, so the driver has had its turn.
            self.spent_by = None;
            self.pass_on();
        }
        if self.turn_of == Some(id) {
            self.turn_of = None;
            return true;
        }
        if self.spent_by.is_none() && self.turn_of.is_none() {
            return true;
        }
        match self.waiting.iter_mut().find(|(waiting, _)| *waiting == id) {
            Some((_, known)) => known.clone_from(waker),
            None => self.waiting.push_back((id, waker.clone())),
        }
        false
    }

    /// Gives the turn to the front of the queue, unless it is taken or the slice is spent.
    fn pass_on(&mut self) {
        if self.spent_by.is_some() || self.turn_of.is_some() {
            return;
        }
        if let Some((id, waker)) = self.waiting.pop_front() {
            self.turn_of = Some(id);
            waker.wake();
        }
    }

    fn leave(&mut self, id: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
        for held in [&mut self.spent_by, &mut self.turn_of] {
            if *held == Some(id) {
                *held = None;
            }
        }
        self.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent_by(id: u64) -> Queue {
        Queue {
            spent_by: Some(id),
            ..Queue::default()
        }
    }

    fn admit(queue: &mut Queue, id: u64) -> bool {
        queue.admit(id, Waker::noop())
    }

    #[test]
    fn nobody_runs_between_a_spent_slice_and_the_next_poll_of_the_driver() {
        let mut queue = Queue::default();
        assert!(admit(&mut queue, 1));
        queue.spent_by = Some(1);
        assert!(!admit(&mut queue, 2));
        assert!(!admit(&mut queue, 3));
        assert!(
            !admit(&mut queue, 1),
            "two wait, so the spender queues behind them"
        );
        assert!(!admit(&mut queue, 3), "the turn is the front's");
        assert!(admit(&mut queue, 2));
        queue.pass_on();
        assert!(
            admit(&mut queue, 3),
            "the second finished early, so the third follows at once"
        );
    }

    #[test]
    fn a_spender_alone_goes_on() {
        let mut queue = spent_by(1);
        assert!(admit(&mut queue, 1));
    }

    #[test]
    fn a_call_that_is_dropped_holds_nobody_up() {
        for dropped in [1, 2] {
            let mut queue = spent_by(1);
            assert!(!admit(&mut queue, 2));
            assert!(!admit(&mut queue, 3));
            if dropped == 2 {
                assert!(!admit(&mut queue, 1));
            }
            queue.leave(dropped);
            let survivor = if dropped == 1 { 2 } else { 3 };
            assert!(admit(&mut queue, survivor), "with {dropped} dropped");
        }
    }
}
