//! The epoch's beat: one thread of its own that ticks while a guest computes, and sleeps while none does.
//!
//! Each beat says how late it is, so that whoever wants to know to the beat reads no clock.

use std::io;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use wasmtime::Engine;

use crate::limits;

/// Beats without a guest before the thread goes to sleep: busy nodes should not wake it for every message.
const IDLE_BEATS_MAX: u32 = 50;

/// The ticker; dropped, its thread ends.
pub struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    /// Whether a guest computes right now.
    inside: AtomicBool,
    /// Counts entries, so that short calls between two beats are seen.
    entries: AtomicU64,
    /// Microseconds from the start to the last beat.
    beat_at: AtomicU64,
    started: Instant,
    asleep: AtomicBool,
    closed: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Ticker {
    pub fn start(engines: Vec<Engine>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            inside: AtomicBool::new(false),
            entries: AtomicU64::new(0),
            beat_at: AtomicU64::new(0),
            started: Instant::now(),
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let beating = shared.clone();
        thread::Builder::new()
            .name("epoch".into())
            .spawn(move || beat(&beating, &engines))?;
        Ok(Self { shared })
    }

    /// The time of the last beat, in microseconds since the ticker started.
    pub fn now(&self) -> u64 {
        self.shared.beat_at.load(SeqCst)
    }

    /// A guest starts to compute, at the time that is returned.
    pub fn enter(&self) -> u64 {
        self.shared.inside.store(true, Relaxed);
        self.shared.entries.fetch_add(1, SeqCst);
        // The sleeper raises its flag before it looks at `entries` for the last time, so one of the two sees the other.
        if self.shared.asleep.load(SeqCst) {
            self.shared.look_at_the_clock();
            self.shared.rouse();
        }
        self.now()
    }

    /// It has stopped, to wait or for good, at the time that is returned.
    pub fn leave(&self) -> u64 {
        self.shared.inside.store(false, Release);
        self.now()
    }
}

impl Shared {
    fn look_at_the_clock(&self) {
        let micros = self.started.elapsed().as_micros();
        self.beat_at.store(micros as u64, SeqCst);
    }

    fn rouse(&self) {
        let _guard = self.lock.lock().unwrap();
        self.asleep.store(false, SeqCst);
        self.wake.notify_one();
    }

    fn sleep(&self, entries_seen: u64) {
        let guard = self.lock.lock().unwrap();
        self.asleep.store(true, SeqCst);
        if self.entries.load(SeqCst) == entries_seen && !self.closed.load(SeqCst) {
            drop(self.wake.wait_while(guard, |()| self.asleep.load(SeqCst)));
        }
        self.asleep.store(false, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.closed.store(true, SeqCst);
        self.shared.rouse();
    }
}

fn beat(shared: &Shared, engines: &[Engine]) {
    let (mut entries_seen, mut idle_beats) = (0, 0);
    while !shared.closed.load(SeqCst) {
        thread::sleep(limits::GUEST_SLICE);
        shared.look_at_the_clock();
        engines.iter().for_each(Engine::increment_epoch);
        let entries = shared.entries.load(SeqCst);
        let idle = entries == entries_seen && !shared.inside.load(SeqCst);
        idle_beats = if idle { idle_beats + 1 } else { 0 };
        entries_seen = entries;
        if idle_beats >= IDLE_BEATS_MAX {
            shared.sleep(entries_seen);
            idle_beats = 0;
        }
    }
}
