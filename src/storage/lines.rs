//! Who waits for a queue's next message, in the order in which they came, and which letters have come back; in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::letters::{At, Return};
use super::queues::{Delivery, QueueName};

/// The lines before all queues.
#[derive(Clone, Default)]
pub struct Lines {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    last_ticket: u64,
    waiting: HashMap<QueueName, BTreeMap<u64, oneshot::Sender<Delivery>>>,
    returned: Vec<(At, Return)>,
}

/// A place in a line. Dropped, it is given up: nothing is delivered to it any more.
pub struct Spot {
    lines: Lines,
    queue: QueueName,
    ticket: u64,
    delivery: oneshot::Receiver<Delivery>,
}

/// The first in a line with what is to be delivered. Dropped unsent, because the transaction was lost, it is back in
/// its place, and the letter where it was.
pub struct Handed {
    lines: Lines,
    queue: QueueName,
    ticket: u64,
    sent: Option<(oneshot::Sender<Delivery>, Delivery)>,
}

/// Letters that have come back. Dropped before that is on disk, they are still to be given back.
pub struct Returned {
    lines: Lines,
    letters: Vec<(At, Return)>,
}

impl Lines {
    /// Lines before which nobody stands, and letters that an earlier process had lent.
    pub fn new(lent: Vec<At>) -> Self {
        let lines = Self::default();
        let returned = lent.into_iter().map(|at| (at, Return::Delivered));
        lines.state.lock().unwrap().returned = returned.collect();
        lines
    }

    pub fn stand(&self, queue: &QueueName) -> Spot {
        let (sender, delivery) = oneshot::channel();
        let mut state = self.state.lock().unwrap();
        state.last_ticket += 1;
        let ticket = state.last_ticket;
        let line = state.waiting.entry(queue.clone()).or_default();
        line.insert(ticket, sender);
        Spot {
            lines: self.clone(),
            queue: queue.clone(),
            ticket,
            delivery,
        }
    }

    pub fn nobody_waits(&self) -> bool {
        self.state.lock().unwrap().waiting.is_empty()
    }

    #[cfg(test)]
    pub fn standing(&self, queue: &QueueName) -> usize {
        let state = self.state.lock().unwrap();
        state.waiting.get(queue).map_or(0, BTreeMap::len)
    }

    /// Takes the first out of a line, if `deliver` has something for it.
    pub fn serve<E>(
        &self,
        queue: &QueueName,
        deliver: impl FnOnce() -> Result<Option<Delivery>, E>,
    ) -> Result<Option<Handed>, E> {
        let Some((ticket, sender)) = self.step_forward(queue) else {
            return Ok(None);
        };
        let delivery = match deliver() {
            Ok(Some(delivery)) => delivery,
            nothing => {
                self.step_back(queue, ticket, sender);
                return nothing.map(|_| None);
            }
        };
        Ok(Some(Handed {
            lines: self.clone(),
            queue: queue.clone(),
            ticket,
            sent: Some((sender, delivery)),
        }))
    }

    /// Whether this is the first that has come back and that nobody has looked at.
    pub fn bring_back(&self, at: At, how: Return) -> bool {
        let mut state = self.state.lock().unwrap();
        state.returned.push((at, how));
        state.returned.len() == 1
    }

    /// Nothing that has come back waits for its place.
    pub fn all_settled(&self) -> bool {
        self.state.lock().unwrap().returned.is_empty()
    }

    pub fn returned(&self) -> Returned {
        let letters = std::mem::take(&mut self.state.lock().unwrap().returned);
        Returned {
            lines: self.clone(),
            letters,
        }
    }

    fn step_forward(&self, queue: &QueueName) -> Option<(u64, oneshot::Sender<Delivery>)> {
        let mut state = self.state.lock().unwrap();
        let line = state.waiting.get_mut(queue)?;
        let first = line.pop_first();
        if line.is_empty() {
            state.waiting.remove(queue);
        }
        first
    }

    fn step_back(&self, queue: &QueueName, ticket: u64, sender: oneshot::Sender<Delivery>) {
        // Whoever left meanwhile found its place empty and cannot give it up a second time.
        if sender.is_closed() {
            return;
        }
        let mut state = self.state.lock().unwrap();
        let line = state.waiting.entry(queue.clone()).or_default();
        line.insert(ticket, sender);
    }

    fn leave(&self, queue: &QueueName, ticket: u64) {
        let mut state = self.state.lock().unwrap();
        if let Some(line) = state.waiting.get_mut(queue) {
            line.remove(&ticket);
            if line.is_empty() {
                state.waiting.remove(queue);
            }
        }
    }
}

impl Spot {
    /// Waits for a delivery, for as long as it is polled.
    pub async fn wait(mut self) -> Option<Delivery> {
        (&mut self.delivery).await.ok()
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        self.delivery.close();
        self.lines.leave(&self.queue, self.ticket);
    }
}

impl Handed {
    /// To a receiver that has left meanwhile nothing is delivered: the letter comes back by itself.
    pub fn send(mut self) {
        if let Some((sender, delivery)) = self.sent.take() {
            drop(sender.send(delivery));
        }
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some((sender, delivery)) = self.sent.take() {
            self.lines.step_back(&self.queue, self.ticket, sender);
            drop(delivery);
        }
    }
}

impl Returned {
    pub fn letters(&self) -> impl Iterator<Item = (At, Return)> {
        self.letters.iter().copied()
    }

    /// They are where they belong.
    pub fn settle(&mut self) {
        self.letters.clear();
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        if !self.letters.is_empty() {
            let mut state = self.lines.state.lock().unwrap();
            state.returned.append(&mut self.letters);
        }
    }
}
