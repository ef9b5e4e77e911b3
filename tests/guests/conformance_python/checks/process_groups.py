"""Process groups: each function, in the application's own place."""

from wit_world.imports import messaging, process_groups as groups

from .report import EXHAUSTED, INVALID, OWN, Report


def check(report: Report) -> None:
    made_and_deleted(report)
    joined_and_left(report)
    published(report)
    bad_arguments(report)


def made_and_deleted(report: Report) -> None:
    report.answers([], groups.list_groups, OWN)
    report.answers(None, groups.create_group, OWN, "g", "")
    report.answers(None, groups.create_group, OWN, "g", "")
    report.answers(["g"], groups.list_groups, OWN)
    report.answers([], groups.get_members, OWN, "g")
    report.answers(None, groups.delete_group, OWN, "g")
    report.refuses(INVALID, groups.delete_group, OWN, "g")


def joined_and_left(report: Report) -> None:
    me = [messaging.self_id()]
    report.answers(None, groups.join_group, OWN, "j", "", [])
    report.answers(None, groups.join_group, OWN, "j", "", [])
    report.answers(me, groups.get_members, OWN, "j")
    report.answers(None, groups.leave_group, OWN, "j")
    report.answers(me, groups.get_local_members, OWN, "j")
    report.answers(None, groups.leave_group, OWN, "j")
    report.refuses(INVALID, groups.leave_group, OWN, "j")
    report.answers([], groups.list_groups, OWN)


def published(report: Report) -> None:
    me = [messaging.self_id()]
    report.answers([], groups.publish_to_group, OWN, "p", None, b"{}")
    report.answers(None, groups.join_group, OWN, "p", "", ["red", "green"])
    report.answers(me, groups.publish_to_group, OWN, "p", None, b"{}")
    report.answers(me, groups.publish_to_group, OWN, "p", "red", b"{}")
    report.answers([], groups.publish_to_group, OWN, "p", "blue", b"{}")
    report.answers(None, groups.leave_group, OWN, "p")


def bad_arguments(report: Report) -> None:
    for name in ("", "g" * 257):
        report.refuses(INVALID, groups.create_group, OWN, name, "")
        report.refuses(INVALID, groups.join_group, OWN, name, "", [])
    report.refuses(INVALID, groups.create_group, OWN, "g", "a/b")
    report.refuses(INVALID, groups.join_group, OWN, "g", "", [""])
    report.refuses(EXHAUSTED, groups.join_group, OWN, "g", "", ["topic"] * 65)
    report.answers([], groups.get_members, OWN, "none")
