"""The machine that the broker runs on: its disk and catalog stay, processes come and go.

What must not enter: when something goes wrong (`nemesis`).
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from headrace.broker.broker import Broker, BrokerOptions, OpenError
from headrace.doors.kafka.listener import Limits, Listener
from sim.catalog import MemoryCatalog
from sim.disk import MachineDisk
from sim.loop import SimLoop
from sim.network import BROKER_HOST, Network
from sim.world import MS, World

__all__ = ["PORT", "Machine"]

PORT: Final = 9092
DISK_DELAYS_NS: Final = (0, 0, 20 * MS, 300 * MS)
DATA: Final = "/data"


class Machine:
    """At most one process at a time."""

    def __init__(
        self,
        world: World,
        network: Network,
        disk: MachineDisk,
        catalog: MemoryCatalog,
        configs: Mapping[str, str],
    ) -> None:
        self.world = world
        self.disk = disk
        self.catalog = catalog
        self.loop: SimLoop | None = None
        self.broker: Broker | None = None
        """Once it is open."""
        self.disk_delay_ns = world.random("machine").choice(DISK_DELAYS_NS)
        """What a step of a thread usually takes longer, at most: a quick disk, or a slow one."""
        self.starts = 0
        self.crashes = 0
        self.stops = 0
        self._network = network
        self._configs = configs
        self._listener: Listener | None = None

    @property
    def is_up(self) -> bool:
        return self.broker is not None

    def start(self) -> None:
        """A new process opens what it finds. When it cannot, it ends."""
        assert self.loop is None
        self.starts += 1
        self.disk.is_fenced = False
        self.loop = loop = SimLoop(self.world, f"broker{self.starts}")
        loop.disk_delay_ns = self.disk_delay_ns
        loop.start(self._open(loop), "open")

    async def _open(self, loop: SimLoop) -> None:
        options = BrokerOptions(DATA, broker_configs=self._configs)
        try:
            broker = await Broker.open(options)
        except OpenError as error:
            self.world.note(f"broker does not start: {error}")
            loop.call_soon(self._bury)
            return
        listener = Listener(broker, Limits(idle_s=600.0))
        listener.listen_on(self._network.listen(loop, PORT))
        broker.advertise((BROKER_HOST, PORT))
        listener.open()
        self.broker, self._listener = broker, listener
        self.world.note(f"broker {self.starts} is up")

    def crash(self, *, power: bool, silently_ns: int = 0) -> None:
        """The process is gone; with the power, so is what was not synced."""
        if self.loop is None:
            return
        self.crashes += 1
        self.world.note(f"broker {self.starts} crashes, {power=}")
        self._bury(silently_ns=silently_ns)
        if power:
            self.disk.power_cut()

    def stop(self) -> None:
        """As SIGTERM; the process ends when everything is closed."""
        if self.loop is not None and self.broker is not None:
            self.stops += 1
            self.world.note(f"broker {self.starts} stops")
            self.loop.start(self._close(self.loop, self.broker), "stop")
            self.broker = None

    async def _close(self, loop: SimLoop, broker: Broker) -> None:
        assert self._listener is not None
        await self._listener.close()
        await broker.close()
        mine = asyncio.current_task()
        for task in loop.tasks:
            if task is not mine and not task.done():
                self.world.problem(f"a task is left when the broker has closed: {task!r}")
        loop.call_soon(self._bury)

    def _bury(self, silently_ns: int = 0) -> None:
        loop = self.loop
        if loop is None:
            return
        self.loop = self.broker = self._listener = None
        self.disk.is_fenced = True
        loop.kill()
        self._network.lose(loop, silently_ns=silently_ns)
        self.disk.let_go()
