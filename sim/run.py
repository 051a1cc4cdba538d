"""One run: a world, a broker, scenes, a nemesis; then health, and the judgement.

What must not enter: what clients do, what goes wrong.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from headrace.wire.messages.k19_create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from sim.catalog import MemoryCatalog
from sim.clients.client import Client, Site
from sim.connection import Connection, Disconnected
from sim.disk import MachineDisk
from sim.loop import SimLoop
from sim.machine import Machine
from sim.nemesis import Nemesis
from sim.network import Network
from sim.scenes.copies import Copies
from sim.scenes.groups import ClassicGroup, NextGroup
from sim.scenes.plain import Plain
from sim.scenes.scene import Reader, Scene
from sim.scenes.topics import Topics
from sim.seams import in_world
from sim.world import SECOND, World

__all__ = ["SCENES", "Outcome", "simulate"]

STARTING_S_MAX: Final = 60
HEALING_S_MAX: Final = 600
"""After the last fault everybody is done within so long, or somebody hangs."""
READING_S_MAX: Final = 600
CONFIGS: Final = {
    "log.message.timestamp.after.max.ms": str(1 << 62),  # clocks jump
}

SCENES: Final[dict[str, Callable[[Site], Scene]]] = {
    "plain": Plain,
    "copies": Copies,
    "next": NextGroup,
    "classic": ClassicGroup,
    "topics": Topics,
}

T = TypeVar("T")


@dataclass(slots=True)
class Outcome:
    """What a run was, and what it found."""

    seed: int
    scenes: Sequence[str]
    virtual_s: float
    real_s: float
    events: int
    operations: int
    """Requests that were answered."""
    faults: dict[str, int]
    trace_hash: str
    problems: list[str]
    tail: list[str]


def simulate(
    seed: int, duration_s: float, scenes: Sequence[str] = (), faults: Sequence[str] = ()
) -> Outcome:
    """Run a world of this seed for so long of its time, and some to heal; without `scenes`, the
    seed chooses them, and without `faults` there are all."""
    began_s = time.perf_counter()
    run = _Run(seed, scenes, faults)
    with in_world(run.world, run.disk, run.catalog):
        try:
            run.play(round(duration_s * SECOND))
        finally:
            run.end()
    world = run.world
    return Outcome(
        seed,
        run.names,
        world.elapsed_s,
        time.perf_counter() - began_s,
        world.events,
        sum(client.operations for client in run.clients),
        dict(sorted(run.nemesis.counts.items())),
        world.trace_hash(),
        world.problems,
        list(world.tail),
    )


class _Run:
    def __init__(self, seed: int, scenes: Sequence[str], faults: Sequence[str]) -> None:
        self.world = World(seed)
        self.names = scenes or self._chosen()
        self.network = Network(self.world)
        self.disk = MachineDisk(self.world, self.network)
        self.catalog = MemoryCatalog(self.world)
        self.machine = Machine(self.world, self.network, self.disk, self.catalog, CONFIGS)
        self.nemesis = Nemesis(self.world, self.network, self.machine, faults)
        self.site = Site(self.world, self.network, SimLoop(self.world, "clients"))
        self.scenes = [SCENES[name](self.site) for name in self.names]
        self.clients: list[Client] = []

    def _chosen(self) -> Sequence[str]:
        random = self.world.random("scenes")
        return random.sample(sorted(SCENES), random.randint(1, min(3, len(SCENES))))

    def play(self, duration_ns: int) -> None:
        world = self.world
        self.machine.start()
        self._do(self._create_topics(), STARTING_S_MAX, "creating topics")
        if world.problems:
            return
        self.clients = [client for scene in self.scenes for client in scene.clients()]
        tasks = [self.site.loop.start(client.run(), client.name) for client in self.clients]
        self.nemesis.begin()
        world.run(lambda: bool(world.problems), world.now_ns + duration_ns)
        if world.problems:
            return
        world.note("healing")
        self.nemesis.stop()
        self.site.is_ending = True
        are_done = lambda: all(task.done() for task in tasks)  # noqa: E731
        if not world.run(are_done, world.now_ns + HEALING_S_MAX * SECOND):
            late = [task.get_name() for task in tasks if not task.done()]
            world.problem(f"{HEALING_S_MAX} s after the last fault, not done: {', '.join(late)}")
            return
        for task in tasks:
            task.result()
        self._do(self._judge(), READING_S_MAX, "reading everything")
        self._stop()

    def end(self) -> None:
        if self.machine.loop is not None:
            self.machine.loop.kill()
        self.site.loop.kill()
        self.catalog.close()

    def _stop(self) -> None:
        """A last time, in order: nothing may be left."""
        self.machine.stop()
        until_ns = self.world.now_ns + 60 * SECOND
        if not self.world.run(lambda: self.machine.loop is None, until_ns):
            self.world.problem("the broker does not stop")

    def _do(self, work: Coroutine[Any, Any, T], seconds: int, what: str) -> T | None:
        """Do it in the clients' loop; it is a problem when it does not end."""
        task = self.site.loop.start(work, what)
        is_over = lambda: task.done() or bool(self.world.problems)  # noqa: E731
        if not self.world.run(is_over, self.world.now_ns + seconds * SECOND):
            self.world.problem(f"{what} did not end within {seconds} s")
            return None
        return task.result() if task.done() else None

    async def _connected(self) -> Connection:
        while True:
            try:
                return await Connection.open(self.network, self.site.loop, "run")
            except Disconnected:
                await asyncio.sleep(0.5)

    async def _create_topics(self) -> None:
        connection = await self._connected()
        wanted = [
            CreatableTopic(
                name=topic.name,
                num_partitions=topic.partitions,
                replication_factor=1,
                configs=[CreatableTopicConfig(*config) for config in topic.configs.items()],
            )
            for scene in self.scenes
            for topic in scene.topics()
        ]
        if not wanted:
            return
        answer = await connection.ask(CreateTopicsRequest(topics=wanted), CreateTopicsResponse)
        for found in answer.topics:
            if found.error_code:
                self.world.problem(f"creating {found.name}: {found.error_message}")
        connection.close()

    async def _judge(self) -> None:
        for scene in self.scenes:
            for problem in await self._judged(scene):
                self.world.problem(f"{type(scene).__name__}: {problem}")

    async def _judged(self, scene: Scene) -> list[str]:
        """The broker may be starting for the last time meanwhile."""
        while True:
            try:
                return await scene.judge(Reader(await self._connected()))
            except Disconnected as error:
                self.world.note(f"judging again: {error}")
