"""Members of next-generation groups as values for JSON, and back:

    {"id", "instance", "rack", "client", "host", "rebalance_ms", "topics": [name, ...], "regex",
     "assignor", "epoch", "previous_epoch", "assigned", "revoking", "target"}

The last three are {topic id as hex: [partition, ...]}. What must not enter: rows, versions.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from headrace.groups.consumer_records import ConsumerMemberRecord, Partitions

__all__ = ["members_of", "packed_members", "packed_partitions", "partitions_of"]


def packed_members(members: Iterable[ConsumerMemberRecord]) -> list[dict[str, Any]]:
    return [
        {
            "id": member.member_id,
            "instance": member.instance_id,
            "rack": member.rack_id,
            "client": member.client_id,
            "host": member.client_host,
            "rebalance_ms": member.rebalance_timeout_ms,
            "topics": sorted(member.names),
            "regex": member.pattern,
            "assignor": member.assignor,
            "epoch": member.epoch,
            "previous_epoch": member.previous_epoch,
            "assigned": packed_partitions(member.assigned),
            "revoking": packed_partitions(member.revoking),
            "target": packed_partitions(member.target),
        }
        for member in members
    ]


def members_of(packed: Iterable[dict[str, Any]]) -> tuple[ConsumerMemberRecord, ...]:
    """Raises ValueError, KeyError or TypeError for what was not packed here."""
    return tuple(
        ConsumerMemberRecord(
            member_id=member["id"],
            instance_id=member["instance"],
            rack_id=member["rack"],
            client_id=member["client"],
            client_host=member["host"],
            rebalance_timeout_ms=member["rebalance_ms"],
            names=frozenset(member["topics"]),
            pattern=member["regex"],
            assignor=member["assignor"],
            epoch=member["epoch"],
            previous_epoch=member["previous_epoch"],
            assigned=partitions_of(member["assigned"]),
            revoking=partitions_of(member["revoking"]),
            target=partitions_of(member["target"]),
        )
        for member in packed
    )


def packed_partitions(partitions: Partitions) -> dict[str, list[int]]:
    packed: dict[str, list[int]] = {}
    for topic_id, index in partitions:
        packed.setdefault(topic_id.hex, []).append(index)
    for indexes in packed.values():
        indexes.sort()
    return packed


def partitions_of(packed: dict[str, list[int]]) -> Partitions:
    return frozenset(
        (topic_id, index)
        for topic_id, indexes in ((UUID(text), indexes) for text, indexes in packed.items())
        for index in indexes
    )
