import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wire.batch import ATTRIBUTE_CONTROL, ATTRIBUTE_TRANSACTIONAL, crc_matches, peek
from headrace.wire.errors import MalformedError
from headrace.wire.markers import Marker, build_marker, read_marker
from headrace.wire.records import Record, build_batch

MARKERS = st.builds(
    Marker,
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**15 - 1),
    st.integers(0, 2**31 - 1),
    st.booleans(),
)


@given(MARKERS, st.integers(0, 2**62))
def test_a_marker_comes_back(marker, timestamp_ms):
    batch = build_marker(marker, timestamp_ms)
    header = peek(batch)
    assert crc_matches(batch, header)
    assert header.attributes == ATTRIBUTE_CONTROL | ATTRIBUTE_TRANSACTIONAL
    assert (header.base_sequence, header.records_count) == (-1, 1)
    assert header.max_timestamp == timestamp_ms
    assert read_marker(bytes(batch), header.producer_id, header.producer_epoch) == marker


def test_the_bytes_are_those_of_kafka():
    batch = build_marker(Marker(1, 2, 3, commit=True), 1000)
    assert batch[-17:] == bytes.fromhex(
        "20 00 00 00 08 00000001 0c 0000 00000003 00".replace(" ", "")
    )


def test_another_control_record_is_no_marker():
    batch = build_batch([Record(0, 0, b"\0\0\0\2", b"\0\0")], control=True)
    assert read_marker(batch, -1, -1) is None


@pytest.mark.parametrize(("key", "value"), [(None, b""), (b"\0\0", b""), (b"\0\0\0\1", b"\0")])
def test_a_control_batch_without_a_marker_is_malformed(key, value):
    with pytest.raises(MalformedError):
        read_marker(build_batch([Record(0, 0, key, value)], control=True), -1, -1)
