//! The journal: each function. What is left of it afterwards, `journal` tells.

use crate::plexspaces::actor::durability::{
    cache_side_effect, checkpoint, compact, get_checkpoint_sequence, get_sequence, is_replaying,
    persist, persist_batch, read_journal,
};
use crate::plexspaces::actor::types::{ActorError, Context, ErrorCode};
use crate::report::{Report, own, word};

type Entry = (u64, String, Vec<u8>);

pub fn check(report: &mut Report) {
    report.answers("get-sequence before any", get_sequence(&own()), 0);
    report.answers("get-checkpoint-sequence before any", get_checkpoint_sequence(&own()), 0);
    report.answers("is-replaying", is_replaying(&own()), false);
    report.answers("read-journal of nothing", read(0, 0, 0), vec![]);
    report.answers("persist", persist(&own(), "add", b"one"), 1);
    report.answers("persist of nothing", persist(&own(), "", b""), 2);
    let batch = |texts: &[&str]| -> Vec<(String, Vec<u8>)> {
        texts.iter().map(|text| ("add".to_owned(), text.as_bytes().to_vec())).collect()
    };
    report.answers("persist-batch", persist_batch(&own(), &batch(&["three", "four"])), 4);
    report.answers("persist-batch of nothing", persist_batch(&own(), &[]), 4);
    report.answers("get-sequence", get_sequence(&own()), 4);
    reads(report);
    report.answers("cache-side-effect", cache_side_effect(&own(), "k", b"first"), b"first".to_vec());
    report.answers("once only", cache_side_effect(&own(), "k", b"second"), b"first".to_vec());
    report.answers("another", cache_side_effect(&own(), "l", b""), Vec::new());
    report.answers("it is no entry", get_sequence(&own()), 4);
    report.refuses("no checkpoint holds it", compact(&own(), 1), ErrorCode::InvalidMessage);
    report.answers("compact of nothing", compact(&own(), 0), ());
    report.answers("checkpoint", checkpoint(&own()), 4);
    report.answers("get-checkpoint-sequence", get_checkpoint_sequence(&own()), 4);
    report.refuses("past the checkpoint", compact(&own(), 5), ErrorCode::InvalidMessage);
    report.answers("compact", compact(&own(), 2), ());
    bad_arguments_are_refused(report);
}

fn reads(report: &mut Report) {
    let entry = |sequence: u64, kind: &str, text: &str| -> Entry {
        (sequence, kind.to_owned(), text.as_bytes().to_vec())
    };
    let all = [entry(1, "add", "one"), entry(2, "", ""), entry(3, "add", "three"), entry(4, "add", "four")];
    report.answers("read-journal", read(1, 0, 0), all.to_vec());
    report.answers("from the beginning", read(0, 0, 0), all.to_vec());
    report.answers("from, inclusive, to, exclusive", read(2, 4, 0), all[1..3].to_vec());
    report.answers("with a limit", read(2, 0, 1), all[1..2].to_vec());
    report.answers("past the end", read(5, 0, 0), vec![]);
    report.answers("from an end to a beginning", read(4, 2, 0), vec![]);
    let stamped = read_journal(&own(), 1, 0, 0).is_ok_and(|all| {
        all.iter().all(|entry| entry.timestamp > 1_600_000_000_000)
    });
    report.holds("a timestamp in milliseconds", stamped, ());
}

fn bad_arguments_are_refused(report: &mut Report) {
    let long = "t".repeat(256);
    report.refuses("a long type", persist(&own(), &long, b""), ErrorCode::InvalidMessage);
    report.refuses("no key", cache_side_effect(&own(), "", b"x"), ErrorCode::InvalidMessage);
    let long = "k".repeat(1_025);
    report.refuses("a long key", cache_side_effect(&own(), &long, b"x"), ErrorCode::InvalidMessage);
    let too_much = vec![0; 1_048_577];
    report.refuses("a long payload", persist(&own(), "add", &too_much), ErrorCode::ResourceExhausted);
    let half = [("add".to_owned(), b"x".to_vec()), ("add".to_owned(), too_much)];
    report.refuses("a batch with one", persist_batch(&own(), &half), ErrorCode::ResourceExhausted);
    report.answers("all of a batch or none", get_sequence(&own()), 4);
}

/// Persists one more, and tells the numbers of all there are.
pub fn journal(text: &str) -> Result<Vec<u8>, String> {
    let told = || {
        if !text.is_empty() {
            persist(&own(), "add", text.as_bytes())?;
        }
        read(0, 0, 0)
    };
    let entries = told().map_err(|error| error.message)?;
    let numbers: Vec<_> = entries.iter().map(|entry| entry.0.to_string()).collect();
    Ok(numbers.join(" ").into_bytes())
}

/// A word for an entry that is shown again.
pub fn replayed() -> &'static str {
    match is_replaying(&own()) {
        Ok(true) => " again",
        _ => "",
    }
}

fn read(from: u64, to: u64, limit: u32) -> Result<Vec<Entry>, ActorError> {
    let entries = read_journal(&own(), from, to, limit)?.into_iter();
    Ok(entries.map(|entry| (entry.sequence, entry.event_type, entry.payload)).collect())
}

/// What a place that may be another's answers.
pub fn reach(ctx: &Context) -> Vec<String> {
    vec![
        word(&persist(ctx, "add", b"x")),
        word(&persist_batch(ctx, &[])),
        word(&checkpoint(ctx)),
        word(&get_sequence(ctx)),
        word(&get_checkpoint_sequence(ctx)),
        word(&is_replaying(ctx)),
        word(&cache_side_effect(ctx, "k", b"x")),
        word(&read_journal(ctx, 0, 0, 1)),
        word(&compact(ctx, 0)),
    ]
}
