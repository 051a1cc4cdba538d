"""Where the latest record of each key is: a table of fixed size, however many keys there are.

Keys are known by 128 bits of BLAKE2b behind a random secret of the table's own, so nobody can make
two keys that meet, and by chance two among a thousand million do with a probability of 10^-21.
A slot is three integers (the two halves of the hash, the offset), slots are probed one after the
other. Python objects would take six times the memory; and when the table is full it says so.

What must not enter: records, files.
"""

import hashlib
import os
import struct
from typing import Final

__all__ = ["KeyMap"]

SLOT_BYTES: Final = 24
FILL_MAX: Final = 0.75
"""Fuller tables are slow to search."""
SLOTS_MIN: Final = 16

_HALVES: Final = struct.Struct("<qq")
_SECRET_BYTES: Final = 16
_HASH_BYTES: Final = 16


class KeyMap:
    """Key -> greatest offset that was put under it."""

    def __init__(self, bytes_max: int, keys_max: int) -> None:
        """At most `bytes_max` bytes, and no more than `keys_max` keys need."""
        slots = min(bytes_max // SLOT_BYTES, int(keys_max / FILL_MAX) + 1)
        self._slots = max(slots, SLOTS_MIN)
        self._room = int(self._slots * FILL_MAX)
        self._secret = os.urandom(_SECRET_BYTES)
        # Offset + 1, so that untouched memory, which costs nothing, is a free slot.
        self._ends = memoryview(bytearray(self._slots * 8)).cast("q")
        self._first = memoryview(bytearray(self._slots * 8)).cast("q")
        self._second = memoryview(bytearray(self._slots * 8)).cast("q")

    @property
    def room(self) -> int:
        """New keys that can be put for sure."""
        return self._room

    def put(self, key: bytes, offset: int) -> None:
        """The record at `offset`, which is later than what was put before, has this key. Ask for
        `room` first."""
        slot, first, second = self._find(key)
        if self._ends[slot] == 0:
            self._first[slot] = first
            self._second[slot] = second
            self._room -= 1
        self._ends[slot] = offset + 1

    def latest(self, key: bytes) -> int:
        """The offset put last under the key; -1 if there is none."""
        return self._ends[self._find(key)[0]] - 1

    def _find(self, key: bytes) -> tuple[int, int, int]:
        """The key's slot, or the free one where it would go; and its hash."""
        digest = hashlib.blake2b(self._secret + key, digest_size=_HASH_BYTES).digest()
        first, second = _HALVES.unpack(digest)
        slots, ends = self._slots, self._ends
        slot = first % slots
        while ends[slot] and (self._first[slot] != first or self._second[slot] != second):
            slot += 1
            if slot == slots:
                slot = 0
        return slot, first, second
