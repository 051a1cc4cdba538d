from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.demo.ledger import UNKNOWN_OFFSET, AckLedger, LedgerError, fingerprint


def test_a_ledger_reads_back_what_was_noted(tmp_path: Path) -> None:
    ledger = AckLedger("JFK", 4)
    for sequence in range(1, 5):
        ledger.sent(sequence, 0xFFFFFFFF - sequence)
    ledger.acknowledge(1, 11, 2**40)
    ledger.acknowledge(3, 0, -1001)
    ledger.write(tmp_path / "ledger")
    read = AckLedger.read(tmp_path / "ledger")
    assert (read.origin, read.size, read.acknowledged) == ("JFK", 4, 2)
    assert [read.mark(sequence) for sequence in range(1, 5)] == [
        0xFFFFFFFF - sequence for sequence in range(1, 5)
    ]
    places = [read.place(sequence) for sequence in range(1, 5)]
    assert places == [(11, 2**40), None, (0, UNKNOWN_OFFSET), None]


def test_an_event_is_acknowledged_once_however_often_it_is_said() -> None:
    ledger = AckLedger("JFK", 1)
    ledger.acknowledge(1, 2, 3)
    ledger.acknowledge(1, 2, 3)
    assert ledger.acknowledged == 1


@pytest.mark.parametrize("size", [0, 10, -1])
def test_half_a_ledger_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "ledger"
    AckLedger("EWR", 3).write(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(LedgerError):
        AckLedger.read(path)


@given(st.binary(), st.binary(), st.integers(0, 2**42), st.sampled_from(["key", "value", "time"]))
def test_a_fingerprint_changes_with_what_was_sent(
    key: bytes, value: bytes, time_ms: int, what: str
) -> None:
    other = {
        "key": (key + b"x", value, time_ms),
        "value": (key, value + b"x", time_ms),
        "time": (key, value, time_ms + 60_000),
    }[what]
    assert fingerprint(key, value, time_ms) != fingerprint(*other)
