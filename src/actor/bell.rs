//! Wakes the one task that lives an actor's life: something has arrived, or something is wanted of it.

use std::task::Waker;

/// One sleeper at most. It listens first and looks then, so that it misses nothing.
#[derive(Default)]
pub struct Bell {
    /// Whoever listened last. It mostly is who listens next, so it is kept.
    listener: Option<Waker>,
    listens: bool,
}

impl Bell {
    /// Whoever asks is woken at the next ring, and nobody else.
    pub fn listen(&mut self, waker: &Waker) {
        self.listens = true;
        match &mut self.listener {
            Some(known) => known.clone_from(waker),
            None => self.listener = Some(waker.clone()),
        }
    }

    pub fn ring(&mut self) {
        if std::mem::take(&mut self.listens)
            && let Some(listener) = &self.listener
        {
            listener.wake_by_ref();
        }
    }
}
