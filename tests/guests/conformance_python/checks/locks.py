"""Locks: each function, in the application's own place."""

from wit_world.imports import locks, messaging

from .report import INVALID, OWN, Report

MINUTE = 60_000


def check(report: Report) -> None:
    one_holder(report)
    another_holder(report)
    leases_end(report)
    bad_arguments(report)


def one_holder(report: Report) -> None:
    report.answers(None, locks.get_lock, OWN, "k")
    first = report.gives(locks.acquire, OWN, "k", "me", MINUTE)
    if not first:
        return
    so = (first.lock_key, first.holder_id, first.locked) == ("k", "me", True)
    report.holds("the lock", so and first.expires_at > first.last_heartbeat, first)
    again = report.gives(locks.renew, OWN, "k", "me", first.version, MINUTE)
    report.holds("a later version", again and again.version > first.version, (first, again))
    report.refuses(INVALID, locks.renew, OWN, "k", "me", first.version, MINUTE)
    report.refuses(INVALID, locks.release, OWN, "k", "me", first.version, False)
    report.refuses(INVALID, locks.release, OWN, "k", "you", again.version, False)
    report.answers(None, locks.release, OWN, "k", "me", again.version, False)
    last = report.gives(locks.get_lock, OWN, "k")
    report.holds("free, and remembered", last and not last.locked, last)
    last = report.gives(locks.acquire, OWN, "k", "me", MINUTE)
    report.answers(None, locks.release, OWN, "k", "me", last.version if last else "", True)
    report.answers(None, locks.get_lock, OWN, "k")


def another_holder(report: Report) -> None:
    mine = report.gives(locks.try_acquire, OWN, "t", "me", MINUTE)
    report.answers(None, locks.try_acquire, OWN, "t", "you", MINUTE)
    report.answers(None, locks.release, OWN, "t", "me", mine.version if mine else "", True)
    unnamed = report.gives(locks.try_acquire, OWN, "t", "", MINUTE)
    report.holds("the actor holds it", unnamed and unnamed.holder_id == messaging.self_id(), unnamed)
    report.answers(None, locks.release, OWN, "t", "", unnamed.version if unnamed else "", True)


def leases_end(report: Report) -> None:
    short = report.gives(locks.acquire, OWN, "s", "me", 1)
    # Waits until the first lease is over.
    later = report.gives(locks.acquire, OWN, "s", "you", MINUTE)
    report.holds("a later version", short and later and later.version > short.version, (short, later))
    report.refuses(INVALID, locks.renew, OWN, "s", "me", short.version if short else "", MINUTE)


def bad_arguments(report: Report) -> None:
    for key in ("", "k" * 257):
        report.refuses(INVALID, locks.acquire, OWN, key, "me", MINUTE)
        report.refuses(INVALID, locks.try_acquire, OWN, key, "me", MINUTE)
    for function in (locks.acquire, locks.try_acquire):
        report.refuses(INVALID, function, OWN, "b", "h" * 257, MINUTE)
        report.refuses(INVALID, function, OWN, "b", "me", 0)
        report.refuses(INVALID, function, OWN, "b", "me", 2**64 - 1)
    report.refuses(INVALID, locks.renew, OWN, "b", "me", "1", MINUTE)
    report.refuses(INVALID, locks.release, OWN, "b", "me", "1", False)
    report.refuses(INVALID, locks.release, OWN, "b", "me", "first", False)
