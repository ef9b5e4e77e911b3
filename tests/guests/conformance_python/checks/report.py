"""What was checked, and what was otherwise than it should be."""

import json
from collections.abc import Callable

from componentize_py_types import Err
from wit_world.imports.types import Context, ErrorCode

# The application's own place.
OWN = Context(tenant_id="", namespace="")

INVALID = ErrorCode.INVALID_MESSAGE
EXHAUSTED = ErrorCode.RESOURCE_EXHAUSTED

# More bytes than a message, a value or a tuple may have.
TOO_MUCH = bytes(1_048_577)


class Report:
    def __init__(self) -> None:
        self.checks = 0
        self.failures: list[str] = []

    def holds(self, what: str, so: bool, saw: object) -> None:
        """This is so."""
        self.checks += 1
        if not so:
            self.failures.append(f"{what}: {saw!r}"[:500])

    def answers(self, expected: object, function: Callable, *arguments: object) -> None:
        """The call's answer is this value, of this very type."""
        answer = answer_of(function, arguments)
        so = answer == expected and type(answer) is type(expected)
        self.holds(called(function, arguments), so, (answer, expected))

    def gives(self, function: Callable, *arguments: object) -> object:
        """The call has an answer, which is returned; None where it has none."""
        answer = answer_of(function, arguments)
        so = answer is not None and not isinstance(answer, Err)
        self.holds(called(function, arguments), so, answer)
        return answer if so else None

    def refuses(self, code: ErrorCode, function: Callable, *arguments: object) -> None:
        """The call is refused with this code, and a text of one line."""
        answer = answer_of(function, arguments)
        so = isinstance(answer, Err) and answer.value.code == code and one_line(answer.value.message)
        self.holds(called(function, arguments), so, (answer, code))

    def as_json(self) -> bytes:
        return json.dumps({"checks": self.checks, "failures": self.failures}).encode()


def answer_of(function: Callable, arguments: tuple) -> object:
    try:
        return function(*arguments)
    except Err as error:
        return error


def called(function: Callable, arguments: tuple) -> str:
    """The call as one would write it, as far as a line is long."""
    shown = ", ".join(repr(it) for it in arguments if it is not OWN)
    return f"{function.__name__}({shown})"[:120]


def one_line(text: str) -> bool:
    return bool(text) and "\n" not in text
