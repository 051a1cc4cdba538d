"""The append service: from a topic's name to its partition's log, once per batch.

What must not enter: what a batch holds inside, how an answer looks.
"""

from typing import TYPE_CHECKING, Final
from uuid import UUID

from headrace.broker.transactional_append import InTransaction
from headrace.log.contract import ACKS_ALL, ACKS_LEADER, ACKS_NONE, AppendDone, Appended
from headrace.wire.batch import ATTRIBUTE_CODEC_MASK, ATTRIBUTE_TRANSACTIONAL, HEADER_BYTES
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.produce import PartitionBatch

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topics import Partition

__all__ = [
    "ACKS_ALL",
    "ACKS_LEADER",
    "ACKS_NONE",
    "AppendDone",
    "Appended",
    "InTransaction",
    "append",
    "find_in_epoch",
    "find_partition",
]

_CODEC_ZSTD: Final = 4
_ATTRIBUTES_LOW_BYTE: Final = 22


def find_partition(broker: "Broker", topic: str | UUID, partition: int) -> "Partition":
    """The partition by name or id, for whom it is this process that serves it.

    Raises RequestError: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, NOT_LEADER_OR_FOLLOWER.
    """
    found = _find_anywhere(broker, topic, partition)
    if not found.is_mine:
        raise RequestError(
            ErrorCode.NOT_LEADER_OR_FOLLOWER, "another worker of this cluster leads the partition"
        )
    return found


def _find_anywhere(broker: "Broker", topic: str | UUID, partition: int) -> "Partition":
    if isinstance(topic, str):
        return broker.topics.partition(topic, partition)
    return broker.topics.partition(broker.topics.get_by_id(topic).name, partition)


def find_in_epoch(
    broker: "Broker", topic: str | UUID, partition: int, leader_epoch: int
) -> "Partition":
    """The same for a client that knows the partition's leader epoch (-1: it does not).

    Raises RequestError: also UNKNOWN_LEADER_EPOCH for a later epoch, FENCED_LEADER_EPOCH for an
    earlier one.
    """
    found = find_partition(broker, topic, partition)
    current = found.log.leader_epoch
    if leader_epoch > current:
        raise RequestError(ErrorCode.UNKNOWN_LEADER_EPOCH, f"leader epoch {leader_epoch}")
    if -1 < leader_epoch < current:
        raise RequestError(ErrorCode.FENCED_LEADER_EPOCH, f"leader epoch {leader_epoch}")
    return found


def append(
    broker: "Broker",
    batch: PartitionBatch,
    acks: int,
    done: AppendDone | None,
    *,
    zstd_allowed: bool = True,
    transaction: InTransaction | None = None,
    anywhere: bool = False,
) -> None:
    """Append one partition's batch; `done` as in `PartitionLog.append`. With `anywhere` it is
    passed on to the worker that serves the partition; clients are sent there instead.

    Raises RequestError: what find_partition and the log raise, INVALID_RECORD without a batch,
    MESSAGE_TOO_LARGE above the topic's max.message.bytes, UNSUPPORTED_COMPRESSION_TYPE for zstd
    from a client whose version does not know it; what TransactionalAppends raises.
    """
    find = _find_anywhere if anywhere else find_partition
    partition = find(broker, batch.topic, batch.partition)
    records = batch.records
    if records is None or len(records) < HEADER_BYTES:
        raise RequestError(ErrorCode.INVALID_RECORD, "the request holds no record batch")
    size_max = partition.topic.config.max_message_bytes
    if len(records) > size_max:
        raise RequestError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"a batch of {len(records)} bytes; {partition.topic.name!r} takes {size_max} "
            "(max.message.bytes)",
        )
    attributes = records[_ATTRIBUTES_LOW_BYTE]
    if attributes & ATTRIBUTE_CODEC_MASK == _CODEC_ZSTD and not zstd_allowed:
        raise RequestError(
            ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce version 7 or newer"
        )
    if attributes & ATTRIBUTE_TRANSACTIONAL:
        broker.transactional_appends.append(partition, records, acks, done, transaction)
    else:
        partition.log.append(records, acks, done)
    if anywhere and not partition.is_mine:
        return  # its owner counts it
    partition.produced_bytes += len(records)
    partition.topic.traffic.produced_batches += 1
