"""A partition as its clients get it: batch by batch and as a stream, believing what a CRC covers.

What a client believes that is not what was written is the worst that damage can do; what it is
told, by the broker or by a CRC that does not match, is as it should be.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from headrace.log.contract import CorruptLogError, PartitionLog
from headrace.wire.batch import crc_matches, peek
from headrace.wire.errors import RequestError
from proof.damage.specimen import CONFIG, TOPIC, open_store

__all__ = ["Seen", "look"]

STREAM_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Seen:
    """What a start and the reads after it showed."""

    refused: str = ""
    """Why the partition is offline."""
    batches: dict[int, bytes] = field(default_factory=dict)
    """Offset that was asked for -> the batch that came, read one by one."""
    stream: list[bytes] = field(default_factory=list)
    """What a client that reads on and on accepted, in order."""
    faults: dict[int, str] = field(default_factory=dict)
    """Offset that was asked for -> what the broker said is wrong there."""
    mismatches: dict[int, str] = field(default_factory=dict)
    """Offset that was asked for -> what the client itself saw is wrong there."""
    state: dict[str, Any] = field(default_factory=dict)
    """What the log says of itself."""


async def look(directory: Path, offsets: Sequence[int]) -> Seen:
    """Start on `directory` and read; `offsets` are where batches began when all was well."""
    seen = Seen()
    store = open_store(directory)
    try:
        log = await store.open_log(TOPIC, 0, CONFIG, must_exist=True)
    except CorruptLogError as error:
        seen.refused = str(error)
        await store.close()
        return seen
    try:
        seen.state = _state(log)
        for offset in offsets:
            await _read_one(log, offset, seen)
        await _read_on(log, offsets, seen)
        seen.state["producers"] = log.producers()
    finally:
        await store.close()
    return seen


def _state(log: PartitionLog) -> dict[str, Any]:
    end = log.offsets().high_watermark
    return {
        "offsets": log.offsets(),
        "aborted": list(log.aborted_between(0, end)),
        "committed end": log.committed_end(),
    }


async def _read(log: PartitionLog, offset: int, size_bytes_max: int) -> bytes:
    piece = await log.read(offset, size_bytes_max, at_least_one=True)
    try:
        return os.pread(piece.file, piece.size_bytes, piece.position) if piece.size_bytes else b""
    finally:
        piece.release()


async def _read_one(log: PartitionLog, offset: int, seen: Seen) -> None:
    try:
        data = await _read(log, offset, 1)
    except RequestError as error:
        seen.faults[offset] = error.message
        return
    accepted, wrong = accept(data)
    if wrong:
        seen.mismatches[offset] = wrong
    elif accepted:
        seen.batches[offset] = accepted[0]


async def _read_on(log: PartitionLog, offsets: Sequence[int], seen: Seen) -> None:
    """Like a consumer; where it is told of damage, it goes on behind that batch."""
    offset, end = offsets[0], offsets[-1]
    while offset <= end:
        try:
            data = await _read(log, offset, STREAM_BYTES)
        except RequestError as error:
            seen.faults.setdefault(offset, error.message)
            offset = _after(offset, offsets)
            continue
        accepted, wrong = accept(data)
        before = offset
        for batch in accepted:
            if peek(batch).last_offset >= offset:  # clients drop what they have not asked for
                seen.stream.append(batch)
                offset = peek(batch).next_offset
        if wrong:
            seen.mismatches.setdefault(offset, wrong)
            offset = _after(offset, offsets)
        elif offset == before:
            seen.mismatches.setdefault(offset, "nothing comes")
            offset = _after(offset, offsets)


def _after(offset: int, offsets: Sequence[int]) -> int:
    return next((other for other in offsets if other > offset), 1 << 62)


def accept(data: bytes) -> tuple[list[bytes], str]:
    """The whole batches at the beginning of `data` that a client takes for true, and what is wrong
    with the one after them."""
    accepted: list[bytes] = []
    while data:
        try:
            header = peek(data)
        except struct.error:
            return accepted, "too short"
        batch = data[: header.size_bytes] if header.size_bytes > 0 else b""
        if header.magic != 2 or len(batch) < max(header.size_bytes, 61):
            return accepted, "no batch"
        if not crc_matches(batch, header):
            return accepted, "CRC"
        accepted.append(batch)
        data = data[len(batch) :]
    return accepted, ""
