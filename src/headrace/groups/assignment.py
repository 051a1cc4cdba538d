"""A consumer's assignment in the classic protocol: which partitions it was given.

`ConsumerProtocolAssignment` of the Kafka protocol is, in every version (0 to 3),

    version i16 | topics: array of (name string, partitions array of i32) | user data bytes

What must not enter: subscriptions (`subscription`), who assigns what.
"""

import struct
from typing import NamedTuple

from headrace.groups.embedded import Fields, TopicIndex, packed_partitions

__all__ = ["Assigned", "assigned_of", "assigned_partitions", "packed_assignment"]


class Assigned(NamedTuple):
    partitions: frozenset[TopicIndex]
    has_user_data: bool
    """The assignor told its other halves something that only they understand."""


def assigned_of(assignment: bytes) -> Assigned | None:
    """Empty without an assignment, None if the bytes are none."""
    if not assignment:
        return Assigned(frozenset(), has_user_data=False)
    fields = Fields(assignment)
    try:
        fields.int16()
        return Assigned(fields.partitions(), bool(fields.nullable_bytes()))
    except ValueError:
        return None


def assigned_partitions(assignment: bytes) -> frozenset[TopicIndex] | None:
    """(topic, partition) pairs; empty without an assignment, None if the bytes are none."""
    found = assigned_of(assignment)
    return None if found is None else found.partitions


def packed_assignment(partitions: frozenset[TopicIndex], version: int) -> bytes:
    """`version` as the consumer spoke in its subscription."""
    return struct.pack(">h", version) + packed_partitions(partitions) + struct.pack(">i", 0)
