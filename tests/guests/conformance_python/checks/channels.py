"""Queues and topics: each function, in the application's own place."""

from wit_world.imports import channels

from .report import EXHAUSTED, INVALID, OWN, TOO_MUCH, Report


def check(report: Report) -> None:
    messages_are_received_and_answered_for(report)
    options_hold(report)
    queues_are_made_and_removed(report)
    topics(report)
    bad_arguments(report)


def messages_are_received_and_answered_for(report: Report) -> None:
    report.answers(None, channels.receive_from_queue, OWN, "q", 0)
    sent = [report.gives(channels.send_to_queue, OWN, "q", "note", text) for text in (b"a", b"b", b"c")]
    report.answers(3, channels.queue_depth, OWN, "q")
    first = report.gives(channels.receive_from_queue, OWN, "q", 1_000)
    if not first:
        return
    so = (first.id, first.msg_type, first.payload, first.delivery_count) == (sent[0], "note", b"a", 1)
    report.holds("what was received", so and first.timestamp > 1_500_000_000_000, first)
    report.refuses(INVALID, channels.ack, OWN, "other", first.id)
    report.answers(None, channels.nack, OWN, "q", first.id, True)
    again = report.gives(channels.receive_from_queue, OWN, "q", 0)
    report.holds("the same again", again and (again.id, again.delivery_count) == (first.id, 2), again)
    report.answers(None, channels.ack, OWN, "q", first.id)
    report.refuses(INVALID, channels.ack, OWN, "q", first.id)
    report.refuses(INVALID, channels.nack, OWN, "q", first.id, True)
    second = report.gives(channels.receive_from_queue, OWN, "q", 0)
    report.answers(None, channels.nack, OWN, "q", second.id if second else "", False)
    dead = report.gives(channels.receive_from_queue, OWN, "q.dlq", 0)
    report.holds("where it comes from", dead and ("dead-letter-queue", "q") in dead.headers, dead)
    report.answers(None, channels.ack, OWN, "q.dlq", dead.id if dead else "")
    report.answers(1, channels.queue_depth, OWN, "q")


def options_hold(report: Report) -> None:
    headers = [("colour", "red")]
    report.gives(channels.send_to_queue_with_options, OWN, "o", "note", b"late", 20, 0, headers)
    report.answers(None, channels.receive_from_queue, OWN, "o", 0)
    late = report.gives(channels.receive_from_queue, OWN, "o", 60_000)
    report.holds("the headers", late and late.headers == headers, late)


def queues_are_made_and_removed(report: Report) -> None:
    report.answers(None, channels.create_queue, OWN, "small", 1, 0)
    report.gives(channels.send_to_queue, OWN, "small", "", b"x")
    report.refuses(EXHAUSTED, channels.send_to_queue, OWN, "small", "", b"x")
    report.answers(None, channels.create_queue, OWN, "small", 2, 0)
    report.gives(channels.send_to_queue, OWN, "small", "", b"x")
    report.answers(None, channels.delete_queue, OWN, "small")
    report.answers(None, channels.delete_queue, OWN, "small")
    report.answers(0, channels.queue_depth, OWN, "small")


def topics(report: Report) -> None:
    everything = report.gives(channels.subscribe_to_topic, OWN, "t", None)
    filtered = report.gives(channels.subscribe_to_topic, OWN, "t", "order.*")
    report.holds("two subscriptions", everything != filtered, (everything, filtered))
    report.answers(None, channels.unsubscribe_from_topic, filtered)
    report.refuses(INVALID, channels.unsubscribe_from_topic, filtered)
    report.gives(channels.publish_to_topic, OWN, "t", "order.made", b"x")


def bad_arguments(report: Report) -> None:
    for name in ("", "q" * 256, "a\nb"):
        report.refuses(INVALID, channels.send_to_queue, OWN, name, "", b"")
        report.refuses(INVALID, channels.receive_from_queue, OWN, name, 0)
        report.refuses(INVALID, channels.create_queue, OWN, name, 0, 0)
        report.refuses(INVALID, channels.delete_queue, OWN, name)
        report.refuses(INVALID, channels.queue_depth, OWN, name)
        report.refuses(INVALID, channels.publish_to_topic, OWN, name, "", b"")
        report.refuses(INVALID, channels.subscribe_to_topic, OWN, name, None)
    report.refuses(INVALID, channels.subscribe_to_topic, OWN, "t", "")
    report.refuses(INVALID, channels.send_to_queue, OWN, "q", "t" * 129, b"")
    many = [("", "")] * 65
    report.refuses(INVALID, channels.send_to_queue_with_options, OWN, "q", "", b"", 0, 0, many)
    report.refuses(EXHAUSTED, channels.send_to_queue, OWN, "q", "", TOO_MUCH)
