"""Keys: each function, in the application's own place."""

from wit_world.imports import keyvalue
from wit_world.imports.types import Context

from .report import EXHAUSTED, INVALID, OWN, TOO_MUCH, Report


def check(report: Report) -> None:
    values(report)
    swaps_and_counters(report)
    watches(report)
    bad_arguments(report)


def values(report: Report) -> None:
    report.answers(None, keyvalue.get, OWN, "k")
    report.answers(False, keyvalue.exists, OWN, "k")
    report.answers(None, keyvalue.put, OWN, "k", b"\x00one\xff")
    report.answers(b"\x00one\xff", keyvalue.get, OWN, "k")
    report.answers(True, keyvalue.exists, OWN, "k")
    report.answers(None, keyvalue.put, OWN, "k/größe", b"")
    report.answers(b"", keyvalue.get, OWN, "k/größe")
    report.answers(None, keyvalue.put_with_ttl, OWN, "k/brief", b"x", 60_000)
    report.answers(["k", "k/brief", "k/größe"], keyvalue.list_keys, OWN, "k", 0)
    report.answers(["k"], keyvalue.list_keys, OWN, "k", 1)
    report.answers([], keyvalue.list_keys, OWN, "none", 0)
    report.answers(None, keyvalue.delete, OWN, "k")
    report.answers(None, keyvalue.delete, OWN, "k")
    report.answers(None, keyvalue.get, OWN, "k")


def swaps_and_counters(report: Report) -> None:
    report.answers(False, keyvalue.compare_and_swap, OWN, "s", b"x", b"1")
    report.answers(True, keyvalue.compare_and_swap, OWN, "s", None, b"1")
    report.answers(False, keyvalue.compare_and_swap, OWN, "s", None, b"2")
    report.answers(True, keyvalue.compare_and_swap, OWN, "s", b"1", b"2")
    report.answers(b"2", keyvalue.get, OWN, "s")
    report.answers(5, keyvalue.increment, OWN, "n", 5)
    report.answers(-2, keyvalue.increment, OWN, "n", -7)
    report.answers(b"-2", keyvalue.get, OWN, "n")
    report.answers(2**63 - 3, keyvalue.increment, OWN, "n", 2**63 - 1)
    report.refuses(INVALID, keyvalue.increment, OWN, "n", 3)
    report.answers(None, keyvalue.put, OWN, "n", b"many")
    report.refuses(INVALID, keyvalue.increment, OWN, "n", 1)


def watches(report: Report) -> None:
    watch = report.gives(keyvalue.watch, OWN, "w")
    report.answers(None, keyvalue.unwatch, watch)
    report.refuses(INVALID, keyvalue.unwatch, watch)


def bad_arguments(report: Report) -> None:
    for key in ("", "k" * 1_025):
        report.refuses(INVALID, keyvalue.get, OWN, key)
        report.refuses(INVALID, keyvalue.put, OWN, key, b"x")
        report.refuses(INVALID, keyvalue.put_with_ttl, OWN, key, b"x", 1)
        report.refuses(INVALID, keyvalue.delete, OWN, key)
        report.refuses(INVALID, keyvalue.exists, OWN, key)
        report.refuses(INVALID, keyvalue.compare_and_swap, OWN, key, None, b"x")
        report.refuses(INVALID, keyvalue.increment, OWN, key, 1)
        report.refuses(INVALID, keyvalue.watch, OWN, key)
    report.refuses(INVALID, keyvalue.list_keys, OWN, "k" * 1_025, 0)
    report.refuses(INVALID, keyvalue.put_with_ttl, OWN, "k", b"x", 0)
    report.refuses(EXHAUSTED, keyvalue.put, OWN, "k", TOO_MUCH)
    report.refuses(INVALID, keyvalue.get, Context(tenant_id="", namespace="a/b"), "k")
