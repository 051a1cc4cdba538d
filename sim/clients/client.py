"""What all clients do: connect, work until that fails, and connect again.

What must not enter: what a client works at.
"""

import asyncio
import traceback
from dataclasses import dataclass
from random import Random
from typing import Final

from headrace.wire.errors import ErrorCode
from sim.connection import Connection, Disconnected
from sim.loop import SimLoop
from sim.network import Network
from sim.world import World

__all__ = ["TRY_AGAIN", "Client", "Site"]

BACKOFF_S_MIN: Final = 0.05
BACKOFF_S_MAX: Final = 1.0
REFUSED_S_MAX: Final = 5.0
"""Between two tries of what is refused again and again."""

TRY_AGAIN: Final = frozenset(
    {
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    }
)
"""What a healthy client may be told while the broker or its disk is maltreated."""


@dataclass(slots=True)
class Site:
    """Where clients live."""

    world: World
    network: Network
    loop: SimLoop
    is_ending: bool = False
    """Faults are over: no new work is begun, what was begun is finished."""


class Client:
    """`work` is called with a connection again and again, until `is_done`."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        self.random: Random = site.world.random(f"client {name}")
        self.refusals = 0
        """One after the other."""
        self.operations = 0
        """What was asked and answered."""

    async def work(self, connection: Connection) -> None:
        """Raises Disconnected."""
        raise NotImplementedError

    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.site.is_ending

    async def run(self) -> None:
        """Until it is done; a client that fails is a problem of the run."""
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run is to tell
            self.problem("".join(traceback.format_exception(error)))

    async def _run(self) -> None:
        while not self.is_done():
            try:
                connection = await Connection.open(self.site.network, self.site.loop, self.name)
                try:
                    await self.work(connection)
                finally:
                    connection.close()
            except Disconnected as error:
                self.note(f"disconnected: {error}")
                self.disconnected()
            await asyncio.sleep(self.random.uniform(BACKOFF_S_MIN, BACKOFF_S_MAX))

    def disconnected(self) -> None:
        """What a connection's end changes."""

    async def think(self, mean_s: float) -> None:
        """Take some time: less at the end of a run, more after a refusal."""
        if self.refusals:
            mean_s = min(BACKOFF_S_MIN * 2**self.refusals, REFUSED_S_MAX)
        elif self.site.is_ending:
            mean_s = min(mean_s, BACKOFF_S_MIN)
        await asyncio.sleep(min(self.random.expovariate(1 / mean_s), 10 * mean_s))

    def note(self, what: str) -> None:
        self.site.world.note(f"{self.name}: {what}")

    def problem(self, what: str) -> None:
        self.site.world.problem(f"{self.name}: {what}")

    def refused(self, code: int, what: str) -> bool:
        """Whether this is an error; one that no fault explains is a problem."""
        self.operations += 1
        if code == 0:
            self.refusals = 0
            return False
        self.refusals += 1
        name = ErrorCode(code).name
        if code in TRY_AGAIN:
            self.note(f"{what}: {name}")
        else:
            self.problem(f"{what}: {name}")
        return True
