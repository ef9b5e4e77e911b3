//! Locks: each function, in the application's own place.

use crate::plexspaces::actor::locks::{Lock, acquire, get_lock, release, renew, try_acquire};
use crate::plexspaces::actor::messaging;
use crate::plexspaces::actor::types::{ActorError, Context, ErrorCode};
use crate::report::{Report, own, word};

const MINUTE: u64 = 60_000;

pub fn check(report: &mut Report) {
    a_lock_is_acquired_renewed_and_released(report);
    another_holder_waits_or_is_told(report);
    leases_end(report);
    bad_arguments_are_refused(report);
}

fn a_lock_is_acquired_renewed_and_released(report: &mut Report) {
    let none = get_lock(&own(), "k").map(|lock| lock.is_none());
    report.answers("no lock yet", none, true);
    let Some(first) = got(report, "acquire", acquire(&own(), "k", "me", MINUTE)) else {
        return;
    };
    let shown = (
        first.lock_key.as_str(),
        first.holder_id.as_str(),
        first.locked,
    );
    report.holds("what acquire answers", shown == ("k", "me", true), &first);
    let lease = first.expires_at.saturating_sub(first.last_heartbeat);
    report.holds("the lease", lease == MINUTE, &first);
    let Some(again) = got(report, "acquire again", acquire(&own(), "k", "me", MINUTE)) else {
        return;
    };
    report.holds(
        "a new version",
        again.version > first.version,
        (&first, &again),
    );
    let stale = renew(&own(), "k", "me", &first.version, MINUTE);
    report.refuses("renew of an old version", stale, ErrorCode::InvalidMessage);
    let renewed = renew(&own(), "k", "me", &again.version, MINUTE);
    let Some(renewed) = got(report, "renew", renewed) else {
        return;
    };
    report.holds(
        "a newer version",
        renewed.version > again.version,
        (&again, &renewed),
    );
    let stale = release(&own(), "k", "me", &again.version, false);
    report.refuses(
        "release of an old version",
        stale,
        ErrorCode::InvalidMessage,
    );
    let other = release(&own(), "k", "you", &renewed.version, false);
    report.refuses("release of another's", other, ErrorCode::InvalidMessage);
    report.answers(
        "release",
        release(&own(), "k", "me", &renewed.version, false),
        (),
    );
    let twice = release(&own(), "k", "me", &renewed.version, false);
    report.refuses("release twice", twice, ErrorCode::InvalidMessage);
    let seen = get_lock(&own(), "k").map(|lock| lock.map(|lock| (lock.locked, lock.holder_id)));
    report.answers("what is left", seen, Some((false, "me".to_owned())));
    let Some(last) = got(report, "acquire", acquire(&own(), "k", "me", MINUTE)) else {
        return;
    };
    report.answers(
        "release and delete",
        release(&own(), "k", "me", &last.version, true),
        (),
    );
    let none = get_lock(&own(), "k").map(|lock| lock.is_none());
    report.answers("nothing is left", none, true);
}

fn another_holder_waits_or_is_told(report: &mut Report) {
    let tried = try_acquire(&own(), "t", "me", MINUTE);
    let Some(Some(mine)) = got(report, "try-acquire", tried) else {
        return;
    };
    let tried = try_acquire(&own(), "t", "you", MINUTE).map(|lock| lock.is_none());
    report.answers("try-acquire of a held one", tried, true);
    report.answers(
        "release",
        release(&own(), "t", "me", &mine.version, true),
        (),
    );
    let tried = try_acquire(&own(), "t", "", MINUTE);
    let Some(Some(own_name)) = got(report, "try-acquire without a holder", tried) else {
        return;
    };
    report.holds(
        "the actor holds it",
        own_name.holder_id == messaging::self_id(),
        &own_name,
    );
    report.answers(
        "release",
        release(&own(), "t", "", &own_name.version, true),
        (),
    );
}

fn leases_end(report: &mut Report) {
    let Some(short) = got(report, "acquire for 1 ms", acquire(&own(), "s", "me", 1)) else {
        return;
    };
    // Waits until the first lease is over.
    let Some(next) = got(report, "acquire", acquire(&own(), "s", "you", MINUTE)) else {
        return;
    };
    report.holds(
        "a later version",
        next.version > short.version,
        (&short, &next),
    );
    let late = renew(&own(), "s", "me", &short.version, MINUTE);
    report.refuses("renew after the end", late, ErrorCode::InvalidMessage);
    report.answers(
        "release",
        release(&own(), "s", "you", &next.version, true),
        (),
    );
}

fn bad_arguments_are_refused(report: &mut Report) {
    let long = "x".repeat(257);
    report.refuses(
        "no key",
        acquire(&own(), "", "me", MINUTE),
        ErrorCode::InvalidMessage,
    );
    report.refuses(
        "a long key",
        acquire(&own(), &long, "me", MINUTE),
        ErrorCode::InvalidMessage,
    );
    report.refuses(
        "a long holder",
        try_acquire(&own(), "b", &long, MINUTE),
        ErrorCode::InvalidMessage,
    );
    report.refuses(
        "no lease",
        try_acquire(&own(), "b", "me", 0),
        ErrorCode::InvalidMessage,
    );
    report.refuses(
        "an endless lease",
        acquire(&own(), "b", "me", u64::MAX),
        ErrorCode::InvalidMessage,
    );
    let none = renew(&own(), "b", "me", "1", MINUTE);
    report.refuses("renew of no lock", none, ErrorCode::InvalidMessage);
    let none = release(&own(), "b", "me", "1", false);
    report.refuses("release of no lock", none, ErrorCode::InvalidMessage);
    let odd = release(&own(), "b", "me", "first", false);
    report.refuses("a version that is none", odd, ErrorCode::InvalidMessage);
}

fn got<T: std::fmt::Debug>(
    report: &mut Report,
    what: &str,
    answer: Result<T, ActorError>,
) -> Option<T> {
    report.holds(what, answer.is_ok(), &answer);
    answer.ok()
}

/// Acquires this lock for a minute, and answers with its version.
pub fn lock(key: &str) -> Result<Vec<u8>, String> {
    let lock: Result<Lock, ActorError> = acquire(&own(), key, "", MINUTE);
    lock.map(|lock| lock.version.into_bytes())
        .map_err(|error| error.message)
}

/// What each function answers in another place.
pub fn reach(ctx: &Context) -> Vec<String> {
    let acquired = acquire(ctx, "reach", "me", MINUTE);
    let version = acquired
        .as_ref()
        .map_or("1".to_owned(), |lock| lock.version.clone());
    let renewed = renew(ctx, "reach", "me", &version, MINUTE);
    let version = renewed
        .as_ref()
        .map_or(version, |lock| lock.version.clone());
    vec![
        word(&acquired),
        word(&renewed),
        word(&try_acquire(ctx, "reach", "me", MINUTE).map(|_| ())),
        word(&get_lock(ctx, "reach")),
        word(
            &release(ctx, "reach", "me", &version, true).or_else(|error| {
                // try-acquire gave it a newer version where the place is open.
                if acquired.is_ok() { Ok(()) } else { Err(error) }
            }),
        ),
    ]
}
