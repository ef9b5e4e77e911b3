//! What a service manager is told: that the node is ready, that its loop is alive, that it stops.
//!
//! Where nobody listens (`NOTIFY_SOCKET` is not set) nothing is sent and nothing wakes the node.

use std::convert::Infallible;
use std::io::ErrorKind::{ConnectionRefused, NotFound};
use std::slice;

use sd_notify::NotifyState;

/// The node serves, and everything that was deployed has had its chance to start.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// The node finishes what is in flight.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says every half of the time that the manager allows that the loop still turns; run on the loop itself, so that a
/// loop that hangs falls silent.
pub async fn feed_watchdog() -> Infallible {
    let Some(allowed) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut turns = tokio::time::interval(allowed / 2);
    loop {
        turns.tick().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState) {
    match sd_notify::notify(slice::from_ref(&state)) {
        // Whoever waited for the node to be ready has heard so and left.
        Err(error) if matches!(error.kind(), ConnectionRefused | NotFound) => {
            log::debug!("nobody hears of {state:?}: {error}");
        }
        Err(error) => log::warn!("the service manager cannot be told: {error}"),
        Ok(()) => {}
    }
}
