"""Members of share groups as values for JSON, and back:

    {"id", "rack", "client", "host", "topics": [name, ...],
     "target": {topic id as hex: [partition, ...]}}

What must not enter: rows, versions.
"""

from collections.abc import Iterable
from typing import Any

from headrace.broker.consumer_group_rows import packed_partitions, partitions_of
from headrace.groups.share_records import ShareMemberRecord

__all__ = ["members_of", "packed_members"]


def packed_members(members: Iterable[ShareMemberRecord]) -> list[dict[str, Any]]:
    return [
        {
            "id": member.member_id,
            "rack": member.rack_id,
            "client": member.client_id,
            "host": member.client_host,
            "topics": sorted(member.names),
            "target": packed_partitions(member.target),
        }
        for member in members
    ]


def members_of(packed: Iterable[dict[str, Any]]) -> tuple[ShareMemberRecord, ...]:
    """Raises ValueError, KeyError or TypeError for what was not packed here."""
    return tuple(
        ShareMemberRecord(
            member_id=member["id"],
            rack_id=member["rack"],
            client_id=member["client"],
            client_host=member["host"],
            names=frozenset(member["topics"]),
            target=partitions_of(member["target"]),
        )
        for member in packed
    )
