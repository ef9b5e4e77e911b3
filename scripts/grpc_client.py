"""A gRPC client made of nothing but what the node says of itself: it lists and describes the services by reflection,
deploys a module, asks it, lists, looks at it, undeploys it, and watches the node's health until it stops.

Usage: grpc_client.py HOST:PORT NODE_PID MODULE.wasm
"""

import hashlib
import json
import os
import signal
import sys

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

APPLICATIONS = "plexspaces.application.v1.ApplicationService"
ACTORS = "plexspaces.actor.v1.ActorService"
MODULES = "plexspaces.wasm.v1.WasmRuntimeService"
SYSTEM = "plexspaces.system.v1.SystemService"
TUPLES = "plexspaces.tuplespace.v1.TuplePlexSpaceService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"
REFLECTION_ALPHA = "grpc.reflection.v1alpha.ServerReflection"

GRPC_WASM_BYTES_MAX = 5_242_880


class Node:
    """A node, and what reflection says of it."""

    def __init__(self, address):
        limits = [("grpc.max_send_message_length", 16 << 20)]
        self.channel = grpc.insecure_channel(address, options=limits)
        grpc.channel_ready_future(self.channel).result(timeout=30)
        self.reflection = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.reflection)

    def services(self):
        return sorted(self.reflection.get_services())

    def method(self, service, name):
        return self.pool.FindServiceByName(service).methods_by_name[name]

    def messages(self, service, name):
        method = self.method(service, name)
        wanted = [method.input_type, method.output_type]
        return [message_factory.GetMessageClass(it) for it in wanted]

    def call(self, service, name, /, **fields):
        request, response = self.messages(service, name)
        call = self.channel.unary_unary(
            f"/{service}/{name}", request.SerializeToString, response.FromString
        )
        return call(json_or_bytes(request(), fields), timeout=60)

    def watch(self, service, name, /, **fields):
        request, response = self.messages(service, name)
        call = self.channel.unary_stream(
            f"/{service}/{name}", request.SerializeToString, response.FromString
        )
        return call(json_or_bytes(request(), fields), timeout=60)


def json_or_bytes(message, fields):
    """Fills a message; what is in bytes is put in as it is."""
    plain = {key: value for key, value in fields.items() if key != "bytes_of"}
    json_format.ParseDict(plain, message)
    for path, value in fields.get("bytes_of", {}).items():
        *above, last = path.split(".")
        place = message
        for name in above:
            place = getattr(place, name)
        setattr(place, last, value)
    return message


def same(got, expected, what):
    if got != expected:
        sys.exit(f"{what}: {got!r}, not {expected!r}")
    print(f"ok: {what}")


def refused(code, words, call, what):
    try:
        call()
    except grpc.RpcError as error:
        missing = [word for word in words if word not in error.details()]
        same((error.code(), missing), (code, []), what)
    else:
        sys.exit(f"{what}: it was not refused")


def deploy(node, name, module, **more):
    return node.call(
        APPLICATIONS,
        "DeployApplication",
        application_id=f"{name}-app",
        name=name,
        version="1.0.0",
        bytes_of={"wasm_module.module_bytes": module},
        **more,
    )


def main(address, pid, path):
    with open(path, "rb") as file:
        module = file.read()
    node = Node(address)

    expected = sorted(
        [APPLICATIONS, ACTORS, MODULES, SYSTEM, TUPLES, HEALTH, REFLECTION, REFLECTION_ALPHA]
    )
    same(node.services(), expected, "the services, by reflection")
    for service in expected:
        methods = node.pool.FindServiceByName(service).methods
        print(f"{service}: {', '.join(method.name for method in methods)}")
    status = node.pool.FindEnumTypeByName("plexspaces.application.v1.ApplicationStatus")
    same(status.values_by_name["APPLICATION_STATUS_RUNNING"].number, 3, "an enum, by reflection")

    health = node.watch(HEALTH, "Watch")
    serving = {1: "SERVING", 2: "NOT_SERVING"}
    same(serving[next(health).status], "SERVING", "health, watched")

    digest = hashlib.sha256(module).hexdigest()
    deployed = deploy(node, "calculator", module)
    same((deployed.success, deployed.status), (True, 3), "a deploy")
    wrong = {"wasm_module": {"module_hash": "0" * 64}}
    refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        ["module_hash"],
        lambda: deploy(node, "other", module, **wrong),
        "a deploy with another hash is refused",
    )
    refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        ["Message length too large", "HTTP"],
        lambda: deploy(node, "large", bytes(GRPC_WASM_BYTES_MAX + 1)),
        "a module one byte over 5 MiB is refused",
    )

    question = json.dumps({"operation": "add", "operands": [1, 2]}).encode()
    answer = node.call(
        ACTORS,
        "InvokeActor",
        namespace="calculator",
        actor_type="calculator",
        bytes_of={"payload": question},
    )
    same(json.loads(answer.payload), {"result": 3.0, "operation": "add"}, "an invoke")
    asked = node.call(
        ACTORS,
        "SendMessage",
        message={"receiver_id": "calculator"},
        wait_for_response=True,
        bytes_of={"message.payload": question},
    )
    same(json.loads(asked.response.payload)["result"], 3.0, "an ask")

    listed = node.call(APPLICATIONS, "ListApplications").applications
    same([(it.name, it.application_id) for it in listed], [("calculator", "calculator-app")], "a list")
    shown = node.call(APPLICATIONS, "GetApplicationStatus", application_id="calculator-app")
    same((shown.application.name, shown.state.status), ("calculator", 3), "a status, by id")

    kept = node.call(
        MODULES,
        "DeployModule",
        module={"name": "calculator", "version": "1.0.0"},
        bytes_of={"module.module_bytes": module},
    )
    same(kept.module_hash, digest, "a module, kept")
    started = node.call(MODULES, "InstantiateActor", module_ref="calculator@1.0.0", actor_id="second")
    actors = node.call(ACTORS, "ListActors", actor_type="calculator").actors
    same(started.actor_id in [actor.actor_id for actor in actors], True, "an actor of it, listed")
    node.call(ACTORS, "DeleteActor", actor_id=started.actor_id)

    undeployed = node.call(APPLICATIONS, "UndeployApplication", application_id="calculator")
    same(undeployed.success, True, "an undeploy")
    same(len(node.call(APPLICATIONS, "ListApplications").applications), 0, "an empty list")
    refused(
        grpc.StatusCode.UNIMPLEMENTED,
        ["docs/grpc.md"],
        lambda: node.call(SYSTEM, "Shutdown"),
        "a call that is not served says so",
    )

    os.kill(pid, signal.SIGTERM)
    same(serving[next(health).status], "NOT_SERVING", "health, after SIGTERM")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
