//! Calls every function of the older edition's `host`, with good arguments and bad ones, and reports what differs.
//!
//! `check` answers with the report, one failure a line; `fail` fails; everything else answers with what came.

wit_bindgen::generate!({
    path: "../../../wit/plexspaces-actor-older",
    world: "plexspaces-actor",
    generate_all,
});

use std::fmt::Debug;

use exports::plexspaces::actor::actor::{ActorResult, Guest};
use plexspaces::actor::host::*;
use plexspaces::actor::types::{FieldType, PatternField, TupleField};

struct Older;

export!(Older);

impl Guest for Older {
    fn init(_state: Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn handle_message(from: String, message_type: String, _: Vec<u8>) -> Result<(), String> {
        log("info", &format!("told {message_type} by {from}"));
        Ok(())
    }

    fn handle_request(from: String, message_type: String, payload: Vec<u8>) -> ActorResult {
        match &*message_type {
            "check" => ActorResult::Ok(check(&from).into_bytes()),
            "fail" => ActorResult::Err("failed as asked".to_owned()),
            _ => ActorResult::Ok(payload),
        }
    }

    fn handle_event(_: String, event_type: String, _: Vec<u8>) -> Result<(), String> {
        log("info", &format!("event {event_type}"));
        Ok(())
    }

    fn handle_transition(_: String, event: String, _: Vec<u8>) -> Result<String, String> {
        Ok(event)
    }

    fn snapshot_state() -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn shutdown() -> Result<(), String> {
        Ok(())
    }
}

#[derive(Default)]
struct Report(Vec<String>);

impl Report {
    fn is<T: Debug>(&mut self, what: &str, so: bool, saw: T) {
        if !so {
            self.0.push(format!("{what}: {saw:?}"));
        }
    }
}

fn tuple(number: i64) -> Vec<TupleField> {
    vec![
        TupleField::StringValue("older".to_owned()),
        TupleField::IntegerValue(number),
        TupleField::FloatValue(0.5),
        TupleField::BytesValue(vec![1, 2]),
        TupleField::BooleanValue(true),
    ]
}

fn pattern() -> Vec<PatternField> {
    vec![
        PatternField::Exact(TupleField::StringValue("older".to_owned())),
        PatternField::TypeMatch(FieldType::IntegerType),
        PatternField::TypeMatch(FieldType::FloatType),
        PatternField::Wildcard,
        PatternField::TypeMatch(FieldType::BooleanType),
    ]
}

fn number(found: &Result<Option<Vec<TupleField>>, String>) -> Option<i64> {
    match found.as_ref().ok()?.as_deref()? {
        [_, TupleField::IntegerValue(number), TupleField::FloatValue(_), TupleField::BytesValue(bytes), TupleField::BooleanValue(true)]
            if bytes == &[1, 2] =>
        {
            Some(*number)
        }
        _ => None,
    }
}

fn check(from: &str) -> String {
    let mut report = Report::default();
    tuples(&mut report);
    queues(&mut report);
    for level in ["trace", "debug", "info", "warn", "error", "loud"] {
        log(level, "a line of the older edition");
    }
    let before = now_millis();
    sleep_millis(2);
    let slept = now_millis();
    report.is("sleep-millis", slept > before && before > 1_500_000_000_000, (before, slept));
    let sent = send_message("nobody-at-all", "hello", b"x");
    report.is("send-message to nobody", sent.as_ref().is_err_and(|it| !it.is_empty()), sent);
    let spawned = spawn_actor("", b"");
    let told = spawned.as_ref().map(|id| send_message(id, "hello", b"x"));
    report.is("spawn-actor", matches!(told, Ok(Ok(()))), (&spawned, &told));
    let journal = (checkpoint(), get_journal_sequence(), is_replay_mode());
    report.is("the journal", journal == (Ok(0), Ok(0), Ok(false)), &journal);
    report.is("the asker", !from.is_empty(), from);
    report.0.join("\n")
}

fn tuples(report: &mut Report) {
    for n in 1..=2 {
        let written = tuplespace_write(&tuple(n));
        report.is("tuplespace-write", written.is_ok(), written);
    }
    let counted = tuplespace_count(&pattern());
    report.is("tuplespace-count", counted == Ok(2), counted);
    let read = tuplespace_read(&pattern());
    report.is("tuplespace-read", number(&read) == Some(1), read);
    for n in 1..=2 {
        let taken = tuplespace_take(&pattern());
        report.is("tuplespace-take", number(&taken) == Some(n), taken);
    }
    let none = tuplespace_take(&pattern());
    report.is("no tuple", matches!(none, Ok(None)), none);
    let long = vec![TupleField::BooleanValue(true); 65];
    let written = tuplespace_write(&long);
    report.is("too many fields", written.is_err(), written);
}

fn queues(report: &mut Report) {
    let sent = send_to_queue("older", "job", b"one");
    report.is("send-to-queue", sent.as_ref().is_ok_and(|id| !id.is_empty()), sent);
    let received = receive_from_queue("older", 0);
    let so = received == Ok(Some(("job".to_owned(), b"one".to_vec())));
    report.is("receive-from-queue", so, received);
    let none = receive_from_queue("older", 1);
    report.is("receive within a time", none == Ok(None), none);
    let bad = send_to_queue("", "job", b"one");
    report.is("no name", bad.is_err(), bad);
    let published = publish_to_topic("older", "news", b"x");
    report.is("publish-to-topic", published.is_ok(), published);
}
