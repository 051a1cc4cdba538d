"""The two processes of a run: `python -m bench.latency.clients produce|consume SPEC`.

SPEC is a `Spec` as JSON; each prints one line of JSON when it is done, the consumer a line `ready`
before. One thread each, and no garbage collection, so that they cost what they must.
"""

import gc
import json
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.latency.kafka_wire import KafkaReceiving, KafkaSending
from bench.latency.nats_wire import NatsReceiving, NatsSending
from bench.latency.redis_wire import RedisReceiving, RedisSending
from bench.latency.schedule import OpenLoop, Schedule, Tally
from bench.latency.wires import Receiving, Sending

__all__ = ["Spec"]

LEAD_NS: Final = 100_000_000
"""From being ready to the first record."""
SILENCE_S_MAX: Final = 20.0
RECEIVE_BYTES: Final = 1 << 20
BUFFER_BYTES: Final = 16 << 20
END: Final = array("q", [-1])
"""The moment in the record that says that nothing follows."""

SENDING: Final[dict[str, Callable[[str], Sending]]] = {
    "kafka": KafkaSending,
    "nats": NatsSending,
    "redis": RedisSending,
}
RECEIVING: Final[dict[str, Callable[[str], Receiving]]] = {
    "kafka": KafkaReceiving,
    "nats": NatsReceiving,
    "redis": RedisReceiving,
}


@dataclass(frozen=True, slots=True)
class Spec:
    family: str
    """Which protocol: kafka, nats, redis."""
    bootstrap: str
    log: str
    interval_ns: int
    records: int
    warm_records: int
    give_up_s: float
    """After the last record was due: what is not sent by then is not sent."""

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def connected(spec: Spec, hello: bytes, answer_end: bytes) -> socket.socket:
    host, _, port = spec.bootstrap.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=SILENCE_S_MAX)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(hello)
    came = b""
    while answer_end and answer_end not in came:
        came += received(connection)
    return connection


def received(connection: socket.socket) -> bytes:
    data = connection.recv(RECEIVE_BYTES)
    if not data:
        raise ConnectionError("the system closed the connection")
    return data


def produce(spec: Spec) -> dict[str, Any]:
    wire = SENDING[spec.family](spec.log)
    connection = connected(spec, *wire.hello())
    schedule = Schedule(time.monotonic_ns() + LEAD_NS, spec.interval_ns, spec.records)
    loop = OpenLoop(schedule, spec.warm_records)
    give_up_ns = schedule.time_ns(spec.records) + int(spec.give_up_s * 1e9)
    drive(connection, wire, loop, give_up_ns)
    connection.setblocking(True)
    connection.sendall(wire.encode(END))
    ends = 0
    while not ends:
        ends = wire.acknowledged(received(connection))
    connection.close()
    return {
        "due": spec.records,
        "sent": loop.sent,
        "acked": loop.acked.done,
        "ack": loop.acked.latencies.summary(),
        "late": loop.late.summary(),
    }


def drive(connection: socket.socket, wire: Sending, loop: OpenLoop, give_up_ns: int) -> None:
    """Send until all is acknowledged; after `give_up_ns` only wait for what was sent.

    Raises TimeoutError when the system keeps silent and ConnectionError when it hangs up.
    """
    connection.setblocking(False)
    out = memoryview(b"")
    while not loop.is_finished:
        now_ns = time.monotonic_ns()
        is_over = now_ns > give_up_ns
        if is_over and not out and loop.acked.done == loop.sent:
            return
        if not out and not is_over and (send := loop.next_send(now_ns)):
            out = wire.encode(loop.schedule.times_ns(*send))
        if out:
            out = sent_part(connection, out)
            if not out:
                continue
            loop.hold_up()
        wake_ns = None if out or is_over else loop.wake_ns(now_ns)
        wait_s = SILENCE_S_MAX if wake_ns is None else max(wake_ns - time.monotonic_ns(), 0) / 1e9
        readable, writable, _ = select.select([connection], [connection] * bool(out), [], wait_s)
        if readable:
            data = received(connection)
            loop.acknowledge(time.monotonic_ns(), wire.acknowledged(data))
            if reply := wire.reply():
                connection.sendall(reply)
        elif not writable and wake_ns is None:
            raise TimeoutError(f"nothing for {SILENCE_S_MAX} s, {loop.acked.done} acknowledged")


def sent_part(connection: socket.socket, out: memoryview) -> memoryview:
    """What is left of it when the socket has taken what it takes."""
    try:
        return out[connection.send(out) :]
    except BlockingIOError:
        return out


def consume(spec: Spec) -> dict[str, Any]:
    """Raises RuntimeError for a record that is missing, came twice or in the wrong place."""
    wire = RECEIVING[spec.family](spec.log)
    connection = connected(spec, *wire.hello())
    connection.sendall(wire.ask())
    print("ready", flush=True)
    buffer = bytearray(BUFFER_BYTES)
    view = memoryview(buffer)
    filled = 0
    tally: Tally | None = None
    now_ns = 0
    schedule = Schedule(0, spec.interval_ns, spec.records)
    while True:
        size = connection.recv_into(view[filled:])
        if not size:
            raise ConnectionError("the system closed the connection")
        came_ns = time.monotonic_ns()
        filled += size
        used, times_ns = wire.parse(view[:filled])
        if ask := wire.ask():
            connection.sendall(ask)
        if used:
            view[: filled - used] = view[used:filled]
            filled -= used
        if not times_ns:
            continue
        is_end = times_ns[-1] == END[0]
        if is_end:
            times_ns.pop()
        if times_ns:
            now_ns = came_ns
            if tally is None:
                schedule = Schedule(times_ns[0], spec.interval_ns, spec.records)
                tally = Tally(schedule, spec.warm_records)
            check(times_ns, schedule, tally.done)
            tally.add(now_ns, len(times_ns))
        if is_end:
            break
    connection.close()
    if tally is None:
        raise RuntimeError("no record came")
    return {
        "received": tally.done,
        "seconds": (now_ns - schedule.start_ns) / 1e9,
        "end_to_end": tally.latencies.summary(),
        "behind_at_the_end_ms": tally.at_the_end.least_ns / 1e6,
    }


def check(times_ns: "array[int]", schedule: Schedule, done: int) -> None:
    """That these are the records after the first `done`."""
    expected = schedule.times_ns(done, len(times_ns))
    if times_ns.tobytes() == expected.tobytes():
        return
    for at, (came, due) in enumerate(zip(times_ns, expected, strict=True)):
        if came != due:
            off = (came - due) / schedule.interval_ns
            raise RuntimeError(f"record {done + at}: the one {off:+g} places from it came instead")


def main() -> None:
    gc.disable()
    role, text = sys.argv[1:]
    spec = Spec(**json.loads(text))
    print(json.dumps(produce(spec) if role == "produce" else consume(spec)), flush=True)


if __name__ == "__main__":
    main()
