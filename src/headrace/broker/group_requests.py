"""The words in which doors talk with the group coordinator: `headrace.groups`' own."""

from headrace.groups.consumer_requests import ConsumerHeartbeat
from headrace.groups.description import GroupType
from headrace.groups.offsets import Committed
from headrace.groups.requests import (
    Commit,
    Heartbeat,
    Join,
    Leave,
    Leaving,
    OffsetToCommit,
    Sync,
)
from headrace.groups.share_requests import ShareHeartbeat
from headrace.groups.states import State

__all__ = [
    "Commit",
    "Committed",
    "ConsumerHeartbeat",
    "GroupType",
    "Heartbeat",
    "Join",
    "Leave",
    "Leaving",
    "OffsetToCommit",
    "ShareHeartbeat",
    "State",
    "Sync",
]
