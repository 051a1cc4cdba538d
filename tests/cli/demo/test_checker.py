"""A check that cannot fail is worth nothing: each kind of damage must be found and named right."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.demo.checker import Findings, LogChecker, Record
from headrace.cli.demo.ledger import AckLedger

ORIGINS = ("EWR", "JFK")
Log = list[Record]


def a_log(seed: int, count: int = 60, partitions: int = 3) -> Log:
    """What a faultless broker holds: each producer's events in order, mixed, offsets from 0."""
    chance = random.Random(seed)
    ends = [0] * partitions
    numbers = dict.fromkeys(ORIGINS, 0)
    log = []
    for _ in range(count):
        origin = chance.choice(ORIGINS)
        aircraft = chance.randrange(10)
        partition = aircraft % partitions
        numbers[origin] += 1
        number = numbers[origin]
        subject = b"aircraft/N%d" % aircraft
        log.append(Record(partition, ends[partition], origin, number, subject, number, number))
        ends[partition] += 1
    return log


def ledgers_of(log: Log) -> dict[str, AckLedger]:
    ledgers = {}
    for origin in ORIGINS:
        records = [record for record in log if record.origin == origin]
        ledger = ledgers[origin] = AckLedger(origin, len(records))
        for record in records:
            ledger.sent(record.sequence, record.mark)
            ledger.acknowledge(record.sequence, record.partition, record.offset)
    return ledgers


def judge(log: Log, ledgers: dict[str, AckLedger]) -> Findings:
    checker = LogChecker(ledgers)
    for record in sorted(log, key=lambda record: (record.partition, record.offset)):
        checker.feed(record)
    return checker.findings()


def numbered_anew(log: Log, partition: int) -> Log:
    """The same records with offsets as they come."""
    offsets = iter(range(len(log)))
    return [
        record._replace(offset=next(offsets)) if record.partition == partition else record
        for record in log
    ]


def without_offsets(log: Log, ledgers: dict[str, AckLedger]) -> dict[str, AckLedger]:
    for record in log:
        ledgers[record.origin].acknowledge(record.sequence, record.partition, -1)
    return ledgers


def faults(findings: Findings) -> dict[str, int]:
    names = ("lost", "duplicated", "out_of_order", "misplaced", "strangers", "unacknowledged")
    return {name: getattr(findings, name) for name in names if getattr(findings, name)}


seeds = st.integers(0, 10_000)
positions = st.integers(0, 59)


@given(seeds)
def test_a_faultless_log_passes(seed: int) -> None:
    log = a_log(seed)
    findings = judge(log, ledgers_of(log))
    assert faults(findings) == {}
    assert findings.in_log == 60
    assert findings.examples == []
    assert sum(findings.ends.values()) == 60


@given(seeds, st.sets(positions, min_size=1, max_size=20))
def test_every_acknowledged_record_that_is_missing_is_lost(seed: int, gone: set[int]) -> None:
    log = a_log(seed)
    left = [record for position, record in enumerate(log) if position not in gone]
    findings = judge(left, ledgers_of(log))
    assert faults(findings) == {"lost": len(gone)}
    assert "lost: " in findings.examples[0]


@given(seeds, positions)
def test_an_altered_record_is_lost(seed: int, position: int) -> None:
    log = a_log(seed)
    ledgers = ledgers_of(log)
    log[position] = log[position]._replace(mark=log[position].mark + 1)
    assert faults(judge(log, ledgers)) == {"lost": 1}


@given(seeds, positions, st.integers(1, 3))
def test_every_further_copy_is_a_duplicate(seed: int, position: int, copies: int) -> None:
    log = a_log(seed)
    again = log[position]
    end = sum(record.partition == again.partition for record in log)
    extra = [again._replace(offset=end + number) for number in range(copies)]
    assert faults(judge(log + extra, ledgers_of(log))) == {"duplicated": copies}


@given(seeds)
def test_a_record_behind_a_later_one_of_its_stream_is_out_of_order(seed: int) -> None:
    log = a_log(seed)
    streams: dict[tuple[str, bytes], list[Record]] = {}
    for record in log:
        streams.setdefault((record.origin, record.subject), []).append(record)
    first, second = next(stream for stream in streams.values() if len(stream) > 1)[:2]
    ledgers = without_offsets(log, ledgers_of(log))
    log[log.index(first)], log[log.index(second)] = (
        second._replace(offset=first.offset),
        first._replace(offset=second.offset),
    )
    assert faults(judge(log, ledgers)) == {"out_of_order": 1}


@given(seeds, st.randoms())
def test_streams_may_be_mixed_as_they_like(seed: int, chance: random.Random) -> None:
    """Order is promised per producer and aircraft, and not judged beyond that."""
    log = a_log(seed, partitions=1)
    streams: dict[tuple[str, bytes], list[Record]] = {}
    for record in log:
        streams.setdefault((record.origin, record.subject), []).append(record)
    order = [stream for stream, records in streams.items() for _ in records]
    chance.shuffle(order)
    mixed = numbered_anew([streams[stream].pop(0) for stream in order], partition=0)
    assert faults(judge(mixed, without_offsets(log, ledgers_of(log)))) == {}


@given(seeds, positions)
def test_a_record_elsewhere_than_acknowledged_is_misplaced(seed: int, position: int) -> None:
    log = a_log(seed)
    ledgers = ledgers_of(log)
    record = log[position]
    ledgers[record.origin].acknowledge(record.sequence, record.partition, record.offset + 1)
    assert faults(judge(log, ledgers)) == {"misplaced": 1}


@pytest.mark.parametrize(("origin", "sequence"), [("LGA", 1), ("EWR", 0), ("EWR", 1000)])
def test_a_record_that_nobody_sent_is_a_stranger(origin: str, sequence: int) -> None:
    log = a_log(1)
    stranger = Record(0, 1000, origin, sequence, b"aircraft/N1", 1, 1)
    assert faults(judge([*log, stranger], ledgers_of(log))) == {"strangers": 1}


def test_an_unacknowledged_record_may_be_there_or_not() -> None:
    log = a_log(1)
    ledgers = ledgers_of(log[:-1])
    origin = log[-1].origin
    ledgers[origin] = AckLedger(origin, log[-1].sequence)
    for record in log[:-1]:
        ledgers[record.origin].sent(record.sequence, record.mark)
        ledgers[record.origin].acknowledge(record.sequence, record.partition, record.offset)
    ledgers[origin].sent(log[-1].sequence, log[-1].mark)
    assert faults(judge(log[:-1], ledgers)) == {}
    assert faults(judge(log, ledgers)) == {"unacknowledged": 1}


def test_event_time_running_back_between_two_airports_is_counted_and_not_judged() -> None:
    seen = [("EWR", 1, 10), ("JFK", 1, 7), ("JFK", 2, 12), ("EWR", 2, 20)]
    log = [
        Record(0, offset, origin, number, b"aircraft/N1", time_ms, 0)
        for offset, (origin, number, time_ms) in enumerate(seen)
    ]
    log.append(Record(0, 4, "EWR", 3, b"aircraft/N2", 0, 0))
    findings = judge(log, ledgers_of(log))
    assert faults(findings) == {}
    assert (findings.shared_aircraft, findings.crossed_aircraft, findings.crossed_pairs) == (
        1,
        1,
        1,
    )


def test_findings_survive_json() -> None:
    findings = judge(a_log(3), ledgers_of(a_log(3)))
    import json

    assert Findings.from_dict(json.loads(json.dumps(findings.as_dict()))) == findings
