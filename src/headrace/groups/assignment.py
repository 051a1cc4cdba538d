"""The one look into a member's assignment: which partitions a consumer was given.

`ConsumerProtocolAssignment` of the Kafka protocol begins, in every version, with

    version i16 | topics: array i32 of (name string | partitions array i32 of i32)

where a string is an i16 length and UTF-8.

What must not enter: subscriptions (`subscription`), who assigns what.
"""

import struct

__all__ = ["assigned_partitions"]


def assigned_partitions(assignment: bytes) -> frozenset[tuple[str, int]] | None:
    """(topic, partition) pairs; empty without an assignment, None if the bytes are none."""
    if not assignment:
        return frozenset()
    try:
        _version, count = struct.unpack_from(">hi", assignment)
        position = 6
        pairs: set[tuple[str, int]] = set()
        for _ in range(min(count, len(assignment))):
            (length,) = struct.unpack_from(">h", assignment, position)
            position += 2
            if length < 0 or position + length > len(assignment):
                return None
            topic = assignment[position : position + length].decode()
            position += length
            (partitions,) = struct.unpack_from(">i", assignment, position)
            position += 4
            if partitions < 0 or position + 4 * partitions > len(assignment):
                return None
            numbers = struct.unpack_from(f">{partitions}i", assignment, position)
            position += 4 * partitions
            pairs.update((topic, number) for number in numbers)
    except (struct.error, UnicodeDecodeError):
        return None
    return frozenset(pairs)
