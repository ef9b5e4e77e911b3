"""The calculator actor in Python: JSON in, JSON out, and whatever is wrong with a request is an answer too."""

import json
import math
import operator
from functools import reduce

import wit_world

OPERATIONS = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
}

# Deeply nested JSON overflows the interpreter's stack, which is a trap and no exception.
BRACKETS_MAX = 127


class WitWorld(wit_world.WitWorld):
    def handle_request(self, from_actor: str, msg_type: str, payload: bytes) -> bytes:
        return answer(payload)


class Refusal(Exception):
    """Says what is wrong with a request."""


def answer(payload: bytes) -> bytes:
    """What a request is answered, whatever it is."""
    try:
        operation, operands = parse(payload)
        said = {"result": calculate(operation, operands), "operation": operation}
    except Refusal as refusal:
        said = {"error": str(refusal)}
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def parse(payload: bytes) -> tuple[str, list[float]]:
    try:
        request = read(payload)
    except ValueError:
        raise Refusal("the request is not valid JSON")
    if not isinstance(request, dict):
        raise Refusal("the request is not a JSON object")

    operation = request.get("operation")
    if not isinstance(operation, str):
        raise Refusal("operation must be a string")
    operands = request.get("operands")
    if not isinstance(operands, list) or not all(isinstance(operand, float) for operand in operands):
        raise Refusal("operands must be a list of numbers")
    return operation, operands


def read(payload: bytes) -> object:
    """Reads JSON with every number as a float, which a bool is not."""
    if payload.count(b"[") + payload.count(b"{") > BRACKETS_MAX:
        raise ValueError("nested too deeply")
    return json.loads(payload.decode(), parse_int=number, parse_float=number, parse_constant=number)


def number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def calculate(operation: str, operands: list[float]) -> float:
    """Works from left to right; sum() corrects for rounding, and other languages do not."""
    if operation not in OPERATIONS:
        raise Refusal(f"unknown operation: {operation}")
    if operation == "divide" and len(operands) != 2:
        raise Refusal("divide takes exactly two operands")
    if not operands:
        raise Refusal(f"{operation} takes at least one operand")

    try:
        result = reduce(OPERATIONS[operation], operands)
    except ZeroDivisionError:
        raise Refusal("division by zero")
    if not math.isfinite(result):
        raise Refusal("the result is too large")
    return result
