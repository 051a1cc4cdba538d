"""Members of next-generation groups as values for JSON, and back:

    {"id", "instance", "rack", "client", "host", "rebalance_ms", "topics": [name, ...], "regex",
     "assignor", "epoch", "previous_epoch", "assigned", "revoking", "target", "classic"}

The three before the last are {topic id as hex: [partition, ...]}. Only a member of the classic
protocol has the last one: {"session_ms", "protocols": [[name, base64], ...]}. What must not enter:
rows, versions.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from headrace.groups.consumer_records import ClassicPart, ConsumerMemberRecord, Partitions

__all__ = [
    "members_of",
    "packed_members",
    "packed_partitions",
    "packed_protocols",
    "partitions_of",
    "protocols_of",
]


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
            **_packed_classic(member.classic),
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
            classic=_classic_of(member),
        )
        for member in packed
    )


def packed_protocols(protocols: Iterable[tuple[str, bytes]]) -> list[list[str]]:
    """Of a member of the classic protocol, in whatever group it is."""
    return [[name, b64encode(metadata).decode()] for name, metadata in protocols]


def protocols_of(packed: Iterable[list[str]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, b64decode(metadata)) for name, metadata in packed)


def _packed_classic(classic: ClassicPart | None) -> dict[str, Any]:
    if classic is None:
        return {}
    packed = {
        "session_ms": classic.session_timeout_ms,
        "protocols": packed_protocols(classic.protocols),
    }
    return {"classic": packed}


def _classic_of(member: dict[str, Any]) -> ClassicPart | None:
    packed = member.get("classic")
    if packed is None:
        return None
    return ClassicPart(packed["session_ms"], protocols_of(packed["protocols"]))


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
