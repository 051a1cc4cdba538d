"""The administrator's requests about topics, checked against what one broker can do.

`topics` knows what exists and how it changes; here is what a request may ask for: replicas and
assignments (there is one broker), defaults, names and ids. What must not enter: how an answer looks
in a version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from headrace.broker.topic import Topic, check_topic_name
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = [
    "DEFAULT",
    "REPLICATION_FACTOR",
    "NewTopic",
    "PlannedTopic",
    "create_partitions",
    "create_topic",
    "delete_records",
    "delete_topic",
]

DEFAULT: Final = -1
"""A partition count or replication factor that is left to the broker (KIP-464)."""

REPLICATION_FACTOR: Final = 1
TO_HIGH_WATERMARK: Final = -1


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic as asked for. `assignments` maps partitions to their replicas' brokers."""

    name: str
    partition_count: int = DEFAULT
    replication_factor: int = DEFAULT
    assignments: Sequence[tuple[int, Sequence[int]]] = ()
    configs: Sequence[tuple[str, str | None]] = ()


class PlannedTopic(NamedTuple):
    """A topic as it came out, or would; `topic_id` is None if it was only validated."""

    topic_id: UUID | None
    partition_count: int
    overrides: dict[str, str]


async def create_topic(broker: "Broker", wanted: NewTopic, *, validate_only: bool) -> PlannedTopic:
    """Raises RequestError: INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT,
    INVALID_REQUEST, what Topics.create raises."""
    overrides: dict[str, str] = {}
    for name, value in wanted.configs:
        if value is None:
            raise RequestError(ErrorCode.INVALID_CONFIG, f"{name}: null is no value")
        if name in overrides:
            raise RequestError(ErrorCode.INVALID_REQUEST, f"{name} is set twice")
        overrides[name] = value
    count = _partition_count(broker, wanted)
    if validate_only:
        broker.topics.check_new(wanted.name, count, overrides)
        return PlannedTopic(None, count, overrides)
    topic = await broker.topics.create(wanted.name, count, overrides)
    return PlannedTopic(topic.id, count, overrides)


async def create_partitions(
    broker: "Broker",
    name: str,
    total: int,
    assignments: Sequence[Sequence[int]] | None,
    *,
    validate_only: bool,
) -> None:
    """Grow a topic to `total` partitions; the order of its keys breaks here.

    Raises RequestError: INVALID_TOPIC_EXCEPTION, INVALID_REPLICA_ASSIGNMENT, what
    Topics.add_partitions raises.
    """
    check_topic_name(name)
    topic = broker.topics.check_growth(name, total)
    if assignments is not None:
        added = total - len(topic.partitions)
        if len(assignments) != added:
            raise RequestError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"{added} partitions are added and {len(assignments)} are assigned",
            )
        for replicas in assignments:
            _check_replicas(broker, replicas)
    if not validate_only:
        await broker.topics.add_partitions(name, total)


async def delete_topic(broker: "Broker", name: str | None, topic_id: UUID | None) -> Topic:
    """Delete by name or by id; returns what was deleted.

    Raises RequestError: INVALID_REQUEST unless one of the two is given, TOPIC_DELETION_DISABLED,
    UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, KAFKA_STORAGE_ERROR.
    """
    if (name is None) == (topic_id is None):
        raise RequestError(ErrorCode.INVALID_REQUEST, "a topic is named by its name or by its id")
    if not broker.configs.boolean("delete.topic.enable"):
        raise RequestError(ErrorCode.TOPIC_DELETION_DISABLED, "delete.topic.enable is false")
    topic = broker.topics.get(name) if name is not None else broker.topics.get_by_id(topic_id)
    await broker.topics.delete(topic.name, topic.id)
    return topic


async def delete_records(broker: "Broker", name: str, index: int, offset: int) -> int:
    """Give up everything before `offset` (-1: the high watermark); returns the first offset left.

    Raises RequestError: UNKNOWN_TOPIC_OR_PARTITION, OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR.
    """
    partition = broker.topics.partition(name, index)
    if offset < TO_HIGH_WATERMARK:
        raise RequestError(ErrorCode.OFFSET_OUT_OF_RANGE, f"there is no offset {offset}")
    return await partition.log.delete_before(offset)


def _partition_count(broker: "Broker", wanted: NewTopic) -> int:
    if wanted.assignments:
        return _assigned_partition_count(broker, wanted)
    if wanted.replication_factor not in (DEFAULT, REPLICATION_FACTOR):
        raise RequestError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"replication factor {wanted.replication_factor}: there is one broker, so it is 1",
        )
    if wanted.partition_count == DEFAULT:
        return broker.configs.integer("num.partitions")
    return wanted.partition_count


def _assigned_partition_count(broker: "Broker", wanted: NewTopic) -> int:
    if (wanted.partition_count, wanted.replication_factor) != (DEFAULT, DEFAULT):
        raise RequestError(
            ErrorCode.INVALID_REQUEST,
            "with assignments, partition count and replication factor must be -1",
        )
    indexes = sorted(index for index, _ in wanted.assignments)
    if indexes != list(range(len(indexes))):
        raise RequestError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "the assigned partitions must be 0, 1, 2, ..., each once",
        )
    for _, replicas in wanted.assignments:
        _check_replicas(broker, replicas)
    return len(indexes)


def _check_replicas(broker: "Broker", replicas: Sequence[int]) -> None:
    if not broker.ownership.is_alone:
        raise RequestError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            "workers divide partitions among themselves: leave assignments out",
        )
    if list(replicas) != [broker.node_id]:
        raise RequestError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"replicas {list(replicas)}: the only broker is {broker.node_id}",
        )
