"""What a broker knows about share groups: which there are, their members, how far they are.

A share group keeps no committed offsets. What is shown in their place is the start offset of each
partition: every record before it is done with, for some at or after it that may be so too.
What must not enter: how it is shown (`group`), consumer groups (`group_state`).
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure
from headrace.cli.group_state import ABSENT, Group, Member, PartitionState, find_group
from headrace.cli.offsets import Partition, Range, partitions_of, ranges
from headrace.cli.plain_brokers import CoordinatorType, check, coordinator, every_broker
from headrace.cli.plain_requests import UNSUPPORTED, PlainRequests
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k16_list_groups import ListGroupsRequest, ListGroupsResponse
from headrace.wire.messages.k77_share_group_describe import (
    ShareGroupDescribeMember,
    ShareGroupDescribeRequest,
    ShareGroupDescribeResponse,
)
from headrace.wire.messages.k90_describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsResponse,
)
from headrace.wire.messages.k91_alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic,
    AlterShareGroupOffsetsResponse,
)

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["SHARE", "alter_share_group", "find_any_group", "list_share_groups"]

SHARE: Final = "share"
"""The type of these groups, as ListGroups calls it."""

_TYPES_FILTER_SINCE: Final = 5
"""The version of ListGroups that tells types (KIP-848)."""


def list_share_groups(connection: Connection, admin: "AdminClient") -> list[tuple[str, str]]:
    """(id, state) of each; none where no broker knows such groups, or the connection is encrypted.
    Raises Failure."""
    if not connection.is_plain:
        return []
    found = []
    for requests in every_broker(connection, admin):
        try:
            answer = requests.ask(
                ListGroupsRequest(types_filter=[SHARE]),
                ListGroupsResponse,
                version_min=_TYPES_FILTER_SINCE,
            )
        except Failure as failure:
            if failure.reason != UNSUPPORTED:
                raise
            continue
        check(answer.error_code, "", "list groups")
        found += [(group.group_id, group.group_state) for group in answer.groups]
    return found


def find_any_group(
    connection: Connection, admin: "AdminClient", name: str, *, may_be_new: bool = False
) -> Group:
    """Of whatever type. Raises Failure for one that is not there, unless it `may_be_new`."""
    try:
        found = find_group(connection, admin, name, may_be_new=may_be_new)
    except Failure as failure:
        if failure.reason != ABSENT:
            raise
        shared = _find_share_group(connection, admin, name)
        if shared is None:
            raise
        return shared
    is_absent = not found.type
    return (_find_share_group(connection, admin, name) if is_absent else None) or found


def alter_share_group(
    connection: Connection, admin: "AdminClient", name: str, starts: Mapping[Partition, int]
) -> Iterator[Failure]:
    """Let an empty share group go on from these offsets; gives what was refused of them. Raises
    Failure where the whole was."""
    topics: dict[str, list[AlterShareGroupOffsetsRequestPartition]] = {}
    for (topic, partition), start in starts.items():
        part = AlterShareGroupOffsetsRequestPartition(partition, start)
        topics.setdefault(topic, []).append(part)
    asked = AlterShareGroupOffsetsRequest(
        name, [AlterShareGroupOffsetsRequestTopic(topic, parts) for topic, parts in topics.items()]
    )
    with coordinator(connection, admin, name, CoordinatorType.GROUP) as requests:
        answer = requests.ask(asked, AlterShareGroupOffsetsResponse)
    check(answer.error_code, answer.error_message, f"reset group {name}")
    for altered in answer.responses:
        for part_answer in altered.partitions:
            what = f"{altered.topic_name}, partition {part_answer.partition_index}"
            try:
                check(part_answer.error_code, part_answer.error_message, what)
            except Failure as failure:
                yield failure


def _find_share_group(connection: Connection, admin: "AdminClient", name: str) -> Group | None:
    """None if there is no share group of this name. Raises Failure."""
    if not connection.is_plain:
        return None
    try:
        with coordinator(connection, admin, name, CoordinatorType.GROUP) as requests:
            [group] = requests.ask(
                ShareGroupDescribeRequest([name]), ShareGroupDescribeResponse
            ).groups
            if group.error_code == ErrorCode.GROUP_ID_NOT_FOUND:
                return None
            check(group.error_code, group.error_message, f"group {name}")
            places = _places(requests, name)
    except Failure as failure:
        if failure.reason != UNSUPPORTED:
            raise
        return None
    members = [_member(member) for member in group.members]
    wanted = sorted({*places, *(part for member in members for part in member.partitions)})
    counts = partitions_of(connection, admin, sorted({topic for topic, _ in wanted}))
    kept = ranges(connection, admin, [part for part in wanted if part[1] < counts.get(part[0], 0)])
    return Group(
        name,
        group.group_state,
        SHARE,
        group.assignor_name,
        requests.where,
        members,
        [_partition(part, places.get(part), kept.get(part)) for part in wanted],
    )


def _partition(at: Partition, place: tuple[int, int] | None, kept: Range | None) -> PartitionState:
    start, lag = place or (None, -1)
    return PartitionState(*at, start, kept, None, lag if lag >= 0 else None)


def _places(requests: PlainRequests, name: str) -> dict[Partition, tuple[int, int]]:
    """Start offset and lag (-1: unknown) of every partition in which the group has begun."""
    asked = DescribeShareGroupOffsetsRequest([DescribeShareGroupOffsetsRequestGroup(name, None)])
    try:
        [group] = requests.ask(asked, DescribeShareGroupOffsetsResponse).groups
    except Failure as failure:
        if failure.reason != UNSUPPORTED:
            raise
        return {}
    check(group.error_code, group.error_message, f"offsets of group {name}")
    return {
        (topic.topic_name, partition.partition_index): (partition.start_offset, partition.lag)
        for topic in group.topics
        for partition in topic.partitions
        if not partition.error_code and partition.start_offset >= 0
    }


def _member(member: ShareGroupDescribeMember) -> Member:
    return Member(
        member.member_id,
        member.client_id,
        member.client_host.removeprefix("/"),
        None,
        sorted(
            (topic.topic_name, partition)
            for topic in member.assignment.topic_partitions
            for partition in topic.partitions
        ),
        SHARE,
    )
