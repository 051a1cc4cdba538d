"""Kafka's classic group protocol as one function: `(group, request, now) -> (changes, replies)`.

Which request is served by which phase is the table here; which state may follow which is the table
in `states`. The behaviour is that of Apache Kafka's coordinator (KIP-62, 345, 394, 559, 800, 814)
with three deliberate differences, all towards safety:

- a generation is saved when it begins, not when it is assigned, so that no number is given twice
  whatever crashes in between
- members that leave or lapse are saved as gone at once, so that they do not return with a restart
- a static member that comes back for other topics causes a rebalance
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from headrace.groups import attend
from headrace.groups import tick as time
from headrace.groups.changes import Step
from headrace.groups.group import Group
from headrace.groups.join import join
from headrace.groups.requests import (
    Commit,
    Delete,
    DeleteOffsets,
    Heartbeat,
    Join,
    Leave,
    Request,
    Sync,
)
from headrace.groups.sync import sync

__all__ = ["step", "tick"]

_PHASES: Final[MappingProxyType[type, Callable[[Group, Any, int], None]]] = MappingProxyType(
    {
        Join: join,
        Sync: sync,
        Heartbeat: attend.heartbeat,
        Leave: attend.leave,
        Commit: attend.commit,
        Delete: attend.delete,
        DeleteOffsets: attend.delete_offsets,
    }
)


def step(group: Group, request: Request, now_ms: int) -> Step:
    """Serve one request. Its answer is among the replies of this step or of a later one."""
    _PHASES[type(request)](group, request, now_ms)
    return group.take_step()


def tick(group: Group, now_ms: int) -> Step:
    """Let time pass; call it when a step's `next_deadline_ms` has come (earlier does no harm)."""
    time.tick(group, now_ms)
    return group.take_step()
