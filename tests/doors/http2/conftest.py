"""Clients in memory (`peer`), and doors on ports (`doors`)."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.doors.http2.limits import GrpcLimits
from headrace.doors.http2.listener import GrpcListener
from tests.doors.http2.peer import Peer, World, data


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def make_peer() -> type[Peer]:
    return Peer


@pytest.fixture
def data_frame() -> Callable[..., bytes]:
    return data


class Door:
    """A listener on a loop in a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: GrpcLimits, tls: Any) -> None:
        self._loop = loop
        self.world = World()
        self.listener = self.run(self._open(limits, tls))
        self.port = self._address[1]

    async def _open(self, limits: GrpcLimits, tls: Any) -> GrpcListener:
        listener = GrpcListener(self.world.services, limits, tls)
        self._address = await listener.bind("127.0.0.1", 0)
        await listener.open()
        return listener

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """On the loop's thread."""

        async def run() -> Any:
            return function(*arguments)

        return self.run(run())

    def close(self) -> None:
        self.run(self.listener.close())


@pytest.fixture(params=["asyncio", "uvloop"])
def doors(request: Any) -> Iterator[Callable[..., Door]]:
    """`doors(tls=None, **limits)` is a door; nothing of its is held when it has closed."""
    loop = pytest.importorskip(request.param).new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made: list[Door] = []

    def make(tls: Any = None, **limits: Any) -> Door:
        made.append(Door(loop, GrpcLimits(**limits), tls))
        return made[-1]

    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        stack.callback(thread.join, 20)
        stack.callback(loop.call_soon_threadsafe, loop.stop)
        yield make
        for door in made:
            door.close()
            budget = door.listener.budget
            assert (budget.streams, budget.held_bytes, budget.unsent_bytes) == (0, 0, 0)
