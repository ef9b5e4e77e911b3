//! Durable queues: first in, first out, each message to one receiver at a time until it is acknowledged.
//!
//! A message is lent to its receiver, with the delivery counted on disk, and comes back if the receiver ends without an
//! answer. One transaction takes it in and lends it to whoever waits for it. Queues belong to a place, a tenant's
//! namespace, not to the application that made them.

use std::time::Duration;

use bytes::Bytes;
use redb::{ReadTransaction, WriteTransaction};

use super::StorageError;
use super::committer::Committer;
use super::due::Due;
use super::letters::{self, At, Header, Letter, Return, Rows, Stop, Swept};
use super::lines::{Handed, Lines, Returned, Spot};
use super::steady;
use super::usage::Spent;
use crate::id::ApplicationName;
use crate::limits;
use crate::place::Place;

/// A queue's name in its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueName {
    pub place: Place,
    pub name: String,
}

/// What a queue bounds; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub messages_max: u32,
    pub ttl_ms: u64,
}

/// What is sent to a queue.
#[derive(Clone, Debug, Default)]
pub struct Parcel {
    pub message_type: String,
    pub payload: Bytes,
    pub headers: Vec<(String, String)>,
    /// By the wall clock.
    pub sent_ms: u64,
    pub delay: Duration,
    /// Zero is for good.
    pub ttl: Duration,
}

/// A message that was received, and the duty to answer for it.
pub struct Delivery {
    pub message_type: String,
    pub payload: Bytes,
    pub headers: Vec<(String, String)>,
    pub sent_ms: u64,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    pub lease: Lease,
}

/// A message on loan. Dropped, the message goes back to its queue.
pub struct Lease {
    queue: QueueName,
    at: At,
    /// How it goes back; absent once it is settled.
    back: Option<Return>,
    queues: Queues,
}

#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error(
        "a queue's name has 1 to {} bytes and no control characters",
        limits::CHANNEL_NAME_BYTES_MAX
    )]
    Name,
    #[error(
        "a message has at most {} headers of {} bytes together",
        limits::QUEUE_HEADERS_MAX,
        limits::QUEUE_HEADERS_BYTES_MAX
    )]
    Headers,
    #[error("queue {name:?} holds {max} messages, its most; send again later")]
    Full { name: String, max: u32 },
    #[error("message {0} is not on loan any more: its queue was deleted")]
    Gone(String),
    #[error(transparent)]
    Spent(#[from] Spent),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// All queues of all places.
#[derive(Clone)]
pub struct Queues {
    committer: Committer,
    due: Due,
    lines: Lines,
}

impl QueueName {
    pub fn parse(place: Place, name: &str) -> Result<Self, QueueError> {
        let fits = (1..=limits::CHANNEL_NAME_BYTES_MAX).contains(&name.len());
        if !fits || name.chars().any(char::is_control) {
            return Err(QueueError::Name);
        }
        let name = name.to_owned();
        Ok(Self { place, name })
    }
}

impl Queues {
    /// `lent` is what nobody has any more because the process that had it is gone.
    pub(super) fn new(committer: Committer, due: Due, lent: Vec<At>) -> Self {
        let lines = Lines::new(lent);
        Self {
            committer,
            due,
            lines,
        }
    }

    /// Makes a queue, or gives the one that is there these settings.
    pub async fn create(
        &self,
        name: &QueueName,
        owner: &ApplicationName,
        settings: Settings,
    ) -> Result<(), QueueError> {
        let (name, owner) = (name.clone(), owner.clone());
        self.change(move |round| round.rows.create(&name, &owner, settings))
            .await
    }

    /// Removes a queue with all that is in it. An absent one is no error; who waits for it goes on waiting.
    pub async fn delete(&self, name: &QueueName) -> Result<(), QueueError> {
        let name = name.clone();
        let deleted = self.change(move |round| {
            if round.rows.delete(&name)? {
                round.due_ms = Some(0);
            }
            Ok(())
        });
        deleted.await
    }

    /// Puts a message at the end of a queue, which is made if there is none. Answers with the message's id.
    pub async fn send(
        &self,
        name: &QueueName,
        owner: &ApplicationName,
        parcel: Parcel,
    ) -> Result<String, QueueError> {
        parcel.check()?;
        let letter = parcel.letter(owner, self.due.steady.now_ms());
        let name = name.clone();
        let sent = self.change(move |round| {
            let dues = [letter.due_ms, letter.expires_ms].into_iter();
            let due_ms = dues.filter(|&due_ms| due_ms != 0).min();
            let at = round.rows.send(&name, letter)?;
            round.due_ms = due_ms;
            round.touched.push(at.0);
            Ok(at)
        });
        sent.await.map(id)
    }

    /// The first message of a queue, if there is one. Whoever takes the delivery calls `Lease::arrived`.
    pub async fn receive(&self, name: &QueueName) -> Result<Option<Delivery>, QueueError> {
        let name = name.clone();
        let received = self.change(move |round| match round.rows.id(&name)? {
            Some(id) => round.deliver(&name, id),
            None => Ok(None),
        });
        received.await
    }

    /// The first message of a queue as soon as there is one. Receivers that wait are served in their order; one that
    /// leaves meanwhile takes nothing.
    pub async fn wait(&self, name: &QueueName) -> Result<Delivery, QueueError> {
        enum Turn {
            Now(Box<Delivery>),
            Later(Spot),
        }
        let name = name.clone();
        let turn = self.change(move |round| {
            let delivery = match round.rows.id(&name)? {
                Some(id) => round.deliver(&name, id)?,
                None => None,
            };
            Ok(match delivery {
                Some(delivery) => Turn::Now(Box::new(delivery)),
                None => Turn::Later(round.queues.lines.stand(&name)),
            })
        });
        match turn.await? {
            Turn::Now(delivery) => Ok(*delivery),
            Turn::Later(spot) => {
                let delivery = spot.wait().await;
                delivery.ok_or(QueueError::Storage(StorageError::Closed))
            }
        }
    }

    /// Reports a message as done; it is removed.
    pub async fn acknowledge(&self, lease: &mut Lease) -> Result<(), QueueError> {
        let at = lease.at;
        let done = self.change(move |round| {
            if round.rows.acknowledge(at)? {
                return Ok(());
            }
            Err(QueueError::Gone(id(at)).into())
        });
        lease.settled_by(done.await)
    }

    /// Gives a message back: to its queue, or rejected to the dead letters.
    pub async fn give_back(&self, lease: &mut Lease, how: Return) -> Result<(), QueueError> {
        let at = lease.at;
        let back = self.change(move |round| {
            let touched = round.rows.give_back(at, how)?;
            round.touched.extend(touched);
            Ok(())
        });
        lease.settled_by(back.await)
    }

    /// How many messages may be received now.
    pub async fn depth(&self, name: &QueueName) -> Result<u64, QueueError> {
        let name = name.clone();
        let look = move |transaction: &ReadTransaction| letters::ready(transaction, &name);
        Ok(self.committer.read(look).await?)
    }

    /// Does what is due, some of it at a time, and answers when there is more to do.
    pub(super) async fn sweep(&self) -> Result<Option<u64>, StorageError> {
        let now_ms = self.due.steady.now_ms();
        let next_ms = self.committer.read(letters::next_due).await?;
        if self.lines.all_settled() && next_ms.is_none_or(|next_ms| next_ms > now_ms) {
            return Ok(next_ms);
        }
        let swept = self.change(|round| {
            let Swept { touched, next_ms } = round.rows.sweep()?;
            round.touched.extend(touched);
            Ok(next_ms)
        });
        match swept.await {
            Ok(next_ms) => Ok(next_ms),
            Err(QueueError::Storage(error)) => Err(error),
            Err(other) => unreachable!("a sweep is not refused: {other}"),
        }
    }

    /// How many wait for a message.
    #[cfg(test)]
    pub fn standing(&self, name: &QueueName) -> usize {
        self.lines.standing(name)
    }

    /// How many messages there are in all queues.
    #[cfg(test)]
    pub async fn kept(&self) -> u64 {
        let count = |transaction: &ReadTransaction| letters::kept(transaction);
        self.committer.read(count).await.unwrap()
    }

    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Round<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, QueueError> {
        let (queues, now_ms) = (self.clone(), self.due.steady.now_ms());
        let due = self.due.clone();
        let round =
            move |transaction: &WriteTransaction| Round::run(&queues, transaction, now_ms, work);
        let finish = move |(done, outcome): (Result<T, QueueError>, Outcome)| {
            outcome.finish(&due);
            done
        };
        self.committer.commit_then(round, finish).await?
    }

    /// A letter has come back, from whatever thread: the next round of anybody gives it its place again, and if
    /// nobody has one, this one.
    fn bring_back(&self, at: At, how: Return) {
        if !self.lines.bring_back(at, how) {
            return;
        }
        let (queues, now_ms, due) = (self.clone(), self.due.steady.now_ms(), self.due.clone());
        let later = due.clone();
        let submitted = self.committer.submit(
            move |transaction| Round::run(&queues, transaction, now_ms, |_| Ok(())),
            move |done| match done {
                Ok((_, outcome)) => outcome.finish(&due),
                Err(_) => due.after(limits::SWEEP_RETRY),
            },
        );
        if submitted.is_err() {
            later.at(now_ms);
        }
    }
}

/// One change of queues within a transaction: first what has come back, then the change, each time those who wait.
struct Round<'t> {
    queues: &'t Queues,
    rows: Rows<'t>,
    /// Queues that may have something for those who wait.
    touched: Vec<u64>,
    handed: Vec<Handed>,
    due_ms: Option<u64>,
}

/// What a round leaves to do once it is on disk.
struct Outcome {
    handed: Vec<Handed>,
    returned: Returned,
    due_ms: Option<u64>,
}

impl<'t> Round<'t> {
    fn run<T>(
        queues: &'t Queues,
        transaction: &'t WriteTransaction,
        now_ms: u64,
        work: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<(Result<T, QueueError>, Outcome), redb::Error> {
        steady::note(transaction, now_ms)?;
        let mut round = Self {
            queues,
            rows: Rows::open(transaction, now_ms)?,
            touched: Vec::new(),
            handed: Vec::new(),
            due_ms: None,
        };
        let returned = queues.lines.returned();
        let done = round.work(&returned, work);
        let done = match done {
            Ok(done) => Ok(done),
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::Broken(error)) => return Err(error),
        };
        let outcome = Outcome {
            handed: round.handed,
            returned,
            due_ms: round.due_ms,
        };
        Ok((done, outcome))
    }

    fn work<T>(
        &mut self,
        returned: &Returned,
        work: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        for (at, how) in returned.letters() {
            let touched = self.rows.give_back(at, how)?;
            self.touched.extend(touched);
        }
        self.serve()?;
        let done = work(self)?;
        self.serve()?;
        Ok(done)
    }

    /// Afterwards no queue has both a message that may be received and somebody who waits for one.
    fn serve(&mut self) -> Result<(), Stop> {
        let touched = std::mem::take(&mut self.touched);
        if self.queues.lines.nobody_waits() {
            return Ok(());
        }
        for id in touched {
            let Some(name) = self.rows.name(id)? else {
                continue;
            };
            let lines = self.queues.lines.clone();
            while let Some(handed) = lines.serve(&name, || self.deliver(&name, id))? {
                self.handed.push(handed);
            }
        }
        Ok(())
    }

    fn deliver(&mut self, name: &QueueName, id: u64) -> Result<Option<Delivery>, Stop> {
        let taken = self.rows.take_first(id)?;
        Ok(taken.map(|taken| {
            let headers = taken.letter.headers.into_iter();
            Delivery {
                message_type: taken.letter.message_type,
                payload: taken.letter.payload,
                headers: headers.map(|it| (it.name, it.value)).collect(),
                sent_ms: taken.letter.sent_ms,
                deliveries: taken.deliveries,
                lease: Lease {
                    queue: name.clone(),
                    at: taken.at,
                    back: Some(Return::Undelivered),
                    queues: self.queues.clone(),
                },
            }
        }))
    }
}

impl Outcome {
    fn finish(mut self, due: &Due) {
        self.returned.settle();
        self.handed.drain(..).for_each(Handed::send);
        if let Some(due_ms) = self.due_ms {
            due.at(due_ms);
        }
    }
}

impl Lease {
    pub fn id(&self) -> String {
        id(self.at)
    }

    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// The receiver has the message: if it comes back, it was delivered.
    pub fn arrived(&mut self) {
        self.back = self.back.map(|_| Return::Delivered);
    }

    /// The receiver never saw it after all.
    pub fn missed(&mut self) {
        self.back = self.back.map(|_| Return::Undelivered);
    }

    fn settled_by(&mut self, done: Result<(), QueueError>) -> Result<(), QueueError> {
        if matches!(done, Ok(()) | Err(QueueError::Gone(_))) {
            self.back = None;
        }
        done
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(how) = self.back {
            self.queues.bring_back(self.at, how);
        }
    }
}

impl Parcel {
    fn check(&self) -> Result<(), QueueError> {
        let headers = self.headers.iter();
        let bytes: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        let fits = self.headers.len() <= limits::QUEUE_HEADERS_MAX
            && bytes <= limits::QUEUE_HEADERS_BYTES_MAX;
        fits.then_some(()).ok_or(QueueError::Headers)
    }

    fn letter(self, owner: &ApplicationName, now_ms: u64) -> Letter {
        let after = |wait: Duration| match wait {
            Duration::ZERO => 0,
            wait => now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        };
        let headers = self.headers.into_iter();
        Letter {
            owner: owner.to_string(),
            message_type: self.message_type,
            payload: self.payload,
            headers: headers
                .map(|(name, value)| Header { name, value })
                .collect(),
            sent_ms: self.sent_ms,
            expires_ms: after(self.ttl),
            due_ms: after(self.delay),
        }
    }
}

/// A message's id as its receiver knows it.
fn id((queue, number): At) -> String {
    format!("q-{queue:x}-{number:x}")
}
