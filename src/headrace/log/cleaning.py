"""One compaction pass over sealed segments: which records stay, and the segments made of them.

A pass has two steps, both blocking and for a thread of their own:

1. `fill_map` reads the part of the log that was never cleaned and notes where the latest record
   of each key is, until the map is full; the next pass goes on from there.
2. `clean` reads every segment from the log's start up to there, and writes what stays of one or
   several small ones to a new file. Of a record with a key that the map knows at a later offset
   nothing stays. A tombstone (no value) stays until its batch's delete horizon has passed, which
   is set when the pass that removes what it deletes comes by (KIP-534). Records without a key
   are nothing that compaction could keep the latest of: they go, as in Kafka.

Offsets never change: what is removed becomes a hole (`wire.filtering`), and the batch with a
producer's last sequence stays, if need be empty. Batches whose records cannot be opened are their
producer's matter and stay as they are; damage (a wrong CRC) ends the pass with CorruptLogError and
changes nothing.

What must not enter: when to clean, how a new file takes its place (`compaction`, `swap`).
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from headrace.log import disk
from headrace.log.contract import CorruptLogError
from headrace.log.key_map import KeyMap
from headrace.log.scanning import Scan, scan_batches
from headrace.log.segment import Segment
from headrace.wire.batch import ATTRIBUTE_CONTROL, ATTRIBUTE_TRANSACTIONAL, BatchHeader, peek
from headrace.wire.errors import MalformedError
from headrace.wire.filtering import (
    delete_horizon_ms,
    emptied,
    hole,
    record_keys,
    with_records,
)
from headrace.wire.records import open_records

__all__ = ["Aborted", "MapTooSmallError", "Pace", "Rules", "Stopped", "clean", "fill_map"]

OPENED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one batch, decompressed; a larger one stays as it is."""
WRITE_BYTES: Final = 1024 * 1024
SYNC_BYTES: Final = 2 * 1024 * 1024
"""Written between two syncs: a large sync at the end would make producers' syncs wait for it."""
WORK_S: Final = 0.0002
"""At most about so long the event loop waits for the interpreter because of this thread."""
REST_S: Final = 0.00005
RECORDS_PER_BREATH: Final = 32

_NO_LONGER_IN_PLACE: Final = 2
"""Holes, where one could stay."""


class Stopped(Exception):
    """The log is being closed: leave what was begun."""


class MapTooSmallError(Exception):
    """Not even one batch fits into the map."""


Aborted = Sequence[tuple[int, int]]
"""Producer id and first offset of the aborted transactions with records or their marker in a range
of offsets, by first offset. Each ends with its producer's next marker."""


class Pace:
    """Work a little, rest a little: a thread that computes holds the interpreter, and the loop
    would wait for it up to the switch interval (5 ms) at every turn."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._since = time.perf_counter()

    def breathe(self) -> None:
        """Raises Stopped."""
        if time.perf_counter() - self._since > WORK_S:
            if self._stopping.is_set():
                raise Stopped
            time.sleep(REST_S)
            self._since = time.perf_counter()


class Rules(NamedTuple):
    """What decides in a pass, as it was when the pass began. Times are wall clock, ms."""

    now_ms: int
    delete_retention_ms: int
    index_interval_bytes: int
    last_offsets: Mapping[int, int]
    """Of each producer's last batch: that batch stays."""


class _Transactions:
    """Which batches of a walk in the order of offsets are of aborted transactions: nobody who
    asks for committed records sees those, so they neither stay nor hide what is older. `aborted`
    is of the range that is walked."""

    def __init__(self, aborted: Aborted) -> None:
        self._aborted: dict[int, list[int]] = {}
        """First offsets by producer, the next one last."""
        for producer_id, first_offset in reversed(aborted):
            self._aborted.setdefault(producer_id, []).append(first_offset)

    def is_aborted(self, header: BatchHeader) -> bool:
        """For a batch of records. Ask for every batch of the walk, markers included."""
        if not header.attributes & ATTRIBUTE_TRANSACTIONAL:
            return False
        first_offsets = self._aborted.get(header.producer_id, [])
        is_begun = bool(first_offsets) and first_offsets[-1] <= header.base_offset
        if header.attributes & ATTRIBUTE_CONTROL:
            while first_offsets and first_offsets[-1] <= header.base_offset:
                first_offsets.pop()
        return is_begun


def fill_map(
    sources: Sequence[Segment], dirty_from: int, key_map: KeyMap, aborted: Aborted, pace: Pace
) -> int:
    """Note the keys from `dirty_from` on; returns the offset up to which the map speaks. Raises
    CorruptLogError, MapTooSmallError, Stopped, OSError."""
    until = sources[-1].end_offset
    transactions = _Transactions(aborted)
    for source in sources:
        if source.end_offset <= dirty_from:
            continue
        for header, batch in _batches(source, pace):
            if header.next_offset <= dirty_from:
                continue
            if header.records_count > key_map.room:
                if header.base_offset <= dirty_from:
                    raise MapTooSmallError(
                        f"a batch of {header.records_count} records at offset "
                        f"{header.base_offset} needs a larger log.cleaner.dedupe.buffer.size"
                    )
                return header.base_offset
            is_aborted = transactions.is_aborted(header)
            if not header.attributes & ATTRIBUTE_CONTROL and not is_aborted:
                _note(header, batch, key_map, pace)
    return until


def _note(header: BatchHeader, batch: memoryview, key_map: KeyMap, pace: Pace) -> None:
    try:
        _, data = open_records(batch, OPENED_BYTES_MAX)
        latest = {key: delta for key, delta, _ in record_keys(header, data)}
    except MalformedError:
        return
    latest.pop(None, None)
    for at, (key, delta) in enumerate(latest.items()):
        if key is not None:
            key_map.put(key, header.base_offset + delta)
        if at % RECORDS_PER_BREATH == 0:
            pace.breathe()


def clean(
    sources: Sequence[Segment],
    path: str,
    key_map: KeyMap,
    until: int,
    rules: Rules,
    aborted: Aborted,
    pace: Pace,
) -> Segment | None:
    """Write what stays of `sources`, which follow each other, to a new file at `path`, synced;
    returns the segment that it is, without a file of its own, or None when all stays as it is and
    no file was left. The map speaks of offsets below `until`; later batches are copied.

    Raises CorruptLogError, Stopped, OSError; no file is left then.
    """
    first = sources[0]
    segment = Segment(first.directory, first.base_offset, 0)
    segment.first_append_ms = first.first_append_ms
    output = _Output(first.path, path, segment, rules.index_interval_bytes)
    transactions = _Transactions(aborted)
    try:
        for source in sources:
            for header, batch in _batches(source, pace):
                is_aborted = transactions.is_aborted(header)
                stays: memoryview | bytes = batch
                if header.base_offset < until and not header.attributes & ATTRIBUTE_CONTROL:
                    stays = b""
                    if header.records_count and not is_aborted:
                        stays = _filtered(header, batch, key_map, rules, pace)
                    if not stays and _is_last_of_producer(header, rules):
                        stays = emptied(header) if header.records_count else batch
                output.add(header, stays, is_in_place=source is first and stays is batch)
        output.finish(is_all=len(sources) == 1)
    except BaseException:
        output.discard()
        raise
    return segment if output.close() else None


def _batches(source: Segment, pace: Pace) -> Iterator[tuple[BatchHeader, memoryview]]:
    outcome = Scan()
    at = source.base_offset
    fd = disk.open_file(source.path, os.O_RDONLY)
    try:
        for header, _, batch in scan_batches(fd, 0, source.base_offset, source.size_bytes, outcome):
            yield header, batch
            pace.breathe()
            at = header.next_offset
        if outcome.why is not None:
            raise CorruptLogError(f"{source.path} is damaged (offset {at}): {outcome.why}")
    finally:
        disk.release(fd)


def _filtered(
    header: BatchHeader, batch: memoryview, key_map: KeyMap, rules: Rules, pace: Pace
) -> memoryview | bytes:
    """What stays of a batch of records: itself, one with fewer records, or no bytes."""
    try:
        _, data = open_records(batch, OPENED_BYTES_MAX)
        kept, tombstones = _kept(header, data, key_map, rules, pace)
        horizon_ms = delete_horizon_ms(header)
        if 1 not in kept:
            return b""
        if tombstones and horizon_ms is None:
            horizon_ms = rules.now_ms + rules.delete_retention_ms
        elif 0 not in kept:
            return batch
        return with_records(header, data, kept, horizon_ms)
    except MalformedError:
        return batch


def _is_last_of_producer(header: BatchHeader, rules: Rules) -> bool:
    return (
        header.producer_id >= 0 and rules.last_offsets.get(header.producer_id) == header.last_offset
    )


def _kept(
    header: BatchHeader, data: bytes, key_map: KeyMap, rules: Rules, pace: Pace
) -> tuple[bytearray, int]:
    """A 1 for each record that stays, a 0 for the others; and how many tombstones stay."""
    horizon_ms = delete_horizon_ms(header)
    tombstones_stay = horizon_ms is None or rules.now_ms < horizon_ms
    kept = bytearray(header.records_count)
    tombstones = 0
    records = record_keys(header, data)
    latest = {key: delta for key, delta, _ in records}
    for at, (key, delta, has_value) in enumerate(records):
        if (
            key is not None
            and latest[key] == delta
            and (has_value or tombstones_stay)
            and key_map.latest(key) <= header.base_offset + delta
        ):
            kept[at] = 1
            tombstones += not has_value
        if at % RECORDS_PER_BREATH == 0:
            pace.breathe()
    return kept, tombstones


class _Output:
    """The new file: batches one after the other, and holes for what is missing between them.

    As long as everything stays where it was in the first source nothing is written; with the
    first change what came before it is copied.
    """

    def __init__(self, source: str, path: str, segment: Segment, interval_bytes: int) -> None:
        self._source = source
        self._path = path
        self._segment = segment
        self._interval_bytes = interval_bytes
        self._buffer = bytearray()
        self._written = 0
        self._unsynced = 0
        self._hole_from = segment.base_offset
        self._end_offset = segment.base_offset
        self._source_holes = 0
        """Batches since the last that stays: one that is a hole already may stay too."""
        self._leader_epoch = -1
        self._fd = -1

    def add(self, header: BatchHeader, stays: memoryview | bytes, *, is_in_place: bool) -> None:
        """What stays of the batch of `header`; `is_in_place` if it follows in the first source
        what followed there before, except for holes."""
        self._leader_epoch = header.leader_epoch
        if not stays:
            is_hole = header.records_count == 0 and header.producer_id < 0
            self._source_holes += 1 if is_hole else _NO_LONGER_IN_PLACE
        else:
            if self._fd < 0 and not (is_in_place and self._source_holes <= 1):
                self._begin()
            self._fill_hole()
            self._append(stays)
            self._hole_from = header.next_offset
            self._source_holes = 0
        self._end_offset = header.next_offset

    def finish(self, *, is_all: bool) -> None:
        """Nothing follows; `is_all` if this is the whole first source. Raises OSError."""
        if self._fd < 0 and not (is_all and self._source_holes <= 1):
            self._begin()
        self._fill_hole()
        if self._fd >= 0:
            self._write()
            disk.fsync(self._fd)

    def close(self) -> bool:
        """Whether there is a new file."""
        if self._fd < 0:
            return False
        disk.release(self._fd)
        return True

    def discard(self) -> None:
        if self.close():
            disk.unlink(self._path)

    def _begin(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        self._fd = disk.open_file(self._path, flags)
        end, self._written = self._written, 0
        source = disk.open_file(self._source, os.O_RDONLY)
        try:
            while self._written < end:
                size_bytes = min(WRITE_BYTES, end - self._written)
                piece = disk.read(source, size_bytes, self._written)
                if not piece:
                    raise OSError(f"{self._source} has become shorter")
                self._buffer += piece
                self._write()
        finally:
            disk.release(source)

    def _fill_hole(self) -> None:
        if self._hole_from < self._end_offset:
            filler = memoryview(hole(self._hole_from, self._end_offset, self._leader_epoch))
            while filler:
                size = peek(filler).size_bytes
                self._append(filler[:size])
                filler = filler[size:]

    def _append(self, batch: memoryview | bytes) -> None:
        header = peek(batch)
        position = self._written + len(self._buffer)
        self._segment.add(
            *(position, position + len(batch), header.base_offset, header.next_offset),
            *(header.max_timestamp, self._interval_bytes),
        )
        if self._fd < 0:
            self._written += len(batch)
            return
        self._buffer += batch
        if len(self._buffer) >= WRITE_BYTES:
            self._write()

    def _write(self) -> None:
        self._written = disk.write(self._fd, self._buffer, self._written)
        self._unsynced += len(self._buffer)
        self._buffer = bytearray()
        if self._unsynced >= SYNC_BYTES:
            disk.fdatasync(self._fd)
            self._unsynced = 0
