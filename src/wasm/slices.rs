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
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wasmtime::UpdateDeadline;

use super::ticker::Ticker;
use crate::limits;

/// The queue of guests for the one thread; cloning shares it.
#[derive(Clone)]
pub struct Slices {
    queue: Arc<Mutex<Queue>>,
    ticker: Arc<Ticker>,
}

#[derive(Default)]
struct Queue {
    last_ticket: u64,
    /// Whose preemption used up the slice since the driver was last polled.
    spent_by: Option<u64>,
    /// Who alone may run next.
    turn_of: Option<u64>,
    waiting: VecDeque<(u64, Waker)>,
}

/// What one guest's current call has used, shared between the call and the epoch callback.
#[derive(Default)]
pub struct Meter {
    state: Mutex<Metered>,
}

#[derive(Default)]
struct Metered {
    ticket: u64,
    polled_at: Option<Instant>,
    used: Duration,
    allowed: Duration,
}

/// A call computed longer than its limit.
#[derive(Debug, thiserror::Error)]
#[error(
    "the call computed for longer than its limit of {0:?}; raise max_execution_time or do less in one message"
)]
pub struct OutOfTime(Duration);

impl Slices {
    pub fn new(ticker: Ticker) -> Self {
        Self {
            queue: Arc::default(),
            ticker: Arc::new(ticker),
        }
    }

    /// Drives one call into a guest, with `allowed` time inside the guest; what it waits for outside is not counted.
    pub async fn run<F: Future>(&self, meter: &Meter, allowed: Duration, call: F) -> F::Output {
        let mut call = pin!(call);
        let ticket = Ticket {
            id: self.queue.lock().unwrap().next_ticket(),
            slices: self,
        };
        *meter.state.lock().unwrap() = Metered {
            ticket: ticket.id,
            allowed,
            ..Metered::default()
        };
        poll_fn(|context| {
            if !ticket.admitted(context) {
                return Poll::Pending;
            }
            meter.enter();
            self.ticker.enter();
            let polled = call.as_mut().poll(context);
            self.ticker.leave();
            meter.leave();
            self.queue.lock().unwrap().pass_on();
            polled
        })
        .await
    }

    /// What to do when the epoch's deadline finds a guest computing.
    pub fn at_deadline(&self, meter: &Meter) -> wasmtime::Result<UpdateDeadline> {
        let metered = meter.state.lock().unwrap();
        let slice = metered.polled_at.map_or(Duration::ZERO, |at| at.elapsed());
        if metered.used + slice > metered.allowed {
            return Err(wasmtime::Error::new(OutOfTime(metered.allowed)));
        }
        if slice < limits::GUEST_SLICE {
            // The deadline was set before a wait outside the guest; this slice has only begun.
            return Ok(UpdateDeadline::Continue(1));
        }
        self.queue.lock().unwrap().spent_by = Some(metered.ticket);
        // Through the runtime, so that the driver is polled before the guest goes on.
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(tokio::task::yield_now()),
        ))
    }
}

impl Meter {
    fn enter(&self) {
        self.state.lock().unwrap().polled_at = Some(Instant::now());
    }

    fn leave(&self) {
        let mut metered = self.state.lock().unwrap();
        if let Some(at) = metered.polled_at.take() {
            metered.used += at.elapsed();
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
        self.slices
            .queue
            .lock()
            .unwrap()
            .admit(self.id, context.waker())
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.slices.queue.lock().unwrap().leave(self.id);
    }
}

impl Queue {
    fn next_ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
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
