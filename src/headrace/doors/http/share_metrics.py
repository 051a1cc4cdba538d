"""The metrics of share groups that others have not: what members hold, what came again.

What is of a partition is shown of each one that a group has begun with; there are at most
`broker.share.share_groups.SHARE_PARTITIONS_MAX`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.doors.http.exposition import family

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["share_families"]


def share_families(broker: "Broker") -> Iterator[str]:
    partitions = list(broker.share.all())
    labels = [
        {
            "group": shared.group_id,
            "topic": shared.partition.topic.name,
            "partition": shared.partition.index,
        }
        for shared in partitions
    ]
    yield from family(
        "headrace_share_acquired_records",
        "gauge",
        "Records that members of the share group hold at this moment.",
        zip(labels, (shared.automaton.acquired() for shared in partitions), strict=True),
    )
    yield from family(
        "headrace_share_redelivered_records_total",
        "counter",
        "Records that were delivered to a member of the share group once more.",
        zip(labels, (shared.redelivered for shared in partitions), strict=True),
    )
    yield from family(
        "headrace_share_sessions",
        "gauge",
        "Share sessions that are open.",
        [({}, len(broker.share.sessions))],
    )
