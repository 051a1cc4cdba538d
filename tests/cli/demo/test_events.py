import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.demo.events import ORIGINS, Event, EventStream, Kind, shares
from headrace.cli.demo.flights_file import EPOCH_MS, FlightTable, Outcome

MakeTable = Callable[..., FlightTable]


def kinds(events: list[Event]) -> list[str]:
    return [str(dict(event.headers)["ce_type"], "ascii").rpartition(".")[2] for event in events]


def test_the_year_is_664839_events(shipped: FlightTable) -> None:
    counts = {origin: len(EventStream(shipped, origin)) for origin in ORIGINS}
    assert counts == {"EWR": 238_280, "JFK": 220_563, "LGA": 205_996}
    assert sum(counts.values()) == 664_839


def test_a_flight_departs_and_arrives(make_table: MakeTable) -> None:
    table = make_table((60, "N1", Outcome.ARRIVED, 5, -7))
    events = list(EventStream(table, "EWR"))
    assert kinds(events) == ["departed", "arrived"]
    assert [(event.time_ms - EPOCH_MS) // 60_000 for event in events] == [65, 153]
    assert [json.loads(event.value)["delay_min"] for event in events] == [5, -7]


def test_a_cancelled_flight_is_one_event_at_its_scheduled_departure(make_table: MakeTable) -> None:
    (event,) = EventStream(make_table((60, "N1", Outcome.CANCELLED, 0, 0)), "EWR")
    assert kinds([event]) == ["cancelled"]
    assert event.time_ms == EPOCH_MS + 60 * 60_000


def test_a_flight_without_known_arrival_only_departs(make_table: MakeTable) -> None:
    events = list(EventStream(make_table((60, "N1", Outcome.NEVER_ARRIVED, 0, 0)), "EWR"))
    assert kinds(events) == ["departed"]


def test_a_diverted_flight_arrives_and_says_so(make_table: MakeTable) -> None:
    events = list(EventStream(make_table((60, "N1", Outcome.DIVERTED, 0, 200)), "EWR"))
    assert kinds(events) == ["departed", "arrived"]
    assert json.loads(events[1].value)["diverted"] is True


def test_an_event_is_a_cloudevent_in_binary_mode(make_table: MakeTable) -> None:
    event = next(iter(EventStream(make_table((60, "N1", Outcome.ARRIVED, 5, 0)), "EWR")))
    assert event.key == b"N1"
    assert dict(event.headers) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": b"EWR-1",
        "ce_source": b"/airports/EWR",
        "ce_type": b"io.headrace.flight.departed",
        "ce_time": b"2013-01-01T01:05:00Z",
        "ce_subject": b"aircraft/N1",
        "ce_sequence": b"000000001",
    }
    assert json.loads(event.value) == {
        "flight": "UA1",
        "carrier": "UA",
        "aircraft": "N1",
        "origin": "EWR",
        "destination": "SFO",
        "scheduled": "2013-01-01T01:00:00Z",
        "delay_min": 5,
    }


def test_without_tail_number_the_flight_is_the_key(make_table: MakeTable) -> None:
    (event,) = EventStream(make_table((60, "", Outcome.CANCELLED, 0, 0)), "EWR")
    assert event.key == b"UA1"
    assert dict(event.headers)["ce_subject"] == b"flight/UA1"
    assert json.loads(event.value)["aircraft"] is None


@pytest.mark.parametrize("origin", ORIGINS)
def test_events_come_numbered_and_in_event_time_order(shipped: FlightTable, origin: str) -> None:
    events = list(EventStream(shipped, origin, limit=5000))
    assert [event.sequence for event in events] == list(range(1, 5001))
    assert [dict(event.headers)["ce_id"] for event in events] == [
        f"{origin}-{number}".encode() for number in range(1, 5001)
    ]
    assert all(a.time_ms <= b.time_ms for a, b in pairwise(events))


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_flight_departs_before_it_arrives(shipped: FlightTable, origin: str) -> None:
    seen: set[int] = set()
    for _minute, row, kind in EventStream(shipped, origin).moments():
        if kind is Kind.ARRIVED:
            assert row in seen
        seen.add(row)


def test_an_unknown_airport_is_refused(shipped: FlightTable) -> None:
    with pytest.raises(KeyError, match="XXX"):
        EventStream(shipped, "XXX")


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6), st.integers(0, 7000))
def test_shares_add_up_and_exceed_nobody(totals: list[int], events: int) -> None:
    parts = shares(totals, events)
    assert sum(parts) == min(events, sum(totals))
    assert all(0 <= part <= total for part, total in zip(parts, totals, strict=True))


def test_no_limit_means_everything() -> None:
    assert shares([3, 4], None) == [3, 4]
