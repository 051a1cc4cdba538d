"""Reading which partitions a consumer was given."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from headrace.groups.assignment import assigned_partitions


def test_nothing_is_assigned_without_bytes():
    assert assigned_partitions(b"") == frozenset()


@given(
    st.integers(0, 3),
    st.dictionaries(st.text(max_size=9), st.sets(st.integers(0, 99), min_size=1), max_size=5),
    st.none() | st.binary(max_size=9),
)
def test_partitions_are_read_as_clients_write_them(version, topics, user_data):
    """ConsumerProtocolAssignment, versions 0 to 3 (they differ in nothing)."""
    data = struct.pack(">hi", version, len(topics))
    for topic, partitions in topics.items():
        name = topic.encode()
        data += struct.pack(">h", len(name)) + name + struct.pack(">i", len(partitions))
        data += struct.pack(f">{len(partitions)}i", *partitions)
    data += struct.pack(">i", -1 if user_data is None else len(user_data)) + (user_data or b"")
    expected = {(topic, number) for topic, numbers in topics.items() for number in numbers}
    assert assigned_partitions(data) == expected


@given(st.binary(max_size=200))
def test_no_bytes_harm(data):
    found = assigned_partitions(data)
    assert found is None or isinstance(found, frozenset)
