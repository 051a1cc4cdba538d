"""What a broker knows about a consumer group: its members, its commits, and how far it is behind.

What must not enter: how it is shown (`group`), changing it (`group`, `group_reset`).
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure
from headrace.cli.member_protocols import member_protocols
from headrace.cli.offsets import Partition, Range, partitions_of, ranges

if TYPE_CHECKING:
    from confluent_kafka import ConsumerGroupState
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.admin._group import MemberDescription

__all__ = [
    "ABSENT",
    "Group",
    "Member",
    "PartitionState",
    "committed_offsets",
    "find_group",
    "state_name",
]

ABSENT: Final = "GROUP_ID_NOT_FOUND"
"""The reason of a Failure: there is no such group."""

_STATES: Final = {
    "PREPARING_REBALANCING": "PreparingRebalance",
    "COMPLETING_REBALANCING": "CompletingRebalance",
}
_INACTIVE: Final = frozenset({"Empty", "Dead"})


class Member(NamedTuple):
    member_id: str
    client_id: str
    host: str
    instance_id: str | None
    partitions: list[Partition]
    protocol: str | None
    """classic, consumer or share; None where the broker does not tell."""


class PartitionState(NamedTuple):
    """`committed` is the offset the group reads next, None where it never committed; `kept` is
    None where the partition is no more."""

    topic: str
    partition: int
    committed: int | None
    kept: Range | None
    member: Member | None
    lag_told: int | None = None
    """The broker's word, of a share group: some records after `committed` may be done with."""

    @property
    def lag(self) -> int | None:
        """How many offsets are behind `committed`; None if that cannot be said."""
        if self.committed is None or self.kept is None:
            return None
        if self.lag_told is not None:
            return self.lag_told
        return max(0, self.kept.end - self.committed)


class Group(NamedTuple):
    name: str
    state: str
    """In Kafka's words: Stable, Empty, Dead, PreparingRebalance, CompletingRebalance."""
    type: str
    assignor: str
    coordinator: str
    members: list[Member]
    partitions: list[PartitionState]

    @property
    def active(self) -> bool:
        return self.state not in _INACTIVE

    @property
    def lag(self) -> int:
        return sum(part.lag or 0 for part in self.partitions)


def state_name(state: "ConsumerGroupState") -> str:
    return _STATES.get(state.name, state.name.capitalize())


def find_group(
    connection: Connection, admin: "AdminClient", name: str, *, may_be_new: bool = False
) -> Group:
    """Raises Failure for a group that is not there, unless it `may_be_new`."""
    future = admin.describe_consumer_groups([name], request_timeout=connection.timeout_s)[name]
    committed = committed_offsets(connection, admin, name)
    try:
        found = connection.wait(future, f"group {name}")
    except Failure as failure:
        if failure.reason != ABSENT:
            raise
        return _absent(name, may_be_new)
    if state_name(found.state) == "Dead" and not committed:
        return _absent(name, may_be_new)
    coordinator = f"{found.coordinator.host}:{found.coordinator.port}" if found.coordinator else ""
    kind = found.type.name.lower()
    told = member_protocols(connection, coordinator, name) if kind == "consumer" else {}
    unless_told = None if kind == "consumer" else kind
    members = [_member(member, told.get(member.member_id, unless_told)) for member in found.members]
    owners = {partition: member for member in members for partition in member.partitions}
    wanted = sorted({*committed, *owners})
    counts = partitions_of(connection, admin, sorted({topic for topic, _ in wanted}))
    kept = ranges(connection, admin, [part for part in wanted if part[1] < counts.get(part[0], 0)])
    return Group(
        name,
        state_name(found.state),
        kind,
        found.partition_assignor,
        coordinator,
        members,
        [
            PartitionState(*part, committed.get(part), kept.get(part), owners.get(part))
            for part in wanted
        ],
    )


def committed_offsets(
    connection: Connection, admin: "AdminClient", name: str
) -> dict[Partition, int]:
    """The offset to be read next, of every partition the group committed."""
    from confluent_kafka import ConsumerGroupTopicPartitions

    future = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(name)], request_timeout=connection.timeout_s
    )[name]
    found = connection.wait(future, f"offsets of group {name}").topic_partitions or []
    return {(part.topic, part.partition): part.offset for part in found if part.offset >= 0}


def _absent(name: str, may_be_new: bool) -> Group:
    if not may_be_new:
        raise Failure(
            f"group {name}: there is no such group; `headrace group list` shows those there are",
            reason=ABSENT,
        )
    return Group(name, "Dead", "", "", "", [], [])


def _member(member: "MemberDescription", protocol: str | None) -> Member:
    assigned = member.assignment.topic_partitions if member.assignment is not None else []
    return Member(
        member.member_id,
        member.client_id,
        member.host.removeprefix("/"),
        member.group_instance_id or None,
        sorted((part.topic, part.partition) for part in assigned),
        protocol,
    )
