"""Calls the interfaces that most actors use, from Python, with good arguments and bad ones, and reports what differs.

The message's type is an interface: the answer is `{"checks":12,"failures":["..."]}`.
"""

import examples
import wit_world
from componentize_py_types import Err

from checks import channels, keyvalue, locks, messaging, process_groups, tuplespace
from checks.report import Report

INTERFACES = {
    "tuplespace": tuplespace,
    "keyvalue": keyvalue,
    "channels": channels,
    "locks": locks,
    "messaging": messaging,
    "process-groups": process_groups,
}


class WitWorld(wit_world.WitWorld):
    state = b""

    def init(self, initial_state: bytes) -> None:
        WitWorld.state = initial_state

    def snapshot_state(self) -> bytes:
        return WitWorld.state

    def handle_request(self, from_actor: str, msg_type: str, payload: bytes) -> bytes:
        if msg_type in INTERFACES:
            report = Report()
            INTERFACES[msg_type].check(report)
            return report.as_json()
        if msg_type == "state":
            return WitWorld.state
        if msg_type == "examples":
            return examples.run()
        if msg_type == "workflow":
            return examples.brew(payload)
        if msg_type == "activity":
            return payload
        if msg_type in messaging.ORDERS:
            return messaging.ORDERS[msg_type](payload)
        raise Err(f"no such interface: {msg_type}")
