//! Workflows over HTTP: list them, look at one and its steps, signal and cancel it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Response;
use hyper::body::Incoming;
use serde::Serialize;

use super::api::Page;
use super::invoke;
use super::paging::Paging;
use super::query::Query;
use super::reply::{self, Body};
use super::{Door, api};
use crate::audit::Entry;
use crate::clock::rfc3339;
use crate::id::ApplicationName;
use crate::limits;
use crate::payload::Payload;
use crate::refusal::{Kind, Refusal};
use crate::services::workflows::{Mood, Shown, WorkflowError};
use crate::storage::{Outcome, RunHead, RunStatus, RunsWanted, StepKind, Taken};

#[derive(Serialize)]
struct Listed {
    workflows: Vec<Workflow>,
    page: Page,
}

#[derive(Serialize)]
struct Workflow {
    application: String,
    workflow_id: String,
    run_id: String,
    workflow_type: String,
    status: RunStatus,
    started_at: String,
    ended_at: Option<String>,
    /// When it is ended, whatever it does.
    deadline: Option<String>,
    attempt: u32,
    task_queue: Option<String>,
    /// Of one that has not ended.
    doing: Option<&'static str>,
    sleeps_until: Option<String>,
    steps: u64,
    signals: u64,
    signals_waiting: u64,
    /// Activities whose effect may have come twice.
    possibly_repeated: Vec<String>,
    reason: Option<String>,
}

/// One of them, with its steps or its result.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    workflow: Workflow,
    result: Option<Payload<'a>>,
    result_encoding: Option<&'static str>,
    course: Vec<Step>,
    page: Page,
}

#[derive(Serialize)]
struct Step {
    number: u64,
    kind: StepKind,
    name: String,
    attempts: u32,
    possibly_repeated: bool,
    /// When a sleep ends, or has ended.
    until: Option<String>,
    outcome: Option<Outcome>,
}

/// GET /api/v1/workflows
pub async fn list(door: &Door, query: Option<&str>) -> Response<Body> {
    match listed(door, query).await {
        Ok(listed) => invoke::counted(door, reply::json(&listed)),
        Err(refusal) => invoke::told_to_wait(&refusal),
    }
}

async fn listed(door: &Door, query: Option<&str>) -> Result<Listed, Refusal> {
    let paging = Paging::of(query)?;
    let query = Query::of(query);
    let wanted = RunsWanted {
        application: query.value("application").filter(|it| !it.is_empty()),
        status: status(query.value("status"))?,
        offset: paging.offset,
        limit: Some(paging.limit),
    };
    if let Some(application) = &wanted.application {
        known(door, application)?;
    }
    let (shown, total) = door.services.workflows.list(wanted).await?;
    let page = paging.page(shown.len(), total);
    let workflows = shown.into_iter().map(Workflow::from).collect();
    Ok(Listed { workflows, page })
}

/// GET /api/v1/workflows/{application}/{id}
pub async fn one(
    door: &Door,
    query: Option<&str>,
    (application, id): (&str, &str),
) -> Response<Body> {
    let found = async {
        let (paging, application) = (Paging::of(query)?, of_application(application)?);
        let found = door.services.workflows.one(&application, id).await;
        let (shown, value) = found.map_err(|it| in_words(door, &application, id, it))?;
        let stored = &door.services.storage.workflows;
        let steps = stored.steps(&application, id, paging.offset as u64).await?;
        Ok((shown, value, steps, paging))
    };
    match found.await {
        Ok((shown, value, steps, paging)) => {
            let result = (shown.head.status == RunStatus::Completed).then(|| Payload::of(&value));
            let (result, result_encoding) = result.unzip();
            let head = &shown.head;
            let has_course = head.ended_ms.is_none() || !steps.is_empty();
            let total = if has_course { head.steps } else { 0 };
            let now_ms = door.services.storage.workflows.now_ms();
            let steps = steps.into_iter().take(paging.limit);
            let course: Vec<Step> = steps.map(|it| Step::of(it, head, now_ms)).collect();
            let detail = Detail {
                page: paging.page(course.len(), total as usize),
                course,
                workflow: shown.into(),
                result,
                result_encoding,
            };
            invoke::counted(door, reply::json(&detail))
        }
        Err(refusal) => invoke::told_to_wait(&refusal),
    }
}

/// POST /api/v1/workflows/{application}/{id}/signal
pub async fn signal(
    door: &Door,
    query: Option<&str>,
    mut body: Incoming,
    (application, id): (&str, &str),
) -> Response<Body> {
    let signalled = async {
        let of = of_application(application)?;
        let name = Query::of(query).value("name").ok_or_else(|| {
            let text = "?name= is missing: which signal, such as ?name=approve";
            Refusal::new(Kind::Malformed, text)
        })?;
        let (payload, _share) = invoke::read(door.actors.budget(), &mut body).await?;
        let (own, id) = (door.clone(), id.to_owned());
        let work = async move {
            let signal = (name.as_str(), payload);
            let signalled = own.services.workflows.signal(&of, &id, signal, None).await;
            signalled.map_err(|it| in_words(&own, &of, &id, it))
        };
        door.to_its_end(work).await
    };
    done(signalled.await)
}

/// POST /api/v1/workflows/{application}/{id}/cancel
pub async fn cancel(
    door: &Door,
    entry: Entry,
    query: Option<&str>,
    (application, id): (&str, &str),
) -> Response<Body> {
    let prepared = entry.prepared(of_application(application));
    let (entry, application) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return invoke::told_to_wait(&refusal),
    };
    let (own, id) = (door.clone(), id.to_owned());
    let reason = Query::of(query).value("reason");
    let reason = reason.map(|it| it.chars().take(limits::RUN_REASON_CHARS_MAX).collect());
    let cancelling = async move {
        let workflows = &own.services.workflows;
        let cancelled = workflows.cancel(&application, &id, reason).await;
        cancelled.map_err(|it| in_words(&own, &application, &id, it))
    };
    done(door.carry_out(entry, cancelling).await)
}

fn done(done: Result<(), Refusal>) -> Response<Body> {
    match done {
        Ok(()) => reply::json(&api::Done { success: true }),
        Err(refusal) => invoke::told_to_wait(&refusal),
    }
}

/// Of one that is not there, whether it is the application that is not, and which one was looked in.
fn in_words(door: &Door, application: &ApplicationName, id: &str, error: WorkflowError) -> Refusal {
    let refusal = Refusal::from(error);
    if refusal.kind != Kind::NotFound {
        return refusal;
    }
    if let Err(unknown) = known(door, application) {
        return unknown;
    }
    let id: String = id.chars().take(64).collect();
    let text = format!(
        "no workflow {id:?} in application {application}; GET /api/v1/workflows?application={application} lists them"
    );
    Refusal::new(Kind::NotFound, text)
}

/// Refuses a name that no application has.
fn known(door: &Door, application: &str) -> Result<(), Refusal> {
    match door.applications.get(application) {
        Err(unknown) if unknown.kind == Kind::NotFound => Err(unknown),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn of_application(name: &str) -> Result<ApplicationName, Refusal> {
    ApplicationName::parse(name).map_err(|error| Refusal::new(Kind::NotFound, error.to_string()))
}

fn status(text: Option<String>) -> Result<Option<RunStatus>, Refusal> {
    let Some(text) = text.filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let named = serde_json::from_value(text.to_ascii_uppercase().into());
    named.map(Some).map_err(|_| {
        let text = "?status= is one of RUNNING, COMPLETED, FAILED, CANCELLED and TIMED_OUT";
        Refusal::new(Kind::Malformed, text)
    })
}

impl From<Shown> for Workflow {
    fn from(shown: Shown) -> Self {
        let head = shown.head;
        let sleeps_until = match shown.mood {
            Mood::Sleeping(due_ms) => Some(time(due_ms)),
            _ => None,
        };
        Self {
            application: shown.application,
            workflow_id: shown.id,
            run_id: head.run_id,
            workflow_type: head.workflow_type,
            started_at: time(head.started_ms),
            ended_at: head.ended_ms.map(time),
            deadline: head.deadline_ms.map(time),
            attempt: head.attempt,
            task_queue: head.task_queue,
            doing: (head.status == RunStatus::Running).then(|| shown.mood.in_words()),
            sleeps_until,
            status: head.status,
            steps: head.steps,
            signals: head.signals,
            signals_waiting: shown.waiting,
            possibly_repeated: head.possibly_repeated,
            reason: head.reason,
        }
    }
}

impl Step {
    /// A step of this run, as it stands. The end of a sleep is written down nowhere: it is over once its time has come
    /// or another step follows.
    fn of(taken: Taken, head: &RunHead, now_ms: u64) -> Self {
        let (number, step) = (taken.number, taken.step);
        let is_late = step.due_ms <= head.ended_ms.unwrap_or(now_ms);
        let has_slept = step.kind == StepKind::Sleep && (is_late || number + 1 < head.steps);
        Self {
            number,
            until: (step.kind == StepKind::Sleep).then(|| time(step.due_ms)),
            kind: step.kind,
            name: step.name,
            attempts: step.attempts,
            possibly_repeated: step.possibly_repeated,
            outcome: step.outcome.or(has_slept.then_some(Outcome::Done)),
        }
    }
}

fn time(ms: u64) -> String {
    let moment: Option<SystemTime> = UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    // Past the calendar it is the calendar's last day.
    let furthest = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    rfc3339(moment.unwrap_or(furthest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Retry;
    use crate::storage;

    #[test]
    fn a_sleep_is_over_once_it_is_late_or_another_step_follows() {
        let check = |due_ms, steps, ended_ms, expected: Option<Outcome>| {
            let mut head = RunHead::new("w#1".into(), "type".into(), 0, Retry::NONE);
            (head.steps, head.ended_ms) = (steps, ended_ms);
            let mut step = storage::Step::new(StepKind::Sleep, "");
            step.due_ms = due_ms;
            let taken = Taken {
                number: 0,
                step,
                value: Default::default(),
            };
            let shown = Step::of(taken, &head, 1_000);
            assert_eq!(shown.outcome, expected, "{due_ms} {steps} {ended_ms:?}");
        };
        check(1_001, 1, None, None);
        check(1_000, 1, None, Some(Outcome::Done));
        check(1_001, 2, None, Some(Outcome::Done));
        // It was cancelled before its time.
        check(900, 1, Some(800), None);
        check(800, 1, Some(800), Some(Outcome::Done));
    }
}
