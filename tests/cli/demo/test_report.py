import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.demo.checker import Findings
from headrace.cli.demo.report import Report, ack_times_ms, percentile
from headrace.cli.demo.status import Status

KEYS = [
    "sent",
    "in_log",
    "lost",
    "duplicated_in_log",
    "out_of_order",
    "redelivered",
    "events_per_s",
    "ack_ms_p50",
    "ack_ms_p99",
    "recovery_s",
    "durability",
]

GOOD = Report(
    sent=100,
    findings=Findings(in_log=100),
    redelivered=7,
    processed=100,
    never_acknowledged=0,
    events_per_s=1234.5,
    ack_ms=[1.0, 2.0, 30.0],
    recovery_s=0.43219,
    durability="fsync",
    consumer_killed=True,
    board_matches=True,
    carriers={"UA": [1, 2, 3, 4, 5]},
)


def with_findings(**changes: int) -> Report:
    return dataclasses.replace(GOOD, findings=dataclasses.replace(GOOD.findings, **changes))


def test_the_json_object_has_exactly_the_published_keys() -> None:
    assert GOOD.to_json() == {
        "sent": 100,
        "in_log": 100,
        "lost": 0,
        "duplicated_in_log": 0,
        "out_of_order": 0,
        "redelivered": 7,
        "events_per_s": 1234,
        "ack_ms_p50": 2.0,
        "ack_ms_p99": 30.0,
        "recovery_s": 0.432,
        "durability": "fsync",
    }
    assert list(GOOD.to_json()) == KEYS


def test_a_good_run_says_so() -> None:
    assert GOOD.failures() == []
    assert GOOD.verdict().startswith("All 100 acknowledged events are in the log exactly once")


@pytest.mark.parametrize(
    ("report", "word"),
    [
        (with_findings(lost=1), "lost"),
        (with_findings(duplicated=1), "more than once"),
        (with_findings(out_of_order=1), "out of order"),
        (with_findings(misplaced=1), "acknowledged offset"),
        (with_findings(strangers=1), "nobody"),
        (dataclasses.replace(GOOD, processed=99), "did not process 1 "),
        (
            dataclasses.replace(GOOD, never_acknowledged=1, failure="why"),
            "never acknowledged (why)",
        ),
        (dataclasses.replace(GOOD, board_matches=False), "board"),
        (dataclasses.replace(GOOD, recovery_s=None), "broker was not killed"),
        (dataclasses.replace(GOOD, consumer_killed=False), "no consumer was killed"),
    ],
)
def test_every_broken_promise_breaks_the_verdict(report: Report, word: str) -> None:
    (failure,) = report.failures()
    assert word in failure
    assert report.verdict() == f"BROKEN: {failure}."


def test_redelivery_is_no_failure() -> None:
    assert dataclasses.replace(GOOD, redelivered=10_000).failures() == []


def test_the_table_says_every_published_number() -> None:
    shown = " ".join(str(value) for _, value, _ in GOOD.rows())
    for number in ("100", "7", "1,234", "2.0 ms", "30.0 ms", "0.432 s", "fsync"):
        assert number in shown


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_enough_do_not_exceed(
    values: list[float], share: float
) -> None:
    value = percentile(sorted(values), share)
    assert value in values
    assert sum(other <= value for other in values) >= share * len(values) - 1e-6
    assert sum(other < value for other in values) < share * len(values) + 1e-6


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_acknowledgements_that_met_the_outage_are_left_to_recovery() -> None:
    samples = [(1.0, 1.010), (1.9, 2.6), (2.1, 2.6), (2.7, 2.705)]
    times = ack_times_ms(samples, killed_s=2.0, recovered_s=2.6)
    assert times == pytest.approx([5.0, 10.0])
    assert len(ack_times_ms(samples, killed_s=None, recovered_s=None)) == 4


def test_a_report_is_made_of_a_status() -> None:
    status = Status(["airport-EWR"], ["consumer-1"], 1)
    messages: list[dict[str, Any]] = [
        {"type": "ready", "events": 10},
        {"type": "progress", "sent": 10, "acked": 9, "ends": [9]},
        {"type": "done", "failed": 1, "failure": "late", "first_s": 1.0, "last_s": 4.0},
    ]
    for message in messages:
        status.take("airport-EWR", message)
    status.take("consumer-1", {"type": "batch", "ranges": [[0, 0, 9]]})
    report = Report.of(
        status,
        Findings(in_log=9),
        durability="os",
        consumer_killed=True,
        board_matches=True,
        carriers={},
    )
    assert (report.sent, report.processed, report.never_acknowledged) == (10, 9, 1)
    assert report.events_per_s == 3.0
    assert report.recovery_s is None
    assert report.to_json()["ack_ms_p50"] is None
