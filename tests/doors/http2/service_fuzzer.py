"""Messages that no client would send to the stream services of a real broker: conversations that
are true in the main, and then damaged.

    python -m tests.doors.http2.service_fuzzer [SECONDS] [SEED]    prints the seed of every failure

Whatever comes, the call ends with a status that says whose fault it is, never as a mistake of the
server, and a healthy stream on the same door goes on as if nothing were.
"""

import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import grpc

from headrace.testing import RunningBroker, running_broker
from headrace.wire.cloudevents import Event
from headrace.wire.headrace_v1 import (
    START_EARLIEST,
    OpenPublish,
    OpenSubscription,
    Outcome,
    Settlement,
    SubscribeRequest,
    write_event,
    write_event_batch,
    write_publish_request,
    write_subscribe_request,
)
from tests.doors.http2.fuzzer import damaged
from tests.doors.http2.zerobus.client import (
    AVRO,
    JSON,
    PROTO,
    ZerobusClient,
    batch,
    create,
    message,
    record,
    resume,
)

SEEDS = range(60)
"""What every run of the tests goes through."""

TABLE = "fuzzed"
CALL_S_MAX = 15
FIRST_ANSWER_S_MAX = 0.5
"""Some messages may follow the answer to the first only."""

ZEROBUS = "/databricks.zerobus.Zerobus/"
STREAMS = "/headrace.v1.Streams/"
TOLD = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
"""A client knows what to do then. INTERNAL, UNKNOWN and a call that does not end are ours."""


def conversation(seed: int) -> tuple[str, list[bytes]]:
    """The path of a call, and what is said in it."""
    rng = random.Random(seed)
    path, messages = rng.choice((_ephemeral, _persistent, _flight, _publish, _subscribe))(rng)
    for place, each in enumerate(messages):
        if rng.random() < 0.3:
            messages[place] = damaged(each, rng)
    if rng.random() < 0.1:
        rng.shuffle(messages)
    return path, messages


def _ephemeral(rng: random.Random) -> tuple[str, list[bytes]]:
    kind = rng.choice((JSON, JSON, PROTO, AVRO))
    return ZEROBUS + "EphemeralStream", [create(TABLE, kind, rng.randbytes(9)), *_ingest(rng, kind)]


def _persistent(rng: random.Random) -> tuple[str, list[bytes]]:
    opening = create(TABLE, JSON, persistent=True)
    if rng.random() < 0.3:
        opening = resume(str(rng.random()), JSON)
    return ZEROBUS + "PersistentStream", [opening, *_ingest(rng, JSON, persistent=True)]


def _ingest(rng: random.Random, kind: int, *, persistent: bool = False) -> Iterator[bytes]:
    for offset in range(rng.randrange(20)):
        said = offset if rng.random() < 0.97 else rng.randrange(1 << 63)
        values = [rng.randbytes(rng.randrange(200)) for _ in range(rng.randrange(5))]
        if rng.random() < 0.5:
            yield batch(said, values, kind, persistent=persistent)
        else:
            yield record(said, b"".join(values), kind, persistent=persistent)


def _flight(rng: random.Random) -> tuple[str, list[bytes]]:
    messages = [
        message(
            (2, rng.randbytes(rng.randrange(300))),
            (3, b'{"offset_id": %d}' % place),
            (1000, rng.randbytes(rng.randrange(300))),
        )
        for place in range(rng.randrange(1, 6))
    ]
    return "/arrow.flight.protocol.FlightService/DoPut", messages


def _publish(rng: random.Random) -> tuple[str, list[bytes]]:
    messages = [write_publish_request(OpenPublish(TABLE))]
    offset = 0
    for _ in range(rng.randrange(10)):
        events = [
            write_event(Event(id=str(number), source="/f", type="t", data=rng.randbytes(50)))
            for number in range(rng.randrange(6))
        ]
        messages.append(write_event_batch(offset, events))
        offset += len(events)
    return STREAMS + "Publish", messages


def _subscribe(rng: random.Random) -> tuple[str, list[bytes]]:
    opening = OpenSubscription(
        TABLE, f"g{rng.randrange(5)}", None, START_EARLIEST, rng.randrange(1, 9)
    )
    requests = [SubscribeRequest(opening)]
    for _ in range(rng.randrange(10)):
        first = rng.randrange(50)
        outcome = rng.choice(list(Outcome))
        settlement = Settlement(rng.randrange(3), first, first + rng.randrange(3), outcome)
        requests.append(SubscribeRequest(None, [settlement]))
    return STREAMS + "Subscribe", [write_subscribe_request(each) for each in requests]


def run(channel: grpc.Channel, seed: int) -> grpc.StatusCode:
    """How the call ended. Raises AssertionError if that is a mistake of ours."""
    path, messages = conversation(seed)
    answered = threading.Event()

    def said() -> Iterator[bytes]:
        yield messages[0]
        answered.wait(FIRST_ANSWER_S_MAX)
        yield from messages[1:]

    metadata = [("x-databricks-zerobus-table-name", TABLE)]
    call = channel.stream_stream(path)(said(), metadata=metadata, timeout=CALL_S_MAX)
    try:
        for _ in call:
            answered.set()
    except grpc.RpcError:
        pass
    answered.set()
    assert call.code() in TOLD, f"{path}: {call.code()}: {call.details()}"
    code: grpc.StatusCode = call.code()
    return code


def run_all(broker: RunningBroker, seeds: Sequence[int]) -> set[grpc.StatusCode]:
    """Each conversation in turn, on one connection, beside a stream that must not notice."""
    seen = set()
    with ZerobusClient(broker.grpc_target) as bystander:
        stream = bystander.open("EphemeralStream", create("bystander", JSON))
        stream.created()
        with grpc.insecure_channel(broker.grpc_target) as channel:
            for number, seed in enumerate(seeds):
                seen.add(run(channel, seed))
                stream.send(record(number, b"1"))
        stream.end()
        stream.acked(len(seeds) - 1)
        assert stream.status() == (grpc.StatusCode.OK, "")
    return seen


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    first = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() // 1000 % 10**9
    began, failures, seed = time.monotonic(), 0, first
    with running_broker(grpc=True) as broker, grpc.insecure_channel(broker.grpc_target) as channel:
        while time.monotonic() - began < seconds:
            try:
                run(channel, seed)
            except AssertionError as error:
                failures += 1
                print(f"seed {seed}: {error}", flush=True)
            seed += 1
        run_all(broker, range(first, first + 10))
    print(f"{seed - first} conversations from seed {first}, {failures} failures")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
