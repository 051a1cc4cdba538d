"""The judge of ingest streams finds every seeded fault, and nothing in a log without fault."""

from collections.abc import Callable

import pytest

from proof.streams.judge import Judge, Name, Told

Entry = tuple[int, int, Name, int]
"""Partition, producer id, stream, number."""


def log() -> list[Entry]:
    """Three streams, of which the first two share partition 0."""
    entries = []
    for number in range(5):
        entries += [(0, 100, Name(1, 0), number), (0, 101, Name(2, 0), number)]
    return entries + [(1, 102, Name(1, 1), number) for number in range(4)]


TOLD = {Name(1, 0): Told(5, 5), Name(2, 0): Told(6, 3), Name(1, 1): Told(4, 4)}


def verdict(entries, told=TOLD):
    judge = Judge()
    for entry in entries:
        judge.add(*entry)
    return judge.verdict(told)


def test_a_faultless_log_has_no_problem_and_counts_what_was_not_acknowledged():
    found = verdict(log())
    assert found.problems == []
    assert (found.records, found.streams, found.unacknowledged_records) == (14, 3, 2)


def lost_last(entries):
    entries.remove((0, 100, Name(1, 0), 4))


def lost_amid(entries):
    entries.remove((0, 100, Name(1, 0), 2))


def twice(entries):
    entries.insert(3, entries[2])


def swapped(entries):
    entries[10], entries[11] = entries[11], entries[10]


def elsewhere(entries):
    entries[-1] = (2, 102, Name(1, 1), 3)


def other_producer_id(entries):
    entries[-1] = (1, 103, Name(1, 1), 3)


def shared_producer_id(entries):
    entries[-4:] = [(1, 100, Name(1, 1), number) for number in range(4)]


def never_sent(entries):
    entries.append((1, 102, Name(1, 1), 4))


def unknown_stream(entries):
    entries.append((1, 104, Name(9, 0), 0))


def gone_whole(entries):
    del entries[-4:]


@pytest.mark.parametrize(
    "fault",
    [
        *(lost_last, lost_amid, twice, swapped, elsewhere, other_producer_id),
        *(shared_producer_id, never_sent, unknown_stream, gone_whole),
    ],
)
def test_a_seeded_fault_is_found(fault: Callable[[list[Entry]], None]):
    entries = log()
    fault(entries)
    assert verdict(entries).problems
