"""Targets: the decoders of Kafka requests, and a whole door with a broker behind it.

The door gets frames as a socket would bring them, several of one connection in a row. It must
answer or close; what a handler raises and does not mean to is seen in the door's log.
"""

import asyncio
import atexit
import contextlib
import functools
import logging
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from typing import Final

from headrace.broker.broker import Broker, BrokerOptions
from headrace.doors.kafka.connection import Connection
from headrace.doors.kafka.dispatch import decode_request, find_api
from headrace.doors.kafka.listener import Limits, Listener
from headrace.wire import schema
from headrace.wire.apis import ApiKey
from headrace.wire.errors import MalformedError
from headrace.wire.fetch import read_fetch
from headrace.wire.header import read_request_head
from headrace.wire.produce import read_produce
from proof.fuzz.samples import frame_of, samples
from proof.fuzz.target import Target

__all__ = ["DOOR", "REQUESTS"]

QUIET_TURNS: Final = 3
"""Turns of the loop in which nothing comes, before the next input."""
ANSWER_S: Final = 1.0
"""How long requests may wait for each other; some wait because they are asked to."""
TOPICS_MAX: Final = 50
"""More, and the door is made anew."""


def _decode(data: bytes) -> None:
    frame = memoryview(data)
    try:
        head = read_request_head(frame)
        if head.api_key == ApiKey.PRODUCE:
            read_produce(frame, head.body, head.api_version)
        elif head.api_key == ApiKey.FETCH:
            read_fetch(frame, head.body, head.api_version)
        else:
            api = find_api(head)
            request = decode_request(api, head, frame)
            if head.api_key != ApiKey.API_VERSIONS:
                _check_round(request, head.api_version)
    except MalformedError:
        return


def _check_round(request: object, version: int) -> None:
    """What was read can be written and is read again as the same."""
    again = schema.decode(type(request), version, schema.encode(request, version))
    assert again == request or "nan" in repr(request), request


def _frames() -> Iterator[bytes]:
    return (frame_of(sample) for sample in samples())


class _Door:
    """A broker and its Kafka door, for one connection at a time."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="headrace-fuzz-")
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._open())
        self._count = 0
        self._port = socket.create_server(("127.0.0.1", 0))

    async def _open(self) -> None:
        self.broker = await Broker.open(BrokerOptions(self.directory, "os"))
        self.broker.advertise(("127.0.0.1", 1))
        self.listener = Listener(self.broker, Limits(receive_bytes_max=64 << 20))
        await self.broker.topics.create("t", 2)

    def close(self) -> None:
        """Only what would be complained about; the process is at its end."""
        self._port.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def try_one(self, data: bytes) -> None:
        faults: list[str] = []
        with _hearing(faults):
            self.loop.run_until_complete(self._say(data))
        assert not faults, faults[0]

    async def _say(self, data: bytes) -> None:
        ours = socket.create_connection(self._port.getsockname())
        theirs, _ = self._port.accept()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._count += 1
        connection = Connection(self.listener, theirs, "127.0.0.1:1", self._count)
        self.listener.connections[connection] = None
        with ours:
            await self.loop.sock_sendall(ours, data)
            quiet = 0
            until = self.loop.time() + ANSWER_S
            while quiet < QUIET_TURNS and not connection.is_closed and self.loop.time() < until:
                await asyncio.sleep(0)
                quiet = 0 if _takes(ours) or not connection.is_at_rest() else quiet + 1
        if not connection.is_closed:
            connection.close("the input is over", quietly=True)
        await asyncio.sleep(0)


def _takes(ours: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError, ConnectionError):
        return bool(ours.recv(1 << 20))
    return False


class _Ear(logging.Handler):
    """Hears of what should not have been raised."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._faults.append(self.format(record))


@contextlib.contextmanager
def _hearing(faults: list[str]) -> Iterator[None]:
    ear = _Ear(faults)
    loggers = [logging.getLogger(name) for name in ("headrace", "asyncio")]
    for logger in loggers:
        logger.addHandler(ear)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(ear)


@functools.cache
def _opened() -> _Door:
    door = _Door()
    atexit.register(door.close)
    return door


def _try_door(data: bytes) -> None:
    door = _opened()
    door.try_one(data)
    if len(door.broker.topics.by_name) > TOPICS_MAX:
        for name in [name for name in door.broker.topics.by_name if name != "t"]:
            door.loop.run_until_complete(door.broker.topics.delete(name))


def _conversations() -> Iterator[bytes]:
    for frame in _frames():
        yield struct.pack(">i", len(frame)) + frame


REQUESTS: Final = Target(
    "requests",
    _decode,
    _frames,
    ("headrace.wire", "headrace.doors.kafka.dispatch"),
    input_bytes_max=16_384,
)
DOOR: Final = Target(
    "door",
    _try_door,
    _conversations,
    ("headrace.wire", "headrace.doors.kafka", "headrace.broker", "headrace.groups"),
    input_bytes_max=16_384,
    input_s_max=5.0,
)
