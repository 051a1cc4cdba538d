"""Records out of what a share fetch found: damaged, missing and oversized ones told apart."""

import asyncio
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.share import opening
from headrace.groups.share_steps import Acquired
from headrace.log.contract import Slice
from headrace.wire.batch import crc_of
from headrace.wire.records import Record, build_batch


def opened(path: Path, *batches: bytes, acquired: list[Acquired]) -> opening.OpenedRecords:
    path.write_bytes(b"".join(batches))
    released: list[int] = []
    file = os.open(path, os.O_RDONLY)
    try:
        found = Slice(file, 0, path.stat().st_size, False, lambda: released.append(1))
        return asyncio.run(opening.open_acquired([found], acquired))
    finally:
        os.close(file)
        assert released == [1]


def batch(base_offset: int, *values: bytes) -> bytes:
    return build_batch([Record(value=value) for value in values], base_offset=base_offset)


def test_only_what_was_acquired_is_opened(tmp_path: Path) -> None:
    found = opened(
        tmp_path / "log",
        *(batch(0, b"a", b"b"), batch(2, b"c", b"d"), batch(6, b"g")),
        acquired=[Acquired(1, 2, 3), Acquired(5, 6, 1)],
    )
    assert [(r.offset, r.value, count) for r, count in found.records] == [
        (1, b"b", 3),
        (2, b"c", 3),
        (6, b"g", 1),
    ]
    assert (found.damaged, found.empty, found.too_much) == ([], [5], [])


def test_a_damaged_batch_does_not_hide_the_next(tmp_path: Path) -> None:
    damaged = bytearray(batch(0, b"a", b"b"))
    damaged[-3] ^= 1
    found = opened(tmp_path / "log", bytes(damaged), batch(2, b"c"), acquired=[Acquired(0, 2, 1)])
    assert found.damaged == [0, 1]
    assert [record.offset for record, _ in found.records] == [2]


@pytest.mark.timeout(10)
def test_a_batch_that_claims_two_billion_offsets_costs_nothing(tmp_path: Path) -> None:
    liar = bytearray(batch(0, b"a"))
    struct.pack_into(">i", liar, 23, 0x7FFFFFFE)
    struct.pack_into(">i", liar, 57, 0x7FFFFFFF)
    struct.pack_into(">I", liar, 17, crc_of(liar))
    found = opened(tmp_path / "log", bytes(liar), acquired=[Acquired(0, 3, 1)])
    assert found.damaged == [0, 1, 2, 3]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("length", [-12, -100, 0, 5])
def test_a_batch_that_goes_nowhere_ends_the_look(length: int, tmp_path: Path) -> None:
    stuck = bytearray(batch(0, b"a"))
    struct.pack_into(">i", stuck, 8, length)
    found = opened(tmp_path / "log", bytes(stuck), acquired=[Acquired(0, 0, 1)])
    assert found.empty == [0]


def test_too_much_at_one_time_is_left_for_later(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(opening, "OPENED_BYTES_MAX", 10)
    large = bytes(8)
    found = opened(
        tmp_path / "log", batch(0, large, large), batch(2, b"c"), acquired=[Acquired(0, 2, 1)]
    )
    assert [record.offset for record, _ in found.records] == [0]
    assert found.too_much == [1, 2]


@pytest.mark.parametrize("size", [11, 1000])
def test_one_record_comes_however_large(tmp_path: Path, monkeypatch: Any, size: int) -> None:
    monkeypatch.setattr(opening, "OPENED_BYTES_MAX", 10)
    found = opened(tmp_path / "log", batch(0, bytes(size)), acquired=[Acquired(0, 0, 1)])
    assert len(found.records) == 1
