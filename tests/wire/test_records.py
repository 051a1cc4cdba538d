import struct
import warnings
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch as AioBatch
from aiokafka.record.default_records import DefaultRecordBatchBuilder as AioBuilder
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire import batch as batches
from headrace.wire.compression import Codec, DecompressedSizeError
from headrace.wire.errors import MalformedError
from headrace.wire.records import (
    BatchBuilder,
    Record,
    build_batch,
    first_at_or_after,
    max_timestamp_record,
    read_records,
)

with warnings.catch_warnings():  # kafka-python finds its own files by a deprecated call
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.codec import has_lz4, has_snappy, has_zstd
    from kafka.record.default_records import DefaultRecordBatch as KafkaPythonBatch
    from kafka.record.default_records import DefaultRecordBatchBuilder as KafkaPythonBuilder

CODECS = list(Codec)
NAMED = {"ids": lambda codec: codec.name.lower()}
KAFKA_PYTHON_CODECS = [
    codec
    for codec, there in zip(CODECS, (True, True, has_snappy(), has_lz4(), has_zstd()), strict=True)
    if there
]

blobs = st.none() | st.binary(max_size=150)
records_lists = st.lists(
    st.builds(
        Record,
        timestamp_ms=st.integers(0, 2**41),
        key=blobs,
        value=blobs,
        headers=st.lists(st.tuples(st.text(max_size=10), blobs), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=12,
)

TIMES = [5, 3, 9, 9, 4]


def at(*times_ms: int) -> list[Record]:
    return [Record(timestamp_ms=time_ms, value=b"v%d" % time_ms) for time_ms in times_ms]


def numbered(records: list[Record], base_offset: int) -> list[Record]:
    return [record._replace(offset=base_offset + i) for i, record in enumerate(records)]


def patched(batch: bytes, position: int, code: str, value: int) -> bytes:
    changed = bytearray(batch)
    struct.pack_into(code, changed, position, value)
    return bytes(changed)


@given(records_lists, st.sampled_from(CODECS), st.integers(0, 2**60))
def test_what_is_built_is_read(records: list[Record], codec: Codec, base_offset: int) -> None:
    batch = build_batch(records, base_offset=base_offset, codec=codec)
    assert list(read_records(batch)) == numbered(records, base_offset)
    assert list(read_records(memoryview(batch))) == numbered(records, base_offset)


@given(records_lists, st.integers(0, 2000))
def test_a_builder_holds_what_fits_and_no_more(records: list[Record], size_max: int) -> None:
    builder = BatchBuilder(size_max)
    held = [record for record in records if builder.add(record)]
    assert builder.records_count == len(held)
    if not held:
        with pytest.raises(ValueError, match="at least one record"):
            builder.build()
        return
    assert builder.build() == build_batch(held)
    assert len(builder.build()) <= size_max
    refused = next((record for record in records if record not in held), None)
    assert refused is None or len(build_batch([*held, refused])) > size_max - 10


@given(records_lists, st.sampled_from(CODECS), st.sets(st.integers(0, 15)))
def test_only_the_wanted_offsets_are_opened(
    records: list[Record], codec: Codec, wanted: set[int]
) -> None:
    batch = build_batch(records, codec=codec)
    expected = [record for record in numbered(records, 0) if record.offset in wanted]
    assert list(read_records(batch, only=wanted)) == expected


@given(records_lists, st.sampled_from(CODECS))
def test_a_built_batch_is_accepted_from_a_producer(records: list[Record], codec: Codec) -> None:
    batch = build_batch(records, codec=codec, producer_id=7, producer_epoch=1, base_sequence=0)
    header = batches.check_from_producer(memoryview(batch))
    assert header.records_count == len(records)
    assert header.base_timestamp == records[0].timestamp_ms
    assert header.max_timestamp == max(record.timestamp_ms for record in records)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (7, 1, 0)


def test_flags_and_epoch_stand_in_the_header() -> None:
    batch = build_batch(
        at(5), transactional=True, control=True, append_time_ms=8, leader_epoch=3, codec=Codec.ZSTD
    )
    header = batches.peek(batch)
    assert header.attributes == 4 | 8 | 16 | 32
    assert header.leader_epoch == 3
    assert header.max_timestamp == 8
    assert batches.crc_matches(batch, header)


def test_append_time_is_the_time_of_every_record() -> None:
    batch = build_batch(at(5, 3), base_offset=10, append_time_ms=99)
    assert [record.timestamp_ms for record in read_records(batch)] == [99, 99]
    assert first_at_or_after(batch, 99) == (10, 99)
    assert first_at_or_after(batch, 100) is None
    assert max_timestamp_record(batch) == (10, 99)


def test_a_batch_of_nothing_or_of_an_unknown_codec_is_not_built() -> None:
    with pytest.raises(ValueError, match="at least one"):
        build_batch([])
    with pytest.raises(ValueError, match="5"):
        build_batch(at(1), codec=5)


@pytest.mark.parametrize("codec", CODECS, **NAMED)
@pytest.mark.parametrize(
    ("timestamp_ms", "found"),
    [(0, (100, 5)), (5, (100, 5)), (6, (102, 9)), (9, (102, 9)), (10, None)],
)
def test_the_first_record_that_is_not_older(
    codec: Codec, timestamp_ms: int, found: tuple[int, int] | None
) -> None:
    batch = build_batch(at(*TIMES), base_offset=100, codec=codec)
    assert first_at_or_after(batch, timestamp_ms) == found


def test_the_first_of_the_youngest_records() -> None:
    assert max_timestamp_record(build_batch(at(*TIMES), base_offset=100)) == (102, 9)


def test_a_batch_that_compaction_emptied_has_no_records() -> None:
    empty = build_batch(at(1))[: batches.HEADER_BYTES]
    empty = patched(patched(empty, 57, ">i", 0), 8, ">i", 49)
    assert list(read_records(empty)) == []
    assert first_at_or_after(empty, 0) is None
    assert max_timestamp_record(empty) is None


def test_a_batch_with_gaps_keeps_its_offsets() -> None:
    batch = bytearray(build_batch(at(1, 2), base_offset=50))
    second_offset_delta = batches.HEADER_BYTES + 1 + (batch[batches.HEADER_BYTES] >> 1) + 3
    assert batch[second_offset_delta] == 2
    batch[second_offset_delta] = 2 * 9
    gapped = patched(bytes(batch), 23, ">i", 9)
    assert [record.offset for record in read_records(gapped)] == [50, 59]


@pytest.mark.parametrize("codec", CODECS, **NAMED)
def test_aiokafka_reads_what_is_built_here(codec: Codec) -> None:
    assert_read_alike(AioBatch, codec)


@pytest.mark.parametrize("codec", KAFKA_PYTHON_CODECS, **NAMED)
def test_kafka_python_reads_what_is_built_here(codec: Codec) -> None:
    assert_read_alike(KafkaPythonBatch, codec)


def assert_read_alike(their_batch: Any, codec: Codec) -> None:
    records = numbered(
        [
            Record(timestamp_ms=1_700_000_000_123, key=b"k", value=b"v" * 300),
            Record(timestamp_ms=1_700_000_000_001, headers=(("h", b"1"), ("né", None))),
            Record(timestamp_ms=1_700_000_999_001, key=b"", value=bytes(70_000)),
        ],
        40,
    )
    batch = build_batch(
        records, base_offset=40, codec=codec, producer_id=5, producer_epoch=1, base_sequence=2
    )

    theirs = their_batch(batch)

    assert theirs.validate_crc()
    assert theirs.compression_type == codec
    assert theirs.next_offset == 43
    got = [Record(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in theirs]
    assert got == records


@pytest.mark.parametrize("codec", CODECS, **NAMED)
def test_what_aiokafka_builds_is_read_here(codec: Codec) -> None:
    builder = AioBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=9,
        producer_epoch=3,
        base_sequence=4,
        batch_size=1 << 20,
    )
    assert_builds_alike(builder, codec)


@pytest.mark.parametrize("codec", KAFKA_PYTHON_CODECS, **NAMED)
def test_what_kafka_python_builds_is_read_here(codec: Codec) -> None:
    builder = KafkaPythonBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=9,
        producer_epoch=3,
        base_sequence=4,
        batch_size=1 << 20,
    )
    assert_builds_alike(builder, codec)


def assert_builds_alike(builder: Any, codec: Codec) -> None:
    records = numbered(
        [
            Record(timestamp_ms=2_000, key=b"k", value=b"v" * 5_000),
            Record(timestamp_ms=1_000, value=b"", headers=(("h", b"1"), ("n", None))),
            Record(timestamp_ms=9_000, key=b"a", value=bytes(80_000)),
        ],
        0,
    )
    for offset, timestamp_ms, key, value, headers in records:
        builder.append(offset, timestamp_ms, key, value, list(headers))
    batch = bytes(builder.build())

    header = batches.check_from_producer(memoryview(batch))

    assert header.attributes & batches.ATTRIBUTE_CODEC_MASK == codec
    assert list(read_records(batch)) == records
    assert first_at_or_after(batch, 2_001) == (2, 9_000)
    assert max_timestamp_record(batch) == (2, 9_000)
    if codec == Codec.NONE:
        assert batch[batches.HEADER_BYTES :] == build_batch(records)[batches.HEADER_BYTES :]


@pytest.mark.parametrize("codec", CODECS, **NAMED)
def test_records_that_unfold_beyond_the_bound_are_refused(codec: Codec) -> None:
    batch = build_batch([Record(timestamp_ms=1, value=bytes(1_000_000))], codec=codec)
    for look in (
        lambda: list(read_records(batch, decompressed_bytes_max=999_999)),
        lambda: first_at_or_after(batch, 0, decompressed_bytes_max=999_999),
        lambda: max_timestamp_record(batch, decompressed_bytes_max=999_999),
    ):
        with pytest.raises(DecompressedSizeError):
            look()


def one_record(body: bytes) -> bytes:
    """A batch whose only record has `body` after its length."""
    batch = build_batch(at(1))[: batches.HEADER_BYTES] + bytes([len(body) << 1]) + body
    return patched(batch, 8, ">i", len(batch) - 12)


GOOD = b"\0\0\0\1\1\0"  # attributes, time, offset, no key, no value, no headers


def test_the_smallest_record_is_read() -> None:
    assert list(read_records(one_record(GOOD))) == [Record(0, 1)]


@pytest.mark.parametrize(
    "batch",
    [
        b"",
        one_record(GOOD)[:60],
        one_record(GOOD)[:-1],
        one_record(GOOD) + b"x",
        patched(one_record(GOOD), 16, "b", 1),
        patched(one_record(GOOD), 22, "b", 5),
        patched(one_record(GOOD), 57, ">i", 2),
        patched(one_record(GOOD), 57, ">i", 0),
        patched(one_record(GOOD), 57, ">i", -1),
        patched(one_record(GOOD), 57, ">i", 2**31 - 1),
        patched(one_record(GOOD), 23, ">i", -1),
        patched(one_record(GOOD), 27, ">q", 2**63 - 1)[:62] + b"\0\2\0\1\1\0",
        one_record(GOOD + b"\0"),
        one_record(GOOD[:-1]),
        one_record(b"\0\0\1\1\1\0"),
        one_record(b"\0\0\2\1\1\0"),
        one_record(b"\0\0\0\3\1\0"),
        one_record(b"\0\0\0\2\1\0"),
        one_record(b"\0\0\0\1\1\1"),
        one_record(b"\0\0\0\1\1\2"),
        one_record(b"\0\0\0\1\1\2\1\1"),
        one_record(b"\0\0\0\1\1\2\2\xff\1"),
        one_record(b"\0\0\0\1\1\xfe\xff\xff\xff\x0f"),
        one_record(b"\0" + b"\xff" * 11),
    ],
)
def test_nonsense_is_malformed(batch: bytes) -> None:
    with pytest.raises(MalformedError):
        list(read_records(batch))


def look_everywhere(batch: bytes) -> None:
    for look in (
        lambda: list(read_records(batch, decompressed_bytes_max=1 << 20)),
        lambda: first_at_or_after(batch, 5, decompressed_bytes_max=1 << 20),
        lambda: max_timestamp_record(batch, decompressed_bytes_max=1 << 20),
    ):
        try:
            look()
        except MalformedError:
            continue


@given(st.binary(max_size=120))
def test_random_bytes_are_malformed_and_nothing_else(data: bytes) -> None:
    look_everywhere(data)
    look_everywhere(one_record(data[:60]))


@given(records_lists, st.sampled_from(CODECS), st.data())
def test_damaged_batches_are_read_or_malformed(
    records: list[Record], codec: Codec, more: st.DataObject
) -> None:
    damaged = bytearray(build_batch(records, codec=codec))
    for _ in range(more.draw(st.integers(1, 4))):
        position = more.draw(st.integers(12, len(damaged) - 1))
        damaged[position] = more.draw(st.integers(0, 255))
    damaged[16] = 2
    look_everywhere(bytes(damaged))
    look_everywhere(bytes(damaged[: more.draw(st.integers(0, len(damaged)))]))
