"""The greeter for the published interface: all thirteen functions, of which it needs four."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import ActorError, ActorResult_Err, ActorResult_Ok, ErrorCode


class Actor(exports.Actor):
    # The class has the state: componentize-py makes an instance for each of these functions.
    greeted = 0

    def init(self, initial_state: bytes) -> None:
        Actor.greeted = int(initial_state or 0)

    def snapshot_state(self) -> bytes:
        return str(Actor.greeted).encode()

    def handle_message(self, from_actor: str, msg_type: str, payload: bytes) -> ActorResult_Ok | ActorResult_Err:
        match msg_type:
            case "call" | "greet":
                Actor.greeted += 1
                reply = f"Hello, {payload.decode()}, from Python! You are number {Actor.greeted}."
            case "count":
                reply = str(Actor.greeted)
            case _:
                error = ActorError(ErrorCode.INVALID_MESSAGE, f"unknown message type: {msg_type}", None)
                return ActorResult_Err(error)
        return ActorResult_Ok(reply.encode())

    def shutdown(self) -> None:
        pass

    # What answers not-implemented is passed over for handle_message.

    def handle_call(self, from_actor: str, request: bytes) -> ActorResult_Err:
        return ActorResult_Err(ActorError(ErrorCode.NOT_IMPLEMENTED, "handle-message takes it", None))

    def handle_cast(self, message: bytes) -> None:
        pass

    def handle_info(self, message: bytes) -> None:
        pass

    def handle_event(self, event_type: str, event: bytes) -> None:
        raise Err("there are no events here")

    def handle_transition(self, current_state: str, event: bytes) -> str:
        raise Err("there are no states here")

    def get_state(self) -> str:
        return ""

    def post_init(self) -> None:
        pass

    def pre_suspend(self) -> None:
        pass

    def post_resume(self) -> None:
        pass
