"""Files and directories in memory, each twice: as programs see it now, and as it is on the disk.

What lies between the two is what a power cut decides. It goes as far as POSIX lets it:

- Of what was written to a file since its last sync every sector of 512 bytes is kept or lost by
  itself, also in a state in between; the size is any that the file had, whatever the sectors are.
- An entry of a directory is on the disk when the *directory* was synced; until then each change
  happened or did not, in any combination. A rename is one change.
- What was synced stays. So does, in a sector that is written anew, every byte which the write does
  not touch: without that no log could be appended to (SQLite calls it powersafe overwrite).

What must not enter: paths, descriptors, faults of a running system (`faults`).
"""

from random import Random
from typing import Final

__all__ = ["SECTOR_BYTES", "Directory", "File", "Loss", "Node"]

SECTOR_BYTES: Final = 512
VERSIONS_MAX: Final = 4
"""Earlier states of a sector since the last sync that a power cut may bring back."""


class Loss:
    """How one power cut treats what is not on the disk; all of it follows from the generator."""

    def __init__(self, random: Random, *, garbles: bool = True) -> None:
        self.random = random
        self.kept = random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        """Of sectors and changes of directories, this part gets through."""
        self.garbled = random.choice((0.0, 0.0, 0.0, 0.1, 0.5)) if garbles else 0.0
        """Of the sectors that were to be written, this part holds anything."""

    def keeps(self) -> bool:
        return self.random.random() < self.kept

    def is_garbled(self) -> bool:
        return self.random.random() < self.garbled


class File:
    """Bytes. `data` is what reads give, `durable` what the disk holds."""

    __slots__ = ("_dirty", "_sizes", "data", "durable")

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = bytearray()
        self._dirty: dict[int, list[bytes]] = {}
        """Sectors written since the last sync, each with what it held in between."""
        self._sizes: list[int] = []
        """Sizes since the last sync."""

    @property
    def is_dirty(self) -> bool:
        return bool(self._dirty or self._sizes)

    def write(self, position: int, piece: memoryview) -> None:
        if not piece:
            return
        before, end = len(self.data), position + len(piece)
        if end > before:
            self._touch(before, end)
            self._sizes.append(end)
            self.data.extend(bytes(end - before))
        if position < before:
            self._touch(position, min(end, before))
        self.data[position:end] = piece

    def truncate(self, size: int) -> None:
        before = len(self.data)
        if size == before:
            return
        self._touch(min(size, before), max(size, before, len(self.durable)))
        self._sizes.append(size)
        if size < before:
            del self.data[size:]
        else:
            self.data.extend(bytes(size - before))

    def sync(self) -> None:
        """What is seen is on the disk."""
        size = len(self.data)
        if len(self.durable) > size:
            del self.durable[size:]
        elif len(self.durable) < size:
            self.durable.extend(bytes(size - len(self.durable)))
        for sector in self._dirty:
            start = sector * SECTOR_BYTES
            piece = self.data[start : start + SECTOR_BYTES]
            self.durable[start : start + len(piece)] = piece
        self._dirty.clear()
        self._sizes.clear()

    def fail_sync(self, random: Random) -> None:
        """Writing back fails. As Linux has it, every page counts as clean afterwards: it is still
        read, some of it reached the disk and the rest never will (fsyncgate)."""
        if random.random() < 0.5:
            self.durable = self._survivor(Loss(random, garbles=False))
        self._dirty.clear()
        self._sizes.clear()

    def evict(self) -> None:
        """Clean pages are forgotten: what is read comes from the disk."""
        size = len(self.data)
        fresh = self.durable[:size].ljust(size, b"\0")
        for sector in self._dirty:
            start = sector * SECTOR_BYTES
            fresh[start : start + SECTOR_BYTES] = self.data[start : start + SECTOR_BYTES]
        self.data = fresh

    def after_power_cut(self, loss: Loss) -> "File":
        """What is found of it."""
        found = File()
        found.data = self._survivor(loss) if self.is_dirty else bytearray(self.durable)
        found.durable = bytearray(found.data)
        return found

    def _touch(self, start: int, end: int) -> None:
        """The sectors of [start, end) are about to change."""
        for sector in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            at = sector * SECTOR_BYTES
            versions = self._dirty.setdefault(sector, [])
            if len(versions) < VERSIONS_MAX and at < len(self.data):
                versions.append(bytes(self.data[at : at + SECTOR_BYTES]))

    def _survivor(self, loss: Loss) -> bytearray:
        random = loss.random
        if loss.kept == 1.0 and not loss.garbled:
            return bytearray(self.data)
        sizes = [len(self.durable), *self._sizes]
        size = random.choice(sizes)
        if random.random() < 0.25:
            size = min(max(sizes), -(-size // SECTOR_BYTES) * SECTOR_BYTES)
        content = self.durable[:size].ljust(size, b"\0")
        for sector, versions in self._dirty.items():
            start = sector * SECTOR_BYTES
            if start >= size:
                continue
            if loss.is_garbled():
                self._garble(content, start, random)
            elif loss.keeps():
                _overwrite(content, start, self.data[start : start + SECTOR_BYTES])
            elif versions and random.random() < 0.5:
                _overwrite(content, start, random.choice(versions))
        return content

    def _garble(self, content: bytearray, start: int, random: Random) -> None:
        """Anything, where it was not on the disk as it was to be."""
        end = min(start + SECTOR_BYTES, len(content))
        kept = self.durable[start:end]
        noise = bytearray(random.randbytes(end - start))
        for at, (old, new) in enumerate(zip(kept, self.data[start:end], strict=False)):
            if old == new:
                noise[at] = old
        content[start:end] = noise


def _overwrite(content: bytearray, start: int, piece: bytes | bytearray) -> None:
    """Put the sector at `start`; the rest of it reads as zeros, and the size stays."""
    end = min(start + SECTOR_BYTES, len(content))
    content[start:end] = piece[: end - start].ljust(end - start, b"\0")


class Directory:
    """Names. `entries` is what programs see, `durable` what the disk holds."""

    __slots__ = ("_changes", "durable", "entries")

    def __init__(self) -> None:
        self.entries: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}
        self._changes: list[tuple[str, str, Node]] = []
        """Since the last sync: (name that goes or "", name that comes or "", what it names)."""

    def link(self, name: str, node: "Node") -> None:
        self.entries[name] = node
        self._changes.append(("", name, node))

    def unlink(self, name: str) -> None:
        self._changes.append((name, "", self.entries.pop(name)))

    def rename(self, old: str, new: str) -> None:
        node = self.entries.pop(old)
        self.entries[new] = node
        self._changes.append((old, new, node))

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self._changes.clear()

    def fail_sync(self, random: Random) -> None:
        """Some changes reached the disk, the others wait for another sync."""
        self._changes = [
            change for change in self._changes if random.random() < 0.5 or not self._carry(change)
        ]

    def after_power_cut(self, loss: Loss, found: "dict[int, Node]") -> "Directory":
        """What is found of it; `found` is what became of each node, so that two names of one file
        are that again."""
        there = Directory()
        there.durable = dict(self.durable)
        for change in self._changes:
            if loss.keeps():
                there._carry(change)
        there.durable = {
            name: _after_power_cut(node, loss, found) for name, node in there.durable.items()
        }
        there.entries = dict(there.durable)
        return there

    def _carry(self, change: "tuple[str, str, Node]") -> bool:
        """One change reaches the disk."""
        gone, come, node = change
        if gone and self.durable.get(gone) is node:
            del self.durable[gone]
        if come:
            self.durable[come] = node
        return True


Node = File | Directory


def _after_power_cut(node: Node, loss: Loss, found: dict[int, Node]) -> Node:
    known = found.get(id(node))
    if known is None:
        if isinstance(node, Directory):
            known = node.after_power_cut(loss, found)
        else:
            known = node.after_power_cut(loss)
        found[id(node)] = known
    return known
