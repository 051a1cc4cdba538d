"""Where partitions end that other workers serve: asked of each owner once, for all of its own.

An owner that cannot be asked now counts as its partitions being offline: they are left out.
What must not enter: what the ends are for.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from headrace.broker.cluster.peers import ENDS_MAX, Peers
from headrace.broker.cluster.remote_log import RemoteLog
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.topic import Partition
    from headrace.wire.workers import PartitionEnd

__all__ = ["ends_elsewhere"]


async def ends_elsewhere(
    peers: Peers, wanted: "Iterable[tuple[Partition, int]]"
) -> "dict[Partition, PartitionEnd]":
    """`wanted`: partitions, those of this worker are passed over, and the offset of a record whose
    time is asked for (-1: none)."""
    by_owner: dict[int, list[tuple[Partition, int]]] = {}
    for partition, offset in wanted:
        if isinstance(partition.log, RemoteLog):
            by_owner.setdefault(partition.log.owner, []).append((partition, offset))
    if not by_owner:
        return {}
    asking = [
        _ask(peers, owner, some[start : start + ENDS_MAX])
        for owner, some in by_owner.items()
        for start in range(0, len(some), ENDS_MAX)
    ]
    return dict(pair for found in await asyncio.gather(*asking) for pair in found)


async def _ask(
    peers: Peers, owner: int, some: "list[tuple[Partition, int]]"
) -> "list[tuple[Partition, PartitionEnd]]":
    from headrace.wire.workers import EndAsked  # needed only where there are others to ask

    asked = [EndAsked(partition.topic.id, partition.index, offset) for partition, offset in some]
    try:
        ends = await peers.ends(owner, asked)
    except RequestError:
        return []
    pairs = zip(some, ends, strict=False)
    return [(partition, end) for (partition, _), end in pairs if not end.error_code]
