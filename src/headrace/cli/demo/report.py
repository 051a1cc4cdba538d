"""The end of the demo: its numbers, whether the promises were kept, and a sentence on it. Pure.

`to_json` has exactly the published keys; the table says more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.cli.demo.board import Tally
from headrace.cli.demo.checker import Findings
from headrace.cli.demo.status import Status
from headrace.cli.output import count_text

__all__ = ["Report", "ack_times_ms", "percentile"]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that at least `share` (0 to 1) of them do not exceed.

    Nearest rank, so it is always a value that occurred. Raises ValueError if there is none.
    """
    if not ordered:
        raise ValueError("no values")
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, int(rank) - 1)]


def ack_times_ms(
    samples: Sequence[tuple[float, float]], killed_s: float | None, recovered_s: float | None
) -> list[float]:
    """The probe's times from hand-over to acknowledgement, sorted, without those that met the
    outage: it has a number of its own, and a paced probe would only count it many times."""
    return sorted(
        (acked_s - sent_s) * 1000
        for sent_s, acked_s in samples
        if killed_s is None
        or acked_s < killed_s
        or (recovered_s is not None and sent_s > recovered_s)
    )


@dataclass(frozen=True, slots=True)
class Report:
    """What came out. Times are what clients saw; counts come from the verifier."""

    sent: int
    findings: Findings
    redelivered: int
    processed: int
    never_acknowledged: int
    events_per_s: float
    ack_ms: Sequence[float]
    recovery_s: float | None
    durability: str
    consumer_killed: bool
    board_matches: bool
    carriers: Mapping[str, Tally]
    failure: str = ""

    @classmethod
    def of(
        cls,
        status: Status,
        findings: Findings,
        *,
        durability: str,
        consumer_killed: bool,
        board_matches: bool,
        carriers: Mapping[str, Tally],
    ) -> Report:
        """The report of a run that has ended."""
        producers = status.producers.values()
        seconds = max(p.last_s for p in producers) - min(p.first_s for p in producers)
        recovery_s = None
        if status.killed_s is not None and status.recovered_s is not None:
            recovery_s = status.recovered_s - status.killed_s
        return cls(
            sent=status.sent,
            findings=findings,
            redelivered=status.redelivered,
            processed=status.covered,
            never_acknowledged=status.total - status.acked,
            events_per_s=status.acked / seconds,
            ack_ms=ack_times_ms(status.samples, status.killed_s, status.recovered_s),
            recovery_s=recovery_s,
            durability=durability,
            consumer_killed=consumer_killed,
            board_matches=board_matches,
            carriers=carriers,
            failure=next((p.failure for p in producers if p.failure), ""),
        )

    def to_json(self) -> dict[str, int | float | str | None]:
        """The published keys, no more and no fewer."""
        return {
            "sent": self.sent,
            "in_log": self.findings.in_log,
            "lost": self.findings.lost,
            "duplicated_in_log": self.findings.duplicated,
            "out_of_order": self.findings.out_of_order,
            "redelivered": self.redelivered,
            "events_per_s": round(self.events_per_s),
            "ack_ms_p50": self._ack_ms(0.50),
            "ack_ms_p99": self._ack_ms(0.99),
            "recovery_s": None if self.recovery_s is None else round(self.recovery_s, 3),
            "durability": self.durability,
        }

    def rows(self) -> list[tuple[str, str, str]]:
        """The table: what, how much, and how to read it."""
        found = self.findings
        out = self.to_json()
        return [
            ("events sent", f"{self.sent:,}", "by three producers, one an airport"),
            ("in the log", f"{found.in_log:,}", "read from the beginning by a verifier"),
            ("lost", f"{found.lost:,}", "acknowledged, but not in the log as it was sent"),
            ("duplicated in the log", f"{found.duplicated:,}", ""),
            ("out of order", f"{found.out_of_order:,}", "per producer and aircraft"),
            ("processed by the group", f"{self.processed:,}", "different records"),
            ("redelivered", f"{self.redelivered:,}", "processed again after a crash; no harm done"),
            ("delay board", "right" if self.board_matches else "wrong", "against the data itself"),
            (
                "events/s",
                f"{out['events_per_s']:,}",
                "from the first sent to the last acknowledged, outage included",
            ),
            (
                "ack p50",
                f"{out['ack_ms_p50']} ms",
                "a client of its own, one event each 20 ms, meanwhile",
            ),
            (
                "ack p99",
                f"{out['ack_ms_p99']} ms",
                "the same; the outage is under recovery instead",
            ),
            ("recovery", f"{out['recovery_s']} s", "SIGKILL to the first acknowledgement after it"),
            ("durability", self.durability, _DURABILITY.get(self.durability, "")),
        ]

    def crossing(self) -> str:
        """What the data shows about order across producers."""
        found = self.findings
        pairs = count_text(found.crossed_pairs, "pair")
        return (
            f"{found.shared_aircraft:,} aircraft were seen by more than one airport; for "
            f"{found.crossed_aircraft:,} of them the log holds neighbours from two producers with "
            f"event time running backwards ({pairs}). Order across producers "
            "is not promised: event time is what joins them, and the board goes by it."
        )

    def failures(self) -> list[str]:
        """What was promised and not kept; empty if all is well."""
        found = self.findings
        unprocessed = found.in_log - self.processed
        broken = [
            (found.lost, f"{found.lost:,} acknowledged events are lost"),
            (found.duplicated, f"{found.duplicated:,} events are in the log more than once"),
            (found.out_of_order, f"{found.out_of_order:,} events are out of order"),
            (found.misplaced, f"{found.misplaced:,} are not at the acknowledged offset"),
            (found.strangers, f"{found.strangers:,} records in the log were sent by nobody"),
            (
                self.never_acknowledged,
                f"{self.never_acknowledged:,} events were never acknowledged ({self.failure})",
            ),
            (unprocessed > 0, f"the group did not process {unprocessed:,} records"),
            (not self.board_matches, "the delay board is not what the data says"),
            (self.recovery_s is None, "the broker was not killed and restarted while it worked"),
            (not self.consumer_killed, "no consumer was killed while it worked"),
        ]
        return [text for bad, text in broken if bad]

    def verdict(self) -> str:
        """One line of plain English."""
        failures = self.failures()
        if failures:
            return f"BROKEN: {'; '.join(failures)}."
        return (
            f"All {self.sent:,} acknowledged events are in the log exactly once and in order, "
            f"although the broker was killed half-way (back in {self.recovery_s:.2f} s) and a "
            "consumer after it."
        )

    def _ack_ms(self, share: float) -> float | None:
        return round(percentile(self.ack_ms, share), 2) if self.ack_ms else None


_DURABILITY = {
    "fsync": "acknowledged means fsynced",
    "os": "acknowledged means handed to the operating system",
}
