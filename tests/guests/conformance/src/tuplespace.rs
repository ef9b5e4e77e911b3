//! Tuples: each function, in the application's own place.

use crate::plexspaces::actor::tuplespace::{
    compare_and_swap, count, read, read_all, read_blocking, subscribe as subscribe_to,
    take as take_one, take_blocking, unsubscribe, write, write_with_ttl,
};
use crate::plexspaces::actor::types::{Context, ErrorCode, FieldType, PatternField, TupleField};
use crate::report::{Report, own, word};

use PatternField::{Any, Exact, Predicate, Typed};
use TupleField::{BoolVal, BytesVal, FloatVal, IntVal, NullVal, StringVal};

type Tuple = Vec<TupleField>;

impl PartialEq for TupleField {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (StringVal(one), StringVal(other)) => one == other,
            (IntVal(one), IntVal(other)) => one == other,
            (FloatVal(one), FloatVal(other)) => one == other || (one.is_nan() && other.is_nan()),
            (BytesVal(one), BytesVal(other)) => one == other,
            (BoolVal(one), BoolVal(other)) => one == other,
            (NullVal, NullVal) => true,
            _ => false,
        }
    }
}

fn text(text: &str) -> TupleField {
    StringVal(text.to_owned())
}

fn pair(name: &str, number: i64) -> Tuple {
    vec![text(name), IntVal(number)]
}

fn named(name: &str) -> Vec<PatternField> {
    vec![Exact(text(name)), Any]
}

pub fn check(report: &mut Report) {
    a_tuple_is_written_read_and_taken(report);
    fields_keep_their_types(report);
    patterns_choose(report);
    waits_end(report);
    one_is_swapped(report);
    subscriptions_begin_and_end(report);
    bad_arguments_are_refused(report);
}

fn a_tuple_is_written_read_and_taken(report: &mut Report) {
    report.answers("take of nothing", take_one(&own(), &named("a")), None);
    report.answers("write", write(&own(), &pair("a", 1)), ());
    report.answers("write another", write(&own(), &pair("a", 2)), ());
    report.answers("read", read(&own(), &named("a")), Some(pair("a", 1)));
    report.answers("count", count(&own(), &named("a")), 2);
    report.answers(
        "read-all",
        read_all(&own(), &named("a"), 0),
        vec![pair("a", 1), pair("a", 2)],
    );
    report.answers(
        "read-all of one",
        read_all(&own(), &named("a"), 1),
        vec![pair("a", 1)],
    );
    report.answers("take", take_one(&own(), &named("a")), Some(pair("a", 1)));
    report.answers(
        "take-blocking",
        take_blocking(&own(), &named("a"), 0),
        Some(pair("a", 2)),
    );
    report.answers("count of none", count(&own(), &named("a")), 0);
    report.answers(
        "write-with-ttl",
        write_with_ttl(&own(), &pair("a", 3), 60_000),
        (),
    );
    report.answers(
        "take in time",
        take_one(&own(), &named("a")),
        Some(pair("a", 3)),
    );
    report.answers("the empty tuple", write(&own(), &[]), ());
    report.answers("take it", take_one(&own(), &[]), Some(vec![]));
}

fn fields_keep_their_types(report: &mut Report) {
    let all = vec![
        text("größer"),
        IntVal(i64::MIN),
        FloatVal(-0.5),
        BytesVal(vec![0, 255]),
        BoolVal(true),
        NullVal,
        FloatVal(f64::NAN),
    ];
    let pattern: Vec<PatternField> = all.iter().cloned().map(Exact).collect();
    report.answers("write of each type", write(&own(), &all), ());
    report.answers("take of each type", take_one(&own(), &pattern), Some(all));
    report.answers("write of 1", write(&own(), &[IntVal(1)]), ());
    report.answers(
        "1.0 is not 1",
        take_one(&own(), &[Exact(FloatVal(1.0))]),
        None,
    );
    report.answers("null is not 1", take_one(&own(), &[Exact(NullVal)]), None);
    report.answers(
        "1 is 1",
        take_one(&own(), &[Exact(IntVal(1))]),
        Some(vec![IntVal(1)]),
    );
}

fn patterns_choose(report: &mut Report) {
    let predicate = |condition: &str| vec![Exact(text("p")), Predicate(condition.to_owned())];
    for number in [5, 10, 15] {
        report.answers("write", write(&own(), &pair("p", number)), ());
    }
    report.answers(
        "write a text",
        write(&own(), &[text("p"), text("order-7")]),
        (),
    );
    let mut counts = |condition: &str, expected: u64| {
        report.answers(condition, count(&own(), &predicate(condition)), expected);
    };
    counts(">10", 1);
    counts(">=10", 2);
    counts("<10", 1);
    counts("<=10", 2);
    counts("!=10", 3);
    counts("startsWith:order", 1);
    counts("endsWith:-7", 1);
    counts("contains:der", 1);
    counts("contains:nothing", 0);
    let typed = |field_type| vec![Any, Typed(field_type)];
    report.answers("typed int", count(&own(), &typed(FieldType::IntType)), 3);
    report.answers(
        "typed string",
        count(&own(), &typed(FieldType::StringType)),
        1,
    );
    report.answers(
        "typed tuple",
        count(&own(), &typed(FieldType::TupleType)),
        0,
    );
    report.answers("another length", count(&own(), &[Any]), 0);
    while let Ok(Some(_)) = take_one(&own(), &named("p")) {}
    report.answers("all taken", count(&own(), &named("p")), 0);
}

fn waits_end(report: &mut Report) {
    report.answers(
        "read-blocking ends",
        read_blocking(&own(), &named("w"), 1),
        None,
    );
    report.answers(
        "take-blocking ends",
        take_blocking(&own(), &named("w"), 1),
        None,
    );
    report.answers("write", write(&own(), &pair("w", 1)), ());
    report.answers(
        "read-blocking",
        read_blocking(&own(), &named("w"), 0),
        Some(pair("w", 1)),
    );
    report.answers(
        "take-blocking",
        take_blocking(&own(), &named("w"), 1),
        Some(pair("w", 1)),
    );
    report.answers(
        "write-with-ttl",
        write_with_ttl(&own(), &pair("w", 2), 1),
        (),
    );
    report.answers(
        "it ends while one waits",
        take_blocking(&own(), &named("v"), 5),
        None,
    );
    report.answers("it has ended", read(&own(), &named("w")), None);
}

fn one_is_swapped(report: &mut Report) {
    let swap = |expected: i64, new: i64| {
        compare_and_swap(&own(), &named("s"), &pair("s", expected), &pair("s", new))
    };
    report.answers("swap of nothing", swap(1, 2), false);
    report.answers("write", write(&own(), &pair("s", 1)), ());
    report.answers("swap of another", swap(2, 3), false);
    report.answers("swap", swap(1, 2), true);
    report.answers("swap again", swap(1, 2), false);
    let other = compare_and_swap(&own(), &named("t"), &pair("s", 2), &pair("s", 3));
    report.answers("swap of what the pattern excludes", other, false);
    report.answers("take", take_one(&own(), &named("s")), Some(pair("s", 2)));
}

fn subscriptions_begin_and_end(report: &mut Report) {
    let first = subscribe_to(&own(), &named("e"));
    report.holds("subscribe", first.is_ok(), &first);
    let id = first.unwrap_or_default();
    report.answers("unsubscribe", unsubscribe(id), ());
    report.refuses(
        "unsubscribe again",
        unsubscribe(id),
        ErrorCode::InvalidMessage,
    );
    report.refuses(
        "unsubscribe of none",
        unsubscribe(u64::MAX),
        ErrorCode::InvalidMessage,
    );
}

fn bad_arguments_are_refused(report: &mut Report) {
    let bad = [Predicate("about ten".to_owned())];
    report.refuses("read", read(&own(), &bad), ErrorCode::InvalidMessage);
    report.refuses(
        "read-blocking",
        read_blocking(&own(), &bad, 0),
        ErrorCode::InvalidMessage,
    );
    report.refuses(
        "read-all",
        read_all(&own(), &bad, 0),
        ErrorCode::InvalidMessage,
    );
    report.refuses("take", take_one(&own(), &bad), ErrorCode::InvalidMessage);
    report.refuses(
        "take-blocking",
        take_blocking(&own(), &bad, 0),
        ErrorCode::InvalidMessage,
    );
    report.refuses("count", count(&own(), &bad), ErrorCode::InvalidMessage);
    report.refuses(
        "subscribe",
        subscribe_to(&own(), &bad),
        ErrorCode::InvalidMessage,
    );
    let swapped = compare_and_swap(&own(), &bad, &[], &[]);
    report.refuses("compare-and-swap", swapped, ErrorCode::InvalidMessage);
    let never = write_with_ttl(&own(), &[], 0);
    report.refuses("a life of 0 ms", never, ErrorCode::InvalidMessage);
    let forever = write_with_ttl(&own(), &[], u64::MAX);
    report.refuses("a life of all time", forever, ErrorCode::InvalidMessage);
    let long = vec![NullVal; 65];
    report.refuses("65 fields", write(&own(), &long), ErrorCode::InvalidMessage);
    let wide = vec![Any; 65];
    report.refuses(
        "a wait for 65 fields",
        take_blocking(&own(), &wide, 1),
        ErrorCode::InvalidMessage,
    );
    report.refuses(
        "a subscription to 65 fields",
        subscribe_to(&own(), &wide),
        ErrorCode::InvalidMessage,
    );
}

/// Waits without end for a tuple of two fields, the first of which is this.
pub fn take(name: &str) -> Result<Vec<u8>, String> {
    let taken = take_blocking(&own(), &named(name), 0);
    Ok(format!("{taken:?}").into_bytes())
}

/// Subscribes to tuples of two fields, the first of which is this.
pub fn subscribe(name: &str) -> Result<Vec<u8>, String> {
    let id = subscribe_to(&own(), &named(name)).map_err(|error| error.message)?;
    Ok(id.to_string().into_bytes())
}

/// What each function answers in another place.
pub fn reach(ctx: &Context) -> Vec<String> {
    let tuple = pair("reach", 1);
    vec![
        word(&write(ctx, &tuple)),
        word(&write_with_ttl(ctx, &tuple, 60_000)),
        word(&read(ctx, &named("reach"))),
        word(&read_blocking(ctx, &named("reach"), 1)),
        word(&read_all(ctx, &named("reach"), 0)),
        word(&compare_and_swap(ctx, &named("reach"), &tuple, &tuple)),
        word(&take_one(ctx, &named("reach"))),
        word(&take_blocking(ctx, &named("reach"), 1)),
        word(&count(ctx, &named("reach"))),
        word(&subscribe_to(ctx, &named("reach"))),
    ]
}
