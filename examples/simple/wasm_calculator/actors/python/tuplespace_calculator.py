"""A calculator that nobody has to know: it takes requests out of the tuple space, and leaves the results there.

    ["calculate", ID, OPERATION, NUMBER, NUMBER]  becomes  ["result", ID, "ok", NUMBER]  or  ["result", ID, "error", TEXT]
"""

import wit_world
from calculator_actor import Refusal, calculate
from componentize_py_types import Err
from wit_world.imports import messaging, tuplespace
from wit_world.imports.types import (
    Context,
    ErrorCode,
    FieldType,
    PatternField_Any as Any,
    PatternField_Exact as Exact,
    PatternField_Typed as Typed,
    TupleField_FloatVal as Float,
    TupleField_IntVal as Int,
    TupleField_StringVal as Text,
)

HERE = Context(tenant_id="", namespace="")
REQUEST = [Exact(Text("calculate")), Any(), Typed(FieldType.STRING_TYPE), Any(), Any()]

# How long to wait for a request, in milliseconds. Waiting costs nothing, and ends when the actor is told to stop.
PATIENCE = 60_000
# How long a result that nobody takes is kept.
KEPT = 600_000


class WitWorld(wit_world.WitWorld):
    # When this life of the actor began: an upgrade may leave the `work` of the one before in the mailbox.
    began = b""

    def init(self, initial_state: bytes) -> None:
        WitWorld.began = str(messaging.now()).encode()
        work_soon()

    def snapshot_state(self) -> bytes:
        return b""

    def handle_request(self, from_actor: str, msg_type: str, payload: bytes) -> bytes:
        if msg_type != "work":
            raise Err("write a tuple instead: this actor waits for requests in the tuple space")
        if payload == WitWorld.began:
            work()
            work_soon()
        return b""


def work_soon() -> None:
    """One request for each message, so that a stop or an upgrade never waits for more than that."""
    messaging.send_after(0, "work", WitWorld.began)


def work() -> None:
    try:
        request = tuplespace.take_blocking(HERE, REQUEST, PATIENCE)
    except Err as error:
        if error.value.code == ErrorCode.TIMEOUT:
            return  # told to stop while it waited
        raise RuntimeError(error.value.message)  # ends this worker; its supervisor starts another
    if request:
        _, id, operation, *operands = request
        result = [Text("result"), id, *outcome(operation.value, operands)]
        tuplespace.write_with_ttl(HERE, result, KEPT)


def outcome(operation: str, operands: list) -> list:
    try:
        if not all(isinstance(operand, (Int, Float)) for operand in operands):
            raise Refusal("operands must be numbers")
        result = calculate(operation, [float(operand.value) for operand in operands])
        return [Text("ok"), Float(result)]
    except Refusal as refusal:
        return [Text("error"), Text(str(refusal))]
