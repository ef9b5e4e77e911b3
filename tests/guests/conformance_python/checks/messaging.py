"""Messages, timers and the lives of other actors: each function, with a child of this very module as the other side."""

from wit_world.imports import conversation, messaging
from wit_world.imports.types import ErrorCode, SpawnOptions

from .report import EXHAUSTED, INVALID, TOO_MUCH, Report

# Milliseconds that an ask may take.
LONG = 60_000


def check(report: Report) -> None:
    report.holds("self-id", "@" in messaging.self_id(), messaging.self_id())
    report.answers(None, messaging.parent_id)
    before = messaging.now()
    report.answers(None, messaging.sleep, 2)
    report.holds("it slept", messaging.now() > before > 1_500_000_000_000, before)
    timers(report)
    nobody_is_there(report)
    bad_arguments(report)
    child = report.gives(messaging.spawn, "", b"born", options())
    if child:
        the_other_answers(report, child)
        ties(report, child)
        report.answers(None, messaging.stop, child, LONG)


def options(**changed: object) -> SpawnOptions:
    plain = {"actor_id": None, "labels": [("kind", "child")], "mailbox_size": 16, "durable": False, "supervisor": None}
    return SpawnOptions(**(plain | changed))


def timers(report: Report) -> None:
    timer = report.gives(messaging.send_after, LONG, "late", b"")
    report.answers(None, messaging.cancel_timer, timer)
    report.refuses(INVALID, messaging.cancel_timer, timer)
    report.refuses(INVALID, messaging.send_after, 2**64 - 1, "late", b"")


def nobody_is_there(report: Report) -> None:
    nobody = ErrorCode.ACTOR_NOT_FOUND
    report.refuses(nobody, messaging.tell, "nobody", "note", b"")
    report.refuses(nobody, messaging.ask, "nobody", "note", b"", 1)
    report.refuses(nobody, messaging.forward, "nobody", "note", b"", "me", None)
    report.refuses(nobody, messaging.stop, "nobody", 0)
    report.refuses(nobody, messaging.link, "nobody")
    report.refuses(nobody, messaging.monitor, "nobody")
    report.answers(None, messaging.unlink, "nobody")
    report.refuses(INVALID, messaging.demonitor, 2**64 - 1)
    report.refuses(INVALID, messaging.reply, "none", b"")


def bad_arguments(report: Report) -> None:
    me = messaging.self_id()
    report.refuses(INVALID, messaging.tell, me, "t" * 129, b"")
    report.refuses(INVALID, messaging.ask, me, "t" * 129, b"", 1)
    report.refuses(INVALID, messaging.send_after, 1, "t" * 129, b"")
    report.refuses(INVALID, messaging.forward, me, "note", b"", "", None)
    report.refuses(INVALID, messaging.link, me)
    report.refuses(EXHAUSTED, messaging.tell, me, "note", TOO_MUCH)
    report.refuses(INVALID, messaging.spawn, "", b"", options(actor_id="no id/"))
    report.refuses(INVALID, messaging.spawn, "none", b"", options())
    report.refuses(ErrorCode.ACTOR_NOT_FOUND, messaging.spawn, "", b"", options(supervisor="none"))


def the_other_answers(report: Report, child: str) -> None:
    report.answers(messaging.self_id().encode(), messaging.ask, child, "parent", b"", LONG)
    report.answers(b"born", messaging.ask, child, "state", b"", LONG)
    report.gives(messaging.tell, child, "state", b"")
    report.answers(b"early", messaging.ask, child, "reply", b"early", LONG)
    report.answers(b"born", messaging.ask, child, "forward", b"", LONG)
    report.refuses(ErrorCode.UNKNOWN, messaging.ask, child, "nonsense", b"", LONG)


def ties(report: Report, child: str) -> None:
    report.answers(None, messaging.link, child)
    report.answers(None, messaging.unlink, child)
    watch = report.gives(messaging.monitor, child)
    report.answers(None, messaging.demonitor, watch)
    report.refuses(INVALID, messaging.demonitor, watch)


def parent(_payload: bytes) -> bytes:
    """Who spawned this actor."""
    return (messaging.parent_id() or "nobody did").encode()


def answer_early(payload: bytes) -> bytes:
    """Answers the current ask by its id, before the handler returns something else."""
    messaging.reply(conversation.current_message().correlation_id, payload)
    return b"dropped"


def forward(_payload: bytes) -> bytes:
    """Has the actor itself answer the current ask with its next message."""
    asked = conversation.current_message()
    messaging.forward(messaging.self_id(), "state", b"", asked.from_actor, asked.correlation_id)
    return b"dropped"


# What the child is asked to do.
ORDERS = {"parent": parent, "reply": answer_early, "forward": forward}
