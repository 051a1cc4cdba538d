"""The topics of a round, and what stands in a record of `plain`."""

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

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
SHARE_GROUP = {
    "share.auto.offset.reset": "earliest",
    "share.delivery.count.limit": "10",
    "share.record.lock.duration.ms": "15000",
}
"""It gives up no record for faults alone, and what a lost member held is given to others soon."""
NUMBERS = 10**9


def value_of(producer: int, number: int) -> int:
    """The `number`-th record of a producer in its partition; judges of groups want one number."""
    return producer * NUMBERS + number


def sent_of(value: int) -> Sent:
    producer, number = divmod(value, NUMBERS)
    return Sent(f"p{producer}", number)


def create_topics(bootstrap: str, share_group: str) -> None:
    """And configure the group. Raises KafkaException."""
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
    wanted = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in SHARE_GROUP.items()
    ]
    group = ConfigResource(ResourceType.GROUP, share_group, incremental_configs=wanted)
    admin.incremental_alter_configs([group])[group].result(ADMIN_S)
