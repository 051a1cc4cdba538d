"""What the broker itself says of a group: lag in time, and members that are stuck.

Kafka's protocol has no words for either, so this asks the broker's HTTP door (`/groups`), and only
when a command is told where that is. What must not enter: how it is shown (`group`).
"""

from typing import Any, NamedTuple
from urllib.parse import quote

from headrace.cli.http_door import ask_door, not_as_headrace

__all__ = ["SeenGroup", "StuckMember", "ask"]


class StuckMember(NamedTuple):
    """Alive, with data to read, and without progress for so long."""

    member_id: str
    client_id: str
    stuck_for_s: float


class SeenGroup(NamedTuple):
    lag_s: float | None
    """The age of the oldest record that the group reads next; None if it is not known."""
    stuck: list[StuckMember]


def ask(text: str, group: str, timeout_s: float) -> SeenGroup:
    """Ask the HTTP door at `text` (HOST:PORT). Raises Failure."""
    path = f"/groups?group={quote(group, safe='')}"
    answer = ask_door(text, path, f"group {group}", timeout_s)
    try:
        (found,) = answer
        return _read(found)
    except (ValueError, KeyError, TypeError):
        raise not_as_headrace(text) from None


def _read(found: dict[str, Any]) -> SeenGroup:
    stuck = [
        StuckMember(member["member_id"], member["client_id"], float(member["stuck_for_s"]))
        for member in found["members"]
        if member["stuck"]
    ]
    return SeenGroup(found["lag_s"], stuck)
