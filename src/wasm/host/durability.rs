//! The actor's journal: the meaning once, as the WIT trait; `core_durability` spells it for core modules.

use bytes::Bytes;

use super::bindings::durability::{Host, JournalEntry};
use super::bindings::types::{ActorError, Context, ErrorCode};
use super::keyvalue::storage_code;
use super::{Guest, actor_error};
use crate::limits;
use crate::services::workflows::Seat as RunSeat;
use crate::storage::{Event, JournalError, Span};
use crate::wasm::exchange;
use crate::wasm::snapshot::Mark;

/// The interface's functions, by name.
pub const FUNCTIONS: &[&str] = &[
    "persist",
    "persist-batch",
    "checkpoint",
    "get-sequence",
    "get-checkpoint-sequence",
    "is-replaying",
    "cache-side-effect",
    "read-journal",
    "compact",
];

type Answer<T> = wasmtime::Result<Result<T, ActorError>>;

/// What a guest is about to do with its journal.
#[derive(Default)]
pub struct Seat {
    pub phase: Phase,
    /// Whether it can tell its state.
    pub snapshots: bool,
    pub wish: Option<Wish>,
}

/// What the guest is being called for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It starts, ends or tells its state.
    Starting,
    Replaying,
    #[default]
    Handling,
}

/// A checkpoint that is made as soon as the message is handled: a guest cannot be asked for its state meanwhile.
#[derive(Clone, Copy, Default)]
pub struct Wish {
    /// The number that was last given when it was asked for.
    sequence: u64,
    pub compact_to: u64,
}

impl Host for Guest {
    async fn persist(
        &mut self,
        context: Context,
        event_type: String,
        payload: Vec<u8>,
    ) -> Answer<u64> {
        Ok(self.append(&context, vec![(event_type, payload)]).await)
    }

    async fn persist_batch(
        &mut self,
        context: Context,
        events: Vec<(String, Vec<u8>)>,
    ) -> Answer<u64> {
        Ok(self.append(&context, events).await)
    }

    fn checkpoint(&mut self, context: Context) -> Answer<u64> {
        Ok(self.wish_for_checkpoint(&context))
    }

    fn get_sequence(&mut self, context: Context) -> Answer<u64> {
        Ok(self.place(&context).map(|_| self.last_sequence()))
    }

    fn get_checkpoint_sequence(&mut self, context: Context) -> Answer<u64> {
        Ok(self.place(&context).map(|_| self.checkpoint_sequence()))
    }

    fn is_replaying(&mut self, context: Context) -> Answer<bool> {
        let replays = match &self.seat {
            Some(seat) => seat.is_replaying(),
            None => self.journal.phase == Phase::Replaying,
        };
        Ok(self.place(&context).map(|_| replays))
    }

    async fn cache_side_effect(
        &mut self,
        context: Context,
        key: String,
        result_value: Vec<u8>,
    ) -> Answer<Vec<u8>> {
        if self.seat.as_ref().is_some_and(RunSeat::is_in_hand) {
            return self.done_once(&context, key, result_value).await;
        }
        Ok(self.recorded(&context, key, result_value).await)
    }

    async fn read_journal(
        &mut self,
        context: Context,
        from_sequence: u64,
        to_sequence: u64,
        limit: u32,
    ) -> Answer<Vec<JournalEntry>> {
        let span = Span {
            from: from_sequence,
            to: if to_sequence == 0 {
                u64::MAX
            } else {
                to_sequence
            },
            limit: if limit == 0 {
                usize::MAX
            } else {
                limit as usize
            },
        };
        Ok(self.entries(&context, span).await)
    }

    async fn compact(&mut self, context: Context, up_to_sequence: u64) -> Answer<()> {
        Ok(self.compact_to(&context, up_to_sequence).await)
    }
}

impl Guest {
    /// How far its journal has come, if it has one.
    pub fn mark(&self) -> Option<Mark> {
        let head = self.services.storage.journals.head(&self.actor);
        (head.begun_ms > 0).then(|| head.into())
    }

    async fn append(
        &mut self,
        context: &Context,
        events: Vec<(String, Vec<u8>)>,
    ) -> Result<u64, ActorError> {
        self.place(context)?;
        self.may_write(Phase::Handling)?;
        let mut laid_down = Vec::with_capacity(events.len());
        let mut shares = Vec::with_capacity(events.len());
        for (event_type, payload) in events {
            let (payload, share) = self.laid_down(payload)?;
            shares.push(share);
            laid_down.push(Event {
                event_type,
                payload,
            });
        }
        let (journals, now_ms) = (
            &self.services.storage.journals,
            self.actors.clock().wall_ms(),
        );
        Ok(journals.append(&self.actor, laid_down, now_ms).await?)
    }

    fn wish_for_checkpoint(&mut self, context: &Context) -> Result<u64, ActorError> {
        self.place(context)?;
        self.may_write(Phase::Handling)?;
        if !self.journal.snapshots {
            let text = "a checkpoint keeps what snapshot-state answers, and this guest has no such function";
            return Err(actor_error(ErrorCode::NotPermitted, text));
        }
        let sequence = self.last_sequence();
        let wish = self.journal.wish.get_or_insert_default();
        wish.sequence = sequence;
        Ok(sequence)
    }

    fn last_sequence(&self) -> u64 {
        self.services.storage.journals.head(&self.actor).sequence
    }

    fn checkpoint_sequence(&self) -> u64 {
        let head = self.services.storage.journals.head(&self.actor);
        let wished = self.journal.wish.map_or(0, |wish| wish.sequence);
        head.checkpoint_sequence.max(wished)
    }

    async fn recorded(
        &mut self,
        context: &Context,
        key: String,
        value: Vec<u8>,
    ) -> Result<Vec<u8>, ActorError> {
        self.place(context)?;
        self.may_write(Phase::Replaying)?;
        let (value, _share) = self.laid_down(value)?;
        let (journals, now_ms) = (
            &self.services.storage.journals,
            self.actors.clock().wall_ms(),
        );
        let recorded = journals.record(&self.actor, &key, value, now_ms).await?;
        self.fits(recorded.len())?;
        Ok(recorded.into())
    }

    /// The same as a step of the run that the guest carries out.
    async fn done_once(
        &mut self,
        context: &Context,
        key: String,
        value: Vec<u8>,
    ) -> Answer<Vec<u8>> {
        let checked = self.place(context).and_then(|_| self.laid_down(value));
        let (value, _share) = match checked {
            Ok(checked) => checked,
            Err(error) => return Ok(Err(error)),
        };
        if !(1..=limits::KEY_BYTES_MAX).contains(&key.len()) {
            return Ok(Err(JournalError::Key(key.len()).into()));
        }
        match &mut self.seat {
            Some(seat) => Ok(Ok(seat.once(&key, value).await?.into())),
            None => Ok(Ok(value.into())),
        }
    }

    async fn entries(
        &mut self,
        context: &Context,
        span: Span,
    ) -> Result<Vec<JournalEntry>, ActorError> {
        self.place(context)?;
        let bytes_max = exchange::passed_bytes_max(&self.limits);
        let journals = &self.services.storage.journals;
        let entries = journals.read(&self.actor, span, bytes_max).await?;
        let entries = entries.into_iter().map(|entry| JournalEntry {
            sequence: entry.sequence,
            event_type: entry.event.event_type,
            payload: Bytes::into(entry.event.payload),
            timestamp: entry.timestamp_ms,
        });
        Ok(entries.collect())
    }

    async fn compact_to(&mut self, context: &Context, up_to: u64) -> Result<(), ActorError> {
        self.place(context)?;
        self.may_write(Phase::Handling)?;
        let journals = self.services.storage.journals.clone();
        let kept = journals.head(&self.actor).checkpoint_sequence;
        if let Some(wish) = &mut self.journal.wish
            && (kept + 1..=wish.sequence).contains(&up_to)
        {
            wish.compact_to = wish.compact_to.max(up_to);
            return Ok(());
        }
        Ok(journals.compact(&self.actor, up_to).await?)
    }

    /// A life that begins or is being shown what happened adds nothing to it.
    fn may_write(&self, from: Phase) -> Result<(), ActorError> {
        if self.seat.is_some() {
            let text = "the steps of a workflow are its journal: of durability it has cache-side-effect, while it is at \
                        work, and is-replaying";
            return Err(actor_error(ErrorCode::NotPermitted, text));
        }
        let phase = self.journal.phase;
        if phase == Phase::Handling || phase == from {
            return Ok(());
        }
        let text = "an actor changes its journal while it handles a message, not while it starts, is replayed, tells \
                    its state or ends";
        Err(actor_error(ErrorCode::NotPermitted, text))
    }
}

impl From<JournalError> for ActorError {
    fn from(error: JournalError) -> Self {
        let code = match &error {
            JournalError::Type(_) | JournalError::Key(_) | JournalError::NotHeld { .. } => {
                ErrorCode::InvalidMessage
            }
            JournalError::TooMany { .. } | JournalError::Spent(_) => ErrorCode::ResourceExhausted,
            JournalError::Storage(error) => storage_code(error),
        };
        actor_error(code, error.to_string())
    }
}
