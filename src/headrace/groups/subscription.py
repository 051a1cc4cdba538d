"""A consumer's metadata in the classic protocol: what it subscribes to, and what it holds.

`ConsumerProtocolSubscription` of the Kafka protocol is

    version i16 | topics: array of strings | user data bytes
    | 1+ owned: array of (topic string, partitions array of i32)
    | 2+ generation i32, in which it got them | 3+ rack nullable string

Classic groups look at the topics only; the rest changes from join to join and means something to
the clients' assignors, or to the broker once it assigns. What must not enter: assignments.
"""

from collections.abc import Iterable
from typing import NamedTuple

from headrace.groups.embedded import Fields, TopicIndex
from headrace.groups.group import Group

__all__ = [
    "CONSUMER",
    "Subscription",
    "same_subscription",
    "subscribed_topics",
    "subscription_of",
    "topics_of",
]

CONSUMER = "consumer"
"""The protocol type of those whose metadata is such a subscription."""

Protocols = tuple[tuple[str, bytes], ...]


class Subscription(NamedTuple):
    version: int
    topics: frozenset[str]
    owned: frozenset[TopicIndex]
    """What it holds while it joins; nothing if it gave up everything first (eager)."""
    generation: int
    """-1 if it does not say."""
    rack_id: str | None


def subscription_of(metadata: bytes) -> Subscription | None:
    """None if the bytes are no subscription."""
    fields = Fields(metadata)
    try:
        version, topics = fields.int16(), fields.strings()
        fields.nullable_bytes()
        return Subscription(
            version,
            topics,
            owned=fields.partitions() if version >= 1 else frozenset(),
            generation=fields.int32() if version >= 2 else -1,
            rack_id=fields.nullable_string() if version >= 3 else None,
        )
    except ValueError:
        return None


def topics_of(metadata: bytes) -> frozenset[str] | None:
    """Whatever follows them; None if the bytes are no subscription."""
    fields = Fields(metadata)
    try:
        fields.int16()
        return fields.strings()
    except ValueError:
        return None


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
