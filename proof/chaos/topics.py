"""The topics of a round, and what stands in a record of `plain`."""

from confluent_kafka.admin import AdminClient, NewTopic

from headrace.testing.history import Sent
from proof.appends import lists

__all__ = ["MOVED", "PARTITIONS", "PLAIN", "create_topics", "sent_of", "value_of"]

PLAIN = "plain"
"""Of the idempotent producers; groups read it, and movers copy it to MOVED."""
MOVED = "moved"
SQUEEZED = "squeezed"
"""Compacted, so its batches are opened: what vandals write to."""
PARTITIONS = 4
ADMIN_S = 20
SEGMENT_BYTES = 1 << 20
"""Small, so that faults meet rolls and checkpoints."""
ANY_TIME = {
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "message.timestamp.before.max.ms": str(2**63 - 1),
}
"""A broker whose clock went back would rightly refuse records from the future, and clients do not
send those again."""
NUMBERS = 10**9


def value_of(producer: int, number: int) -> int:
    """The `number`-th record of a producer in its partition; judges of groups want one number."""
    return producer * NUMBERS + number


def sent_of(value: int) -> Sent:
    producer, number = divmod(value, NUMBERS)
    return Sent(f"p{producer}", number)


def create_topics(bootstrap: str) -> None:
    """Raises KafkaException."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    small = {"segment.bytes": str(SEGMENT_BYTES), **ANY_TIME}
    topics = [
        NewTopic(PLAIN, PARTITIONS, 1, config=small),
        NewTopic(MOVED, PARTITIONS, 1, config=small),
        NewTopic(lists.TOPIC, lists.PARTITIONS, 1, config=small),
        NewTopic(SQUEEZED, 1, 1, config={"cleanup.policy": "compact"}),
    ]
    for made in admin.create_topics(topics).values():
        made.result(ADMIN_S)
