"""Packing dead letters into batches: nothing is left out, nothing is too large without need."""

from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.dead_letter_batch import GivenUp, Origin, pack
from headrace.groups.dead_letter import DeadLetterReason
from headrace.wire.batch import check_from_producer
from headrace.wire.records import Record, read_records

blobs = st.none() | st.binary(max_size=300)
originals_lists = st.lists(
    st.none()
    | st.builds(
        Record,
        timestamp_ms=st.integers(-1, 2**41),
        key=blobs,
        value=blobs,
        headers=st.lists(st.tuples(st.text(max_size=10), blobs), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=10,
)
origins = st.builds(
    Origin,
    st.text(max_size=10),
    st.text(max_size=10),
    st.integers(0, 9),
    st.sampled_from(DeadLetterReason),
)


@given(originals_lists, origins, st.integers(0, 2**62), st.integers(61, 2000), st.integers(0, 5))
def test_every_record_gets_its_letter_in_order(
    originals: list[Record | None], origin: Origin, first: int, size_bytes_max: int, count: int
) -> None:
    given_up = [GivenUp(first + n, count) for n in range(len(originals))]
    there = {first + n: record for n, record in enumerate(originals) if record is not None}
    letters: list[Record] = []
    while given_up:
        packed = pack(origin, given_up, there, now_ms=77, size_bytes_max=size_bytes_max)
        check_from_producer(memoryview(packed.batch))
        found = list(read_records(bytes(packed.batch)))
        assert len(found) == packed.records_count
        if len(packed.batch) > size_bytes_max:  # not even one without its record fits
            assert packed.records_count == 1
            assert (found[0].key, found[0].value, len(found[0].headers)) == (None, None, 6)
        letters += found
        del given_up[: packed.records_count]
    assert len(letters) == len(originals)
    for offset, (letter, original) in enumerate(zip(letters, originals, strict=True), start=first):
        own = dict(letter.headers[-6:])
        assert own["__dlq.errors.offset"] == str(offset).encode()
        assert own["__dlq.errors.delivery.count"] == str(count).encode()
        assert own["__dlq.errors.group"] == origin.group_id.encode()
        assert own["__dlq.errors.topic"] == origin.topic.encode()
        assert own["__dlq.errors.message"] == origin.reason.value.encode()
        assert letter.timestamp_ms == 77
        copied = (letter.key, letter.value, letter.headers[:-6])
        assert copied == (None, None, ()) or (original and copied == original[2:])


def test_a_batch_is_filled_to_the_last_byte() -> None:
    origin = Origin("g", "t", 0, DeadLetterReason.REJECTED)
    both = [GivenUp(0, 1), GivenUp(1, 1)]
    originals = {0: Record(value=bytes(50)), 1: Record(value=bytes(50))}
    size = len(pack(origin, both, originals, now_ms=1, size_bytes_max=10_000).batch)
    assert pack(origin, both, originals, now_ms=1, size_bytes_max=size).records_count == 2
    assert pack(origin, both, originals, now_ms=1, size_bytes_max=size - 1).records_count == 1


def test_a_restored_reason_follows_the_delivery_count() -> None:
    assert DeadLetterReason.of_restored(4, 5) is DeadLetterReason.REJECTED
    assert DeadLetterReason.of_restored(5, 5) is DeadLetterReason.DELIVERIES_USED_UP
