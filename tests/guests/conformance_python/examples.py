"""The examples of docs/polyglot.md, each of which `run` calls."""

from wit_world.imports import blob, channels, durability, keyvalue, locks, process_groups, tuplespace, workflow
from wit_world.imports.types import (
    Context,
    FieldType,
    PatternField_Exact as Exact,
    PatternField_Typed as Typed,
    TupleField_IntVal as Int,
    TupleField_StringVal as Text,
)
from wit_world.imports.workflow import ActivityOptions, WorkflowOptions

OWN = Context(tenant_id="", namespace="")


def work() -> None:
    """Tuples: takes the next job, waiting up to five seconds, and writes what came of it."""
    job = tuplespace.take_blocking(OWN, [Exact(Text("job")), Typed(FieldType.INT_TYPE)], 5_000)
    if job:
        tuplespace.write_with_ttl(OWN, [Text("done"), Int(job[1].value * 2)], 60_000)


def lead() -> bool:
    """Locks: leads for ten seconds, if nobody else does."""
    lock = locks.try_acquire(OWN, "leader", "", 10_000)
    if not lock:
        return False
    locks.release(OWN, lock.lock_key, "", lock.version, False)
    return True


def announce() -> int:
    """Groups: joins for a topic, and tells everybody who is in for it."""
    process_groups.join_group(OWN, "sensors", "", ["alarm"])
    return len(process_groups.publish_to_group(OWN, "sensors", "alarm", b'{"level":3}'))


def visit(name: str) -> int:
    """Keys: remembers for a day who came last, and counts everybody."""
    keyvalue.put_with_ttl(OWN, "visitor/last", name.encode(), 86_400_000)
    return keyvalue.increment(OWN, "visitor/count", 1)


def work_off() -> None:
    """Queues: works off all jobs there are, and acknowledges each when its result is on disk."""
    while job := channels.receive_from_queue(OWN, "jobs", 0):
        try:
            text = job.payload.decode()
        except UnicodeDecodeError:
            # What cannot be read goes to the dead letters, the queue `jobs.dlq`.
            channels.nack(OWN, "jobs", job.id, False)
            continue
        channels.send_to_queue(OWN, "results", "text", text.upper().encode())
        channels.ack(OWN, "jobs", job.id)


def hear_of_orders() -> None:
    """Topics: `handle-event` gets all about orders from now on, then that one was made."""
    channels.subscribe_to_topic(OWN, "shop", "order.*")
    channels.publish_to_topic(OWN, "shop", "order.made", b'{"order":7}')


def keep_map(map: bytes) -> bytes:
    """Blobs: keeps a map that is too large for a key, and reads it again."""
    stored = blob.upload(OWN, "maps", "north.bin", map, "image/png")
    return blob.download(OWN, stored.blob_id, "", "")


def take_order(id: str, receipt: bytes) -> bytes:
    """The journal: an order is on disk before it counts, and has one receipt, however often it is sent."""
    first = durability.cache_side_effect(OWN, f"receipt/{id}", receipt)
    number = durability.persist(OWN, "ordered", id.encode())
    # Every hundred orders the state is kept, and the journal begins anew.
    if number % 100 == 0:
        durability.checkpoint(OWN)
        durability.compact(OWN, number)
    return first


def order_tea(water: bytes) -> str:
    """Workflows: starts a run under an id of its own; a second start of the same is refused."""
    options = WorkflowOptions(workflow_id=None, task_queue=None, execution_timeout=3_600_000, retry_policy=None)
    return workflow.start_workflow(OWN, "guest", "tea-1", water, options)


def brew(water: bytes) -> bytes:
    """The run itself, a message of type `workflow`. Each step it takes is on disk before the next."""
    options = ActivityOptions(
        activity_id=None,
        start_to_close_timeout=5_000,
        schedule_to_close_timeout=None,
        retry_policy='{"max_attempts":3,"initial_ms":100}',
    )
    hot = workflow.schedule_activity(OWN, "guest", water, options)
    workflow.sleep(100)
    return b"tea of " + hot


def run() -> bytes:
    """Calls each once, and says what came of it."""
    tuplespace.write(OWN, [Text("job"), Int(21)])
    work()
    doubled = tuplespace.take(OWN, [Exact(Text("done")), Exact(Int(42))]) is not None
    channels.send_to_queue(OWN, "jobs", "text", b"hello")
    channels.send_to_queue(OWN, "jobs", "text", b"\xff")
    work_off()
    hear_of_orders()
    visit("Ada")
    take_order("7", b"first")
    order_tea(b"water")
    outcomes = {
        "doubled": str(doubled).lower(),
        "led": str(lead()).lower(),
        "told": announce(),
        "visits": visit("Bob"),
        "results": channels.queue_depth(OWN, "results"),
        "dead letters": channels.queue_depth(OWN, "jobs.dlq"),
        "bytes": len(keep_map(b"map")),
        "receipt": take_order("7", b"second").decode(),
    }
    return ", ".join(f"{name}: {outcome}" for name, outcome in outcomes.items()).encode()
