"""A disk that fails when it is told to: the Nth call, in the ways that disks have.

    disk = FaultDisk(seed)
    disk.fail(nth=3, error=errno.EIO, call="fdatasync")
    with mounted(disk): ...

Every call of `headrace.log.disk.CALLS` goes to a `MemoryDisk` and is counted on its way; a rule
says which of them goes wrong, and how:

- an error (EIO, ENOSPC, ...): nothing was done. A write may have left a part of its bytes, as a
  full disk does; a sync has let go of what it could not write, every descriptor that was open then
  is told once, and after that all is well (fsyncgate); a descriptor is closed, whatever `close`
  says.
- a short write or read: a part is done, and the number says so.
- a lie: a sync says that all is on the disk, and nothing is. No program can see that before the
  power goes.

What must not enter: what the log does with it.
"""

import errno as errors
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from headrace.log import disk
from headrace.testing.disk.inodes import SECTOR_BYTES, Directory, File, Node
from headrace.testing.disk.memory import MemoryDisk, refusal

__all__ = ["CHANGES", "SYNCS", "FaultDisk", "Rule"]

SYNCS: Final = frozenset({"fsync", "fdatasync", "sync_volume"})
CHANGES: Final = SYNCS | {
    *("open_file", "pwrite", "truncate", "rename", "unlink", "make_directories", "remove_tree"),
}
"""The calls that change what a power cut would find."""

READS: Final = frozenset({"pread", "preadv", "read_cached"})
NO_FAILURE: Final = frozenset({"can_sync_volume", "unwritten_bytes", "will_need", "is_cached"})
"""These answer no error, whatever the disk does."""

Watcher = Callable[[str, tuple[Any, ...]], None]


@dataclass(slots=True)
class Rule:
    """From the `nth` matching call on (1 is the next), `times` of them go wrong."""

    nth: int
    error: int
    times: int
    calls: frozenset[str]
    is_short: bool = False
    """Instead of the error a part is done, and the number says so."""
    is_lie: bool = False
    seen: int = 0

    @property
    def was_met(self) -> bool:
        return self.seen >= self.nth

    def is_due(self, call: str) -> bool:
        if call not in self.calls:
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


class FaultDisk(MemoryDisk):
    """What goes wrong follows from `seed`, the rules and the order of calls."""

    def __init__(self, seed: int = 0, contents: MemoryDisk | None = None) -> None:
        """`contents` becomes this disk, as found after a power cut, say."""
        super().__init__()
        if contents is not None:
            self._root = contents._root
        self.random = Random(seed)  # noqa: S311 - it has to be predictable
        self.is_in_call = False
        self.calls = 0
        """Made so far."""
        self.watchers: list[Watcher] = []
        """Told of every call (its name, its arguments) before it is done."""
        self._rules: list[Rule] = []
        self._owed: dict[int, int] = {}
        """Descriptor -> the error that its next sync tells of."""
        for name in disk.CALLS:
            setattr(self, name, _Call(self, name, getattr(super(), name)))

    def fail(
        self,
        nth: int,
        error: int = errors.EIO,
        *,
        call: str | Iterable[str] = frozenset(disk.CALLS),
        times: int = 1,
    ) -> Rule:
        """Let calls fail: from the `nth` one from now on, `times` of them."""
        return self._add(Rule(nth, error, times, _names(call) - NO_FAILURE))

    def cut_short(self, nth: int, *, call: str | Iterable[str] = "pwrite", times: int = 1) -> Rule:
        """Let calls do a part of their work."""
        return self._add(Rule(nth, 0, times, _names(call), is_short=True))

    def lie(self, nth: int = 1, *, times: int = 1 << 30) -> Rule:
        """Let syncs do nothing, and say that they did."""
        return self._add(Rule(nth, 0, times, SYNCS, is_lie=True))

    def heal(self) -> None:
        """Nothing fails any more."""
        self._rules.clear()

    def flip(self, path: str, position: int, bit: int = 0) -> None:
        """A bit of what is on the disk has changed, and the page cache does not know better."""
        node = self.node(path)
        assert isinstance(node, File)  # noqa: S101 - it is a test's mistake
        for data in (node.data, node.durable):
            if position < len(data):
                data[position] ^= 1 << bit

    def met(self, name: str, arguments: tuple[Any, ...]) -> Rule | None:
        """A call is about to be made; the rule by which it goes wrong."""
        self.calls += 1
        for watcher in self.watchers:
            watcher(name, arguments)
        takes_space = self._takes_space(name, arguments)
        due = [
            rule
            for rule in self._rules
            if (takes_space or rule.error != errors.ENOSPC) and rule.is_due(name)
        ]
        return due[0] if due else None

    def lose(self, node: Node, error: int, told: int = -1) -> None:
        """Writing back `node` fails; the descriptor `told` is the one that hears of it now."""
        node.fail_sync(self.random)
        for fd, opened in self._opened.items():
            if opened.node is node and fd != told:
                self._owed[fd] = error

    def owed(self, name: str, arguments: tuple[Any, ...]) -> int | None:
        """The error that an earlier failure has in store for this call."""
        if name in ("fsync", "fdatasync", "close"):
            return self._owed.pop(arguments[0], None)
        return None

    def _takes_space(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Whether a full disk can refuse the call. Delayed allocation makes syncs refuse too."""
        if name == "open_file":
            path, flags = arguments
            return bool(flags & os.O_CREAT) and not self.is_there(path)
        if name == "make_directories":
            return not self.is_there(arguments[0])
        if name == "truncate":
            fd, size = arguments
            return int(size) > self.size_of(fd)
        return name in ("pwrite", "rename") or name in SYNCS

    def _add(self, rule: Rule) -> Rule:
        self._rules.append(rule)
        return rule


class _Call:
    """One name of the disk."""

    __slots__ = ("_disk", "_name", "_real")

    def __init__(self, of: FaultDisk, name: str, real: Callable[..., Any]) -> None:
        self._disk, self._name, self._real = of, name, real

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        with self._disk._lock:
            if self._disk.is_in_call:  # one call of a disk may be made of others
                return self._real(*arguments, **more)
            self._disk.is_in_call = True
            try:
                return self._met(*arguments, **more)
            finally:
                self._disk.is_in_call = False

    def _met(self, *arguments: Any, **more: Any) -> Any:
        rule = self._disk.met(self._name, arguments)
        owed = self._disk.owed(self._name, arguments)
        if owed is not None and self._name != "close":
            raise refusal(owed)
        if rule is None:
            return self._real(*arguments, **more)
        if rule.is_lie:
            return None
        if rule.is_short:
            return self._real(*_shortened(self._name, arguments, self._disk.random))
        self._break(rule, arguments)
        raise refusal(rule.error)

    def _break(self, rule: Rule, arguments: tuple[Any, ...]) -> None:
        """What an error leaves behind."""
        disk, name = self._disk, self._name
        if name == "close":
            self._real(*arguments)
        elif name == "pwrite" and disk.random.random() < 0.5:
            self._real(*_shortened(name, arguments, disk.random))
        elif name == "sync_volume":
            for node in disk.nodes():
                if disk.random.random() < 0.5:
                    disk.lose(node, rule.error)
        elif name in SYNCS:
            disk.lose(disk.opened(arguments[0]).node, rule.error, told=arguments[0])
        elif name == "remove_tree":
            tree = disk.node(arguments[0])
            if isinstance(tree, Directory):
                for inner, node in list(tree.entries.items()):
                    if isinstance(node, File) and disk.random.random() < 0.5:
                        tree.unlink(inner)


def _names(call: str | Iterable[str]) -> frozenset[str]:
    return frozenset({call} if isinstance(call, str) else call)


def _shortened(name: str, arguments: tuple[Any, ...], random: Random) -> tuple[Any, ...]:
    """The arguments for a part of the work: at least a byte of it, and not all if it is more."""
    fd, what, position = arguments
    if name == "pwrite":
        size = len(what)
        return fd, memoryview(what)[: _part(size, random)], position
    if name == "preadv":
        buffers = [memoryview(buffer) for buffer in what]
        return fd, [buffers[0][: _part(len(buffers[0]), random)]], position
    return fd, _part(what, random), position


def _part(size: int, random: Random) -> int:
    if size <= 1:
        return size
    if size > SECTOR_BYTES and random.random() < 0.5:
        return random.randrange(1, -(-size // SECTOR_BYTES)) * SECTOR_BYTES
    return random.randrange(1, size)
