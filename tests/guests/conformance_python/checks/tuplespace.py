"""Tuples: each function, in the application's own place."""

from wit_world.imports import tuplespace
from wit_world.imports.types import (
    FieldType,
    PatternField_Any as Any,
    PatternField_Exact as Exact,
    PatternField_Predicate as Predicate,
    PatternField_Typed as Typed,
    TupleField_BoolVal as Bool,
    TupleField_BytesVal as Bytes,
    TupleField_FloatVal as Float,
    TupleField_IntVal as Int,
    TupleField_NullVal as Null,
    TupleField_StringVal as Text,
)

from .report import INVALID, OWN, Report


def pair(name: str, number: int) -> list:
    return [Text(name), Int(number)]


def named(name: str) -> list:
    return [Exact(Text(name)), Any()]


def check(report: Report) -> None:
    written_read_and_taken(report)
    fields_keep_their_types(report)
    patterns_choose(report)
    waits_end(report)
    swapped(report)
    subscriptions(report)
    bad_arguments(report)


def written_read_and_taken(report: Report) -> None:
    report.answers(None, tuplespace.take, OWN, named("a"))
    report.answers(None, tuplespace.write, OWN, pair("a", 1))
    report.answers(None, tuplespace.write, OWN, pair("a", 2))
    report.answers(pair("a", 1), tuplespace.read, OWN, named("a"))
    report.answers(2, tuplespace.count, OWN, named("a"))
    report.answers([pair("a", 1), pair("a", 2)], tuplespace.read_all, OWN, named("a"), 0)
    report.answers([pair("a", 1)], tuplespace.read_all, OWN, named("a"), 1)
    report.answers(pair("a", 1), tuplespace.take, OWN, named("a"))
    report.answers(pair("a", 2), tuplespace.take_blocking, OWN, named("a"), 0)
    report.answers(None, tuplespace.write_with_ttl, OWN, pair("a", 3), 60_000)
    report.answers(pair("a", 3), tuplespace.take, OWN, named("a"))
    report.answers(None, tuplespace.write, OWN, [])
    report.answers([], tuplespace.take, OWN, [])


def fields_keep_their_types(report: Report) -> None:
    every = [Text("größer \U0001f980"), Int(-(2**63)), Float(-0.5), Bytes(b"\x00\xff"), Bool(True), Null()]
    report.answers(None, tuplespace.write, OWN, every)
    report.answers(every, tuplespace.take, OWN, [Exact(field) for field in every])
    report.answers(None, tuplespace.write, OWN, [Int(1)])
    for other in (Float(1.0), Bool(True), Null(), Text("1")):
        report.answers(None, tuplespace.take, OWN, [Exact(other)])
    report.answers([Int(1)], tuplespace.take, OWN, [Exact(Int(1))])


def patterns_choose(report: Report) -> None:
    for number in (5, 10, 15):
        report.answers(None, tuplespace.write, OWN, pair("p", number))
    report.answers(None, tuplespace.write, OWN, [Text("p"), Text("order-7")])
    conditions = {">10": 1, ">=10": 2, "<10": 1, "<=10": 2, "!=10": 3, "startsWith:order": 1, "contains:der": 1}
    for condition, count in conditions.items():
        report.answers(count, tuplespace.count, OWN, [Exact(Text("p")), Predicate(condition)])
    types = {FieldType.INT_TYPE: 3, FieldType.STRING_TYPE: 1, FieldType.TUPLE_TYPE: 0}
    for field_type, count in types.items():
        report.answers(count, tuplespace.count, OWN, [Exact(Text("p")), Typed(field_type)])
    report.answers(0, tuplespace.count, OWN, [Any()])


def waits_end(report: Report) -> None:
    report.answers(None, tuplespace.read_blocking, OWN, named("w"), 1)
    report.answers(None, tuplespace.take_blocking, OWN, named("w"), 1)
    report.answers(None, tuplespace.write, OWN, pair("w", 1))
    report.answers(pair("w", 1), tuplespace.read_blocking, OWN, named("w"), 0)
    report.answers(pair("w", 1), tuplespace.take_blocking, OWN, named("w"), 1)


def swapped(report: Report) -> None:
    def swap(expected: int, new: int) -> tuple:
        return tuplespace.compare_and_swap, OWN, named("s"), pair("s", expected), pair("s", new)

    report.answers(False, *swap(1, 2))
    report.answers(None, tuplespace.write, OWN, pair("s", 1))
    report.answers(False, *swap(2, 3))
    report.answers(True, *swap(1, 2))
    report.answers(pair("s", 2), tuplespace.take, OWN, named("s"))


def subscriptions(report: Report) -> None:
    subscription = report.gives(tuplespace.subscribe, OWN, named("e"))
    report.answers(None, tuplespace.unsubscribe, subscription)
    report.refuses(INVALID, tuplespace.unsubscribe, subscription)


def bad_arguments(report: Report) -> None:
    bad = [Predicate("about ten")]
    report.refuses(INVALID, tuplespace.read, OWN, bad)
    report.refuses(INVALID, tuplespace.read_all, OWN, bad, 0)
    report.refuses(INVALID, tuplespace.take, OWN, bad)
    report.refuses(INVALID, tuplespace.count, OWN, bad)
    report.refuses(INVALID, tuplespace.compare_and_swap, OWN, bad, [], [])
    for pattern in (bad, [Any()] * 65):
        report.refuses(INVALID, tuplespace.read_blocking, OWN, pattern, 1)
        report.refuses(INVALID, tuplespace.take_blocking, OWN, pattern, 1)
        report.refuses(INVALID, tuplespace.subscribe, OWN, pattern)
    report.refuses(INVALID, tuplespace.write, OWN, [Null()] * 65)
    for ttl in (0, 2**64 - 1):
        report.refuses(INVALID, tuplespace.write_with_ttl, OWN, [], ttl)
