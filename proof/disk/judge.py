"""Whether an open log is what its partition's model says; raises Broken with what is not.

What must not enter: how it came about.
"""

from headrace.log.contract import Aborted
from headrace.log.local import LocalLog
from headrace.log.reading import read_slice
from headrace.wire.batch import ATTRIBUTE_CONTROL, BatchHeader, crc_matches, peek
from headrace.wire.records import read_records
from proof.disk.model import Entry, Expected, Partition

__all__ = ["Broken", "judge", "read_all"]

READ_BYTES: int = 4096


class Broken(AssertionError):
    """A promise was not kept."""


Found = list[tuple[BatchHeader, bytes]]


async def read_all(log: LocalLog, partition: Partition) -> Found:
    """Every batch from the start to the high watermark. Raises Broken, RequestError."""
    offset, _, high_watermark, _ = log.offsets()
    found: Found = []
    while offset < high_watermark:
        piece = await log.read(offset, READ_BYTES, at_least_one=True)
        try:
            data = read_slice(piece) if piece.size_bytes else b""
        finally:
            piece.release()
        _demand(bool(data), partition, f"nothing to read at {offset}, below {high_watermark}")
        while data:
            header = peek(data)
            batch, data = data[: header.size_bytes], data[header.size_bytes :]
            _demand(crc_matches(batch, header), partition, f"a bad batch was read at {offset}")
            is_next = header.base_offset == offset or (not found and header.base_offset < offset)
            _demand(is_next, partition, f"batch {header.base_offset} was read at {offset}")
            found.append((header, batch))
            offset = header.next_offset
    return found


async def judge(log: LocalLog, partition: Partition) -> tuple[int, int]:
    """After a start: returns start and end of what was found. Raises Broken."""
    start, last_stable, high_watermark, end = log.offsets()
    _demand(high_watermark == end, partition, f"{high_watermark} to {end} is not readable")
    _demand(
        partition.start_min <= start <= max(partition.start_max, partition.start_min),
        partition,
        f"it starts at {start}, not in {partition.start_min} to {partition.start_max}",
    )
    kept_to = partition.kept_to
    _demand(end >= kept_to, partition, f"it ends at {end}, acknowledged or seen is {kept_to}")
    batches = await read_all(log, partition)
    entries = _entries_of(partition, end)
    expected = Expected()
    for entry in entries:
        expected.take(entry)
    if partition.is_compacted:
        _judge_compacted(partition, entries, expected, batches, start)
    else:
        _judge_batches(partition, entries, batches, start)
    _judge_producers(log, partition, expected)
    aborted = sorted(
        (Aborted(pid, first) for pid, first, marker in expected.aborted if marker >= start),
        key=lambda one: one.first_offset,
    )
    found = list(log.aborted_between(start, end))
    _demand(found == aborted, partition, f"aborted is {found}, not {aborted}")
    stable = max(min(expected.open.values(), default=end), start)
    _demand(last_stable == stable, partition, f"stable to {last_stable}, not {stable}")
    return start, end


def _entries_of(partition: Partition, end: int) -> list[Entry]:
    """The batches up to the log's end, a refused one in the last place if it is there."""
    entries = partition.until(end)
    at = entries[-1].end if entries else 0
    if at != end:
        ghost = [entry for entry in partition.ghosts if (entry.base, entry.end) == (at, end)]
        _demand(bool(ghost), partition, f"it ends at {end}, where no batch ended")
        entries.append(ghost[0])
    return entries


def _judge_batches(partition: Partition, entries: list[Entry], batches: Found, start: int) -> None:
    there = [entry for entry in entries if entry.end > start]
    for entry, (header, batch) in zip(there, batches, strict=False):
        _demand(
            entry.data == batch or _is_ghost(partition, batch),
            partition,
            f"the batch at {header.base_offset} is another one",
        )
    _demand(len(there) == len(batches), partition, f"{len(batches)} batches, not {len(there)}")


def _is_ghost(partition: Partition, batch: bytes) -> bool:
    return any(ghost.data == batch for ghost in partition.ghosts)


def _judge_compacted(
    partition: Partition, entries: list[Entry], expected: Expected, batches: Found, start: int
) -> None:
    """Of each key the last committed record is there, and every record is one that was written."""
    written = {}
    latest: dict[bytes, tuple[int, bytes | None]] = {}
    for entry in entries:
        if entry.marker is not None:
            continue
        for at, (key, value) in enumerate(entry.records):
            written[entry.base + at] = (key, value)
            if key is not None and not expected.is_aborted(entry):
                latest[key] = (entry.base + at, value)
    found = {}
    for header, batch in batches:
        if not header.attributes & ATTRIBUTE_CONTROL and header.records_count:
            for record in read_records(batch):
                found[record.offset] = (record.key, record.value)
    for offset, record in found.items():
        _demand(written.get(offset) == record, partition, f"{record} was never at {offset}")
    for key, (offset, value) in latest.items():
        if offset >= start and value is not None:
            _demand(
                found.get(offset) == (key, value),
                partition,
                f"the last record of {key!r} is gone from {offset}",
            )


def _judge_producers(log: LocalLog, partition: Partition, expected: Expected) -> None:
    table = log.producer_table
    found = {
        producer_id: (producer.epoch, producer.coordinator_epoch, [b[:4] for b in producer.batches])
        for producer_id, producer in table._producers.items()
    }
    wanted = {
        producer_id: (producer.epoch, producer.coordinator_epoch, [*map(tuple, producer.window)])
        for producer_id, producer in expected.producers.items()
    }
    _demand(found == wanted, partition, f"producers are {found}, not {wanted}")
    first_offsets = {pid: table.transactions.first_offset(pid) for pid in expected.producers}
    for producer_id, first in first_offsets.items():
        open_from = expected.open.get(producer_id, -1)
        _demand(
            first == open_from, partition, f"{producer_id}'s transaction: {first}, not {open_from}"
        )


def _demand(is_so: bool, partition: Partition, otherwise: str) -> None:
    if not is_so:
        raise Broken(f"partition {partition.number}: {otherwise}")
