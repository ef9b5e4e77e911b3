//! One guest in one store, alive from start to trap or shutdown: what most actors are made of.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use log::Level;
use wasmtime::Store;

use super::called::{Called, GuestError};
use super::callee::{Callee, Functions, fits};
use super::exports::{Hook, Intent};
use super::fault::fault;
use super::host::durability::Phase;
use super::host::{Commitments, Guest};
use super::replay::Origin;
use super::slices::{Meter, Pace, SLICE_BEATS};
use super::snapshot::Snapshot;
use super::starter::{Birth, Starter};
use crate::actor::{Fault, Handled, Place, Unsnapped};
use crate::id::ActorId;
use crate::message::{Envelope, Failure, Message, Nature};

/// A running guest. After a trap its store is dropped with it: nothing of it is used again.
pub struct Instance {
    pub(super) store: Store<Guest>,
    pub(super) functions: Functions,
    /// What the node keeps for a guest whose only handler is a transition.
    pub(super) state: Arc<str>,
    pub(super) pace: Pace,
}

impl Instance {
    /// Instantiates, calls `init`, replays the journal, and calls `post-init`; an error of any is a fault.
    pub async fn start(starter: &Starter, place: &Place<Starter>) -> Result<Self, Fault> {
        let origin = Origin::of(starter, &place.actor).await?;
        let (mut store, meter) = open(starter, place);
        store.data_mut().journal.phase = Phase::Starting;
        let pace = starter.pace(&meter);
        let started = pace
            .run(pin!(begin(&mut store, starter, &origin.birth)))
            .await;
        let (functions, kept) = settled(&store, started)?;
        let has_state = kept.is_some() || !functions.is_state_machine();
        let mut instance = Self {
            store,
            functions,
            state: kept.unwrap_or_default(),
            pace,
        };
        instance.store.data_mut().journal.snapshots = instance.functions.tells_state();
        let replays = origin.has_entries();
        if replays {
            if !has_state {
                instance.first_state().await?;
            }
            instance.replay(&origin).await?;
        }
        let asks_state = !has_state && !replays;
        instance.finish_start(&origin.birth, asks_state).await?;
        instance.store.data_mut().has_begun = true;
        Ok(instance)
    }

    /// The hooks that follow `init`.
    async fn finish_start(&mut self, birth: &Birth, asks_state: bool) -> Result<(), Fault> {
        let hooks = wake(&mut self.store, &self.functions, birth);
        let woken = self.pace.run(pin!(hooks)).await;
        settled(&self.store, woken)?;
        if asks_state {
            self.first_state().await?;
        }
        Ok(())
    }

    /// The state that a state machine begins with.
    async fn first_state(&mut self) -> Result<(), Fault> {
        let asking = get_state(&mut self.store, &self.functions);
        let asked = self.pace.run(pin!(asking)).await;
        self.state = settled(&self.store, asked)?;
        Ok(())
    }

    /// What `get-supervisor-tree` answers, in an instance that is dropped then.
    pub async fn tree(starter: &Starter, place: &Place<Starter>) -> Result<Bytes, Fault> {
        let (mut store, meter) = open(starter, place);
        let asking = async {
            let functions = Functions::start(&mut store, starter).await?;
            let asked = functions.hook(&mut store, Hook::SupervisorTree).await;
            asked.unwrap_or(Ok(Ok(Bytes::new())))
        };
        let asked = starter.pace(&meter).run(pin!(asking)).await;
        match asked {
            Ok(Ok(tree)) => Ok(tree),
            Ok(Err(error)) => Err(Fault::Broken(format!(
                "get-supervisor-tree failed: {}",
                error.into_text()
            ))),
            Err(error) => Err(fault("telling its supervisor tree", &store, &error)),
        }
    }

    /// Handles one message and answers it, unless the guest has done so or will later.
    pub async fn handle(&mut self, envelope: Envelope) -> Result<Handled, Fault> {
        let intent = intent_of(&envelope);
        self.store.set_epoch_deadline(SLICE_BEATS);
        let guest = self.store.data_mut();
        guest.forget_last_words();
        guest.journal.phase = Phase::Handling;
        if let Some(seat) = &mut guest.seat {
            seat.begins(envelope.message.id);
        }
        let message = guest.conversation.begin(envelope);
        let (callee, pace) = self.parts();
        let called = pace.run(pin!(callee.pass(intent, &message))).await;
        let (mut answer, mut fault) = self.outcome(called, &message);
        if fault.is_none() && self.store.data().journal.wish.is_some() {
            match Box::pin(self.checkpoint()).await {
                Ok(()) => {}
                Err(Unsnapped::Refused(text)) => answer = Err(Failure::Refused(text)),
                Err(Unsnapped::Broken(broken)) => {
                    answer = Err(Failure::Trapped(broken.to_string()));
                    fault = Some(broken);
                }
            }
        }
        self.conclude(answer, fault, &message)
    }

    /// What a message comes to: its answer, and whether it broke the guest.
    fn outcome(
        &self,
        called: Option<Called<Bytes>>,
        message: &Message,
    ) -> (Result<Bytes, Failure>, Option<Fault>) {
        let failure = match called {
            Some(Ok(Ok(payload))) => {
                let fits = fits(&self.store, &payload);
                return (fits.map(|()| payload), None);
            }
            Some(Ok(Err(GuestError::Failed(text)))) => Failure::Refused(text),
            Some(Ok(Err(GuestError::NotImplemented(text)))) => Failure::NotImplemented(text),
            Some(Err(error)) => match fault("handling a message", &self.store, &error) {
                // The guest was not even entered, so it is as whole as before.
                Fault::NoRoom(text) => Failure::NoRoom(text),
                Fault::Broken(text) => {
                    let failure = Failure::Trapped(text.clone());
                    return (Err(failure), Some(Fault::Broken(text)));
                }
            },
            None => Failure::Unhandled(self.no_handler(&message.message_type)),
        };
        (Err(failure), None)
    }

    /// Lets onlookers see how much memory it holds.
    pub fn shows_memory(&self) {
        self.store.data().shows_memory();
    }

    /// Answers whoever waits, and shows onlookers what has come of the message.
    fn conclude(
        &mut self,
        answer: Result<Bytes, Failure>,
        fault: Option<Fault>,
        message: &Message,
    ) -> Result<Handled, Fault> {
        let guest = self.store.data_mut();
        guest.journal.phase = Phase::Starting;
        if fault.is_none() {
            guest.flush();
            guest.shows_memory();
        }
        let asker = match fault {
            Some(_) => guest.conversation.broken(),
            None => guest.conversation.end(),
        };
        let handled = answer.as_ref().map_or(Handled::Badly, |_| Handled::Well);
        match (asker, &answer) {
            (Some(asker), _) => asker.send(answer),
            (None, Err(failure)) if fault.is_none() => {
                let text = format!("failed a message from {}: {failure}", message.from);
                log::warn!("{} {text}", guest.actor);
                guest.log.keep(Level::Warn, &text);
            }
            (None, _) => {}
        }
        if fault.is_none()
            && let Some(seat) = &mut self.store.data_mut().seat
        {
            seat.ends();
        }
        fault.map_or(Ok(handled), Err)
    }

    /// Asks for the state, after telling that it is wanted. The guest may go on afterwards.
    pub async fn snapshot(&mut self) -> Result<Snapshot, Unsnapped> {
        let (callee, pace) = self.parts();
        let told = pace.run(pin!(callee.tell_state())).await;
        self.store.data().flush();
        match told {
            Ok(Ok(own)) => {
                let journal = self.store.data().mark();
                Ok(Snapshot {
                    journal,
                    ..self.snapshot_of(own)
                })
            }
            Ok(Err(error)) => Err(Unsnapped::Refused(error.into_text())),
            Err(error) => {
                let fault = fault("telling its state", &self.store, &error);
                Err(Unsnapped::Broken(fault))
            }
        }
    }

    /// What the guest tells, with what the node keeps for it.
    pub(super) fn snapshot_of(&self, own: Option<Bytes>) -> Snapshot {
        let kept = self.functions.is_state_machine();
        let kept = kept.then(|| self.state.clone());
        Snapshot {
            own,
            kept,
            journal: None,
        }
    }

    /// Says goodbye.
    pub async fn terminate(mut self) {
        let hook = self.functions.hook(&mut self.store, Hook::Shutdown);
        let ended = self.pace.run(pin!(hook)).await;
        self.store.data().flush();
        match ended {
            None | Some(Ok(Ok(_))) => {}
            Some(Ok(Err(error))) => {
                let actor = self.actor();
                log::warn!("{actor} ended with an error: {}", error.into_text());
            }
            Some(Err(error)) => drop(fault("stopping", &self.store, &error)),
        }
    }

    /// Whether it is told of others' ends.
    pub fn hears_notices(&self) -> bool {
        self.functions.hears_notices()
    }

    /// What stays with the actor when another instance takes the place of this one.
    pub fn into_commitments(self) -> Commitments {
        self.store.into_data().into_commitments()
    }

    pub fn inherit(&mut self, commitments: Commitments) {
        self.store.data_mut().inherit(commitments);
    }

    /// What calls touch, and what drives them.
    pub(super) fn parts(&mut self) -> (Callee<'_>, &Pace) {
        let callee = Callee {
            store: &mut self.store,
            functions: &mut self.functions,
            state: &mut self.state,
        };
        (callee, &self.pace)
    }

    pub(super) fn actor(&self) -> &ActorId {
        &self.store.data().actor
    }

    fn no_handler(&self, message_type: &str) -> String {
        format!(
            "{} has no handler for messages of type {message_type:?}",
            self.actor()
        )
    }
}

/// A store for one instance, and what meters its calls.
fn open(starter: &Starter, place: &Place<Starter>) -> (Store<Guest>, Arc<Meter>) {
    let log = starter.log(&place.actor);
    let meter = Arc::new(Meter::default());
    let commitments = starter.commitments(place);
    let store = starter.store(place, log, None, commitments, &meter);
    (store, meter)
}

/// What a part of a start came to; a refusal is a fault as well.
pub(super) fn settled<T>(
    store: &Store<Guest>,
    done: wasmtime::Result<Result<T, String>>,
) -> Result<T, Fault> {
    store.data().flush();
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(text)) => Err(Fault::Broken(text)),
        Err(error) => Err(fault("starting", store, &error)),
    }
}

/// The functions of a fresh instance and the state kept for it, or what it has against starting.
async fn begin(
    store: &mut Store<Guest>,
    starter: &Starter,
    birth: &Birth,
) -> wasmtime::Result<Result<(Functions, Option<Arc<str>>), String>> {
    let mut functions = Functions::start(store, starter).await?;
    let (state, kept) = match birth {
        Birth::New(state) => (state.clone(), None),
        Birth::Resumed(left) => (left.own.clone().unwrap_or_default(), left.kept.clone()),
    };
    if let Err(error) = functions.init(store, state).await? {
        return Ok(Err(failed("init", error)));
    }
    let kept = kept.filter(|_| functions.is_state_machine());
    Ok(Ok((functions, kept)))
}

async fn wake(
    store: &mut Store<Guest>,
    functions: &Functions,
    birth: &Birth,
) -> wasmtime::Result<Result<(), String>> {
    if let Some(Err(error)) = functions.hook(store, Hook::PostInit).await.transpose()? {
        return Ok(Err(failed("post-init", error)));
    }
    if matches!(birth, Birth::Resumed(_))
        && let Some(Err(error)) = functions.hook(store, Hook::PostResume).await.transpose()?
    {
        return Ok(Err(failed("post-resume", error)));
    }
    Ok(Ok(()))
}

async fn get_state(
    store: &mut Store<Guest>,
    functions: &Functions,
) -> wasmtime::Result<Result<Arc<str>, String>> {
    Ok(
        match functions.hook(store, Hook::GetState).await.transpose()? {
            Some(Ok(state)) => Ok(String::from_utf8_lossy(&state).into()),
            Some(Err(error)) => Err(failed("get-state", error)),
            None => Ok(Arc::default()),
        },
    )
}

fn failed(name: &str, error: GuestError) -> String {
    format!("{name} failed: {}", error.into_text())
}

fn intent_of(envelope: &Envelope) -> Intent {
    match (envelope.message.nature, &envelope.reply) {
        (Nature::Sent, Some(_)) => Intent::Ask,
        (Nature::Sent, None) => Intent::Tell,
        (Nature::Notice, _) => Intent::Notice,
        (Nature::Event, _) => Intent::Event,
    }
}
