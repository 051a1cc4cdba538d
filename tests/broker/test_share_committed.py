from headrace.broker.share.committed import that_count
from headrace.log.contract import Aborted
from headrace.wire.batch import (
    ATTRIBUTE_CONTROL,
    ATTRIBUTE_TRANSACTIONAL,
    BatchHeader,
)


def header(offset: int, producer_id: int = -1, attributes: int = 0) -> BatchHeader:
    return BatchHeader(offset, 80, 0, 2, 0, attributes, 0, 0, 0, producer_id, 0, 0, 1)


def written(offset: int, producer_id: int) -> BatchHeader:
    return header(offset, producer_id, ATTRIBUTE_TRANSACTIONAL)


def marker(offset: int, producer_id: int) -> BatchHeader:
    return header(offset, producer_id, ATTRIBUTE_TRANSACTIONAL | ATTRIBUTE_CONTROL)


def test_only_what_was_aborted_is_left_out():
    log = [
        written(0, 1),
        written(1, 2),
        header(2, 1),
        marker(3, 1),  # aborted
        written(4, 1),
        marker(5, 2),
        marker(6, 1),
        written(7, 1),
        marker(8, 1),  # aborted
    ]
    aborted = [Aborted(1, 0), Aborted(1, 7)]
    assert [kept.base_offset for kept in that_count(log, aborted)] == [1, 2, 4]
    assert [kept.base_offset for kept in that_count(log[2:], aborted[1:])] == [2, 4]
    assert [kept.base_offset for kept in that_count(log, ())] == [0, 1, 2, 4, 7]
