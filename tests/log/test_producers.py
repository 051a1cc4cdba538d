import tracemalloc
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headrace.log import producers
from headrace.log.producers import EXPIRY_MS, WINDOW, ProducerTable
from headrace.wire.batch import ATTRIBUTE_TRANSACTIONAL, BatchHeader
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker

SEQUENCES = 1 << 31


def header(producer_id: int, epoch: int, sequence: int, count: int = 1) -> BatchHeader:
    return BatchHeader(
        *(0, 100, 0, 2, 0, 0, count - 1, 1000, 1000), producer_id, epoch, sequence, count
    )


class Written:
    """A table and the log it stands for."""

    def __init__(self) -> None:
        self.table = ProducerTable()
        self.end_offset = 0

    def append(self, batch: BatchHeader, now_ms: int = 0) -> int:
        """The base offset: a new one, or that of the first write."""
        retry_of = self.table.check(batch)
        if retry_of is not None:
            return retry_of.base_offset
        base_offset = self.end_offset
        self.table.record(batch, base_offset, -1, now_ms)
        self.end_offset += batch.records_count
        return base_offset

    def refuses(self, batch: BatchHeader, code: ErrorCode) -> None:
        before = self.table.encode()
        with pytest.raises(RequestError) as refusal:
            self.table.check(batch)
        assert refusal.value.code is code
        assert self.table.encode() == before


def test_a_retried_batch_returns_its_first_offset_within_the_window():
    log = Written()
    offsets = [log.append(header(1, 0, at * 3, 3)) for at in range(7)]
    for at in range(2, 7):
        assert log.append(header(1, 0, at * 3, 3)) == offsets[at]
    log.refuses(header(1, 0, 3, 3), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)


def test_what_belongs_to_a_transaction_that_has_ended_is_not_taken_for_a_retry():
    """A client that aborted may reuse the sequences of what it thinks was not written. Taken for
    a retry, its records would be acknowledged and lost."""
    log = Written()

    def batch(sequence: int) -> BatchHeader:
        return header(1, 0, sequence, 2)._replace(attributes=ATTRIBUTE_TRANSACTIONAL)

    log.append(batch(0))
    assert log.append(batch(2)) == 2
    assert log.append(batch(2)) == log.append(batch(2)) == 2
    log.table.end(Marker(1, 0, False, 0), 4, 0)
    log.end_offset = 5
    log.refuses(batch(2), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    assert log.append(batch(4)) == 5
    log.refuses(batch(2), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    assert log.append(batch(4)) == 5


def test_what_follows_a_batch_that_the_disk_refused_waits_for_it():
    log = Written()
    for producer in (1, 2):  # 1 is known, 2 is not
        if producer == 1:
            log.append(header(1, 0, 0, 4))
        first = 4 if producer == 1 else 0
        assert log.table.check(header(producer, 0, first, 3)) is None
        log.table.refused(header(producer, 0, first, 3))
        for sequence in (first + 3, first + 8):
            log.refuses(header(producer, 0, sequence, 5), ErrorCode.KAFKA_STORAGE_ERROR)
        if producer == 1:
            assert log.append(header(1, 0, 0, 4)) == 0  # a retry of what was written
        base_offset = log.append(header(producer, 0, first, 3))
        assert log.append(header(producer, 0, first + 3, 5)) == base_offset + 3
        log.refuses(header(producer, 0, first + 30), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)


def test_a_new_epoch_forgets_what_was_refused():
    log = Written()
    log.append(header(1, 0, 0))
    log.table.refused(header(1, 0, 1))
    log.refuses(header(1, 1, 5), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    log.append(header(1, 1, 0))
    log.refuses(header(1, 1, 5), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    log.refuses(header(1, 0, 2), ErrorCode.INVALID_PRODUCER_EPOCH)


def test_few_refused_batches_are_remembered(monkeypatch):
    monkeypatch.setattr(producers, "REFUSED_MAX", 3)
    log = Written()
    for producer in range(10):
        log.table.refused(header(producer, 0, 0))
    for producer in (7, 8, 9):
        log.refuses(header(producer, 0, 1), ErrorCode.KAFKA_STORAGE_ERROR)
    log.append(header(6, 0, 1))


def test_the_last_batch_of_a_producer_is_known_until_it_is_forgotten():
    log = Written()
    log.append(header(1, 0, 0, 3))
    log.append(header(2, 0, 0))
    log.append(header(1, 0, 3, 2))
    assert log.table.last_batch(1) == (4, 4, 5)
    decoded, _ = ProducerTable.decode(log.table.encode())
    assert decoded.last_batch(1) == (4, 4, 5)
    log.table.forget_idle(EXPIRY_MS)
    assert log.table.last_batch(1) is None


def test_a_retry_must_have_the_same_length():
    log = Written()
    log.append(header(1, 0, 0, 3))
    log.refuses(header(1, 0, 0, 2), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)


def test_a_gap_is_refused():
    log = Written()
    log.append(header(1, 0, 0, 3))
    log.refuses(header(1, 0, 4), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)


def test_an_unknown_producer_may_start_anywhere():
    log = Written()
    assert log.append(header(1, 3, 77)) == 0
    assert log.append(header(1, 3, 78)) == 1


def test_a_new_epoch_starts_at_zero_and_fences_the_old():
    log = Written()
    log.append(header(1, 0, 0, 3))
    log.refuses(header(1, 1, 3), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    log.append(header(1, 1, 0))
    log.refuses(header(1, 0, 3), ErrorCode.INVALID_PRODUCER_EPOCH)
    log.refuses(header(1, 0, 0, 3), ErrorCode.INVALID_PRODUCER_EPOCH)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_sequences_wrap_from_the_greatest_to_zero(count):
    log = Written()
    first = SEQUENCES - 2
    log.append(header(1, 0, first, count))
    offset = log.append(header(1, 0, (first + count) % SEQUENCES, 5))
    assert offset == count
    assert log.append(header(1, 0, first, count)) == 0


def test_an_idle_producer_is_forgotten_after_a_day():
    log = Written()
    log.append(header(1, 0, 0), now_ms=1000)
    log.append(header(2, 0, 0), now_ms=2000)
    assert log.table.forget_idle(1000 + EXPIRY_MS - 1) == 0
    assert log.table.forget_idle(1000 + EXPIRY_MS) == 1
    assert [snapshot.producer_id for snapshot in log.table.snapshots()] == [2]


def test_the_idlest_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(producers, "PRODUCERS_MAX", 64)
    monkeypatch.setattr(producers, "_FORGOTTEN_AT_ONCE", 4)
    log = Written()
    for producer_id in range(65):
        log.append(header(producer_id, 0, 0), now_ms=producer_id)
    assert [snapshot.producer_id for snapshot in log.table.snapshots()] == list(range(4, 65))


def test_a_replayed_log_gives_the_same_answers():
    log = Written()
    replayed = ProducerTable()
    for at in range(8):
        batch = header(1, 0, at * 2, 2)._replace(base_offset=at * 2)
        log.append(batch)
        replayed.replay(batch, 0)
    replayed.replay(header(-1, -1, -1), 0)
    assert replayed.encode() == log.table.encode()


class Model(RuleBasedStateMachine):
    """Against the naive rule: remember everything, look at the last five."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Written()
        self.seen: dict[int, tuple[int, deque]] = {}

    @rule(
        producer_id=st.integers(0, 2),
        epoch=st.integers(0, 2),
        sequence=st.integers(0, 12) | st.integers(SEQUENCES - 6, SEQUENCES - 1),
        count=st.integers(1, 4),
    )
    def append(self, producer_id, epoch, sequence, count):
        self.offer(producer_id, epoch, sequence, count)

    @rule(producer_id=st.integers(0, 2), count=st.integers(1, 4))
    def append_next(self, producer_id, count):
        epoch, batches = self.seen.get(producer_id, (0, ()))
        sequence = (batches[-1][0] + batches[-1][1]) % SEQUENCES if batches else 0
        self.offer(producer_id, epoch, sequence, count)

    @rule(producer_id=st.integers(0, 2), back=st.integers(1, 7))
    def retry(self, producer_id, back):
        epoch, batches = self.seen.get(producer_id, (0, ()))
        if len(batches) >= back:
            self.offer(producer_id, epoch, *batches[-back][:2])

    def offer(self, producer_id, epoch, sequence, count):
        expected = self.expected(producer_id, epoch, sequence, count)
        try:
            got = self.log.append(header(producer_id, epoch, sequence, count))
        except RequestError as refusal:
            got = refusal.code
        assert got == expected

    def expected(self, producer_id, epoch, sequence, count):
        known = self.seen.get(producer_id)
        if known is not None:
            last_epoch, batches = known
            if epoch < last_epoch:
                return ErrorCode.INVALID_PRODUCER_EPOCH
            if epoch == last_epoch:
                following = (batches[-1][0] + batches[-1][1]) % SEQUENCES
                if sequence != following:
                    for first, length, offset in list(batches)[-WINDOW:]:
                        if (first, length) == (sequence, count):
                            return offset
                    return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
            elif sequence != 0:
                return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        if known is None or epoch != known[0]:
            self.seen[producer_id] = epoch, deque()
        self.seen[producer_id][1].append((sequence, count, self.log.end_offset))
        return self.log.end_offset

    @invariant()
    def it_survives_a_checkpoint(self):
        data = self.log.table.encode()
        table, end = ProducerTable.decode(data)
        assert end == len(data)
        assert table.encode() == data
        self.log.table = table


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.binary(max_size=60))
def test_decoding_nonsense_never_returns_more_than_there_is(data):
    try:
        _, end = ProducerTable.decode(data)
    except (producers.struct.error, ValueError):
        return
    assert end <= len(data)


def test_a_producer_that_wrote_one_batch_takes_little_memory():
    """Every ingest stream is one, and a partition remembers PRODUCERS_MAX of them."""
    written = Written()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for producer_id in range(1000):
            written.append(header(1000 + producer_id, 0, 0))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 1000 < 600
