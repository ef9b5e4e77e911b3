//! One actor's turns: receive, handle, until a fault or the wish to stop.

use tokio::sync::watch;

use super::behavior::{Behavior, Fault};
use super::mailbox::Mailbox;
use crate::limits;

/// How a life ended.
#[derive(Debug)]
pub(super) enum Exit {
    Stopped,
    Fault(Fault),
}

/// Handles what arrives until `stop` turns true. The message in hand is always finished first.
pub(super) async fn live<B: Behavior>(
    behavior: &mut B,
    mailbox: &Mailbox,
    stop: &mut watch::Receiver<bool>,
) -> Exit {
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Exit::Stopped,
            () = mailbox.filled() => {}
        }
        if let Err(fault) = turn(behavior, mailbox, stop, limits::TURN_MESSAGES_MAX).await {
            return Exit::Fault(fault);
        }
        tokio::task::yield_now().await;
    }
}

/// One turn: at most `budget` messages, so that a flood to one actor starves no other.
async fn turn<B: Behavior>(
    behavior: &mut B,
    mailbox: &Mailbox,
    stop: &watch::Receiver<bool>,
    budget: usize,
) -> Result<(), Fault> {
    for _ in 0..budget {
        if *stop.borrow() {
            break;
        }
        let Some(envelope) = mailbox.pop() else { break };
        if !envelope.is_stale() {
            behavior.handle(envelope).await?;
        }
    }
    Ok(())
}
