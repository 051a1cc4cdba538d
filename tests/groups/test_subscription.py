import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.groups.subscription import topics_of

names = st.text(min_size=0, max_size=20)


def subscription(topics: list[str]) -> bytes:
    encoded = [topic.encode() for topic in topics]
    return struct.pack(">hi", 3, len(topics)) + b"".join(
        struct.pack(">h", len(name)) + name for name in encoded
    )


@given(st.lists(names, max_size=5), st.binary(max_size=20))
def test_topics_are_read_whatever_follows_them(topics, rest):
    assert topics_of(subscription(topics) + rest) == frozenset(topics)


@given(st.binary(max_size=60))
def test_any_bytes_are_topics_or_none(data):
    topics = topics_of(data)
    assert topics is None or all(isinstance(topic, str) for topic in topics)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\1",
        struct.pack(">hi", 1, -1),
        struct.pack(">hi", 1, 2_000_000_000),
        struct.pack(">hih", 1, 1, 5) + b"abc",
        struct.pack(">hih", 1, 1, -1),
        struct.pack(">hih", 1, 1, 1) + b"\xff",
    ],
)
def test_what_is_no_subscription_is_none(data):
    assert topics_of(data) is None
