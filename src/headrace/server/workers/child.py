"""A worker as the supervisor sees it: a process that says when it is ready, and ends.

What must not enter: what follows from its end (`supervisor`).
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Self

from headrace.server.workers.part import READY, WorkerPart

__all__ = ["Child"]


class Child:
    """Made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls, part: WorkerPart) -> Self:
        """A process of its own group: what a terminal's keys send is for the supervisor alone. It
        finds modules where this one does; what lies in the working directory is not for it to run.
        Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "headrace.server.workers.main"),
            f"{part.index + 1}/{part.count}",  # for people who look at processes
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=part.descriptors,
            process_group=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdin is not None  # noqa: S101 - it was asked for
        process.stdin.write(part.encode())
        with suppress(ConnectionError):  # it has ended already, which `ended` tells
            await process.stdin.drain()
        return cls(process)

    async def is_ready(self) -> bool:
        """Wait until it serves; False if it has ended instead."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        return await self._process.stdout.readline() == READY

    async def ended(self) -> int:
        """Wait for its end; the exit status, or minus the signal that ended it."""
        return await self._process.wait()

    def stop(self) -> None:
        """Ask it to finish what it does, and end."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                # Not with the process's own method: that looks whether it has ended, and who looks
                # first is the only one who is told its status.
                os.kill(self.pid, signal.SIGTERM)
