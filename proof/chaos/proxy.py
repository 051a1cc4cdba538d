"""The way between clients and broker, which can be slow, cut, or lose what was on it.

A TCP proxy with an event loop and a thread of its own. `weather` is replaced whole, at any time,
and holds for all connections from the next chunk on:

- `delay_s`, `jitter_s` before every chunk; `chunk_bytes` cuts chunks (1: byte by byte);
  `bytes_per_s` throttles each direction of a connection
- `stalls_up`, `stalls_down`: nothing passes from clients to the broker, or back; it is held, and
  passes when the weather changes, as with packets that are sent again until they arrive
- `reset_up_one_in`, `reset_down_one_in`: of so many chunks one is not forwarded, but resets both
  connections. From a client: the broker has never heard of it. From the broker: the request was
  done, and its answer is lost
- `half_close_one_in`: of so many chunks of a client one is the last: its side is closed, the
  broker's answers still pass

What must not enter: what the bytes mean.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["FAIR", "Proxy", "Weather"]

READ_BYTES_MAX: Final = 1 << 16
TURN_S: Final = 0.02
"""How often a stalled direction looks at the weather."""
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Weather:
    delay_s: float = 0.0
    jitter_s: float = 0.0
    chunk_bytes: int = READ_BYTES_MAX
    bytes_per_s: int = 0
    stalls_up: bool = False
    stalls_down: bool = False
    reset_up_one_in: int = 0
    reset_down_one_in: int = 0
    half_close_one_in: int = 0


FAIR: Final = Weather()


class Proxy:
    """Listens on a port of its own from the beginning; `target` is where the broker listens."""

    def __init__(self, seed: str) -> None:
        self.weather = FAIR
        self.target = 0
        self._chance = random.Random(seed)
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def reset_all(self) -> None:
        """Every connection, now."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def roll(self, one_in: int) -> bool:
        return one_in > 0 and self._chance.randrange(one_in) == 0

    def pause_s(self, weather: Weather) -> float:
        return weather.delay_s + self._chance.random() * weather.jitter_s

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._server = self._loop.run_until_complete(
                asyncio.start_server(self._accepted, sock=self._socket, limit=READ_BYTES_MAX)
            )
            self._loop.run_forever()
            self._server.close()
            self._reset_all()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            ended: Coroutine[Any, Any, Any] = _ended(tasks)
            self._loop.run_until_complete(ended)
        finally:
            self._loop.close()

    def _reset_all(self) -> None:
        for pair in self._pairs:
            pair.reset()

    async def _accepted(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            answers, broker = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            client.transport.abort()
            return
        pair = _Pair(self, client, broker)
        self._pairs.add(pair)
        try:
            await asyncio.gather(pair.carry_up(reader), pair.carry_down(answers))
        except asyncio.CancelledError:
            return  # the proxy is being closed
        finally:
            self._pairs.discard(pair)
            pair.reset()


async def _ended(tasks: "set[asyncio.Task[Any]]") -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


class _Pair:
    """A client's connection and the one to the broker that belongs to it."""

    def __init__(
        self, proxy: Proxy, client: asyncio.StreamWriter, broker: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._broker = broker

    def reset(self) -> None:
        for writer in (self._client, self._broker):
            with contextlib.suppress(OSError):
                its: Any = writer.get_extra_info("socket")
                its.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def carry_up(self, reader: asyncio.StreamReader) -> None:
        await self._carry(reader, self._broker, is_up=True)

    async def carry_down(self, reader: asyncio.StreamReader) -> None:
        await self._carry(reader, self._client, is_up=False)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_up: bool
    ) -> None:
        """Until the end of the stream, or a reset."""
        try:
            while data := await reader.read(READ_BYTES_MAX):
                weather = await self._let_through(is_up)
                one_in = weather.reset_up_one_in if is_up else weather.reset_down_one_in
                if self._proxy.roll(one_in):
                    self.reset()
                    return
                await self._pass(data, writer, weather)
                if is_up and self._proxy.roll(weather.half_close_one_in):
                    break
            writer.write_eof()
        except OSError:  # one side has gone, so the other goes
            self.reset()

    async def _let_through(self, is_up: bool) -> Weather:
        """The weather when what was read may go on."""
        while True:
            weather = self._proxy.weather
            if not (weather.stalls_up if is_up else weather.stalls_down):
                pause_s = self._proxy.pause_s(weather)
                if pause_s:
                    await asyncio.sleep(pause_s)
                return weather
            await asyncio.sleep(TURN_S)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, weather: Weather) -> None:
        for start in range(0, len(data), weather.chunk_bytes):
            chunk = data[start : start + weather.chunk_bytes]
            writer.write(chunk)
            await writer.drain()
            if weather.bytes_per_s:
                await asyncio.sleep(len(chunk) / weather.bytes_per_s)
            elif weather.chunk_bytes < READ_BYTES_MAX:
                await asyncio.sleep(0)
