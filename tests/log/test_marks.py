from uuid import UUID

import pytest

from headrace.log.marks import SLOT_BYTES, Mark, Marks

A, B = UUID(int=1), UUID(int=2)


@pytest.fixture
def reopened(tmp_path):
    """Opens the file again and again, as process after process would."""
    opened = []

    def reopen() -> Marks:
        if opened:
            opened.pop().close()
        opened.append(Marks(str(tmp_path)))
        return opened[-1]

    yield reopen
    opened.pop().close()


def test_a_mark_is_found_by_the_next_process(reopened):
    marks = reopened()
    assert marks.of(A, 0).found == Mark(-1, 0)
    marks.of(A, 0).set(0, 100)
    marks.of(A, 7).set(5, 1 << 40)
    marks.of(B, 0).set(1 << 50, 0)
    marks.of(A, 0).set(0, 200)
    marks = reopened()
    assert marks.of(A, 0).found == Mark(0, 200)
    assert marks.of(A, 7).found == Mark(5, 1 << 40)
    assert marks.of(B, 0).found == Mark(1 << 50, 0)
    assert marks.of(B, 1).found == Mark(-1, 0)


def test_slots_of_a_deleted_topic_are_used_again(reopened, tmp_path):
    marks = reopened()
    for partition in range(10):
        marks.of(A, partition).set(0, partition)
    marks.forget(A)
    for partition in range(10):
        marks.of(B, partition).set(0, partition)
    marks = reopened()
    assert [marks.of(B, partition).found.position for partition in range(10)] == list(range(10))
    assert marks.of(A, 3).found == Mark(-1, 0)
    assert (tmp_path / "headrace.marks").stat().st_size == 10 * SLOT_BYTES


def test_a_damaged_slot_counts_as_free(reopened, tmp_path):
    marks = reopened()
    marks.of(A, 0).set(0, 100)
    marks.of(A, 1).set(0, 200)
    path = tmp_path / "headrace.marks"
    data = bytearray(path.read_bytes())
    for at in range(40):
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        path.write_bytes(damaged)
        marks = reopened()
        assert marks.of(A, 0).found == Mark(-1, 0)
        assert marks.of(A, 1).found == Mark(0, 200)


def test_a_mark_that_cannot_be_written_is_logged_and_stays(reopened, disk, caplog):
    mark = reopened().of(A, 0)
    mark.set(0, 100)
    disk.fail("pwrite")
    mark.set(0, 200)
    disk.heal()
    assert "No space left" in caplog.text
    assert reopened().of(A, 0).found == Mark(0, 100)
