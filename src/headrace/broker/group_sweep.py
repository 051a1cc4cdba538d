"""Committed offsets that have expired are forgotten, and groups of which nothing is left.

What must not enter: what has expired (`headrace.groups.offsets`).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from headrace.broker.hosted_group import HostedGroup
from headrace.broker.hosted_groups import HostedGroups
from headrace.groups import kinds
from headrace.groups.offsets import expired, is_left_over
from headrace.groups.requests import Delete
from headrace.groups.share_group import ShareGroup

__all__ = ["sweep", "sweep_for_ever"]

log = logging.getLogger("headrace.groups")

GROUPS_PER_TURN_MAX: Final = 64
"""Groups looked at before the event loop gets its turn."""


async def sweep_for_ever(
    groups: HostedGroups, retention_ms: Callable[[], int], interval_ms: int
) -> None:
    while True:
        await asyncio.sleep(interval_ms / 1000)
        await sweep(groups, retention_ms)


async def sweep(groups: HostedGroups, retention_ms: Callable[[], int]) -> None:
    """`retention_ms` says at which time expiry is decided."""
    for count, hosted in enumerate(groups, start=1):
        if groups.find(hosted.group.group_id) is hosted:
            _sweep_group(groups, hosted, retention_ms())
        if count % GROUPS_PER_TURN_MAX == 0:
            await asyncio.sleep(0)


def _sweep_group(groups: HostedGroups, hosted: HostedGroup, now_ms: int) -> None:
    if hosted.is_writing:
        return  # what is being written is younger than any retention
    group = hosted.group
    if isinstance(group, ShareGroup):
        return  # it has no offsets; what it has read is kept until somebody deletes it
    gone = expired(group, hosted.offsets, hosted.emptied_ms, now_ms)
    if hosted.pending:  # whose transactions will come to an end
        gone = tuple(pair for pair in gone if not hosted.is_pending(pair))
    elif len(gone) == len(hosted.offsets) and is_left_over(group):
        log.info("group %r is forgotten: it has no members and no offsets", group.group_id)
        groups.take(hosted, Delete())
        return
    if gone:
        log.info("%d offsets of group %r have expired", len(gone), group.group_id)
        groups.carry_out(hosted, kinds.forget_offsets(group, gone))
