//! Where actors live: spawn, tell, ask, stop.
//!
//! ```text
//!            start ok                    stop wished
//! (plant) ──────────────► running ─────────────────────► stopping ──► gone
//!    │ start fails           │ ends: its ties hear of it    shutdown, within its time
//!    ▼                       ▼
//!  all undone         its supervisor ──leaves it──► stopped (the mailbox is closed)
//!                            │ starts it anew
//!                            └──► same id and mailbox, new life ──► running
//! ```

mod bearers;
mod behavior;
mod bell;
mod birth;
mod busy;
mod cell;
mod control;
mod deferred;
mod directory;
mod driver;
mod exit;
mod grove;
mod mailbox;
mod notice;
mod outcome;
mod parting;
mod place;
mod resident;
mod spec;
mod supervision;
mod swap;
mod ties;
mod timer;
mod tree;
mod upgrade;
mod verdict;
mod view;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::id::{ActorId, ApplicationName, NodeId, Scope};
use crate::message::{Envelope, Failure, Message, MessageId, Nature, Reply};
use crate::metrics::{Ask, Metrics, Undelivered};
use crate::storage::Logs;

pub use bearers::Match;
pub use behavior::{Behavior, Fault, Handled, Start, Unsnapped};
pub use cell::Vitals;
pub use control::Farewell;
pub use deferred::Deferred;
pub use directory::Census;
pub use exit::Exit;
pub use mailbox::Bounds;
pub use place::{Kin, Place, Spawn, SpawnError};
pub use spec::{ChildSpec, Restart, Strategy, SupervisorSpec, TreeError, TreeSpec};
pub use ties::TieError;
pub use timer::{TimerError, Timers};
pub use tree::{Estate, Left, NotStarted, Planting, Standing, Tree};
pub use upgrade::{Ready, Renew, UpgradeError};
pub use view::{NodeState, NodeView, View, Worker};

use directory::Directory;
use mailbox::{PushError, Returned};
use resident::Resident;
use ties::Ties;

/// All actors of this node, as those who talk to them see them.
#[derive(Clone)]
pub struct Actors {
    node: NodeId,
    clock: Clock,
    metrics: Arc<Metrics>,
    logs: Logs,
    directory: Directory,
    ties: Ties,
    budget: Budget,
}

/// An actor as it was found by an address. It may end before a message reaches it.
#[derive(Clone)]
pub struct Recipient(Arc<Resident>);

/// Why a message was not delivered or not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("no actor {0:?} on this node")]
    UnknownActor(String),
    #[error(
        "Payload too large: actor {to} takes messages of at most {max} bytes, this one has {bytes}; send less, \
         or raise its max_message_bytes"
    )]
    TooLong {
        to: Arc<str>,
        bytes: usize,
        max: usize,
    },
    #[error("the mailbox of actor {0} is full; send again later")]
    MailboxFull(Arc<str>),
    #[error(
        "this node keeps as many bytes in messages as it may, so actor {0} gets none now; send again later"
    )]
    NodeFull(Arc<str>),
    #[error("actor {0} stopped before it answered")]
    Stopped(Arc<str>),
    #[error("actor {0} did not answer within its deadline")]
    DeadlineExceeded(Arc<str>),
    #[error("{0}")]
    Failed(Failure),
}

impl Actors {
    pub fn new(node: NodeId, clock: Clock, metrics: Arc<Metrics>, logs: Logs) -> Self {
        Self {
            node,
            clock,
            metrics,
            logs,
            directory: Directory::default(),
            ties: Ties::default(),
            budget: Budget::new(usize::MAX),
        }
    }

    /// The same, with mailboxes, timers and doors that share so many bytes; without it each has its own bounds only.
    pub fn sharing(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// What everything that keeps messages shares.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    pub fn node(&self) -> &NodeId {
        &self.node
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Where what happens to actors is written.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// How many actors run, and what waits for them.
    pub fn census(&self) -> Census {
        self.directory.census()
    }

    /// A message from `from`, stamped with an id and the time.
    pub fn message(
        &self,
        from: Arc<str>,
        message_type: impl Into<Arc<str>>,
        payload: Bytes,
    ) -> Message {
        Message {
            id: MessageId::next(),
            from,
            message_type: message_type.into(),
            nature: Nature::Sent,
            payload,
            correlation: None,
            sent_at_ms: self.clock.wall_ms(),
            headers: Vec::new(),
        }
    }

    /// The actor of this address, which may lack `@NODE`.
    pub fn recipient(&self, to: &str) -> Result<Recipient, SendError> {
        let found = self.directory.resolve(to, &self.node).map(Recipient);
        found.ok_or_else(|| {
            self.metrics.undelivered.count(Undelivered::UnknownActor);
            SendError::unknown(to)
        })
    }

    /// The actor that another one calls so: within its application without the prefix.
    pub fn recipient_for(&self, actor: &ActorId, to: &str) -> Result<Recipient, SendError> {
        let found = (self.directory).resolve_within(actor.application(), to, &self.node);
        found.map(Recipient).ok_or_else(|| SendError::unknown(to))
    }

    /// While this stays the same, every address leads to where it led before.
    pub fn edition(&self) -> u64 {
        self.directory.edition()
    }

    /// Puts a message into the mailbox of the actor at this address, and waits for nothing.
    pub fn tell(&self, to: &str, message: Message) -> Result<MessageId, SendError> {
        self.send(&self.recipient(to)?, message)
    }

    /// Puts a message into a mailbox and waits for nothing.
    pub fn send(&self, to: &Recipient, message: Message) -> Result<MessageId, SendError> {
        let id = message.id;
        self.deliver(to, Envelope::tell(message))
            .map_err(|(error, _)| error)?;
        Ok(id)
    }

    /// Hands an ask on: whoever gets the message answers the one who asked. Undelivered, the reply comes back, so
    /// that it can still be used here.
    pub fn forward(
        &self,
        to: &Recipient,
        message: Message,
        reply: Reply,
    ) -> Result<MessageId, (SendError, Reply)> {
        let id = message.id;
        match self.deliver(to, Envelope::ask(message, reply)) {
            Ok(()) => Ok(id),
            Err((error, envelope)) => {
                let reply = envelope.reply.expect("the envelope was made with one");
                Err((error, reply))
            }
        }
    }

    /// Sends a message and waits for its answer until the deadline. The deadline ends the wait, not the work;
    /// a message whose deadline has passed before its turn is not handled at all.
    pub async fn ask(
        &self,
        to: &str,
        message: Message,
        deadline: Instant,
    ) -> Result<Bytes, SendError> {
        match self.recipient(to) {
            Ok(to) => self.ask_of(&to, message, deadline).await,
            Err(error) => {
                self.metrics.asks.count((&error).into());
                Err(error)
            }
        }
    }

    /// The same, of an actor that was looked up before.
    pub async fn ask_of(
        &self,
        to: &Recipient,
        message: Message,
        deadline: Instant,
    ) -> Result<Bytes, SendError> {
        let answered = self.answer(to, message, deadline).await;
        self.metrics.asks.count(match &answered {
            Ok(_) => Ask::Answered,
            Err(error) => error.into(),
        });
        answered
    }

    async fn answer(
        &self,
        to: &Recipient,
        message: Message,
        deadline: Instant,
    ) -> Result<Bytes, SendError> {
        let (reply, answer) = Reply::channel();
        let address = to.id().address().clone();
        self.deliver(to, Envelope::ask(message, reply))
            .map_err(|(error, _)| error)?;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(Ok(payload))) => Ok(payload),
            Ok(Ok(Err(failure))) => Err(SendError::Failed(failure)),
            Ok(Err(_)) => Err(SendError::Stopped(address)),
            Err(_) => Err(SendError::DeadlineExceeded(address)),
        }
    }

    /// The whole address of an actor, from one that may lack `@NODE`.
    pub fn address(&self, address: &str) -> Option<Arc<str>> {
        let resident = self.directory.resolve(address, &self.node)?;
        Some(resident.id.address().clone())
    }

    /// The application that the actor at this address belongs to.
    pub fn application_of(&self, address: &str) -> Option<ApplicationName> {
        let resident = self.directory.resolve(address, &self.node)?;
        Some(resident.id.application().clone())
    }

    /// Resolves once the actor is to be stopped or swapped: what it waits for without a limit ends then. Never for one
    /// that is not listed, as during its start, which has a limit of its own.
    pub fn interrupted(&self, id: &ActorId) -> impl Future<Output = ()> + Send + use<> {
        let listed = self.directory.resolve(id.address(), &self.node);
        async move {
            match listed {
                Some(resident) => resident.control.interrupted().await,
                None => std::future::pending().await,
            }
        }
    }

    /// The actors of a type within a tenant, by namespace or by the application's name.
    pub fn find(&self, tenant: &Scope, namespace: &str, actor_type: &str) -> Match {
        self.directory.find(tenant, namespace, actor_type)
    }

    /// Puts an envelope where it belongs, else gives it back.
    fn deliver(
        &self,
        Recipient(resident): &Recipient,
        envelope: Envelope,
    ) -> Result<(), (SendError, Envelope)> {
        let Err(Returned { why, envelope }) = resident.mailbox.push(envelope) else {
            return Ok(());
        };
        let address = resident.id.address().clone();
        let (reason, error) = match why {
            PushError::TooLong { bytes, max } => {
                let to = address;
                (Undelivered::TooLong, SendError::TooLong { to, bytes, max })
            }
            PushError::Full => (Undelivered::MailboxFull, SendError::MailboxFull(address)),
            PushError::NodeFull => (Undelivered::NodeFull, SendError::NodeFull(address)),
            PushError::Closed => (Undelivered::Stopped, SendError::Stopped(address)),
        };
        self.metrics.undelivered.count(reason);
        Err((error, envelope))
    }
}

impl SendError {
    fn unknown(to: &str) -> Self {
        Self::UnknownActor(to.chars().take(255).collect())
    }
}

impl Recipient {
    pub fn id(&self) -> &ActorId {
        &self.0.id
    }
}

impl From<&SendError> for Ask {
    fn from(error: &SendError) -> Self {
        match error {
            SendError::UnknownActor(_)
            | SendError::TooLong { .. }
            | SendError::MailboxFull(_)
            | SendError::NodeFull(_) => Self::Undelivered,
            SendError::Stopped(_) => Self::Stopped,
            SendError::DeadlineExceeded(_) => Self::DeadlineExceeded,
            SendError::Failed(Failure::Refused(_)) => Self::Failed,
            SendError::Failed(Failure::Trapped(_)) => Self::Broken,
            SendError::Failed(Failure::Unhandled(_) | Failure::NotImplemented(_)) => {
                Self::Unhandled
            }
            SendError::Failed(Failure::NoRoom(_)) => Self::NoRoom,
        }
    }
}

/// Waits for `work` no longer than `grace`.
async fn within<T>(grace: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(grace, work).await.ok()
}
