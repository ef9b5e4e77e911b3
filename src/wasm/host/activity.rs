//! One activity of a run: asked until it is answered or its attempts are used up, and what came of it written down.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::bindings::types::{ActorError, ErrorCode};
use super::bindings::workflow::ActivityOptions;
use super::workflow::{invalid, retry};
use super::{Guest, actor_error};
use crate::actor::{Match, SendError};
use crate::id::ActorId;
use crate::limits;
use crate::message::{Failure, Message};
use crate::retry::Retry;
use crate::services::workflows::{Abort, Hired, Mood, Unstarted};
use crate::storage::Taken;

/// The type of the message that asks for an activity.
const ASKS: &str = "activity";

/// What is to be done.
pub struct Activity {
    activity_type: String,
    id: Option<String>,
    input: Bytes,
    /// For one attempt, and for all of them.
    attempt_time: Option<Duration>,
    whole_time: Option<Duration>,
    retry: Retry,
}

/// Who does it.
enum Doer {
    Found(ActorId),
    Hired(Hired),
}

/// An attempt that failed.
struct Failed {
    error: ActorError,
    /// It may have had its effect all the same.
    doubtful: bool,
}

impl Activity {
    /// By this a step is told from another.
    pub fn name(&self) -> String {
        match &self.id {
            Some(id) => format!("{} {id}", self.activity_type),
            None => self.activity_type.clone(),
        }
    }
}

impl Guest {
    pub(super) fn activity(
        &self,
        activity_type: String,
        input: Vec<u8>,
        options: ActivityOptions,
    ) -> Result<Activity, ActorError> {
        let longest = limits::WORKFLOW_NAME_BYTES_MAX;
        let named = |what: &str, text: &str| match (1..=longest).contains(&text.len()) {
            true => Ok(()),
            false => Err(invalid(format!("{what} has 1 to {longest} bytes"))),
        };
        named("an activity's type", &activity_type)?;
        if let Some(id) = &options.activity_id {
            named("an activity's id", id)?;
        }
        Ok(Activity {
            activity_type,
            id: options.activity_id,
            input: self.bounded(input)?,
            attempt_time: options.start_to_close_timeout.map(Duration::from_millis),
            whole_time: options.schedule_to_close_timeout.map(Duration::from_millis),
            retry: retry(options.retry_policy)?,
        })
    }

    /// Takes the step to its end. An attempt is on disk before it is made: one that an earlier life began and did not
    /// end is made again, and says so.
    pub(super) async fn carry_out(
        &mut self,
        activity: Activity,
        mut taken: Taken,
    ) -> Result<Result<Vec<u8>, ActorError>, Abort> {
        if taken.step.outcome.is_some() {
            return Ok(taken.answer());
        }
        if taken.step.attempts == 0 {
            let whole = activity.whole_time.map(|it| it.as_millis() as u64);
            let now_ms = self.seat().now_ms();
            taken.step.until_ms = whole.map(|whole| now_ms.saturating_add(whole));
        }
        loop {
            self.seat().waits_until(taken.step.due_ms).await;
            if taken.step.under_way {
                taken.step.possibly_repeated = true;
            } else {
                taken.step.attempts += 1;
            }
            taken.step.under_way = true;
            self.seat().put(&taken).await?;
            let name = activity.activity_type.as_str();
            self.seat().run.feels(Mood::Asking(name.into()));
            let answered = self.attempt(&activity, &taken).await;
            self.seat().run.feels(Mood::Working);
            match answered {
                Ok(value) => taken.succeeds(value),
                Err(failed) => self.fares_badly(&activity, &mut taken, failed),
            }
            self.seat().put(&taken).await?;
            self.seat().goes_on().await;
            if taken.step.outcome.is_some() {
                return Ok(taken.answer());
            }
        }
    }

    /// Another attempt follows, or none.
    fn fares_badly(&self, activity: &Activity, taken: &mut Taken, failed: Failed) {
        let step = &mut taken.step;
        step.under_way = false;
        let wait = activity.retry.wait_after(step.attempts);
        let wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let due_ms = wait_ms.map(|wait_ms| self.seat().now_ms().saturating_add(wait_ms));
        match due_ms.filter(|due_ms| step.until_ms.is_none_or(|until_ms| *due_ms < until_ms)) {
            Some(due_ms) => {
                step.due_ms = due_ms;
                step.possibly_repeated |= failed.doubtful;
            }
            None => taken.fails(&failed.error),
        }
    }

    async fn attempt(&mut self, activity: &Activity, taken: &Taken) -> Result<Bytes, Failed> {
        let doer = self.doer(&activity.activity_type).await?;
        let actor = match &doer {
            Doer::Found(actor) | Doer::Hired(Hired { actor, .. }) => actor,
        };
        let message = self.request(activity, taken);
        let asked = self
            .actors
            .ask(actor.address(), message, self.by(activity, taken));
        let answered = asked.await;
        let payload = answered.map_err(|error| Failed {
            doubtful: matches!(
                error,
                SendError::Stopped(_)
                    | SendError::DeadlineExceeded(_)
                    | SendError::Failed(Failure::Trapped(_))
            ),
            error: error.into(),
        })?;
        self.received(Ok(payload)).map_err(|error| Failed {
            error,
            doubtful: true,
        })
    }

    /// An actor of this type in the application; where there is none, one is started for this once.
    async fn doer(&mut self, activity_type: &str) -> Result<Doer, Failed> {
        let application = self.actor.application();
        let is_own = |id: &ActorId| id.application() == application;
        let found = match self
            .actors
            .find(self.actor.tenant(), application, activity_type)
        {
            Match::None => None,
            Match::One(id) => Some(id).filter(is_own),
            Match::Several(ids) => ids.into_iter().find(is_own),
        };
        if let Some(found) = found {
            return Ok(Doer::Found(found));
        }
        let Some(stage) = self.seat().stage() else {
            // The application is being stopped or upgraded, and this life ends with that.
            return std::future::pending().await;
        };
        let hired = stage.hire(activity_type, &self.actors).await;
        hired.map(Doer::Hired).map_err(|error| {
            let code = match error {
                Unstarted::Unknown(_) => ErrorCode::ActorNotFound,
                Unstarted::Broken(_) => ErrorCode::DeliveryFailed,
                Unstarted::NoRoom(_) => ErrorCode::ResourceExhausted,
            };
            Failed {
                error: actor_error(code, error.to_string()),
                doubtful: false,
            }
        })
    }

    fn request(&self, activity: &Activity, taken: &Taken) -> Message {
        let (run, step) = (&self.seat().run, &taken.step);
        let from = self.actor.address().clone();
        let mut message = self.actors.message(from, ASKS, activity.input.clone());
        let id = activity.id.clone();
        let id = id.unwrap_or_else(|| format!("{}/{}", run.run_id(), taken.number));
        message.headers = vec![
            ("workflow-id".into(), run.id.to_string()),
            ("run-id".into(), run.run_id().to_string()),
            ("activity-id".into(), id),
            ("attempt".into(), step.attempts.to_string()),
            (
                "possibly-repeated".into(),
                step.possibly_repeated.to_string(),
            ),
        ];
        message
    }

    /// When this attempt is waited for no longer.
    fn by(&self, activity: &Activity, taken: &Taken) -> Instant {
        let now_ms = self.seat().now_ms();
        let whole = taken
            .step
            .until_ms
            .map(|until_ms| Duration::from_millis(until_ms.saturating_sub(now_ms)));
        let times = [activity.attempt_time, whole, Some(limits::RUN_STEP_MAX)];
        let least = times.into_iter().flatten().min();
        Instant::now() + least.unwrap_or(limits::RUN_STEP_MAX)
    }
}
