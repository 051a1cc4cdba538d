"""Does the log hold what was acknowledged, once, unaltered, and in the promised order?

Pure: fed with the records of the log, partition by partition in offset order, and with the
producers' ledgers. The promise on order is per producer and key: what one producer wrote for one
aircraft is read in the order in which it wrote it. Across producers nothing is promised; how often
event time runs backwards where two airports saw the same aircraft is counted, not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, NamedTuple

from headrace.cli.demo.events import AIRCRAFT
from headrace.cli.demo.ledger import UNKNOWN_OFFSET, AckLedger

__all__ = ["Findings", "LogChecker", "Record"]

_EXAMPLES_MAX: Final = 8
_AIRCRAFT: Final = AIRCRAFT.encode()


class Record(NamedTuple):
    """What the check needs of a record."""

    partition: int
    offset: int
    origin: str
    sequence: int
    subject: bytes
    time_ms: int
    mark: int


@dataclass(slots=True)
class Findings:
    """The verdict's numbers. The first group must be 0; `in_log` counts every record there is."""

    lost: int = 0  # acknowledged, but not in the log, or not as it was sent
    duplicated: int = 0  # further copies of a record that is already in the log
    out_of_order: int = 0  # behind a later event of the same producer and aircraft
    misplaced: int = 0  # in the log, but not where the acknowledgement said
    strangers: int = 0  # in the log, but sent by nobody

    in_log: int = 0
    unacknowledged: int = 0  # in the log without acknowledgement: allowed, the producer gave up
    shared_aircraft: int = 0  # aircraft seen by more than one airport
    crossed_aircraft: int = 0  # of these, where the log's order is not that of event time
    crossed_pairs: int = 0  # neighbours of one aircraft, two producers, event time going back
    ends: dict[int, int] = field(default_factory=dict)  # partition -> behind its last record
    examples: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Findings:
        findings = cls(**values)  # type: ignore[arg-type]
        findings.ends = {int(partition): end for partition, end in findings.ends.items()}
        return findings


class LogChecker:
    """Feed it every record, partition by partition in offset order; then ask `findings()` once."""

    __slots__ = ("_copies", "_findings", "_intact", "_latest", "_ledgers", "_seen")

    def __init__(self, ledgers: Mapping[str, AckLedger]) -> None:
        self._ledgers = ledgers
        self._intact = {origin: bytearray(ledger.size + 1) for origin, ledger in ledgers.items()}
        self._copies = {origin: bytearray(ledger.size + 1) for origin, ledger in ledgers.items()}
        # (origin, subject) -> the highest sequence so far
        self._seen: dict[tuple[str, bytes], int] = {}
        # aircraft -> event time, origin of its latest record, origins seen, event time went back
        self._latest: dict[bytes, tuple[int, str, frozenset[str], bool]] = {}
        self._findings = Findings()

    def feed(self, record: Record) -> None:
        """Take the next record of its partition."""
        found = self._findings
        found.in_log += 1
        found.ends[record.partition] = record.offset + 1
        ledger = self._ledgers.get(record.origin)
        if ledger is None or not 1 <= record.sequence <= ledger.size:
            found.strangers += 1
            self._example("sent by nobody", record)
            return
        intact = record.mark == ledger.mark(record.sequence)
        if not intact:
            self._example("not as it was sent", record)
        copies = self._copies[record.origin]
        if copies[record.sequence]:
            found.duplicated += 1
            self._example("once more", record)
        else:
            copies[record.sequence] = 1
            self._check_order(record)
            self._check_place(record, ledger.place(record.sequence))
        if intact:
            self._intact[record.origin][record.sequence] = 1
        if record.subject.startswith(_AIRCRAFT):
            self._follow(record)

    def findings(self) -> Findings:
        """What came out, with everything acknowledged that never appeared counted as lost."""
        found = self._findings
        for origin, ledger in self._ledgers.items():
            intact = self._intact[origin]
            for sequence in range(1, ledger.size + 1):
                if intact[sequence]:
                    continue
                place = ledger.place(sequence)
                if place is not None:
                    found.lost += 1
                    self._note(f"lost: {origin}-{sequence}, acknowledged at {place[0]}/{place[1]}")
        followed = [state for state in self._latest.values() if len(state[2]) > 1]
        found.shared_aircraft = len(followed)
        found.crossed_aircraft = sum(state[3] for state in followed)
        return found

    def _check_order(self, record: Record) -> None:
        stream = (record.origin, record.subject)
        before = self._seen.get(stream, 0)
        if record.sequence > before:
            self._seen[stream] = record.sequence
        else:
            self._findings.out_of_order += 1
            self._example(f"behind number {before} of the same aircraft", record)

    def _check_place(self, record: Record, place: tuple[int, int] | None) -> None:
        if place is None:
            self._findings.unacknowledged += 1
        elif place[1] != UNKNOWN_OFFSET and place != (record.partition, record.offset):
            self._findings.misplaced += 1
            self._example(f"acknowledged at {place[0]}/{place[1]}", record)

    def _follow(self, record: Record) -> None:
        state = self._latest.get(record.subject)
        if state is None:
            origins = frozenset((record.origin,))
            self._latest[record.subject] = (record.time_ms, record.origin, origins, False)
            return
        time_ms, origin, origins, crossed = state
        if record.origin != origin:
            origins |= {record.origin}
            if record.time_ms < time_ms:
                self._findings.crossed_pairs += 1
                crossed = True
        self._latest[record.subject] = (record.time_ms, record.origin, origins, crossed)

    def _example(self, what: str, record: Record) -> None:
        where = f"{record.partition}/{record.offset}"
        self._note(f"{what}: {record.origin}-{record.sequence} at {where}")

    def _note(self, text: str) -> None:
        if len(self._findings.examples) < _EXAMPLES_MAX:
            self._findings.examples.append(text)
