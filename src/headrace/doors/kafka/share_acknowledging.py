"""Acknowledgements of share consumers, as ShareFetch and ShareAcknowledge both carry them.

They take effect in the order of the request, at once; `outcomes` waits until that is durable.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple, Protocol
from uuid import UUID

from headrace.broker.share.sessions import ShareSession
from headrace.broker.share.share_groups import Acknowledgement, ShareGroups
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k78_share_fetch import AcknowledgementBatch, AcknowledgeType

__all__ = ["Acknowledging", "TopicPartition", "acknowledge", "outcomes"]

TopicPartition = tuple[UUID | None, int]


class _Partition(Protocol):
    partition_index: int
    acknowledgement_batches: list[AcknowledgementBatch]


class _Topic(Protocol):
    topic_id: UUID | None

    @property
    def partitions(self) -> Iterable[_Partition]: ...


class Acknowledging(NamedTuple):
    """What became of one partition's, or `saved`: when it will be durable (None: it is)."""

    error: RequestError | None
    saved: "asyncio.Future[None] | None"


def acknowledge(
    share: ShareGroups, session: ShareSession, topics: Iterable[_Topic], *, renews: bool
) -> dict[TopicPartition, Acknowledging]:
    """Those of every partition that comes with some. Renewing must be announced by `renews`."""
    under_way: dict[TopicPartition, Acknowledging] = {}
    for topic in topics:
        for partition in topic.partitions:
            if partition.acknowledgement_batches:
                key = topic.topic_id, partition.partition_index
                under_way[key] = _acknowledge(
                    share, session, key, partition.acknowledgement_batches, renews
                )
    return under_way


async def outcomes(
    under_way: dict[TopicPartition, Acknowledging],
) -> dict[TopicPartition, RequestError | None]:
    """Once everything is durable that could be."""
    found: dict[TopicPartition, RequestError | None] = {}
    for key, (refused, saved) in under_way.items():
        error = refused
        if saved is not None:
            try:
                await asyncio.shield(saved)
            except RequestError as failure:
                error = failure
        found[key] = error
    return found


def _acknowledge(
    share: ShareGroups,
    session: ShareSession,
    key: TopicPartition,
    batches: list[AcknowledgementBatch],
    renews: bool,
) -> Acknowledging:
    asked = [
        Acknowledgement(batch.first_offset, batch.last_offset, batch.acknowledge_types)
        for batch in batches
    ]
    try:
        if not renews and any(AcknowledgeType.RENEW in batch.types for batch in asked):
            raise RequestError(ErrorCode.INVALID_REQUEST, "the request does not say that it renews")
        shared = share.find(session.group_id, *key)
        if shared is None:
            raise RequestError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "the group has not begun with this partition"
            )
        return Acknowledging(None, share.acknowledge(session, shared, asked))
    except RequestError as error:
        return Acknowledging(error, None)
