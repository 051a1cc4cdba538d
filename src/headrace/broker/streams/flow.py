"""What all open streams have in common: bytes under way, who waits for them, and what is counted.

What must not enter: any single stream, names of metrics.
"""

from collections import Counter
from collections.abc import Callable

from headrace.broker.stats import LATENCY_BOUNDS_S, Histogram
from headrace.broker.streams.contract import IN_FLIGHT_BYTES_MAX

__all__ = ["Flow"]


class Flow:
    """One for a broker. Counts start at 0 with the process."""

    def __init__(self) -> None:
        self.in_flight_bytes = 0
        self.opened: Counter[str] = Counter()
        """Streams by how they came: open, create, resume."""
        self.refused = 0
        self.records = 0
        self.bytes = 0
        """Of record batches."""
        self.ack_latency = Histogram(LATENCY_BOUNDS_S)
        """From the append of a batch until it was durable."""
        self.decisions: Counter[str] = Counter()
        """The router's, by action."""
        self.events_lost = 0
        """Decisions that could not be written as events."""
        self._waiting: dict[Callable[[], None], None] = {}
        """Streams that are behind, which are some of the open ones."""

    @property
    def is_full(self) -> bool:
        return self.in_flight_bytes >= IN_FLIGHT_BYTES_MAX

    @property
    def is_low(self) -> bool:
        """Those who waited for others may go on."""
        return self.in_flight_bytes <= IN_FLIGHT_BYTES_MAX // 2

    def wait(self, caught_up: Callable[[], None]) -> None:
        """Call `caught_up` when all streams together are low again, until it is forgotten."""
        self._waiting[caught_up] = None

    def forget(self, caught_up: Callable[[], None]) -> None:
        self._waiting.pop(caught_up, None)

    def began(self, size_bytes: int) -> None:
        self.in_flight_bytes += size_bytes

    def ended(self, size_bytes: int) -> None:
        was_low = self.is_low
        self.in_flight_bytes -= size_bytes
        if self._waiting and self.is_low and not was_low:
            for caught_up in tuple(self._waiting):
                caught_up()

    def counted(self, records: int, size_bytes: int) -> None:
        self.records += records
        self.bytes += size_bytes
