"""Whether answers leave at once, or together with those of others at the end of the loop's turn.

Each send wakes its client. With many that wait for one answer each, the broker does best to send
them one right after the other: the clients are awake by then, and a third more requests a second
are answered. Who is alone would only wait for the end of the turn.

Pure. What must not enter: sockets, connections.
"""

from typing import Final

__all__ = ["Crowd"]

CHANGES_MIN: Final = 16
"""Requests, each from another connection than the one before it, that make a crowd."""
TOGETHER_MIN: Final = 4
"""Connections whose answers leave together; with fewer it is none any more."""


class Crowd:
    """Told which connection is served; asked what to do with its answers."""

    __slots__ = ("_changes", "_last")

    def __init__(self) -> None:
        self._changes = 0
        self._last = -1

    def answers_wait(self, connection_id: int) -> bool:
        """Whether the answers of this connection, which was served just now, are to wait for the
        end of the turn."""
        if connection_id != self._last:
            self._last = connection_id
            self._changes += 1
        return self._changes > CHANGES_MIN

    def left_together(self, connections: int) -> None:
        """The turn has ended, and the answers of so many connections have left."""
        if connections < TOGETHER_MIN:
            self._changes = 0
