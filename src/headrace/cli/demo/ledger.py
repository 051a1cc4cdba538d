"""What one producer sent and what the broker acknowledged of it: the evidence for the verifier.

Three numbers per event (the events of a producer are numbered 1, 2, 3, ...): a checksum of what was
sent, and the partition and offset that the acknowledgement named. Columns of machine integers: 13
bytes an event. Written to a file at the end, for one reader on the same machine.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from pathlib import Path
from typing import Final

__all__ = ["UNKNOWN_OFFSET", "AckLedger", "LedgerError", "fingerprint"]

UNKNOWN_OFFSET: Final = -1
"""Acknowledged without an offset: a client may learn only that its retry was a duplicate."""

_MAGIC: Final = b"HRAK"
_PREFIX: Final = struct.Struct("<4s8sII")
_NOT_ACKNOWLEDGED: Final = -1


class LedgerError(ValueError):
    """The file is no complete ledger."""


def fingerprint(key: bytes, value: bytes, time_ms: int) -> int:
    """A checksum of what must come back as it was sent."""
    return zlib.crc32(value, zlib.crc32(key, time_ms & 0xFFFFFFFF))


class AckLedger:
    """Room for the events 1 to `size` of producer `origin`."""

    __slots__ = ("_fingerprints", "_offsets", "_partitions", "acknowledged", "origin", "size")

    def __init__(self, origin: str, size: int) -> None:
        self.origin = origin
        self.size = size
        self.acknowledged = 0
        self._fingerprints = array("I", bytes(4 * size))
        self._partitions = array("b", b"\xff" * size)
        self._offsets = array("q", bytes(8 * size))

    def sent(self, sequence: int, mark: int) -> None:
        """Event `sequence` with this fingerprint was handed to the client."""
        self._fingerprints[sequence - 1] = mark

    def acknowledge(self, sequence: int, partition: int, offset: int) -> None:
        """The broker said where the event is; any negative offset means that it did not say."""
        if self._partitions[sequence - 1] == _NOT_ACKNOWLEDGED:
            self.acknowledged += 1
        self._partitions[sequence - 1] = partition
        self._offsets[sequence - 1] = max(offset, UNKNOWN_OFFSET)

    def mark(self, sequence: int) -> int:
        """The fingerprint of what was sent as `sequence`."""
        return self._fingerprints[sequence - 1]

    def place(self, sequence: int) -> tuple[int, int] | None:
        """Partition and offset that were acknowledged; None if nothing was."""
        partition = self._partitions[sequence - 1]
        if partition == _NOT_ACKNOWLEDGED:
            return None
        return partition, self._offsets[sequence - 1]

    def write(self, path: Path) -> None:
        """Write the ledger for `read`."""
        columns = b"".join(
            column.tobytes() for column in (self._fingerprints, self._partitions, self._offsets)
        )
        prefix = _PREFIX.pack(_MAGIC, self.origin.encode(), self.size, zlib.crc32(columns))
        path.write_bytes(prefix + columns)

    @classmethod
    def read(cls, path: Path) -> AckLedger:
        """The ledger in `path`; raises LedgerError if it is not whole."""
        data = path.read_bytes()
        if len(data) < _PREFIX.size:
            raise LedgerError(f"{path} is too short for a ledger")
        magic, origin, size, crc = _PREFIX.unpack_from(data)
        columns = memoryview(data)[_PREFIX.size :]
        if magic != _MAGIC or len(columns) != 13 * size or zlib.crc32(columns) != crc:
            raise LedgerError(f"{path} is no complete ledger")
        ledger = cls(origin.rstrip(b"\0").decode(), size)
        ledger._fingerprints = array("I", columns[: 4 * size].tobytes())
        ledger._partitions = array("b", columns[4 * size : 5 * size].tobytes())
        ledger._offsets = array("q", columns[5 * size :].tobytes())
        ledger.acknowledged = size - ledger._partitions.count(_NOT_ACKNOWLEDGED)
        return ledger
