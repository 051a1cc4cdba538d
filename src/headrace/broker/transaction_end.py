"""The end of a transaction in the partitions and groups that it wrote to.

All of it may be done again: a marker that says nothing new is not written, and offsets that were
settled are not pending any more. So a transaction that was decided before a crash is simply ended
once more after it.

What must not enter: when a transaction ends, and how (`transaction_coordinator`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import Peers
from headrace.broker.group_coordinator import GroupCoordinator
from headrace.broker.topics import Topics
from headrace.log.contract import Appended, PartitionLog, ProducerSnapshot
from headrace.transactions.record import TopicPartition, TransactionRecord
from headrace.transactions.states import State
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker

__all__ = [
    "COORDINATOR_EPOCH",
    "abort_hanging",
    "end_everywhere",
    "forget_hanging_offsets",
    "write_marker",
]

COORDINATOR_EPOCH: Final = 0
"""One machine coordinates its transactions for ever."""

log = logging.getLogger("headrace.transactions")


async def end_everywhere(
    topics: Topics,
    groups: GroupCoordinator,
    ownership: Ownership,
    peers: Peers,
    record: TransactionRecord,
) -> None:
    """Tell every partition and group of the prepared transaction, whichever worker has it, and
    wait until that is durable.

    Raises RequestError when it is to be tried again.
    """
    commit = record.state is State.PREPARE_COMMIT
    marker = Marker(record.producer_id, record.epoch, COORDINATOR_EPOCH, commit)
    endings: list[Awaitable[object]] = []
    for group_id in sorted(record.groups):
        owner = ownership.owner_of_group(group_id)
        if owner == ownership.index:
            endings.append(groups.end_transaction(group_id, record.producer_id, commit=commit))
        else:
            endings.append(peers.end_group(owner, group_id, record.producer_id, commit=commit))
    for topic, index in sorted(record.partitions):
        try:
            partition = topics.partition(topic, index)
        except RequestError:  # deleted, and with it what was written
            continue
        endings.append(_end_in(partition.log, marker))
    for outcome in await asyncio.gather(*endings, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def write_marker(partition_log: PartitionLog, marker: Marker) -> None:
    """Raises RequestError: what `append_marker` raises."""
    future: asyncio.Future[Appended | RequestError] = asyncio.get_running_loop().create_future()
    partition_log.append_marker(marker, partial(_settle, future))
    outcome = await future
    if isinstance(outcome, RequestError):
        raise outcome


async def abort_hanging(
    topics: Topics, is_known: Callable[[int, TopicPartition], bool]
) -> Iterable[tuple[str, int, int]]:
    """Abort what is open in a partition and, as the catalog has it, in no transaction: a crash of
    the machine took a marker that was not synced (durability=os), or the catalog is an older one.
    Returns (topic, partition, producer id) of each."""
    found = []
    for topic in list(topics.by_name.values()):
        for partition in topic.partitions:
            for producer in _open_in(partition.log):
                if is_known(producer.producer_id, (topic.name, partition.index)):
                    continue
                marker = Marker(
                    producer.producer_id,
                    producer.producer_epoch,
                    max(producer.coordinator_epoch, COORDINATOR_EPOCH),
                    commit=False,
                )
                try:
                    await write_marker(partition.log, marker)
                except RequestError as error:
                    log.error("%s-%d: %s", topic.name, partition.index, error.message)
                else:
                    found.append((topic.name, partition.index, producer.producer_id))
    return found


async def forget_hanging_offsets(
    groups: GroupCoordinator, is_known: Callable[[int, str], bool]
) -> Iterable[tuple[int, str]]:
    """The same for offsets that wait, for ever, for a transaction that is none. Returns (producer
    id, group) of each."""
    found = []
    for producer_id, group_id in groups.pending_producers():
        if is_known(producer_id, group_id):
            continue
        try:
            await groups.end_transaction(group_id, producer_id, commit=False)
        except RequestError as error:
            log.error("group %r: %s", group_id, error.message)
        else:
            found.append((producer_id, group_id))
    return found


def _open_in(partition_log: PartitionLog) -> list[ProducerSnapshot]:
    try:
        offsets = partition_log.offsets()
    except RequestError:
        return []
    if offsets.last_stable == offsets.high_watermark:
        return []
    return [seen for seen in partition_log.producers() if seen.current_txn_start_offset >= 0]


async def _end_in(partition_log: PartitionLog, marker: Marker) -> None:
    try:
        await write_marker(partition_log, marker)
    except RequestError as error:
        # A newer epoch has ended what was open (an administrator did, or a topic of this name is
        # another one now), or the topic was deleted just now.
        if error.code not in (
            ErrorCode.INVALID_PRODUCER_EPOCH,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ):
            raise


def _settle(
    future: "asyncio.Future[Appended | RequestError]", outcome: Appended | RequestError
) -> None:
    if not future.done():
        future.set_result(outcome)
