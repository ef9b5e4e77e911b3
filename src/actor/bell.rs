//! Wakes the one task that lives an actor's life: something has arrived, or something is wanted of it.

use std::sync::Mutex;
use std::task::Waker;

/// One sleeper at most. It listens first and looks then, so that it misses nothing.
#[derive(Default)]
pub struct Bell(Mutex<Option<Waker>>);

impl Bell {
    /// Whoever asks is woken at the next ring, and nobody else.
    pub fn listen(&self, waker: &Waker) {
        let mut listener = self.0.lock().unwrap();
        match &mut *listener {
            Some(known) => known.clone_from(waker),
            None => *listener = Some(waker.clone()),
        }
    }

    pub fn ring(&self) {
        let listener = self.0.lock().unwrap().take();
        if let Some(waker) = listener {
            waker.wake();
        }
    }
}
