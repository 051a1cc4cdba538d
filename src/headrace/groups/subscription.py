"""The one look into a member's metadata: which topics a consumer subscribes to.

`ConsumerProtocolSubscription` of the Kafka protocol begins, in every version, with

    version i16 | topics: array i32 of strings (i16 length, UTF-8) | ...

What follows (user data, owned partitions, generation, rack) changes from join to join and means
something to the clients' assignors only. What must not enter: assignments.
"""

import struct
from collections.abc import Iterable

from headrace.groups.group import Group

__all__ = ["CONSUMER", "same_subscription", "subscribed_topics", "topics_of"]

CONSUMER = "consumer"
"""The protocol type of those whose metadata is such a subscription."""

Protocols = tuple[tuple[str, bytes], ...]


def topics_of(metadata: bytes) -> frozenset[str] | None:
    """None if the bytes are no subscription."""
    try:
        _version, count = struct.unpack_from(">hi", metadata)
        position = 6
        topics = []
        for _ in range(min(count, len(metadata))):
            (length,) = struct.unpack_from(">h", metadata, position)
            position += 2
            if length < 0 or position + length > len(metadata):
                return None
            topics.append(metadata[position : position + length].decode())
            position += length
    except (struct.error, UnicodeDecodeError):
        return None
    return frozenset(topics) if len(topics) == count else None


def same_subscription(group: Group, before: Protocols, after: Protocols) -> bool:
    """Whether a member that comes back can be given what it had. Consumers may differ in all but
    their topics; of others nothing is known, so their bytes must be equal."""
    if before == after:
        return True
    if group.protocol_type != CONSUMER:
        return False
    old, new = _topics(before, group.protocol), _topics(after, group.protocol)
    return old is not None and old == new


def subscribed_topics(group: Group) -> frozenset[str] | None:
    """What any member wants to read; None if that cannot be known."""
    if group.protocol_type != CONSUMER or group.protocol is None:
        return None
    wanted: set[str] = set()
    for member in group.members.values():
        topics = _topics(member.protocols, group.protocol)
        if topics is None:
            return None
        wanted |= topics
    return frozenset(wanted)


def _topics(protocols: Iterable[tuple[str, bytes]], protocol: str | None) -> frozenset[str] | None:
    for name, metadata in protocols:
        if name == protocol:
            return topics_of(metadata)
    return None
