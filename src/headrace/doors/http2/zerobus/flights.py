"""What a stream has between arrival and the disk, in order.

A flight is what one read of the connection brought. It has landed when its messages are durable,
and the bad records among them, if there were any, are set aside durably too; acknowledgements are
cumulative, so landings are reported in order. What must not enter: what is in a flight.
"""

from collections import deque

__all__ = ["Flight", "Flights"]


class Flight:
    """Made by `Flights.add`."""

    __slots__ = ("is_held", "rows", "up_to")

    def __init__(self, up_to: int, rows: int, is_held: bool) -> None:
        self.up_to = up_to
        """The last offset in it."""
        self.rows = rows
        """Of this and all flights before."""
        self.is_held = is_held
        """Something besides its messages is not durable yet."""


class Flights:
    """True while there are some. Bound by what the stream service takes of a stream."""

    __slots__ = ("_durable", "_flying", "_rows_sent", "has_news", "rows", "up_to")

    def __init__(self) -> None:
        self.up_to = -1
        """Everything up to this offset has landed."""
        self.rows = 0
        """That has landed."""
        self.has_news = False
        """`up_to` has moved since `take_news`."""
        self._durable = 0
        self._rows_sent = 0
        self._flying: deque[Flight] = deque()

    def __len__(self) -> int:
        return len(self._flying)

    def start(self, up_to: int) -> None:
        """Go on after what has landed in another life."""
        self.up_to = up_to
        self._durable = up_to + 1

    def add(self, up_to: int, rows: int, *, is_held: bool) -> Flight:
        """With `rows` of its own."""
        self._rows_sent += rows
        flight = Flight(up_to, self._rows_sent, is_held)
        self._flying.append(flight)
        return flight

    def durable(self, messages: int) -> None:
        """So many, from offset 0 on, are."""
        self._durable = messages
        self._land()

    def release(self, flight: Flight) -> None:
        """It waits for its messages only."""
        flight.is_held = False
        self._land()

    def take_news(self) -> bool:
        """Whether there is something to report, which counts as done."""
        has_news, self.has_news = self.has_news, False
        return has_news

    def _land(self) -> None:
        flying = self._flying
        while flying and flying[0].up_to < self._durable and not flying[0].is_held:
            first = flying.popleft()
            self.up_to = first.up_to
            self.rows = first.rows
            self.has_news = True
