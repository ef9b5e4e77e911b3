"""A greeter in Python: counts whom it has greeted, talks to other actors, and passes notes through the tuple space."""

import wit_world
from componentize_py_types import Err
from wit_world.imports import messaging, tuplespace
from wit_world.imports.types import Context, PatternField_Any, PatternField_Exact, TupleField_StringVal

HERE = Context(tenant_id="", namespace="")


class WitWorld(wit_world.WitWorld):
    # The class has the state: componentize-py makes an instance for each of these functions.
    greeted = 0

    def init(self, initial_state: bytes) -> None:
        WitWorld.greeted = int(initial_state or 0)

    def snapshot_state(self) -> bytes:
        return str(WitWorld.greeted).encode()

    def handle_request(self, from_actor: str, msg_type: str, payload: bytes) -> bytes:
        try:
            return self.answer(msg_type, payload.decode()).encode()
        except Err as error:
            # A host function's error is a record; what the asker is told is its message.
            raise Err(getattr(error.value, "message", error.value))

    def answer(self, msg_type: str, text: str) -> str:
        match msg_type:
            case "call" | "greet":
                return self.greet(text)
            case "count":
                return str(WitWorld.greeted)
            case "tell":
                messaging.tell(text, "greet", b"Python")
                return f"told {text}"
            case "ask":
                return messaging.ask(text, "greet", b"Python", 5000).decode()
            case "leave":
                return leave(text)
            case "take":
                return take()
            case "crash":
                raise RuntimeError(text)
            case _:
                raise Err(f"unknown message type: {msg_type}")

    def greet(self, name: str) -> str:
        WitWorld.greeted += 1
        return f"Hello, {name}, from Python! You are number {WitWorld.greeted}."


def leave(note: str) -> str:
    """Leaves a note for whoever takes it."""
    tuplespace.write(HERE, [TupleField_StringVal(field) for field in ("note", "Python", note)])
    return "left a note"


def take() -> str:
    """Takes anybody's note."""
    pattern = [PatternField_Exact(TupleField_StringVal("note")), PatternField_Any(), PatternField_Any()]
    match tuplespace.take(HERE, pattern):
        case [_, who, note]:
            return f"{who.value} left: {note.value}"
        case _:
            return "no note"
