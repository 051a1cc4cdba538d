"""Whether a consumer has stopped in silence: alive, with data to read, committing no progress.

The decision alone, without clock and groups: `judge` takes what was known of a member and what is
seen now. A member is stuck when some partition it owns has had unread records and no committed
offset of any of its partitions has moved, for `patience_ms` on end. One partition that moves is
enough progress: clients read their partitions in turn.

What must not enter: how a member is found (`stuck_watch`), who is told.
"""

from typing import NamedTuple

__all__ = ["Seen", "Watched", "judge"]


class Seen(NamedTuple):
    """A member at one moment."""

    positions: tuple[tuple[str, int, int], ...]
    """(topic, partition, committed offset or -1) of every partition it owns, sorted."""
    lag: int
    """Records it has not committed yet."""


class Watched(NamedTuple):
    positions: tuple[tuple[str, int, int], ...]
    waiting_since_ms: int | None
    """From when on it has had data and has not moved; None while there is nothing to read."""
    is_stuck: bool


def judge(before: Watched | None, seen: Seen, now_ms: int, patience_ms: int) -> Watched:
    """What is known of a member now. A member whose partitions changed is judged afresh."""
    if not seen.lag:
        return Watched(seen.positions, None, False)
    if before is None or before.positions != seen.positions or before.waiting_since_ms is None:
        return Watched(seen.positions, now_ms, False)
    since_ms = before.waiting_since_ms
    return Watched(seen.positions, since_ms, now_ms - since_ms >= patience_ms)
