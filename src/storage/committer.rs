//! The one thread that commits: it takes all that waits, applies it in one transaction, and answers once that is on disk.
//!
//! A commit costs milliseconds whatever it holds, so those who wait share one. Who only looks sees what is committed and
//! parts no batch. The thread sleeps while nobody waits.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use redb::{ReadTransaction, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::StorageError;
use super::store::Store;
use super::wellness::Wellness;

/// Changes that may wait; one more is refused.
const WAITING_MAX: usize = 4_096;
/// The part of them that guests' services may have, so that a flood of theirs keeps nobody from deploying.
const GUESTS_WAITING_MAX: usize = 3_072;
/// Changes in one transaction, so that nobody waits behind a transaction without end.
const BATCH_MAX: usize = 1_000;
/// How long after the last of many commits the store may be compacted, and what counts as many.
const IDLE: Duration = Duration::from_secs(60);
const COMMITS_WORTH_COMPACTING: usize = 1_000;
/// How often a full disk is looked at again, how often a failing one is tried, which reads the whole store, and how much
/// more room than when it was full is worth a try.
const FULL_PROBE_AFTER: Duration = Duration::from_secs(1);
const FAILING_PROBE_AFTER: Duration = Duration::from_secs(15);
const ROOM_WORTH_A_TRY_BYTES: u64 = 256 * 1024;

/// A handle on the thread.
#[derive(Clone)]
pub struct Committer {
    orders: SyncSender<Order>,
    /// Whether the store takes changes.
    pub wellness: Wellness,
    /// What is left of the part that guests' services may have; absent for the node's own handles.
    part: Option<Arc<Semaphore>>,
}

enum Order {
    Change(Box<dyn Change>),
    Look(Box<dyn FnOnce(&mut Store) + Send>),
    /// The disk has refused a file.
    Refused,
    Close(oneshot::Sender<()>),
}

impl Committer {
    pub fn start(store: Store) -> io::Result<Self> {
        let (orders, waiting) = sync_channel(WAITING_MAX);
        let wellness = Wellness::default();
        let shown = wellness.clone();
        let work = move || Worker::new(store, waiting, shown).run();
        thread::Builder::new()
            .name("committer".into())
            .spawn(work)?;
        Ok(Self {
            orders,
            wellness,
            part: None,
        })
    }

    /// A handle for what guests ask for, which leaves some of the queue to the node itself.
    pub fn for_guests(&self) -> Self {
        Self {
            orders: self.orders.clone(),
            wellness: self.wellness.clone(),
            part: Some(Arc::new(Semaphore::new(GUESTS_WAITING_MAX))),
        }
    }

    /// Somebody's file found no room: the disk is looked at, and if it is full that is shown.
    pub fn file_was_refused(&self) {
        let _ = self.order(Order::Refused);
    }

    /// Applies `change` and answers once it is on disk. A caller that leaves does not undo it. After an error nothing
    /// of it, and of what it shared its transaction with, is in the store.
    pub async fn commit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.commit_then(change, |done| done).await
    }

    /// The same, and `then` makes the answer on the committer's thread, after the commit and in its order, whoever has
    /// left meanwhile: it must be short.
    pub async fn commit_then<T: Send + 'static, U: Send + 'static>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U, StorageError> {
        self.carry_out(Once(Some(change)), then).await
    }

    /// As `commit`, for what makes room or only notes a wish: on a full disk it has the room that is held back. It may be
    /// applied twice, where the first time has left nothing.
    pub async fn commit_sparing<T: Send + 'static>(
        &self,
        change: impl FnMut(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.commit_sparing_then(change, |done| done).await
    }

    /// The same, with an answer that is made as above.
    pub async fn commit_sparing_then<T: Send + 'static, U: Send + 'static>(
        &self,
        change: impl FnMut(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U, StorageError> {
        self.carry_out(Sparing(change), then).await
    }

    async fn carry_out<T: Send + 'static, U: Send + 'static>(
        &self,
        change: impl Apply<T> + Send + 'static,
        then: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U, StorageError> {
        let (answer, answered) = oneshot::channel();
        let then = |done: Result<T, StorageError>| drop(answer.send(done.map(then)));
        self.hand_over(change, then)?;
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Hands a change over and waits for nothing; `then` is called as above.
    pub fn submit<T: Send + 'static>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error> + Send + 'static,
        then: impl FnOnce(Result<T, StorageError>) + Send + 'static,
    ) -> Result<(), StorageError> {
        self.hand_over(Once(Some(change)), then)
    }

    fn hand_over<T: Send + 'static>(
        &self,
        change: impl Apply<T> + Send + 'static,
        then: impl FnOnce(Result<T, StorageError>) + Send + 'static,
    ) -> Result<(), StorageError> {
        let permit = self.permit()?;
        let then = move |done| {
            drop(permit);
            then(done);
        };
        self.order(Order::Change(Box::new(Waiting {
            change,
            done: None,
            then,
        })))
    }

    /// Looks at what is committed: all that was answered, and perhaps more.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, answered) = oneshot::channel();
        let permit = self.permit()?;
        let look = move |store: &mut Store| {
            drop(permit);
            drop(answer.send(store.read(look)));
        };
        self.order(Order::Look(Box::new(look)))?;
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Hands over what is committed at one moment, on the committer's thread: what is committed after that is answered
    /// after it. `then` must be short.
    pub async fn snapshot<T: Send + 'static>(
        &self,
        then: impl FnOnce(ReadTransaction) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, answered) = oneshot::channel();
        let look = move |store: &mut Store| drop(answer.send(store.snapshot().map(then)));
        self.order(Order::Look(Box::new(look)))?;
        answered.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Commits what waits, closes the file and ends the thread; what comes later is refused.
    pub async fn close(&self) {
        let (closed, wait) = oneshot::channel();
        if self.order(Order::Close(closed)).is_ok() {
            let _ = wait.await;
        }
    }

    fn permit(&self) -> Result<Option<OwnedSemaphorePermit>, StorageError> {
        let permit = self.part.clone().map(Semaphore::try_acquire_owned);
        permit.transpose().map_err(|_| StorageError::Busy)
    }

    fn order(&self, order: Order) -> Result<(), StorageError> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => StorageError::Busy,
            TrySendError::Disconnected(_) => StorageError::Closed,
        })
    }
}

/// Something to write, and somebody who waits for it.
trait Change: Send {
    fn apply(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error>;
    fn answer(self: Box<Self>, committed: Result<(), StorageError>);
    /// Whether it may have the room that is held back, and be applied again.
    fn is_sparing(&self) -> bool;
}

struct Waiting<C, T, A> {
    change: C,
    done: Option<T>,
    then: A,
}

impl<C, T, A> Change for Waiting<C, T, A>
where
    C: Apply<T> + Send,
    T: Send,
    A: FnOnce(Result<T, StorageError>) + Send,
{
    fn apply(&mut self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        self.done = Some(self.change.apply(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StorageError>) {
        let Self { done, then, .. } = *self;
        // What was made and is not committed is dropped before anything else is applied.
        then(committed.map(|()| done.expect("what is committed was applied")));
    }

    fn is_sparing(&self) -> bool {
        C::IS_SPARING
    }
}

/// What is to be written.
trait Apply<T> {
    const IS_SPARING: bool;
    fn apply(&mut self, transaction: &WriteTransaction) -> Result<T, redb::Error>;
}

struct Once<F>(Option<F>);

struct Sparing<F>(F);

impl<T, F: FnOnce(&WriteTransaction) -> Result<T, redb::Error>> Apply<T> for Once<F> {
    const IS_SPARING: bool = false;

    fn apply(&mut self, transaction: &WriteTransaction) -> Result<T, redb::Error> {
        let change = self.0.take().expect("such a change is applied once");
        change(transaction)
    }
}

impl<T, F: FnMut(&WriteTransaction) -> Result<T, redb::Error>> Apply<T> for Sparing<F> {
    const IS_SPARING: bool = true;

    fn apply(&mut self, transaction: &WriteTransaction) -> Result<T, redb::Error> {
        (self.0)(transaction)
    }
}

struct Worker {
    store: Store,
    waiting: Receiver<Order>,
    /// Since the store was last looked at for compacting.
    commits: usize,
    wellness: Wellness,
    /// Since the disk has refused a change.
    ill: Option<Ill>,
}

/// What keeps the disk from taking changes.
#[derive(Clone, Copy)]
enum Ill {
    /// It is full.
    Full {
        /// What was left then.
        free_bytes: u64,
        /// When a change was refused last, if it was one.
        refused: Option<Instant>,
    },
    Failing,
}

impl Worker {
    fn new(store: Store, waiting: Receiver<Order>, wellness: Wellness) -> Self {
        Self {
            store,
            waiting,
            commits: 0,
            wellness,
            ill: None,
        }
    }

    fn run(mut self) {
        while let Some(order) = self.next() {
            let (mut batch, mut closing) = (Vec::new(), None);
            let (mut order, mut taken) = (Some(order), 0);
            while let Some(next) = order {
                match next {
                    Order::Change(change) => batch.push(change),
                    Order::Look(look) => look(&mut self.store),
                    Order::Refused => self.look_at_disk(),
                    Order::Close(closed) => closing = Some(closed),
                }
                taken += 1;
                let full = taken == BATCH_MAX || closing.is_some();
                order = (!full).then(|| self.waiting.try_recv().ok()).flatten();
            }
            self.commit(batch);
            if let Some(closed) = closing {
                drop(self);
                let _ = closed.send(());
                return;
            }
        }
    }

    /// Waits for what is next. Without a timer, unless the disk has refused a change, or there is something to tidy up
    /// after many commits.
    fn next(&mut self) -> Option<Order> {
        while let Some(ill) = self.ill {
            let after = match ill {
                Ill::Full { .. } => FULL_PROBE_AFTER,
                Ill::Failing => FAILING_PROBE_AFTER,
            };
            match self.waiting.recv_timeout(after) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.probe(),
            }
        }
        if self.commits < COMMITS_WORTH_COMPACTING {
            return self.waiting.recv().ok();
        }
        match self.waiting.recv_timeout(IDLE) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.commits = 0;
                if let Err(error) = self.store.compact() {
                    log::warn!("{error}");
                }
                self.waiting.recv().ok()
            }
        }
    }

    /// Tries whether the disk takes changes again, once it has more room than when it did not.
    fn probe(&mut self) {
        if self.has_more_room() && self.store.write(|_| Ok(())).is_ok() {
            self.is_well();
        }
    }

    fn has_more_room(&self) -> bool {
        match (self.ill, self.store.free_bytes()) {
            (Some(Ill::Full { free_bytes, .. }), Some(now)) => {
                now >= free_bytes + ROOM_WORTH_A_TRY_BYTES
            }
            _ => true,
        }
    }

    /// A change was taken. On a full disk that says nothing: small ones find room in the file that others do not.
    fn is_well(&mut self) {
        if self.ill.is_some() && self.has_more_room() {
            self.ill = None;
            self.wellness.recovers();
            log::info!("the store takes changes again");
        }
    }

    /// A file was refused. That is no matter of the disk's where there is room for others.
    fn look_at_disk(&mut self) {
        if let (None, Some(free_bytes)) = (self.ill, self.store.has_full_disk()) {
            self.ill = Some(Ill::Full {
                free_bytes,
                refused: None,
            });
            self.wellness.is_full();
            log::error!("the data directory is full; free some of it");
        }
    }

    /// Whether a change has just been refused for want of room. Each that fails has the store opened anew, which reads
    /// all of it and ends what others read, so that a flood of them is answered at once.
    fn is_out_of_room(&self) -> bool {
        let just = |at: Instant| at.elapsed() < FULL_PROBE_AFTER;
        let refused = match self.ill {
            Some(Ill::Full { refused, .. }) => refused,
            _ => None,
        };
        refused.is_some_and(just) && !self.has_more_room()
    }

    /// Commits in order, and in one transaction. On a disk that is short of room what makes some is parted from the
    /// others, which may fail.
    fn commit(&mut self, mut batch: Vec<Box<dyn Change>>) {
        let parted = batch.iter().any(|it| it.is_sparing()) && self.store.is_short_of_room();
        while let Some(first) = batch.first() {
            let sparing = first.is_sparing();
            let alike = batch.iter();
            let alike = alike.take_while(|it| !parted || it.is_sparing() == sparing);
            let rest = batch.split_off(alike.count());
            self.commit_together(std::mem::replace(&mut batch, rest), parted && sparing);
        }
    }

    fn commit_together(&mut self, mut batch: Vec<Box<dyn Change>>, sparing: bool) {
        self.commits += batch.len();
        let mut apply = |transaction: &WriteTransaction| {
            batch.iter_mut().try_for_each(|it| it.apply(transaction))
        };
        let committed = match self.is_out_of_room() && !sparing {
            true => Err(StorageError::NoSpace("writing to the store")),
            false => match self.store.write(&mut apply) {
                Err(StorageError::NoSpace(_)) if sparing => {
                    self.store.write_with_reserve(&mut apply)
                }
                written => written,
            }
            .inspect_err(|error| self.fails(error)),
        };
        if committed.is_ok() {
            self.is_well();
        }
        for change in batch {
            change.answer(match &committed {
                Ok(()) => Ok(()),
                Err(error) => Err(error.to_everyone()),
            });
        }
    }

    fn fails(&mut self, error: &StorageError) {
        log::error!("{error}");
        self.wellness.fails(error);
        self.ill = Some(match (error, self.store.free_bytes()) {
            (StorageError::NoSpace(_), Some(free_bytes)) => Ill::Full {
                free_bytes,
                refused: Some(Instant::now()),
            },
            _ => Ill::Failing,
        });
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::storage::store::tests::on;

    #[tokio::test]
    async fn a_flood_of_guests_leaves_some_of_the_queue_to_the_node() {
        let committer = Committer::start(on(InMemoryBackend::new).unwrap()).unwrap();
        let guests = committer.for_guests();
        let (held, hold) = std::sync::mpsc::channel::<()>();
        let slow = move |_: &redb::WriteTransaction| {
            let _ = hold.recv();
            Ok(())
        };
        guests.submit(slow, drop).unwrap();
        let mut accepted = 0;
        let refused = loop {
            match guests.submit(|_| Ok(()), drop) {
                Ok(()) => accepted += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StorageError::Busy), "{refused}");
        assert!(accepted > 3_000, "{accepted}");
        let own = committer.clone();
        let own = tokio::spawn(async move { own.commit(|_| Ok(())).await });
        tokio::task::yield_now().await;
        drop(held);
        own.await.unwrap().unwrap();
        guests.commit(|_| Ok(())).await.unwrap();
    }
}
