import errno

import pytest

from headrace.log.checkpoint import Checkpoint, write_durably
from headrace.log.producers import ProducerTable
from headrace.log.segment import SegmentFacts
from headrace.wire.batch import BatchHeader


def filled() -> Checkpoint:
    table = ProducerTable()
    for producer_id in range(3):
        header = BatchHeader(0, 80, 0, 2, 0, 0, 1, 5, 6, producer_id, 2, 0, 2)
        table.record(header, producer_id * 2, -1, 99)
    segments = [SegmentFacts(5, 10, 700, 1000, 77), SegmentFacts(10, 11, 80, -1, 78)]
    return Checkpoint(7, 11, segments, table)


def test_a_checkpoint_comes_back():
    read = Checkpoint.decode(filled().encode())
    assert (read.log_start_offset, read.recovery_offset) == (7, 11)
    assert read.segments == filled().segments
    assert read.producers.encode() == filled().producers.encode()


def test_any_changed_or_missing_byte_is_noticed():
    data = filled().encode()
    for at in range(len(data)):
        with pytest.raises(ValueError):
            Checkpoint.decode(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(ValueError):
            Checkpoint.decode(data[:at])


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, disk, call):
    path = tmp_path / "file"
    write_durably(str(path), b"old")
    disk.fail(call, error=errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        write_durably(str(path), b"new and longer")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    disk.heal()
    write_durably(str(path), b"new")
    assert path.read_bytes() == b"new"
