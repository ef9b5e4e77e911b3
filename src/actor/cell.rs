//! One actor's turns: receive, handle, until a fault or the wish to stop.

use tokio::sync::watch;
use tokio::time::Instant;

use super::behavior::{Behavior, Fault, Handled};
use super::mailbox::Mailbox;
use crate::limits;
use crate::message::Envelope;
use crate::metrics::{Handling, Metrics};

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
    metrics: &Metrics,
) -> Exit {
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Exit::Stopped,
            () = mailbox.filled() => {}
        }
        if let Err(fault) = turn(behavior, mailbox, stop, metrics).await {
            return Exit::Fault(fault);
        }
        tokio::task::yield_now().await;
    }
}

/// One turn: a bounded number of messages, so that a flood to one actor starves no other.
async fn turn<B: Behavior>(
    behavior: &mut B,
    mailbox: &Mailbox,
    stop: &watch::Receiver<bool>,
    metrics: &Metrics,
) -> Result<(), Fault> {
    for _ in 0..limits::TURN_MESSAGES_MAX {
        if *stop.borrow() {
            break;
        }
        let Some(envelope) = mailbox.pop() else { break };
        if envelope.is_stale() {
            metrics.messages.count(Handling::Expired);
        } else {
            measured(behavior, envelope, metrics).await?;
        }
    }
    Ok(())
}

async fn measured<B: Behavior>(
    behavior: &mut B,
    envelope: Envelope,
    metrics: &Metrics,
) -> Result<(), Fault> {
    metrics.loop_lag.stir();
    let began = Instant::now();
    let handled = behavior.handle(envelope).await;
    metrics.handling_time.observe(began.elapsed().as_secs_f64());
    metrics.messages.count(match handled {
        Ok(Handled::Well) => Handling::Handled,
        Ok(Handled::Badly) => Handling::Failed,
        Err(_) => Handling::Broken,
    });
    handled.map(drop)
}
