//! The task of one run: it has its actor started, gives it what it is to handle, and writes down how it ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::run::{Mood, Run, Verdict};
use super::stage::{Stage, Unstarted};
use super::{BEGINS, Workflows, run_id};
use crate::actor::SendError;
use crate::id::ActorId;
use crate::limits;
use crate::message::{Failure, Message, Nature};
use crate::storage::{Ending, RunHead, RunStatus, Step, StorageError};

pub(super) struct Driver {
    pub workflows: Workflows,
    pub run: Arc<Run>,
    pub stage: Stage,
}

/// What follows a life.
enum Next {
    Ends(RunStatus, Option<String>, Bytes),
    /// Another life later: there was no room, or its actor was ended by others.
    Stumbles(String),
    /// It makes room for as long as it has nothing to do.
    Parks(Until),
    /// Its application comes to rest, or it has ended meanwhile.
    Leaves,
}

/// What a run without an actor waits for.
#[derive(Clone, Copy)]
enum Until {
    /// This moment, by the store's time.
    Due(u64),
    /// More signals than so many, or somebody who wants to ask it.
    Signals(u64),
}

/// An answer to a message of the run's own.
type Answer = Result<Bytes, SendError>;

impl Driver {
    pub async fn drive(self) {
        let mut wait = limits::RUN_RETRY_FIRST;
        loop {
            let (began, wishes) = (Instant::now(), self.run.wishes());
            let next = self.life().await;
            if let Some(actor) = self.run.end_life() {
                (self.stage.stop)(actor).await;
            }
            match next {
                Next::Leaves => return,
                Next::Parks(until) => {
                    if !self.parked(until, wishes).await {
                        return;
                    }
                }
                Next::Ends(status, reason, result) => match self.ends(status, reason, result).await
                {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(text) => {
                        self.says(&text);
                        if !self.pauses_for(&mut wait).await {
                            return;
                        }
                    }
                },
                Next::Stumbles(text) => {
                    self.says(&format!("goes on later: {text}"));
                    if began.elapsed() > limits::RUN_RETRY_MAX {
                        wait = limits::RUN_RETRY_FIRST;
                    }
                    if !self.pauses_for(&mut wait).await {
                        return;
                    }
                }
            }
        }
    }

    /// One life of the run's actor, from its start to whatever ends it.
    async fn life(&self) -> Next {
        let (run, workflows) = (&self.run, &self.workflows.0.storage.workflows);
        let found = match workflows.begin(&run.application, &run.id).await {
            Ok(found) => found,
            Err(error) => return Next::Stumbles(error.to_string()),
        };
        let Some((head, input)) = found.filter(|(head, _)| head.status == RunStatus::Running)
        else {
            return Next::Leaves;
        };
        run.has_signals(head.signals);
        if head.deadline_ms.is_some_and(|it| it <= workflows.now_ms()) {
            return late();
        }
        match self.asleep(&head).await {
            Ok(None) => {}
            Ok(Some(due_ms)) => return Next::Parks(Until::Due(due_ms)),
            Err(error) => return Next::Stumbles(error.to_string()),
        }
        let life = run.begin_life(&head.run_id, head.steps);
        let work = async {
            workflows.sleep_until(head.not_before_ms).await;
            run.feels(Mood::Working);
            match self.started(life).await {
                Ok(actor) => {
                    run.is_carried_out_by(actor.clone());
                    self.carry_out(&actor, input).await
                }
                Err(Unstarted::NoRoom(text)) => Next::Stumbles(text),
                Err(Unstarted::Unknown(text) | Unstarted::Broken(text)) => {
                    Next::Ends(RunStatus::Failed, Some(text), Bytes::new())
                }
            }
        };
        tokio::select! {
            biased;
            _ = run.ends() => Next::Leaves,
            () = self.deadline(&head) => late(),
            () = self.at_rest() => Next::Leaves,
            next = work => next,
        }
    }

    /// Until when it sleeps, if that is long and the last thing that it did: then it needs no actor yet.
    async fn asleep(&self, head: &RunHead) -> Result<Option<u64>, StorageError> {
        let Some(last) = head.steps.checked_sub(1) else {
            return Ok(None);
        };
        let (run, workflows) = (&self.run, &self.workflows.0.storage.workflows);
        let steps = workflows.steps(&run.application, &run.id, last).await?;
        let waits = |step: &Step| step.outcome.is_none() && !step.under_way;
        let due_ms = steps.first().filter(|it| waits(&it.step));
        let due_ms = due_ms.map_or(0, |it| it.step.due_ms);
        Ok(Some(due_ms).filter(|due_ms| self.is_long_until(*due_ms)))
    }

    fn is_long_until(&self, due_ms: u64) -> bool {
        let idle_ms = limits::RUN_IDLE_MAX.as_millis() as u64;
        due_ms.saturating_sub(self.workflows.0.storage.workflows.now_ms()) > idle_ms
    }

    /// Starts the actor. One that is there only after its life has ended is stopped again.
    async fn started(&self, life: u64) -> Result<ActorId, Unstarted> {
        let (run, stage) = (self.run.clone(), self.stage.clone());
        let starting = tokio::spawn(async move {
            let started = (stage.run)(run.clone()).await;
            if let Ok(actor) = &started
                && !run.lives(life)
            {
                (stage.stop)(actor.clone()).await;
            }
            started
        });
        let lost = |_| Err(Unstarted::NoRoom("its start was cut off".into()));
        starting.await.unwrap_or_else(lost)
    }

    /// Gives the actor the input, then the signals, each when the one before is handled.
    async fn carry_out(&self, actor: &ActorId, input: Bytes) -> Next {
        let run = &self.run;
        let mut result = Box::pin(self.given(actor, BEGINS, input, Nature::Sent));
        let (mut moods, mut taken) = (run.moods(), 0);
        loop {
            let mood = moods.borrow_and_update().clone();
            tokio::select! {
                biased;
                answer = &mut result => return self.ended(answer),
                () = std::future::ready(()) => {}
            }
            if mood == Mood::Idle && taken < run.signals() {
                match self.signalled(actor, taken).await {
                    Ok(()) => {
                        taken += 1;
                        run.has_handled(taken);
                    }
                    Err(next) => return next,
                }
                continue;
            }
            tokio::select! {
                biased;
                answer = &mut result => return self.ended(answer),
                _ = moods.changed() => {}
                () = run.gets_more_than(taken), if mood == Mood::Idle => {}
                () = self.is_idle_long(&mood) => {
                    return Next::Parks(match mood {
                        Mood::Sleeping(due_ms) => Until::Due(due_ms),
                        _ => Until::Signals(taken),
                    });
                }
            }
        }
    }

    /// Gives the actor a signal and waits until it is handled. What it answers is nobody's; breaking ends the run.
    async fn signalled(&self, actor: &ActorId, number: u64) -> Result<(), Next> {
        let (run, workflows) = (&self.run, &self.workflows.0.storage.workflows);
        let found = workflows.signal_at(&run.application, &run.id, number).await;
        let (name, payload) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Err(Next::Stumbles(format!("signal {number} is not there"))),
            Err(error) => return Err(Next::Stumbles(error.to_string())),
        };
        run.takes_signal(number);
        let mut moods = run.moods();
        let mut answer = Box::pin(self.given(actor, &name, payload, Nature::Event));
        loop {
            let parks = {
                let mood = moods.borrow_and_update().clone();
                match mood {
                    // It is handled, though its answer may come later, or never.
                    Mood::Idle => return Ok(()),
                    Mood::Sleeping(due_ms) => Some((mood, due_ms)),
                    _ => None,
                }
            };
            let asleep_long = async {
                match &parks {
                    Some((mood, due_ms)) => {
                        self.is_idle_long(mood).await;
                        *due_ms
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                answer = &mut answer => match answer {
                    // It may take it badly, and goes on.
                    Ok(_) | Err(SendError::Failed(
                        Failure::Refused(_) | Failure::Unhandled(_) | Failure::NotImplemented(_),
                    )) => {}
                    Err(error) => return Err(self.ended(Err(error))),
                },
                _ = moods.changed() => continue,
                due_ms = asleep_long => return Err(Next::Parks(Until::Due(due_ms))),
            }
            // Answered; it is idle a moment later.
            let idle = moods.wait_for(|mood| *mood == Mood::Idle || *mood == Mood::Away);
            let _ = idle.await;
            return Ok(());
        }
    }

    fn given(
        &self,
        actor: &ActorId,
        message_type: &str,
        payload: Bytes,
        nature: Nature,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let actors = self.workflows.0.actors.clone();
        let from = format!("workflow@{}", actors.node());
        let mut message: Message = actors.message(from.into(), message_type, payload);
        message.nature = nature;
        message.headers = vec![
            ("workflow-id".into(), self.run.id.to_string()),
            ("run-id".into(), self.run.run_id().to_string()),
        ];
        self.run.gives(message.id);
        let address = actor.address().clone();
        async move {
            let deadline = Instant::now() + limits::RUN_STEP_MAX;
            actors.ask(&address, message, deadline).await
        }
    }

    /// What an answer to the first message comes to.
    fn ended(&self, answer: Answer) -> Next {
        match self.run.verdict() {
            Some(Verdict::Fails(text)) => return failed(text),
            Some(Verdict::Stumbles(text)) => return Next::Stumbles(text),
            None => {}
        }
        match answer {
            Ok(result) => Next::Ends(RunStatus::Completed, None, result),
            Err(SendError::Failed(Failure::NoRoom(text))) => Next::Stumbles(text),
            Err(SendError::Failed(failure)) => failed(failure.to_string()),
            Err(error @ SendError::TooLong { .. }) => failed(error.to_string()),
            Err(error) => Next::Stumbles(error.to_string()),
        }
    }

    /// Writes down the end of an attempt. `false` where another one follows.
    async fn ends(
        &self,
        status: RunStatus,
        reason: Option<String>,
        result: Bytes,
    ) -> Result<bool, String> {
        let (run, workflows) = (&self.run, &self.workflows.0.storage.workflows);
        let reason = reason.map(|it| it.chars().take(limits::RUN_REASON_CHARS_MAX).collect());
        if status == RunStatus::Failed
            && let Ok(Some((head, _))) = workflows.find(&run.application, &run.id).await
            && let Some(wait) = head.retry.wait_after(head.attempt)
        {
            let text = reason.as_deref().unwrap_or_default();
            self.says(&format!("attempt {} failed: {text}", head.attempt));
            let next = run_id(&run.id, head.started_ms, head.attempt + 1);
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let at_ms = workflows.now_ms().saturating_add(wait_ms);
            let names = (&*head.run_id, &*next);
            let again = workflows.again(&run.application, &run.id, names, at_ms);
            return again.await.map(|()| false).map_err(|it| it.to_string());
        }
        if let Some(reason) = &reason {
            self.says(&format!("is {}: {reason}", status.in_words()));
        }
        let ending = Ending {
            status,
            reason,
            result,
        };
        let ended = self.workflows.end(run, ending).await;
        ended.map(|()| true).map_err(|error| error.to_string())
    }

    /// Waits without an actor. `false` where there is to be none again.
    async fn parked(&self, until: Until, mut wishes: watch::Receiver<u64>) -> bool {
        let (run, workflows) = (&self.run, &self.workflows.0.storage.workflows);
        let (mood, due_ms, signals) = match until {
            Until::Due(due_ms) => (Mood::Sleeping(due_ms), Some(due_ms), u64::MAX),
            Until::Signals(taken) => (Mood::Idle, None, taken),
        };
        run.feels(mood);
        let deadline = match workflows.find(&run.application, &run.id).await {
            Ok(Some((head, _))) => head.deadline_ms,
            _ => None,
        };
        let due = async {
            match due_ms.into_iter().chain(deadline).min() {
                Some(at_ms) => workflows.sleep_until(at_ms).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = run.ends() => false,
            () = run.is_to_pause() => false,
            () = due => true,
            () = run.gets_more_than(signals) => true,
            _ = wishes.changed(), if due_ms.is_none() => true,
        }
    }

    /// Waits a while, longer each time. `false` where there is nothing to go on with.
    async fn pauses_for(&self, wait: &mut Duration) -> bool {
        let slept = *wait;
        *wait = (slept * 2).min(limits::RUN_RETRY_MAX);
        tokio::select! {
            biased;
            _ = self.run.ends() => false,
            () = self.run.is_to_pause() => false,
            () = tokio::time::sleep(slept) => true,
        }
    }

    /// Resolves when the run is to be at rest, and is.
    async fn at_rest(&self) {
        self.run.is_to_pause().await;
        let rests = |mood: &Mood| {
            matches!(
                mood,
                Mood::Away | Mood::Idle | Mood::Held | Mood::Sleeping(_)
            )
        };
        let _ = self.run.moods().wait_for(rests).await;
    }

    async fn deadline(&self, head: &RunHead) {
        match head.deadline_ms {
            Some(at_ms) => {
                self.workflows.0.storage.workflows.sleep_until(at_ms).await;
            }
            None => std::future::pending().await,
        }
    }

    async fn is_idle_long(&self, mood: &Mood) {
        match mood {
            Mood::Idle => tokio::time::sleep(limits::RUN_IDLE_MAX).await,
            Mood::Sleeping(due_ms) if self.is_long_until(*due_ms) => {}
            _ => std::future::pending().await,
        }
    }

    fn says(&self, text: &str) {
        let (application, id) = (&self.run.application, &self.run.id);
        let text = format!("workflow {id:?} {text}");
        log::info!("application {application}: {text}");
        let logs = self.workflows.0.actors.logs();
        logs.say(application, log::Level::Info, None, &text);
    }
}

fn late() -> Next {
    let text = "it took longer than its execution timeout";
    Next::Ends(RunStatus::TimedOut, Some(text.into()), Bytes::new())
}

fn failed(text: String) -> Next {
    Next::Ends(RunStatus::Failed, Some(text), Bytes::new())
}
