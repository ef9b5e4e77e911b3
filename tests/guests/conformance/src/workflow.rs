//! Workflows: each function, from outside of a run and from within. The application needs workers `caller` and `doer`.

use std::cell::RefCell;

use crate::plexspaces::actor::conversation::{current_message, defer};
use crate::plexspaces::actor::durability::cache_side_effect;
use crate::plexspaces::actor::keyvalue::increment;
use crate::plexspaces::actor::messaging::reply;
use crate::plexspaces::actor::types::{ActorError, Context, ErrorCode};
use crate::plexspaces::actor::workflow::{
    ActivityOptions, WorkflowOptions, await_workflow, get_workflow_context, query_workflow,
    schedule_activity, signal_workflow, sleep, start_workflow,
};
use crate::report::{Report, own, word};
use crate::tuplespace;

thread_local! {
    /// The ask that the run answers when it is approved.
    static OPEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

pub fn check(report: &mut Report) {
    let context = get_workflow_context().map(|_| ());
    report.refuses("get-workflow-context outside", context, ErrorCode::InvalidMessage);
    let outside = schedule_activity(&own(), "doer", b"echo x", &activity());
    report.refuses("schedule-activity outside", outside, ErrorCode::InvalidMessage);
    sleep(1);
    runs_end_as_they_do(report);
    steps_answer(report);
    signals_and_queries(report);
    bad_arguments_are_refused(report);
}

fn runs_end_as_they_do(report: &mut Report) {
    report.answers("start-workflow", start("w-1", "echo one"), "w-1".to_owned());
    report.answers("await-workflow", awaited("w-1"), b"one".to_vec());
    report.answers("again", awaited("w-1"), b"one".to_vec());
    report.refuses("the same id", start("w-1", "echo two"), ErrorCode::InvalidMessage);
    let made_up = start_workflow(&own(), "doer", None, b"echo three", &options());
    let id = made_up.unwrap_or_default();
    report.holds("an id is made up", !id.is_empty(), &id);
    report.answers("await-workflow of it", awaited(&id), b"three".to_vec());
    report.answers("start-workflow that fails", start("w-fails", "fail"), "w-fails".to_owned());
    report.refuses("a failed run", awaited("w-fails"), ErrorCode::Unknown);
    report.answers("start-workflow that breaks", start("w-breaks", "trap"), "w-breaks".to_owned());
    report.refuses("a broken run", awaited("w-breaks"), ErrorCode::Unknown);
    let hasty = WorkflowOptions { execution_timeout: Some(1), ..options() };
    let started = start_workflow(&own(), "doer", Some("w-late"), b"sleep 3600000", &hasty);
    report.answers("start-workflow with a time", started, "w-late".to_owned());
    report.refuses("a late run", awaited("w-late"), ErrorCode::Timeout);
    let patient = WorkflowOptions {
        workflow_id: Some("w-again".to_owned()),
        retry_policy: Some(r#"{"max_attempts":3,"initial_ms":1}"#.to_owned()),
        ..options()
    };
    let started = start_workflow(&own(), "doer", None, b"third", &patient);
    report.answers("start-workflow with a policy", started, "w-again".to_owned());
    report.answers("the third attempt", awaited("w-again"), b"attempt 3".to_vec());
    report.answers("start-workflow that waits", start("w-slow", "wait"), "w-slow".to_owned());
    report.refuses("await-workflow in time", await_workflow(&own(), "w-slow", 1), ErrorCode::Timeout);
}

fn steps_answer(report: &mut Report) {
    report.answers("start-workflow of steps", start("w-steps", "steps"), "w-steps".to_owned());
    let steps = [
        "doer w-steps", "one", "flag 1 false", "Unknown", "Unknown", "flaky 3", "InvalidMessage",
        "ActorNotFound", "slept", "first", "first", "w-steps.10", "child", "signalled", "ActorNotFound",
    ];
    let told = awaited("w-steps").map(|told| String::from_utf8_lossy(&told).into_owned());
    report.answers("its steps", told, steps.join(","));
}

fn signals_and_queries(report: &mut Report) {
    report.answers("start-workflow for signals", start("w-signals", "wait"), "w-signals".to_owned());
    for payload in ["a", "b", "c"] {
        let signalled = signal_workflow(&own(), "w-signals", "note", payload.as_bytes());
        report.answers("signal-workflow", signalled, ());
    }
    // A query may come before the signals do.
    let told = || query_workflow(&own(), "w-signals", "events");
    while told().is_ok_and(|told| told != b"note a\nnote b\nnote c") {}
    report.answers("query-workflow", told(), b"note a\nnote b\nnote c".to_vec());
    let unknown = query_workflow(&own(), "w-signals", "no such query");
    report.refuses("a query that it does not know", unknown, ErrorCode::Unknown);
    let approved = signal_workflow(&own(), "w-signals", "approve", b"d");
    report.answers("the last signal", approved, ());
    let result = awaited("w-signals");
    report.answers("what it took", result, b"note a\nnote b\nnote c\napprove d".to_vec());
    let late = signal_workflow(&own(), "w-signals", "note", b"e");
    report.refuses("a signal after its end", late, ErrorCode::InvalidMessage);
    let late = query_workflow(&own(), "w-signals", "events");
    report.refuses("a query after its end", late, ErrorCode::InvalidMessage);
}

fn bad_arguments_are_refused(report: &mut Report) {
    let of_type = |name: &str| start_workflow(&own(), name, None, b"", &options()).map(drop);
    for name in ["", "nobody", "../doer", &"t".repeat(300)] {
        report.refuses("a type that is none", of_type(name), ErrorCode::InvalidMessage);
    }
    report.refuses("no id", start("", "echo"), ErrorCode::InvalidMessage);
    let long = "i".repeat(256);
    report.refuses("a long id", start(&long, "echo"), ErrorCode::InvalidMessage);
    for policy in ["", "often", r#"{"max_attempts":0}"#, r#"{"attempts":3}"#] {
        let options = WorkflowOptions { retry_policy: Some(policy.to_owned()), ..options() };
        let started = start_workflow(&own(), "doer", None, b"echo", &options);
        report.refuses("a policy that is none", started, ErrorCode::InvalidMessage);
    }
    let too_much = vec![0; 1_048_577];
    let started = start_workflow(&own(), "doer", None, &too_much, &options());
    report.refuses("a long input", started, ErrorCode::ResourceExhausted);
    report.refuses("await-workflow of none", awaited("w-none"), ErrorCode::ActorNotFound);
    let nobody = signal_workflow(&own(), "w-none", "note", b"");
    report.refuses("signal-workflow of none", nobody, ErrorCode::ActorNotFound);
    let nobody = query_workflow(&own(), "w-none", "events");
    report.refuses("query-workflow of none", nobody, ErrorCode::ActorNotFound);
    let unnamed = signal_workflow(&own(), "w-slow", "", b"");
    report.refuses("a signal without a name", unnamed, ErrorCode::InvalidMessage);
    let long = "s".repeat(256);
    let named = signal_workflow(&own(), "w-slow", &long, b"");
    report.refuses("a signal with a long name", named, ErrorCode::InvalidMessage);
    let much = signal_workflow(&own(), "w-slow", "note", &too_much);
    report.refuses("a long signal", much, ErrorCode::ResourceExhausted);
}

/// Answers what a run or an activity is asked; `None` for everything else.
pub fn asked(message_type: &str, payload: &str) -> Option<Result<Vec<u8>, String>> {
    if message_type == "activity" {
        return Some(activity_of(payload));
    }
    let run = get_workflow_context().ok()?;
    if message_type != "workflow" {
        return None;
    }
    let (verb, rest) = payload.split_once(' ').unwrap_or((payload, ""));
    Some(match verb {
        "echo" => Ok(rest.as_bytes().to_vec()),
        "fail" => Err("as asked".to_owned()),
        "trap" => panic!("as asked"),
        "third" if !run.run_id.ends_with(".3") => Err("not the third".to_owned()),
        "third" => Ok(b"attempt 3".to_vec()),
        "sleep" => {
            sleep(rest.parse().unwrap_or(0));
            Ok(b"slept".to_vec())
        }
        "wait" => {
            OPEN.set(Some(defer()));
            Ok(Vec::new())
        }
        // Another step in every other life, which no run may take.
        "fickle" => {
            match increment(&own(), "fickle", 1).unwrap() % 2 {
                1 => drop(schedule_activity(&own(), "doer", b"echo x", &activity())),
                _ => sleep(1),
            }
            OPEN.set(Some(defer()));
            Ok(Vec::new())
        }
        "brew" => crate::examples::brew(rest.as_bytes()).map_err(|error| error.message),
        "steps" => Ok(steps().into_bytes()),
        "course" => Ok(course(&run.workflow_id, rest).into_bytes()),
        other => Err(format!("no such run: {other}")),
    })
}

/// The run that waits for `approve` answers with all that it got.
pub fn signalled(name: &str, _payload: &str) {
    if name == "approve"
        && let Some(open) = OPEN.take()
    {
        let events = crate::EVENTS.with_borrow(|events| {
            let plain = events.iter().map(|event| event.trim_end_matches(" again"));
            plain.collect::<Vec<_>>().join("\n")
        });
        let _ = reply(&open, events.as_bytes());
    }
}

fn activity_of(payload: &str) -> Result<Vec<u8>, String> {
    let (verb, rest) = payload.split_once(' ').unwrap_or((payload, ""));
    let header = |name: &str| {
        let message = current_message().unwrap();
        let found = message.headers.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).unwrap_or_default()
    };
    match verb {
        "echo" => Ok(rest.as_bytes().to_vec()),
        "flag" => Ok(format!("flag {} {}", header("attempt"), header("possibly-repeated")).into_bytes()),
        "fail" => Err("as asked".to_owned()),
        "trap" => panic!("as asked"),
        "flaky" => match header("attempt").as_str() {
            "3" => Ok(b"flaky 3".to_vec()),
            other => Err(format!("attempt {other} fails")),
        },
        "effect" => effect(rest, &header("possibly-repeated")),
        // The same, with a wait for the tuple of its name before it or after it.
        "before" => {
            tuplespace::take(rest)?;
            effect(rest, &header("possibly-repeated"))
        }
        "after" => {
            let told = effect(rest, &header("possibly-repeated"));
            tuplespace::take(rest)?;
            told
        }
        other => Err(format!("no such activity: {other}")),
    }
}

/// How often there was this effect, and whether its request said that it may have been before.
fn effect(name: &str, repeated: &str) -> Result<Vec<u8>, String> {
    let count = increment(&own(), name, 1).map_err(|error| error.message)?;
    let doubt = if repeated == "true" { "?" } else { "" };
    Ok(format!("{name}={count}{doubt}").into_bytes())
}

/// A course of activities, `before after effect` for three, whose effects must come once each.
fn course(id: &str, verbs: &str) -> String {
    let mut told = Vec::new();
    for (number, verb) in verbs.split(' ').enumerate() {
        let asked = format!("{verb} {id}-{number}");
        let named = ActivityOptions { activity_id: Some(format!("{id}-{number}")), ..activity() };
        told.push(text(schedule_activity(&own(), "doer", asked.as_bytes(), &named)));
        sleep(1);
    }
    told.join(",")
}

fn steps() -> String {
    let context = get_workflow_context().unwrap();
    let ask = |payload: &str, options: &ActivityOptions| {
        text(schedule_activity(&own(), "doer", payload.as_bytes(), options))
    };
    let patient = ActivityOptions {
        retry_policy: Some(r#"{"max_attempts":5,"initial_ms":1}"#.to_owned()),
        activity_id: Some("flaky".to_owned()),
        ..activity()
    };
    let bad = ActivityOptions { retry_policy: Some("often".to_owned()), ..activity() };
    let mut told = vec![
        format!("{} {}", context.workflow_type, context.workflow_id),
        ask("echo one", &activity()),
        ask("flag", &activity()),
        ask("fail", &activity()),
        ask("nothing", &activity()),
        ask("flaky", &patient),
        ask("echo", &bad),
        text(schedule_activity(&own(), "nobody", b"", &activity())),
    ];
    sleep(1);
    told.push("slept".to_owned());
    told.push(text(cache_side_effect(&own(), "k", b"first")));
    told.push(text(cache_side_effect(&own(), "k", b"second")));
    // Steps 0 to 9 lie behind.
    sleep(0);
    sleep(0);
    let child = start_workflow(&own(), "doer", None, b"wait", &options());
    let id = child.clone().unwrap_or_default();
    told.push(text(child.map(String::into_bytes)));
    let _ = signal_workflow(&own(), &id, "approve", b"");
    told.push(text(await_workflow(&own(), &id, 0).map(|_| b"child".to_vec())));
    told.push("signalled".to_owned());
    told.push(text(query_workflow(&own(), "w-none", "events")));
    told.join(",")
}

fn text(answer: Result<Vec<u8>, ActorError>) -> String {
    match answer {
        Ok(payload) => String::from_utf8_lossy(&payload).into_owned(),
        Err(error) => format!("{:?}", error.code).trim_start_matches("ErrorCode::").to_owned(),
    }
}

/// Starts the run `ID INPUT`.
pub fn begin(text: &str) -> Result<Vec<u8>, String> {
    let (id, input) = text.split_once(' ').unwrap_or((text, ""));
    start(id, input).map(String::into_bytes).map_err(|error| error.message)
}

/// Waits for a run to end.
pub fn result(id: &str) -> Result<Vec<u8>, String> {
    awaited(id).map_err(|error| error.message)
}

/// Asks a run for the events that it got, without the word for those of an earlier life.
pub fn query(id: &str) -> Result<Vec<u8>, String> {
    let told = query_workflow(&own(), id, "events").map_err(|error| error.message)?;
    Ok(String::from_utf8_lossy(&told).replace(" again", "").into_bytes())
}

fn start(id: &str, input: &str) -> Result<String, ActorError> {
    start_workflow(&own(), "doer", Some(id), input.as_bytes(), &options())
}

fn awaited(id: &str) -> Result<Vec<u8>, ActorError> {
    await_workflow(&own(), id, 30_000)
}

fn options() -> WorkflowOptions {
    WorkflowOptions {
        workflow_id: None,
        task_queue: None,
        execution_timeout: None,
        retry_policy: None,
    }
}

fn activity() -> ActivityOptions {
    ActivityOptions {
        activity_id: None,
        start_to_close_timeout: None,
        schedule_to_close_timeout: None,
        retry_policy: None,
    }
}

/// What a place that may be another's answers.
pub fn reach(ctx: &Context) -> Vec<String> {
    // The application has this type, whatever it is called; it fails, and nobody waits for it.
    let started = start_workflow(ctx, "guest", None, b"fail", &options());
    let known = |answer: Result<Vec<u8>, ActorError>| match answer {
        Err(error) if error.code == ErrorCode::ActorNotFound || error.message.contains("at work") => Ok(()),
        other => other.map(drop),
    };
    vec![
        word(&started),
        word(&known(signal_workflow(ctx, "w-none", "note", b"").map(|()| Vec::new()))),
        word(&known(query_workflow(ctx, "w-none", "events"))),
        word(&known(await_workflow(ctx, "w-none", 60_000))),
        word(&known(schedule_activity(ctx, "guest", b"", &activity()))),
    ]
}
