"""When records are due and what may be sent now. Pure: whoever calls brings the clock.

All times are ns of one clock. Records are numbered from 0.
"""

from array import array
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from bench.latency.histogram import Histogram

__all__ = ["RECORDS_MAX", "SENDS_MAX", "TICK_MS", "OpenLoop", "Schedule", "Send", "Tally"]

TICK_MS: Final = 1.0
SENDS_MAX: Final = 5
"""Unacknowledged at a time: what Kafka's producers allow themselves (max.in.flight)."""
RECORDS_MAX: Final = 1000
"""In one send: 1 MiB with what is around them."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Record i is due at `start_ns + i * interval_ns`."""

    start_ns: int
    interval_ns: int
    records: int

    def due(self, now_ns: int) -> int:
        """How many records are due by now."""
        if now_ns < self.start_ns:
            return 0
        return min((now_ns - self.start_ns) // self.interval_ns + 1, self.records)

    def time_ns(self, record: int) -> int:
        return self.start_ns + record * self.interval_ns

    def times_ns(self, first: int, count: int) -> "array[int]":
        start_ns = self.time_ns(first)
        return array("q", range(start_ns, start_ns + count * self.interval_ns, self.interval_ns))


class Send(NamedTuple):
    first: int
    records: int


class Tally:
    """Latencies of records that are done in their order, without the first `warm` ones."""

    def __init__(self, schedule: Schedule, warm: int) -> None:
        self.latencies = Histogram()
        self.at_the_end = Histogram()
        """Of the last quarter."""
        self.done = 0
        self._schedule = schedule
        self._parts = ((self.latencies, warm), (self.at_the_end, schedule.records * 3 // 4))

    def add(self, now_ns: int, count: int) -> None:
        """The next `count` records are done now."""
        last = self.done + count - 1
        for histogram, begins in self._parts:
            counted = min(last + 1 - begins, count)
            least_ns = now_ns - self._schedule.time_ns(last)
            histogram.add_run(least_ns, self._schedule.interval_ns, counted)
        self.done += count


class OpenLoop:
    """What to send when. Sending is late when the server is slow, but nothing is left out: what
    is due stays due, and its latency counts from when it was."""

    def __init__(self, schedule: Schedule, warm: int, tick_ns: int = int(TICK_MS * 1e6)) -> None:
        self.schedule = schedule
        self.sent = 0
        self.acked = Tally(schedule, warm)
        self.late = Histogram()
        """Behind the tick, of sends that nothing but the generator held up."""
        self._tick_ns = tick_ns
        self._next_tick_ns = schedule.start_ns
        self._held_up = False
        self._under_way: deque[int] = deque()
        """Ends of unacknowledged sends."""

    @property
    def is_finished(self) -> bool:
        return self.acked.done == self.schedule.records

    def next_send(self, now_ns: int) -> Send | None:
        """What is to be sent now, counted as sent; None if nothing is."""
        if now_ns < self._next_tick_ns:
            return None
        waiting = self.schedule.due(now_ns) - self.sent
        if len(self._under_way) >= SENDS_MAX:
            self._held_up = True
            return None
        send = Send(self.sent, min(waiting, RECORDS_MAX))
        if send.records and not self._held_up:
            self.late.add(now_ns - max(self._next_tick_ns, self.schedule.time_ns(send.first)))
        if send.records == waiting:
            self._end_tick(now_ns)
        if not send.records:
            return None
        self.sent += send.records
        self._under_way.append(self.sent)
        return send

    def _end_tick(self, now_ns: int) -> None:
        """All that is due is sent: the next is sent with the first tick at which something is."""
        self._held_up = False
        start_ns = self.schedule.start_ns
        after_ns = max(now_ns + 1, self.schedule.time_ns(self.schedule.due(now_ns)))
        ticks = -(-(after_ns - start_ns) // self._tick_ns)
        self._next_tick_ns = start_ns + ticks * self._tick_ns

    def hold_up(self) -> None:
        """The system does not take what is being sent: what waits now waits for it."""
        self._held_up = True

    def wake_ns(self, now_ns: int) -> int | None:
        """When to look again; None if only an acknowledgement can change something."""
        if self.sent == self.schedule.records or len(self._under_way) >= SENDS_MAX:
            return None
        return max(self._next_tick_ns, now_ns)

    def acknowledge(self, now_ns: int, count: int) -> None:
        """The next `count` records are acknowledged. Raises RuntimeError if they were not sent."""
        if self.acked.done + count > self.sent:
            raise RuntimeError(f"{count} more acknowledged, {self.acked.done} of {self.sent} were")
        self.acked.add(now_ns, count)
        while self._under_way and self._under_way[0] <= self.acked.done:
            self._under_way.popleft()
