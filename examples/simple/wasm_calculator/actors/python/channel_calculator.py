"""A calculator behind a queue: a desk takes requests in, workers answer them, and nothing is lost in between.

A tree (`channel_calculator.toml`) runs both of the same module: whose id begins with `worker` works, any other is a desk.
"""

import wit_world
from calculator_actor import answer
from componentize_py_types import Err
from wit_world.imports import channels, messaging
from wit_world.imports.types import Context, ErrorCode

HERE = Context(tenant_id="", namespace="")
REQUESTS = "calculations"
RESULTS = "results"

# How long a worker waits for a request, in milliseconds. Waiting costs nothing, and ends when the actor is told to stop.
PATIENCE = 60_000
# How long a desk waits for a result before it says that there is none.
PATIENCE_OF_DESKS = 4_000


class WitWorld(wit_world.WitWorld):
    # When this life of the actor began: an upgrade may leave the `work` of the one before in the mailbox.
    began = b""

    def init(self, initial_state: bytes) -> None:
        WitWorld.began = str(messaging.now()).encode()
        if "/worker" in messaging.self_id():
            work_soon()

    def snapshot_state(self) -> bytes:
        return b""

    def handle_request(self, from_actor: str, msg_type: str, payload: bytes) -> bytes:
        match msg_type:
            case "work":
                if payload == WitWorld.began:
                    work()
                    work_soon()
                return b""
            case "result":
                return result()
            case _:
                return submit(payload)


def submit(request: bytes) -> bytes:
    """Puts a request into the queue. It is on disk when this returns."""
    try:
        return channels.send_to_queue(HERE, REQUESTS, "request", request).encode()
    except Err as error:
        raise Err(error.value.message)


def work_soon() -> None:
    """One request for each message, so that a stop or an upgrade never waits for more than that."""
    messaging.send_after(0, "work", WitWorld.began)


def work() -> None:
    """Answers one request. It is acknowledged last: until then a restart would bring it again."""
    try:
        request = channels.receive_from_queue(HERE, REQUESTS, PATIENCE)
    except Err as error:
        if error.value.code == ErrorCode.TIMEOUT:
            return  # told to stop while it waited
        raise RuntimeError(error.value.message)  # ends this worker; its supervisor starts another
    if request:
        headers = [("request", request.id)]
        channels.send_to_queue_with_options(HERE, RESULTS, "result", answer(request.payload), 0, 0, headers)
        channels.ack(HERE, REQUESTS, request.id)


def result() -> bytes:
    """The next result, once; empty where there is none."""
    try:
        message = channels.receive_from_queue(HERE, RESULTS, PATIENCE_OF_DESKS)
        if not message:
            return b""
        channels.ack(HERE, RESULTS, message.id)
        return message.payload
    except Err as error:
        raise Err(error.value.message)
