"""Targets: what is read from a disk, and the record batches that clients make.

The first byte of an input chooses the reader; where there is a checksum, it is made to fit, since a
disk's own mistakes seldom get past it, and what is behind it should hold by itself.
"""

import contextlib
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from headrace.catalog.wal import damage_in
from headrace.log.checkpoint import Checkpoint
from headrace.log.contract import CorruptLogError
from headrace.log.index import SparseIndex
from headrace.log.inspecting import inspect
from headrace.log.marks import MARKS_NAME, Marks
from headrace.log.recovery import NO_MARK, recover
from headrace.log.segment import SegmentFacts
from headrace.log.swap import Journal, Swap
from headrace.wire.batch import CRC_START, HEADER_BYTES, check_from_producer, crc_of, peek
from headrace.wire.compression import Codec
from headrace.wire.crc import crc32c
from headrace.wire.errors import MalformedError, RequestError
from headrace.wire.filtering import keyless_records, record_keys, with_records
from headrace.wire.markers import Marker, build_marker, read_marker
from headrace.wire.records import (
    Record,
    build_batch,
    first_at_or_after,
    max_timestamp_record,
    open_records,
    read_records,
)
from proof.fuzz.target import Target

__all__ = ["BATCHES", "FILES", "SEGMENTS"]

OPENED_BYTES_MAX: Final = 1 << 20


def _sealed_batch(data: bytes) -> bytes:
    """`data` as a batch whose length and CRC are right."""
    batch = bytearray(data.ljust(HEADER_BYTES, b"\0"))
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    batch[16] = 2
    struct.pack_into(">I", batch, 17, crc_of(batch))
    return bytes(batch)


def _recompressed(batch: bytes) -> bytes:
    """The records of an input are given in the clear and compressed here, or nearly none of them
    would ever be opened: an odd first byte leaves them as they are."""
    codec = batch[CRC_START + 1] & 7
    if codec == Codec.GZIP and batch[0] % 2 == 0:
        deflate = zlib.compressobj(wbits=31)
        return batch[:HEADER_BYTES] + deflate.compress(batch[HEADER_BYTES:]) + deflate.flush()
    return batch


def _try_batch(data: bytes) -> None:
    batch = _sealed_batch(_recompressed(data.ljust(HEADER_BYTES, b"\0")))
    with contextlib.suppress(RequestError):
        check_from_producer(memoryview(batch))
    read: list[Callable[[], object]] = [
        lambda: list(read_records(batch, decompressed_bytes_max=OPENED_BYTES_MAX)),
        lambda: list(read_records(batch, decompressed_bytes_max=OPENED_BYTES_MAX, only={0, 5})),
        lambda: first_at_or_after(batch, 5, decompressed_bytes_max=OPENED_BYTES_MAX),
        lambda: max_timestamp_record(batch, decompressed_bytes_max=OPENED_BYTES_MAX),
        lambda: keyless_records(batch, decompressed_bytes_max=OPENED_BYTES_MAX, count_max=5),
        lambda: read_marker(batch, 1, 1),
        lambda: _filter(batch),
    ]
    for each in read:
        with contextlib.suppress(MalformedError):
            each()


def _filter(batch: bytes) -> None:
    """What compaction would make of it holds the records that it should."""
    header, data = open_records(batch, OPENED_BYTES_MAX)
    keys = record_keys(header, data)
    if not keys:
        return
    before = list(read_records(batch, decompressed_bytes_max=OPENED_BYTES_MAX))
    made = with_records(header, data, bytearray(n % 2 == 0 for n in range(len(keys))), None)
    after = list(read_records(made, decompressed_bytes_max=OPENED_BYTES_MAX))
    assert [(one.offset, one.value) for one in after] == [
        (one.offset, one.value) for one in before[::2]
    ]


def _batches() -> Iterator[bytes]:
    headers = (("name", b"value"), ("none", None))
    records = [Record(-1, 100 + n, b"k" if n % 2 else None, b"v" * n, headers) for n in range(5)]
    for codec in Codec:
        yield build_batch(records, codec=codec)
    yield build_batch(records, producer_id=7, producer_epoch=1, base_sequence=3, transactional=True)
    yield build_batch(records, append_time_ms=9)
    yield bytes(build_marker(Marker(1, 1, 0, True), 5))


class _Disk:
    """A partition's directory, used again and again."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="headrace-fuzz-")) / "0"

    def hold(self, files: dict[str, bytes]) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        for name, data in files.items():
            (self.path / name).write_bytes(data)


_disk: list[_Disk] = []


def _try_segment(data: bytes) -> None:
    """Two segments of an input: recovered or refused, and inspected, whatever is in them."""
    if not _disk:
        _disk.append(_Disk())
    disk = _disk[0]
    cut = min(data[0] * 16, len(data)) if data else 0
    files = {f"{0:020d}.log": _with_crcs(data[1:cut], 0)}
    if data[cut:]:
        files[f"{data[0] % 7:020d}.log"] = _with_crcs(data[cut:], data[0] % 7)
    disk.hold(files)
    report = inspect(str(disk.path), NO_MARK)
    try:
        found = recover(str(disk.path), index_interval_bytes=256, now_ms=1, mark=NO_MARK)
    except CorruptLogError as error:
        if str(disk.path) not in str(error):
            raise AssertionError("the file is not named") from error
        return
    assert found.segments
    again = recover(str(disk.path), index_interval_bytes=256, now_ms=1, mark=NO_MARK)
    assert again.segments[-1].end_offset == found.segments[-1].end_offset
    assert again.cut_bytes == 0, "what was recovered is whole"
    assert inspect(str(disk.path), NO_MARK).end_offset == found.segments[-1].end_offset
    assert report.segments


def _with_crcs(data: bytes, offset: int) -> bytes:
    """Every batch whose length fits gets its CRC, and its offset unless an input says otherwise."""
    out = bytearray(data)
    position = 0
    while len(out) - position >= HEADER_BYTES:
        header = peek(out, position)
        end = position + header.size_bytes
        if not HEADER_BYTES <= header.size_bytes <= len(out) - position:
            break
        if header.leader_epoch == 0 and header.last_offset_delta >= 0:
            struct.pack_into(">q", out, position, offset)
            offset = min(offset + header.last_offset_delta + 1, 1 << 40)
        struct.pack_into(">I", out, position + 17, crc_of(out[position:end]))
        position = end
    return bytes(out)


def _segments() -> Iterator[bytes]:
    pieces = [
        build_batch([Record(value=b"v" * n)], base_offset=n, leader_epoch=0) for n in range(4)
    ]
    marker = bytearray(build_marker(Marker(1, 1, 0, False), 5))
    struct.pack_into(">qii", marker, 0, 4, len(marker) - 12, 0)
    whole = b"".join(pieces)
    yield b"\xff" + whole
    yield b"\xff" + whole + bytes(marker)
    yield b"\x04" + whole
    yield b"\xff" + whole + bytes(600)
    yield b"\xff" + whole[:-5]


def _with_crc(data: bytes) -> bytes:
    return data + struct.pack("<I", crc32c(memoryview(data)))


def _try_marks(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / MARKS_NAME).write_bytes(data)
        Marks(directory).close()


_READERS: Final[tuple[Callable[[bytes], object], ...]] = (
    lambda data: SparseIndex.decode(_with_crc(data), 0),
    lambda data: Checkpoint.decode(_with_crc(data)),
    lambda data: Journal.decode(_with_crc(data)),
    _try_marks,
    lambda data: damage_in(data, data[-96:]),
    lambda data: SparseIndex.decode(data, 0),
    Checkpoint.decode,
    Journal.decode,
)


def _try_file(data: bytes) -> None:
    if data:
        with contextlib.suppress(ValueError):
            _READERS[data[0] % len(_READERS)](data[1:])


def _files() -> Iterator[bytes]:
    index = SparseIndex()
    for number in range(3):
        index.add(number * 10, number * 100, number)
    yield b"\0" + index.encode(0, 300)[:-4]
    facts = SegmentFacts(0, 10, 100, 5, 5)
    yield b"\1" + Checkpoint(0, 10, [facts, facts]).encode()[:-4]
    journal = Journal(5, Swap((0, 10), facts))
    yield b"\2" + journal.encode()[:-4]
    yield b"\3" + bytes(16) + struct.pack("<Iqq", 0, 0, 100) + bytes(28)
    yield b"\4" + struct.pack(">8I", 0x377F0682, 3007000, 512, 0, 1, 2, 3, 4) + bytes(2 * 536)


BATCHES: Final = Target("batches", _try_batch, _batches, ("headrace.wire",))
SEGMENTS: Final = Target("segments", _try_segment, _segments, ("headrace.log", "headrace.wire"))
FILES: Final = Target("files", _try_file, _files, ("headrace.log", "headrace.catalog"))
