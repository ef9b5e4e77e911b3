//! Who may stream a module in: few at a time, and of those a slow one makes room for a newcomer.
//!
//! An upload may take an hour, since a module must come through over a modem too. While nobody else waits, it may take
//! that hour; but two that crawl do not keep everybody else from deploying.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::limits;
use crate::refusal::{Kind, Refusal};

/// The uploads that stream at this moment.
#[derive(Clone, Default)]
pub struct Uploads(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    last_id: u64,
    streams: Vec<Stream>,
}

struct Stream {
    id: u64,
    began: Instant,
    bytes: u64,
    displaced: Arc<Notify>,
}

/// One upload's permit to stream, given back when it is dropped.
pub struct Streaming {
    id: u64,
    displaced: Arc<Notify>,
    uploads: Uploads,
}

impl Uploads {
    /// A place for an upload that begins now, perhaps that of one that is too slow; refused where all go at a fair pace.
    pub fn begin(&self) -> Result<Streaming, Refusal> {
        self.place().ok_or_else(|| {
            let text = format!(
                "{} uploads are under way, the most at a time; try again soon",
                limits::UPLOADS_MAX
            );
            Refusal::new(Kind::Unavailable, text)
        })
    }

    fn place(&self) -> Option<Streaming> {
        let (now, mut table) = (Instant::now(), self.0.lock().unwrap());
        if table.streams.len() >= limits::UPLOADS_MAX {
            let slow = table.slowest(now)?;
            table.streams.remove(slow).displaced.notify_one();
        }
        table.last_id += 1;
        let (id, displaced) = (table.last_id, Arc::new(Notify::new()));
        table.streams.push(Stream {
            id,
            began: now,
            bytes: 0,
            displaced: displaced.clone(),
        });
        Some(Streaming {
            id,
            displaced,
            uploads: self.clone(),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().streams.len()
    }
}

impl Table {
    /// The slowest of those that had their time and did not keep the pace.
    fn slowest(&self, now: Instant) -> Option<usize> {
        let paces = self.streams.iter().map(|it| it.pace(now));
        let slow = paces.enumerate().filter_map(|(at, pace)| Some((pace?, at)));
        let (pace, at) = slow.min()?;
        (pace < limits::UPLOAD_PACE_CONTESTED).then_some(at)
    }
}

impl Stream {
    /// Bytes in a second since it began; `None` while that says little.
    fn pace(&self, now: Instant) -> Option<u64> {
        let took = now - self.began;
        (took >= limits::UPLOAD_PACE_AFTER).then(|| self.bytes / took.as_secs())
    }
}

impl Streaming {
    /// Counts bytes that came.
    pub fn received(&self, bytes: usize) {
        let mut table = self.uploads.0.lock().unwrap();
        if let Some(stream) = table.streams.iter_mut().find(|it| it.id == self.id) {
            stream.bytes += bytes as u64;
        }
    }

    /// Receives the upload within the time that one has, and for as long as nobody else has taken its place.
    pub async fn receive<T>(
        &self,
        receiving: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let received = tokio::select! {
            received = timeout(limits::UPLOAD_TIME_MAX, receiving) => received,
            () = self.displaced() => return Err(gave_way()),
        };
        received.unwrap_or_else(|_| {
            let text = format!("the upload took more than {:?}", limits::UPLOAD_TIME_MAX);
            Err(Refusal::new(Kind::Malformed, text))
        })
    }

    /// Resolves when somebody else has taken the place.
    async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

fn gave_way() -> Refusal {
    let text = format!(
        "this upload came at less than {} KiB a second and made room for another; send it again later, or over a faster line",
        limits::UPLOAD_PACE_CONTESTED / limits::KIB as u64
    );
    Refusal::new(Kind::Unavailable, text)
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let mut table = self.uploads.0.lock().unwrap();
        table.streams.retain(|it| it.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_the_place_of_the_slowest_that_crawls() {
        let uploads = Uploads::default();
        let (fair, slow) = (uploads.begin().unwrap(), uploads.begin().unwrap());
        assert!(uploads.begin().is_err(), "both have only begun");
        tokio::time::advance(limits::UPLOAD_PACE_AFTER).await;
        let needed = limits::UPLOAD_PACE_CONTESTED * limits::UPLOAD_PACE_AFTER.as_secs();
        fair.received(needed as usize);
        slow.received(needed as usize - 30);
        let newcomer = uploads.begin().unwrap();
        slow.displaced().await;
        drop(slow);
        assert!(
            uploads.begin().is_err(),
            "the others keep the pace, or have only begun"
        );
        drop(newcomer);
        assert!(uploads.begin().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_nobody_contests_may_crawl() {
        let uploads = Uploads::default();
        let slow = uploads.begin().unwrap();
        tokio::time::advance(Duration::from_secs(3_000)).await;
        let _other = uploads.begin().unwrap();
        let undisturbed = tokio::time::timeout(Duration::from_secs(1), slow.displaced()).await;
        assert!(undisturbed.is_err());
    }
}
