"""Transaction markers: the one record of a control batch, which says how a transaction ended here.

The batch has the attributes transactional and control, the producer id and epoch of the
transaction, no sequence (-1), and one record (KIP-98; all integers big-endian):

    key    version i16 (0), type i16 (0 abort, 1 commit)
    value  version i16 (0), coordinator_epoch i32

A marker takes an offset of its own; clients never hand it to their callers. Later versions of
either part may append fields, so what follows the ones above is not looked at.
"""

import struct
from typing import Final, NamedTuple

from headrace.wire.errors import MalformedError
from headrace.wire.records import Record, build_batch, read_records

__all__ = ["Marker", "build_marker", "read_marker"]

_ABORT: Final = 0
_COMMIT: Final = 1
_KEY: Final = struct.Struct(">hh")
_VALUE: Final = struct.Struct(">hi")


class Marker(NamedTuple):
    """The end of one producer's transaction in one partition."""

    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    commit: bool
    """False: aborted."""


def build_marker(marker: Marker, timestamp_ms: int) -> bytearray:
    """The control batch, to be stamped by the log."""
    key = _KEY.pack(0, _COMMIT if marker.commit else _ABORT)
    record = Record(-1, timestamp_ms, key, _VALUE.pack(0, marker.coordinator_epoch))
    batch = build_batch(
        [record],
        producer_id=marker.producer_id,
        producer_epoch=marker.producer_epoch,
        transactional=True,
        control=True,
    )
    return bytearray(batch)


def read_marker(batch: bytes | memoryview, producer_id: int, producer_epoch: int) -> Marker | None:
    """The marker in a whole control batch of this producer; None for a control record of another
    kind. Raises MalformedError."""
    record = next(read_records(batch), None)
    if record is None or record.key is None or len(record.key) < _KEY.size:
        raise MalformedError("a control batch without a control record")
    _, kind = _KEY.unpack_from(record.key)
    if kind not in (_ABORT, _COMMIT):
        return None
    if record.value is None or len(record.value) < _VALUE.size:
        raise MalformedError("a transaction marker without a coordinator epoch")
    _, coordinator_epoch = _VALUE.unpack_from(record.value)
    return Marker(producer_id, producer_epoch, coordinator_epoch, kind == _COMMIT)
