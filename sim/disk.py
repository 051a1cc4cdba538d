"""The disk of the broker's machine: in memory, with faults, and deaf while no process is there.

`headrace.testing.disk` is the disk; here is what a machine adds. A process that was killed has
coroutines which end, and what they do on their way out must not reach the disk. And sendfile has to
find a socket of the simulated network.
"""

import errno
import os
from collections.abc import Callable
from typing import Any

from headrace.log import disk as seam
from headrace.testing.disk import FaultDisk, Loss
from sim.network import Network
from sim.world import World

__all__ = ["MachineDisk"]


class MachineDisk:
    """Has every name of `headrace.log.disk.CALLS`."""

    def __init__(self, world: World, network: Network) -> None:
        self.faults = FaultDisk(world.random("disk").getrandbits(32))
        self.is_fenced = False
        self._network = network
        self._random = world.random("power")
        for name in seam.CALLS:
            setattr(self, name, self._unless_fenced(getattr(self.faults, name)))
        self.send = self._unless_fenced(self._send)

    def power_cut(self) -> None:
        """What was not synced is up to chance."""
        self.faults.crash(Loss(self._random))

    def let_go(self) -> None:
        """The process is gone; what it wrote is in the page cache."""
        self.faults.forget_descriptors()

    def _send(self, connected: int, fd: int, position: int, size_bytes: int) -> int:
        return self._network.send(connected, self.faults.pread(fd, size_bytes, position))

    def _unless_fenced(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def fenced(*arguments: Any, **more: Any) -> Any:
            if self.is_fenced:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*arguments, **more)

        return fenced
