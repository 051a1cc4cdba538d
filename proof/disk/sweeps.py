"""Every way to fail, over one life of a store: each is a function of a seed that raises Broken.

What must not enter: what a life is (`life`), what must hold after it (`judge`).
"""

import errno
import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal

from headrace.log.contract import CorruptLogError
from headrace.testing.disk import CHANGES, SYNCS, FaultDisk, Loss, MemoryDisk, mounted
from proof.disk import steps
from proof.disk.hosting import DIRECTORY, Hosted, small_numbers
from proof.disk.judge import Broken
from proof.disk.life import Life

__all__ = [
    "FAULTS",
    "Fault",
    "Outcome",
    "copy_of",
    "crash",
    "fail_nth",
    "length_of",
    "mounted_small",
    "new_disk",
]

WRITES: Final = frozenset({"open_file", "pwrite", "truncate", "rename", "make_directories"} | SYNCS)


@dataclass(frozen=True, slots=True)
class Fault:
    """What the Nth matching call does."""

    error: int
    calls: frozenset[str] | None = None
    """None: any call."""
    times: int = 1
    is_short: bool = False

    def arm(self, disk: FaultDisk, nth: int) -> Callable[[], bool]:
        """Returns whether it has happened."""
        if self.is_short:
            rule = disk.cut_short(nth, call=self.calls or "pwrite", times=self.times)
        elif self.calls is None:
            rule = disk.fail(nth, self.error, times=self.times)
        else:
            rule = disk.fail(nth, self.error, call=self.calls, times=self.times)
        return lambda: rule.was_met


FAULTS: Final = {
    "EIO": Fault(errno.EIO),
    "EIO thrice": Fault(errno.EIO, times=3),
    "sync": Fault(errno.EIO, SYNCS),
    "ENOSPC": Fault(errno.ENOSPC, WRITES),
    "full for a while": Fault(errno.ENOSPC, WRITES, times=12),
    "too few descriptors": Fault(errno.EMFILE, frozenset({"open_file"}), times=4),
    "short": Fault(0, frozenset({"pwrite", "preadv", "pread"}), times=6, is_short=True),
}


@dataclass(slots=True)
class Outcome:
    calls: int = 0
    """Of the life to its disk."""
    was_met: bool = False
    refused: int = 0
    """Answers that were errors."""
    images: int = 0
    """States of the disk that a power cut left, judged."""
    kinds: dict[str, int] = field(default_factory=dict)


@contextmanager
def mounted_small(disk: MemoryDisk) -> Iterator[None]:
    """The disk is under the log, whose bounds are small."""
    with mounted(disk), small_numbers():
        yield


def length_of(seed: int) -> int:
    """The calls of a life in which nothing fails."""
    disk = new_disk(seed)
    with mounted_small(disk):
        steps.run(seed, Life(disk, seed).run)
    return disk.calls


def fail_nth(seed: int, nth: int, fault: Fault) -> Outcome:
    """A life whose Nth matching call fails; what it left, also after a power cut, is whole. Raises
    Broken."""
    disk = new_disk(seed)
    was_met = fault.arm(disk, nth)
    with mounted_small(disk):
        life = Life(disk, seed, is_troubled=was_met)
        steps.run(seed, life.run)
    calls, partitions = disk.calls, life.partitions
    disk.heal()
    after = disk.after_power_cut(Loss(Random(f"{seed} {nth}")))
    _try_out(FaultDisk(seed, after), seed, [copy_of(hosted) for hosted in partitions])
    _try_out(disk, seed, partitions)
    return Outcome(calls, was_met(), life.host.refused, 2)


def crash(
    seed: int,
    *,
    part: float = 1.0,
    durability: Literal["fsync", "os"] = "fsync",
    fault: Fault | None = None,
    garbles: bool = False,
) -> Outcome:
    """The power goes before and after every change of the disk, or this part of them; each time
    what is found is judged and gone on with. With `fault` it happens at some call before. With
    durability `os` it is not the power that goes but the process. With `garbles` sectors that were
    not synced may hold anything, so that a log may be refused by name. Raises Broken."""
    random = Random(f"crash {seed}")
    disk = new_disk(seed)
    images: list[tuple[int, MemoryDisk, list[Hosted]]] = []
    was_met = fault.arm(disk, random.randrange(1, 800)) if fault else bool
    life = Life(disk, seed, durability=durability, is_troubled=was_met)

    def take(call: str, arguments: tuple[Any, ...]) -> None:
        if call in CHANGES and random.random() < part * _weight(call, arguments):
            loss = Loss(random, garbles=garbles)
            if durability == "os":
                loss.kept = 1.0
            there = [copy_of(hosted) for hosted in life.partitions]
            images.append((disk.calls, disk.after_power_cut(loss), there))

    disk.watchers.append(take)
    with mounted_small(disk):
        steps.run(seed, life.run)
    outcome = Outcome(disk.calls, was_met(), life.host.refused, len(images))
    for at, image, partitions in images:
        kind = "went on"
        try:
            _try_out(FaultDisk(seed, image), seed, partitions, durability)
        except CorruptLogError as error:
            if not garbles or "position" not in str(error):
                raise Broken(f"seed {seed}, power cut at call {at}: {error!r}") from error
            kind = "refused"
        except Exception as error:
            raise Broken(f"seed {seed}, power cut at call {at}: {error!r}") from error
        if garbles:
            outcome.kinds[f"garbled: {kind}"] = outcome.kinds.get(f"garbled: {kind}", 0) + 1
    return outcome


def _weight(call: str, arguments: tuple[Any, ...]) -> float:
    """How much more often than others a moment is looked at: decisions are renames."""
    is_decision = call in ("rename", "unlink") or (
        call == "open_file" and bool(arguments[1] & os.O_DIRECTORY)
    )
    return 2.0 if is_decision else 0.7


def new_disk(seed: int) -> FaultDisk:
    """Empty but for the directory that the data directory is to be in, which is durable."""
    disk = FaultDisk(seed)
    disk.make_directories(posixpath.dirname(DIRECTORY))
    for node in disk.nodes():
        node.sync()
    disk.calls = 0
    return disk


def _try_out(
    disk: FaultDisk,
    seed: int,
    partitions: list[Hosted],
    durability: Literal["fsync", "os"] = "fsync",
) -> None:
    life = Life(disk, seed + 1, durability=durability, partitions=partitions)
    with mounted_small(disk):
        steps.run(seed, life.try_out)


def copy_of(hosted: Hosted) -> Hosted:
    """As it is now, for another disk."""
    return Hosted(hosted.model.copy(), hosted.topic, hosted.config)
