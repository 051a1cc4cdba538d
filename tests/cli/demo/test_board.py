import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.cli.demo.board import Board, Happening, expected, merge
from headrace.cli.demo.events import ORIGINS, Event, EventStream, Kind
from headrace.cli.demo.flights_file import FlightTable
from headrace.cli.demo.received import Received, happening

EVENTS = 300


def received(event: Event, partition: int, offset: int) -> Received:
    headers = {name: value for name, value in event.headers if isinstance(value, bytes)}
    return Received(partition, offset, event.time_ms, event.key, event.value, headers)


def a_topic(table: FlightTable, chance: random.Random, partitions: int) -> list[list[Received]]:
    """The events of three producers, mixed by chance, each of them in its own order."""
    streams = {origin: iter(EventStream(table, origin, EVENTS)) for origin in ORIGINS}
    topic: list[list[Received]] = [[] for _ in range(partitions)]
    while streams:
        origin = chance.choice(sorted(streams))
        event = next(streams[origin], None)
        if event is None:
            del streams[origin]
            continue
        partition = sum(event.key) % partitions
        topic[partition].append(received(event, partition, len(topic[partition])))
    return topic


def board_of(log: list[Received], board: Board | None = None) -> Board:
    board = board or Board()
    for record in log[board.next_offset :]:
        board.apply(happening(record))
        board.next_offset = record.offset + 1
    return board


def by_itself(table: FlightTable) -> Board:
    return expected(table, [EventStream(table, origin, EVENTS) for origin in ORIGINS])


@settings(max_examples=20)
@given(chance=st.randoms(use_true_random=False), partitions=st.integers(1, 12))
def test_the_board_is_what_the_data_says_however_producers_are_mixed(
    first_days: FlightTable, chance: random.Random, partitions: int
) -> None:
    topic = a_topic(first_days, chance, partitions)
    assert merge(board_of(log) for log in topic) == by_itself(first_days)


@settings(max_examples=20)
@given(data=st.data())
def test_a_board_goes_on_from_where_it_was_saved(
    first_days: FlightTable, data: st.DataObject
) -> None:
    (log,) = a_topic(first_days, random.Random(1), partitions=1)
    at = data.draw(st.integers(0, len(log)))
    saved = Board.from_json(board_of(log[:at]).to_json())
    assert board_of(log, saved) == by_itself(first_days)


@pytest.mark.parametrize("fault", ["lost", "twice", "altered"])
def test_a_fault_shows_on_the_board(first_days: FlightTable, fault: str) -> None:
    (log,) = a_topic(first_days, random.Random(2), partitions=1)
    happenings = [happening(record) for record in log]
    if fault == "lost":
        del happenings[100]
    elif fault == "twice":
        happenings.append(happenings[100])
    else:
        happenings[100].delay_min += 1
    board = Board(next_offset=len(log))
    for event in happenings:
        board.apply(event)
    assert board != by_itself(first_days)


def an_event(sequence: int, time_ms: int, origin: str = "EWR") -> Happening:
    return Happening("N1", True, origin, sequence, time_ms, Kind.DEPARTED, "UA", "SFO", 3)


def test_an_aircraft_is_where_its_latest_event_by_event_time_was() -> None:
    board = Board()
    board.apply(an_event(1, 2000, "EWR"))
    board.apply(an_event(1, 1000, "JFK"))
    assert board.aircraft["N1"][:3] == [2000, Kind.DEPARTED, "EWR"]
    assert board.disorder == 0


def test_an_event_behind_a_later_one_of_its_stream_is_disorder() -> None:
    board = Board()
    for sequence in (2, 1, 1, 3):
        board.apply(an_event(sequence, 1000))
    assert board.disorder == 2
