"""Committed offsets as a group keeps them, and how long (KIP-211).

While a group has members nothing expires but what none of them reads any more; from the moment it
is empty each offset is kept for the retention time, counted from the later of the two.
"""

from collections.abc import Mapping
from typing import NamedTuple

from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_target import subscribed_topics as subscribed_by_consumers
from headrace.groups.kinds import AnyGroup
from headrace.groups.share_group import ShareGroup
from headrace.groups.states import State
from headrace.groups.subscription import subscribed_topics

__all__ = ["Committed", "expired", "is_left_over"]


class Committed(NamedTuple):
    """The next offset to read. `leader_epoch` is -1 if the client gave none."""

    offset: int
    leader_epoch: int
    metadata: str
    committed_ms: int


def expired(
    group: AnyGroup,
    offsets: Mapping[tuple[str, int], Committed],
    emptied_ms: int | None,
    now_ms: int,
) -> tuple[tuple[str, int], ...]:
    """The (topic, partition) pairs whose offsets need not be kept. Times are the calendar's, not
    those that the automaton runs on; `emptied_ms` is None for a group that never had members."""
    latest_ms = now_ms - group.settings.offsets_retention_ms
    if group.state is State.STABLE:
        subscribed = _subscribed(group)
        if subscribed is None:
            return ()
    elif group.state is State.EMPTY and (emptied_ms is None or emptied_ms <= latest_ms):
        subscribed = frozenset()
    else:
        return ()
    return tuple(
        pair
        for pair, committed in offsets.items()
        if committed.committed_ms <= latest_ms and pair[0] not in subscribed
    )


def _subscribed(group: AnyGroup) -> frozenset[str] | None:
    if isinstance(group, ShareGroup):
        return frozenset()
    if isinstance(group, ConsumerGroup):
        # Which topics a pattern means is known once a member was heard of after a start.
        return subscribed_by_consumers(group) if group.topics.by_name else None
    return subscribed_topics(group)


def is_left_over(group: AnyGroup) -> bool:
    """Whether nobody would miss the group, if nothing that it has read is kept either."""
    is_free = group.outsiders_out_until_ms is None
    if isinstance(group, ConsumerGroup | ShareGroup):
        return group.state is State.EMPTY and is_free
    return group.state is State.EMPTY and not group.pending and is_free
