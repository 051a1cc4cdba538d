"""What goes wrong, and when: drawn one by one from the seed. One draw in four is nothing at all.

Everything heals by itself some time after, and all of it when the nemesis is told to stop.
"""

import errno
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from headrace.testing.disk import CHANGES, SYNCS
from sim.machine import Machine
from sim.network import Network, Socket
from sim.world import MS, SECOND, World

__all__ = ["Nemesis"]

BETWEEN_S_MEAN: Final = 30.0
DOWN_S_MAX: Final = 20.0
CHANGES_MAX: Final = 60
"""Of the disk, before one of which the process is gone."""
ANSWERS_MAX: Final = 30
FOR_EVER: Final = 1 << 40
JUMP_S_MAX: Final = 6 * 3600


class Nemesis:
    """Acts until `stop`."""

    def __init__(
        self, world: World, network: Network, machine: Machine, only: Sequence[str] = ()
    ) -> None:
        """`only` faults of these names, or all."""
        self.counts: dict[str, int] = {}
        self._world = world
        self._network = network
        self._machine = machine
        self._random = world.random("nemesis")
        self._is_over = False
        self._faults: list[Callable[[], None]] = [
            self.kill,
            self.power_cut,
            self.power_cut,
            self.restart,
            self.reset_some,
            self.cut_an_answer,
            self.silence_some,
            self.slow_network,
            self.freeze,
            self.slow_disk,
            self.disk_full,
            self.sync_fails,
            self.write_fails,
            self.clock_jump,
            self.catalog_full,
            self.catalog_fsync,
        ]
        if only:
            self._faults = [fault for fault in self._faults if fault.__name__ in only]

    def begin(self) -> None:
        self._world.after(self._soon_ns(), self._act)

    def stop(self) -> None:
        """No more faults, and an end to all that are there."""
        self._is_over = True
        self._network.latency_factor = 1
        for end in self._network.connections():
            end.silent_until_ns = 0
            end.cuts_next = False
            if end.peer is not None:
                end.peer.silent_until_ns = 0
        self._machine.catalog.is_full = False
        self._machine.catalog.fails_next_fsync = False
        self._machine.disk.faults.heal()
        self._world.wall_offset_ns = 0
        if self._machine.loop is not None:
            self._machine.loop.disk_delay_ns = self._machine.disk_delay_ns
        self.restart()  # what failed for good is looked at anew

    def _soon_ns(self) -> int:
        return round(self._random.expovariate(1 / BETWEEN_S_MEAN) * SECOND)

    def _act(self) -> None:
        if self._is_over:
            return
        if self._random.randrange(4):
            fault = self._random.choice(self._faults)
            self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
            self._world.note(f"nemesis {fault.__name__}")
            fault()
        self._world.after(self._soon_ns(), self._act)

    # The process

    def kill(self) -> None:
        self._at_a_bad_moment(partial(self._crash, power=False, silently_ns=0))

    def power_cut(self) -> None:
        silently_ns = self._random.choice((0, 10 * SECOND))
        self._at_a_bad_moment(partial(self._crash, power=True, silently_ns=silently_ns))

    def _crash(self, *, power: bool, silently_ns: int) -> None:
        if not self._is_over:
            self._machine.crash(power=power, silently_ns=silently_ns)
            self._start_later()

    def _at_a_bad_moment(self, act: Callable[[], None]) -> None:
        """Now, or close to one of the next changes of the disk, when something is half done, or
        when one of the next answers has just left."""
        kind = self._random.choice(("now", "change", "answer", "answer"))
        if kind == "now":
            act()
        elif kind == "change":
            self._at_a_change(act)
        else:
            self._after_an_answer(act)

    def _at_a_change(self, act: Callable[[], None]) -> None:
        watchers = self._machine.disk.faults.watchers
        left = self._random.choice((1, self._random.randint(2, CHANGES_MAX)))
        delay_ns = self._random.choice((0, self._random.randrange(MS), self._up_to_ns(0.05)))

        def watch(call: str, _: object) -> None:
            nonlocal left
            if call not in CHANGES:
                return
            left -= 1
            if left == 0:
                self._world.after(delay_ns, act)
                self._world.after(0, partial(watchers.remove, watch))

        watchers.append(watch)

    def _after_an_answer(self, act: Callable[[], None]) -> None:
        watchers = self._network.answer_watchers
        left = self._random.randint(1, ANSWERS_MAX)

        def watch() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._world.after(self._random.randrange(2 * MS), act)
                watchers.remove(watch)

        watchers.append(watch)

    def restart_soon(self) -> None:
        """Somebody has seen that it is needed."""
        self._world.after(self._up_to_ns(60.0), self._restart_unless_over)

    def _restart_unless_over(self) -> None:
        if not self._is_over:
            self.restart()

    def restart(self) -> None:
        self._machine.stop()
        self._start_later()

    def _start_later(self) -> None:
        self._world.after(self._up_to_ns(DOWN_S_MAX), self.start)

    def start(self) -> None:
        """Once the process before has ended."""
        if self._machine.is_up:
            return
        if self._machine.loop is None:
            self._machine.start()
        self._world.after(5 * SECOND, self.start)

    def freeze(self) -> None:
        if self._machine.loop is not None:
            self._machine.loop.freeze(self._up_to_ns(self._random.choice((2.0, 60.0))))

    # The network

    def reset_some(self) -> None:
        for end in self._some_connections():
            self._network.reset(end)

    def cut_an_answer(self) -> None:
        for end in self._some_connections():
            end.cuts_next = True

    def silence_some(self) -> None:
        """In one direction, or in both."""
        for end in self._some_connections():
            duration_ns = self._up_to_ns(90.0)
            if self._random.random() < 0.6:
                self._network.silence(end, duration_ns)
            if self._random.random() < 0.6 and end.peer is not None:
                self._network.silence(end.peer, duration_ns)

    def slow_network(self) -> None:
        self._network.latency_factor = self._random.choice((10, 100, 1000))
        self._world.after(self._up_to_ns(60.0), self._normal_network)

    def _normal_network(self) -> None:
        self._network.latency_factor = 1

    def _some_connections(self) -> list[Socket]:
        found = self._network.connections()
        return self._random.sample(found, self._random.randint(0, len(found)))

    # The disk and the clock

    def slow_disk(self) -> None:
        loop = self._machine.loop
        if loop is not None:
            usual_ns = self._machine.disk_delay_ns
            loop.disk_delay_ns = self._random.choice((20 * MS, 500 * MS, 3 * SECOND))
            self._world.after(
                self._up_to_ns(60.0), partial(setattr, loop, "disk_delay_ns", usual_ns)
            )

    def disk_full(self) -> None:
        """For the log and the catalog alike, for a while."""
        self._machine.catalog.is_full = True
        self._fail(errno.ENOSPC, ("pwrite", "make_directories"), FOR_EVER)
        self._world.after(self._up_to_ns(60.0), self._disk_has_room)

    def _disk_has_room(self) -> None:
        self._machine.catalog.is_full = False
        self._machine.disk.faults.heal()

    def sync_fails(self) -> None:
        """Final for that log, until a restart, as somebody will see before long."""
        self._fail(errno.EIO, SYNCS, 1)
        self.restart_soon()

    def write_fails(self) -> None:
        self._fail(errno.EIO, ("pwrite",), self._random.choice((1, 3)))

    def _fail(self, error: int, calls: Iterable[str], times: int) -> None:
        nth = self._random.choice((1, 1, self._random.randint(1, 30)))
        self._machine.disk.faults.fail(nth, error, call=calls, times=times)

    def clock_jump(self) -> None:
        self._world.wall_offset_ns = self._random.choice((-1, 1)) * self._up_to_ns(JUMP_S_MAX)

    def catalog_full(self) -> None:
        self._machine.catalog.is_full = True
        self._world.after(self._up_to_ns(30.0), self._catalog_has_room)

    def _catalog_has_room(self) -> None:
        self._machine.catalog.is_full = False

    def catalog_fsync(self) -> None:
        """Nothing is written any more until a restart, as somebody will see before long."""
        self._machine.catalog.fails_next_fsync = True
        self.restart_soon()

    def _up_to_ns(self, seconds: float) -> int:
        return self._random.randrange(round(seconds * SECOND))
