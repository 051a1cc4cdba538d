"""Asking a group how far it has come."""

from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k09_offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
)
from sim.connection import Connection

__all__ = ["committed_offsets"]

VERSION = 9


async def committed_offsets(
    connection: Connection,
    group: str,
    topic: str,
    partitions: list[int],
    member: tuple[str | None, int] = (None, -1),
) -> tuple[int, dict[int, int]]:
    """(error, offset by partition, 0 where nothing was committed); of no open transaction, and
    for `member`, its id and epoch. Raises Disconnected."""
    wanted = OffsetFetchRequestGroup(
        group, *member, topics=[OffsetFetchRequestTopics(name=topic, partition_indexes=partitions)]
    )
    request = OffsetFetchRequest(groups=[wanted], require_stable=True)
    answer = await connection.ask(request, OffsetFetchResponse, VERSION)
    [found] = answer.groups
    if found.error_code:
        return found.error_code, {}
    offsets: dict[int, int] = {}
    for of_topic in found.topics:
        for one in of_topic.partitions:
            if one.error_code:
                return one.error_code, {}
            offsets[one.partition_index] = max(one.committed_offset, 0)
    return ErrorCode.NONE, offsets
