"""The process above the workers: takes ports and data directory, starts them, starts them again.

A worker that ends without being told to is started again, at once if it lived for a while and
after growing pauses if not; the others do not notice. Told to stop, the supervisor tells all of
them and waits. If it is killed itself, they see that and stop (`part`).

What must not enter: what a broker does.
"""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any, Final

import headrace
from headrace.server.config import ServerConfig
from headrace.server.standard_streams import say
from headrace.server.workers.child import Child
from headrace.server.workers.directory import DirectoryError, SharedDirectory
from headrace.server.workers.part import WorkerPart
from headrace.server.workers.ports import PortInUse, Ports, bound

__all__ = ["CannotServe", "supervise"]

SOUND_S: Final = 10.0
"""A worker that lived for so long is started again at once."""
PAUSE_S: Final = 0.1
"""Before another one is; it doubles up to PAUSE_S_MAX."""
PAUSE_S_MAX: Final = 5.0

log = logging.getLogger("headrace")


class CannotServe(Exception):
    """Why there is nothing to serve with, in one line for a person."""


async def supervise(config: ServerConfig) -> bool:
    """Serve until a signal; whether all workers ended well. Raises CannotServe."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        with Ports(config) as ports:
            async with await SharedDirectory.open(config.data_dir, config.workers) as directory:
                parts = [_part(config, ports, directory, index) for index in range(config.workers)]
                return await Supervisor(parts, stopping).run(_ready_line(config, ports))
    except (PortInUse, DirectoryError) as error:
        raise CannotServe(str(error)) from error


class Supervisor:
    def __init__(self, parts: list[WorkerPart], stopping: asyncio.Event) -> None:
        self._parts = parts
        self._stopping = stopping
        self._children: dict[int, Child] = {}
        """By index, those that have not ended."""
        self._failed = 0

    async def run(self, ready_line: str) -> bool:
        """As `supervise`."""
        keepers: list[asyncio.Task[None]] = []
        try:
            starts = (self._start(part) for part in self._parts)
            for outcome in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
            children = [self._children[part.index] for part in self._parts]
            are_ready = await self._unless_stopping(
                asyncio.gather(*(child.is_ready() for child in children))
            )
            if are_ready is not None:
                if not all(are_ready):
                    at = are_ready.index(False)
                    raise CannotServe(f"worker {at} did not start, see above")
                keepers = [asyncio.create_task(self._keep(part)) for part in self._parts]
                say(ready_line)
                await self._stopping.wait()
        except OSError as error:
            raise CannotServe(f"cannot go on: {error.strerror or error}") from error
        finally:
            self._stopping.set()
            log.info("stopping the workers")
            for child in self._children.values():
                child.stop()
            await asyncio.gather(*keepers)
            await asyncio.gather(*(self._ended(index) for index in list(self._children)))
        return not self._failed

    async def _start(self, part: WorkerPart) -> None:
        child = self._children[part.index] = await Child.start(part)
        if self._stopping.is_set():  # since it was decided to start it
            child.stop()

    async def _ended(self, index: int) -> int:
        status = await self._children[index].ended()
        del self._children[index]
        # One that had not come to hear signals has not come to open anything either.
        self._failed += self._stopping.is_set() and status not in (0, -signal.SIGTERM)
        return status

    async def _keep(self, part: WorkerPart) -> None:
        """Start the worker again whenever it ends, until it is told to."""
        now_s = asyncio.get_running_loop().time
        pause_s = 0.0
        while True:
            began_s = now_s()
            how = await self._end_of(part.index)
            if self._stopping.is_set():
                return
            is_sound = now_s() - began_s >= SOUND_S
            pause_s = 0.0 if is_sound else min(max(2 * pause_s, PAUSE_S), PAUSE_S_MAX)
            log.error("worker %d %s; it is started again in %g s", part.index, how, pause_s)
            await self._unless_stopping(asyncio.sleep(pause_s))
            if self._stopping.is_set():
                return
            try:
                await self._start(part)
            except OSError as error:  # no memory or no process to be had: later, perhaps
                log.error("worker %d cannot be started: %s", part.index, error)
            else:
                log.info("worker %d is process %d now", part.index, self._children[part.index].pid)

    async def _end_of(self, index: int) -> str:
        """How the worker ended, for a person."""
        child = self._children.get(index)
        if child is None:
            return "is not there"
        status = await self._ended(index)
        how = f"ended with status {status}"
        if status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
        return f"(process {child.pid}) {how}"

    async def _unless_stopping(self, work: "Coroutine[Any, Any, Any] | asyncio.Future[Any]") -> Any:
        """What `work` comes to; None if it is time to stop before."""
        working = asyncio.ensure_future(work)
        told = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([working, told], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not self._stopping.is_set():
            return working.result()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)  # or asyncio tells of what it raised
        return None


def _part(config: ServerConfig, ports: Ports, directory: SharedDirectory, index: int) -> WorkerPart:
    is_first = index == 0
    return WorkerPart(
        index=index,
        count=config.workers,
        config=config,
        advertised=ports.advertised(config),
        own_dir=directory.own_dirs[index],
        links_dir=directory.links_dir,
        lock_fd=directory.lock_fd,
        shared_fd=ports.shared.fileno(),
        kafka_fd=ports.kafka[index].fileno(),
        http_fd=ports.http[index].fileno() if ports.http else -1,
        grpc_fd=ports.grpc.fileno() if ports.grpc is not None and is_first else -1,
    )


def _ready_line(config: ServerConfig, ports: Ports) -> str:
    doors = f"{config.workers} workers on {', '.join(str(bound(own).port) for own in ports.kafka)}"
    if ports.grpc is not None:
        scheme = "https" if config.grpc_cert else "http"
        doors += f", grpc {scheme}://{bound(ports.grpc)}"
    if ports.http:
        doors += "".join(f", metrics http://{bound(own)}/metrics" for own in ports.http)
    return (
        f"headrace {headrace.__version__} ready on kafka://{bound(ports.shared)} "
        f"(data {config.data_dir}, durability {config.durability}, {doors})"
    )
