"""How much producers hand in to partitions of other workers, so that loads can be compared.

What must not enter: what is made of it (`load`, `streams.lanes`).
"""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["mirror_produced"]


async def mirror_produced(broker: "Broker", topic_ids: "list[UUID] | None" = None) -> None:
    """Bring `Partition.produced_bytes` of other workers' partitions up to date, of these topics or
    of all; of a worker that cannot be asked they stay what they were."""
    if broker.ownership.is_alone or topic_ids == []:
        return
    await asyncio.gather(
        *(_mirror(broker, owner, topic_ids or []) for owner in broker.ownership.others)
    )


async def _mirror(broker: "Broker", owner: int, topic_ids: "list[UUID]") -> None:
    try:
        told = await broker.peers.produced(owner, [*topic_ids])
    except RequestError:
        return
    for one in told:
        topic = broker.topics.by_id.get(one.topic_id) if one.topic_id is not None else None
        if topic is not None and one.partition < len(topic.partitions):
            partition = topic.partitions[one.partition]
            if not partition.is_mine:
                partition.produced_bytes = one.size_bytes
