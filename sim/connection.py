"""A client's connection: requests in the order asked, answers by their numbers.

What must not enter: what a client does about an error.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Final, TypeVar

from headrace.doors.kafka.registry import apis
from headrace.wire import schema
from headrace.wire.apis import ApiKey, is_flexible, response_header_version
from sim.loop import SimLoop
from sim.machine import PORT
from sim.network import Network, Socket

__all__ = ["Connection", "Disconnected"]

ANSWER_S: Final = 30.0
"""request.timeout.ms of clients: who waits longer hangs up."""
READ_BYTES: Final = 64 * 1024
VERSIONS: Final = {ApiKey.PRODUCE: 12, ApiKey.FETCH: 12}
"""Where it is not the newest: topics by name."""

_LENGTH: Final = struct.Struct(">i")
_HEAD: Final = struct.Struct(">hhi")

T = TypeVar("T")


class Disconnected(Exception):
    """There is no connection, or none any more: whether the request had its effect is not known."""


class Connection:
    """Made by `open`."""

    def __init__(self, loop: SimLoop, connected: Socket, client_id: str) -> None:
        self._loop = loop
        self._socket = connected
        self._client_id = client_id.encode()
        self._buffer = bytearray()
        self._unsent = bytearray()
        self._number = 0
        self._waiting: dict[int, tuple[Callable[[bytes], Any], asyncio.Future[Any]]] = {}
        self._scratch = memoryview(bytearray(READ_BYTES))
        loop.add_reader(connected.fileno(), self._on_readable)

    @classmethod
    async def open(cls, network: Network, loop: SimLoop, client_id: str) -> "Connection":
        """Raises Disconnected."""
        connected: asyncio.Future[Socket | None] = loop.create_future()
        network.connect(loop, PORT, lambda found: connected.done() or connected.set_result(found))
        found = await connected
        if found is None:
            raise Disconnected("connection refused")
        return cls(loop, found, client_id)

    def send(
        self, request: Any, response: type[T], version: int | None = None
    ) -> "asyncio.Future[T]":
        """The answer, when it is there. It raises Disconnected when that cannot come."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._socket.is_closed:
            future.set_exception(Disconnected("closed"))
            future.exception()
            return future
        key = schema.api_key_of(type(request))
        if version is None:
            version = VERSIONS.get(ApiKey(key)) or apis()[key].versions[1]
        self._number += 1
        head = _HEAD.pack(key, version, self._number)
        head += struct.pack(">h", len(self._client_id)) + self._client_id
        head += b"\0" if is_flexible(key, version) else b""
        body = head + schema.encode(request, version)
        at = 4 + response_header_version(schema.api_key_of(response), version)
        self._waiting[self._number] = (
            lambda frame: schema.decode(response, version, frame, at),
            future,
        )
        self._unsent += _LENGTH.pack(len(body)) + body
        self._flush()
        return future

    async def ask(
        self,
        request: Any,
        response: type[T],
        version: int | None = None,
        timeout_s: float = ANSWER_S,
    ) -> T:
        """Raises Disconnected; the connection is closed then."""
        return await self.answer(self.send(request, response, version), timeout_s)

    async def answer(self, future: "asyncio.Future[T]", timeout_s: float = ANSWER_S) -> T:
        """The same for what was sent before."""
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            self.close("no answer")
            raise Disconnected("no answer") from None

    def close(self, why: str = "closed") -> None:
        """Idempotent."""
        if self._socket.is_closed:
            return
        fd = self._socket.fileno()
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        self._socket.close()
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            if not future.done():
                future.set_exception(Disconnected(why))
                future.exception()  # whoever waits is told all the same

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            self._loop.add_writer(self._socket.fileno(), self._on_writable)
        except OSError as error:
            self.close(str(error))

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._flush()

    def _on_readable(self) -> None:
        try:
            size = self._socket.recv_into(self._scratch)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(str(error))
            return
        if size == 0:
            self.close("the broker hung up")
            return
        self._buffer += self._scratch[:size]
        while len(self._buffer) >= 4:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if len(self._buffer) < 4 + length:
                return
            frame = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            (number,) = _LENGTH.unpack_from(frame)
            decode, future = self._waiting.pop(number)
            if not future.done():
                future.set_result(decode(frame))
