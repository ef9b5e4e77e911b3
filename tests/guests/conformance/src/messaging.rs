//! Messages, timers and the lives of other actors: each function, with a child of this very module as the other side.

use crate::plexspaces::actor::conversation::{current_message, defer};
use crate::plexspaces::actor::messaging::{
    ask, cancel_timer, demonitor, forward as hand_on, link, monitor, now, parent_id, reply, self_id,
    send_after, sleep, spawn, stop, tell, unlink,
};
use crate::plexspaces::actor::types::{ActorError, ErrorCode, SpawnOptions};
use crate::report::Report;

/// Milliseconds that an ask may take.
const LONG: u64 = 60_000;

pub fn check(report: &mut Report) {
    report.holds("self-id", self_id().contains('@'), self_id());
    report.holds("nobody spawned this one", parent_id().is_none(), parent_id());
    let before = now();
    sleep(2);
    report.holds("now and sleep", before > 1_500_000_000_000 && now() > before, (before, now()));
    let current = current_message();
    let so = current.as_ref().is_some_and(|it| it.msg_type == "messaging" && it.correlation_id.is_some());
    report.holds("current-message", so, current);
    timers(report);
    nobody_is_there(report);
    bad_arguments_are_refused(report);
    let child = child("born");
    report.holds("spawn", child.is_ok(), &child);
    if let Ok(child) = child {
        the_other_answers(report, &child);
        ties(report, &child);
        report.answers("stop", stop(&child, LONG), ());
    }
}

fn child(state: &str) -> Result<String, ActorError> {
    let options = SpawnOptions {
        actor_id: None,
        labels: vec![("kind".to_owned(), "child".to_owned())],
        mailbox_size: Some(16),
        durable: false,
        supervisor: None,
    };
    spawn("", state.as_bytes(), &options)
}

fn timers(report: &mut Report) {
    let timer = send_after(LONG, "late", b"");
    report.holds("send-after", timer.is_ok(), &timer);
    let id = timer.unwrap_or_default();
    report.answers("cancel-timer", cancel_timer(id), ());
    report.refuses("cancel-timer again", cancel_timer(id), ErrorCode::InvalidMessage);
    report.refuses("a timer past all time", send_after(u64::MAX, "late", b""), ErrorCode::InvalidMessage);
}

fn nobody_is_there(report: &mut Report) {
    let nobody = ErrorCode::ActorNotFound;
    report.refuses("tell nobody", tell("nobody", "note", b""), nobody);
    report.refuses("ask nobody", ask("nobody", "note", b"", 1), nobody);
    report.refuses("forward to nobody", hand_on("nobody", "note", b"", "me", None), nobody);
    report.refuses("stop nobody", stop("nobody", 0), nobody);
    report.refuses("link nobody", link("nobody"), nobody);
    report.refuses("monitor nobody", monitor("nobody"), nobody);
    report.answers("unlink nobody", unlink("nobody"), ());
    report.refuses("demonitor nothing", demonitor(u64::MAX), ErrorCode::InvalidMessage);
    report.refuses("reply to nobody", reply("none", b""), ErrorCode::InvalidMessage);
}

fn bad_arguments_are_refused(report: &mut Report) {
    let me = self_id();
    let long = "t".repeat(129);
    report.refuses("a long type told", tell(&me, &long, b""), ErrorCode::InvalidMessage);
    report.refuses("a long type asked", ask(&me, &long, b"", 1), ErrorCode::InvalidMessage);
    report.refuses("a long type later", send_after(1, &long, b""), ErrorCode::InvalidMessage);
    report.refuses("no original sender", hand_on(&me, "note", b"", "", None), ErrorCode::InvalidMessage);
    report.refuses("an ask of oneself", ask(&me, "events", b"", 1), ErrorCode::Timeout);
    report.refuses("a link to oneself", link(&me), ErrorCode::InvalidMessage);
    let too_much = vec![0; 1_048_577];
    report.refuses("too much", tell(&me, "note", &too_much), ErrorCode::ResourceExhausted);
    let mut options = SpawnOptions {
        actor_id: Some("no id/".to_owned()),
        labels: Vec::new(),
        mailbox_size: None,
        durable: false,
        supervisor: None,
    };
    report.refuses("a bad id", spawn("", b"", &options), ErrorCode::InvalidMessage);
    options.actor_id = None;
    report.refuses("no such module", spawn("none", b"", &options), ErrorCode::InvalidMessage);
    options.supervisor = Some("none".to_owned());
    report.refuses("no such supervisor", spawn("", b"", &options), ErrorCode::ActorNotFound);
}

fn the_other_answers(report: &mut Report, child: &str) {
    let me = self_id().into_bytes();
    report.answers("parent-id", ask(child, "parent", b"", LONG), me);
    report.answers("its initial state", ask(child, "events", b"", LONG), b"born".to_vec());
    let told = tell(child, "events", b"");
    report.holds("tell", told.as_ref().is_ok_and(|id| !id.is_empty()), &told);
    report.answers("reply", ask(child, "reply", b"early", LONG), b"early".to_vec());
    report.answers("defer", ask(child, "defer", b"later", LONG), b"later".to_vec());
    report.answers("forward", ask(child, "forward", b"", LONG), b"on".to_vec());
    let noted = hand_on(child, "events", b"", "somebody", None);
    report.holds("forward of a tell", noted.is_ok(), &noted);
    report.refuses("an error", ask(child, "nonsense", b"", LONG), ErrorCode::Unknown);
}

fn ties(report: &mut Report, child: &str) {
    report.answers("link", link(child), ());
    report.answers("link again", link(child), ());
    report.answers("unlink", unlink(child), ());
    let watch = monitor(child);
    report.holds("monitor", watch.is_ok(), &watch);
    let watch = watch.unwrap_or_default();
    report.answers("demonitor", demonitor(watch), ());
    report.refuses("demonitor again", demonitor(watch), ErrorCode::InvalidMessage);
}

/// Asks another actor: `ACTOR TYPE PAYLOAD`.
pub fn ask_another(text: &str) -> Result<Vec<u8>, String> {
    let mut words = text.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    ask(word(), word(), word().as_bytes(), LONG).map_err(|error| error.message)
}

/// Who spawned this actor.
pub fn parent() -> Result<Vec<u8>, String> {
    parent_id().map(String::into_bytes).ok_or("nobody did".to_owned())
}

/// Answers the current ask by its id, before the handler returns something else.
pub fn answer_early(payload: &[u8]) -> Result<Vec<u8>, String> {
    let asked = current_message().and_then(|message| message.correlation_id);
    reply(&asked.unwrap_or_default(), payload).map_err(|error| error.message)?;
    Ok(b"dropped".to_vec())
}

/// Leaves the current ask open, and answers it afterwards.
pub fn answer_later(payload: &[u8]) -> Result<Vec<u8>, String> {
    let asked = defer();
    reply(&asked, payload).map_err(|error| error.message)?;
    Ok(b"dropped".to_vec())
}

/// Has a child of its own answer the current ask.
pub fn forward() -> Result<Vec<u8>, String> {
    let asked = current_message().ok_or("no message")?;
    let on = || hand_on(&child("on")?, "events", b"", &asked.from_actor, asked.correlation_id.as_deref());
    on().map_err(|error| error.message)?;
    Ok(b"dropped".to_vec())
}
