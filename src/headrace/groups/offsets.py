"""Committed offsets as a group keeps them, and how long (KIP-211).

While a group has members nothing expires but what none of them reads any more; from the moment it
is empty each offset is kept for the retention time, counted from the later of the two.
"""

from collections.abc import Mapping
from typing import NamedTuple

from headrace.groups.group import Group
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
    group: Group,
    offsets: Mapping[tuple[str, int], Committed],
    emptied_ms: int | None,
    now_ms: int,
) -> tuple[tuple[str, int], ...]:
    """The (topic, partition) pairs whose offsets need not be kept. Times are the calendar's, not
    those that the automaton runs on; `emptied_ms` is None for a group that never had members."""
    latest_ms = now_ms - group.settings.offsets_retention_ms
    if group.state is State.STABLE:
        subscribed = subscribed_topics(group)
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


def is_left_over(group: Group) -> bool:
    """Whether nobody would miss the group, if it has no offsets either."""
    is_free = group.outsiders_out_until_ms is None
    return group.state is State.EMPTY and not group.pending and is_free
