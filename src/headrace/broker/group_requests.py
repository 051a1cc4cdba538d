"""The words in which doors talk with the group coordinator: `headrace.groups`' own."""

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
from headrace.groups.states import State

__all__ = [
    "Commit",
    "Committed",
    "Heartbeat",
    "Join",
    "Leave",
    "Leaving",
    "OffsetToCommit",
    "State",
    "Sync",
]
