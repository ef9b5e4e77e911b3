//! Keys: each function, in the application's own place.

use crate::plexspaces::actor::keyvalue::{
    compare_and_swap, delete, exists, get, increment, list_keys, put, put_with_ttl, unwatch, watch,
};
use crate::plexspaces::actor::types::{Context, ErrorCode};
use crate::report::{Report, own, word};

pub fn check(report: &mut Report) {
    report.answers("get of nothing", get(&own(), "k"), None);
    report.answers("put", put(&own(), "k", b"one"), ());
    report.answers("get", get(&own(), "k"), Some(b"one".to_vec()));
    report.answers("exists", exists(&own(), "k"), true);
    report.answers("exists not", exists(&own(), "none"), false);
    report.answers("put of nothing", put(&own(), "k/empty", b""), ());
    report.answers("get of an empty value", get(&own(), "k/empty"), Some(Vec::new()));
    report.answers("put-with-ttl", put_with_ttl(&own(), "k/brief", b"x", 60_000), ());
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    report.answers("list-keys", list_keys(&own(), "k", 0), keys(&["k", "k/brief", "k/empty"]));
    report.answers("list-keys with a limit", list_keys(&own(), "k", 1), keys(&["k"]));
    report.answers("list-keys of none", list_keys(&own(), "none", 0), keys(&[]));
    swaps_and_counters(report);
    report.answers("delete", delete(&own(), "k"), ());
    report.answers("delete of nothing", delete(&own(), "k"), ());
    report.answers("nothing is left", get(&own(), "k"), None);
    watches(report);
    bad_arguments_are_refused(report);
}

fn swaps_and_counters(report: &mut Report) {
    let swap = |expected: Option<&[u8]>, new: &[u8]| compare_and_swap(&own(), "s", expected, new);
    report.answers("swap of an absent key", swap(Some(b"x"), b"1"), false);
    report.answers("swap into an absent key", swap(None, b"1"), true);
    report.answers("once only", swap(None, b"2"), false);
    report.answers("swap", swap(Some(b"1"), b"2"), true);
    report.answers("swapped", get(&own(), "s"), Some(b"2".to_vec()));
    report.answers("increment of nothing", increment(&own(), "n", 5), 5);
    report.answers("increment", increment(&own(), "n", -7), -2);
    report.answers("a counter is decimal", get(&own(), "n"), Some(b"-2".to_vec()));
    report.answers("up to the end", increment(&own(), "n", i64::MAX), i64::MAX - 2);
    report.refuses("past the end", increment(&own(), "n", 3), ErrorCode::InvalidMessage);
    report.answers("put", put(&own(), "n", b"many"), ());
    report.refuses("not a number", increment(&own(), "n", 1), ErrorCode::InvalidMessage);
}

fn watches(report: &mut Report) {
    let first = watch(&own(), "w");
    report.answers("watch", first, 1);
    report.answers("watch again", watch(&own(), "w"), 2);
    report.answers("unwatch", unwatch(2), ());
    report.refuses("unwatch again", unwatch(2), ErrorCode::InvalidMessage);
    report.answers("a change", put(&own(), "w", b"x"), ());
}

fn bad_arguments_are_refused(report: &mut Report) {
    let long = "k".repeat(1_025);
    for key in ["", long.as_str()] {
        report.refuses("a bad key", put(&own(), key, b"x"), ErrorCode::InvalidMessage);
        report.refuses("a bad key", get(&own(), key), ErrorCode::InvalidMessage);
        report.refuses("a bad key", watch(&own(), key), ErrorCode::InvalidMessage);
    }
    report.refuses("no time to live", put_with_ttl(&own(), "k", b"x", 0), ErrorCode::InvalidMessage);
    report.refuses("a long prefix", list_keys(&own(), &long, 0), ErrorCode::InvalidMessage);
    let too_much = vec![0; 1_048_577];
    report.refuses("a long value", put(&own(), "k", &too_much), ErrorCode::ResourceExhausted);
    let bad = Context { tenant_id: String::new(), namespace: "a/b".to_owned() };
    report.refuses("a bad namespace", get(&bad, "k"), ErrorCode::InvalidMessage);
}

/// What a place that may be another's answers.
pub fn reach(ctx: &Context) -> Vec<String> {
    vec![
        word(&get(ctx, "k")),
        word(&put(ctx, "k", b"x")),
        word(&put_with_ttl(ctx, "k", b"x", 1)),
        word(&delete(ctx, "k")),
        word(&exists(ctx, "k")),
        word(&list_keys(ctx, "", 0)),
        word(&compare_and_swap(ctx, "k", None, b"x")),
        word(&increment(ctx, "n", 1)),
        word(&watch(ctx, "k")),
    ]
}
