"""The delay board: what a consumer makes of the events of one partition, and how boards add up.

A board is a plain function of a partition's first N records, so it can be saved with N as its name,
loaded by whoever owns the partition next, and compared with what the data alone says. Pure.

Aircraft are followed by event time, not by arrival: two airports that write about one aircraft are
two producers, and only the time in the events says which came first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from headrace.cli.demo.events import EventStream, Kind
from headrace.cli.demo.flights_file import EPOCH_MS, FlightTable

__all__ = ["Board", "Happening", "Sighting", "Tally", "expected", "merge"]

_MINUTE_MS = 60_000

# What a board says of a carrier or an airport; a list, because it is changed in place and goes into
# JSON as it is: departed, minutes of delay at departure, arrived, minutes of delay at arrival,
# cancelled.
Tally = list[int]

# Where an aircraft was seen last (event time in ms, kind, airport), its flights, its minutes late.
Sighting = list[int | str]


@dataclass(slots=True)
class Happening:
    """An event as the board sees it."""

    key: str
    aircraft: bool  # the key is an aircraft; else it is a flight whose aircraft is not known
    origin: str
    sequence: int
    time_ms: int
    kind: Kind
    carrier: str
    destination: str
    delay_min: int


@dataclass(slots=True)
class Board:
    """All that was learnt from one partition's records up to `next_offset`."""

    next_offset: int = 0
    events: int = 0
    disorder: int = 0
    carriers: dict[str, Tally] = field(default_factory=dict)
    airports: dict[str, Tally] = field(default_factory=dict)
    aircraft: dict[str, Sighting] = field(default_factory=dict)
    sequences: dict[str, dict[str, int]] = field(default_factory=dict)  # origin -> key -> last

    def apply(self, event: Happening) -> None:
        """Take the next event; one that is behind a later one of its stream is counted."""
        self.events += 1
        stream = self.sequences.setdefault(event.origin, {})
        if event.sequence <= stream.get(event.key, 0):
            self.disorder += 1
        stream[event.key] = event.sequence
        place = event.destination if event.kind is Kind.ARRIVED else event.origin
        _count(self.carriers.setdefault(event.carrier, [0] * 5), event)
        _count(self.airports.setdefault(place, [0] * 5), event)
        if event.aircraft:
            self._follow(event, place)

    def to_json(self) -> str:
        """The board for a file or a pipe."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Board:
        """What `to_json` wrote. Raises ValueError or TypeError for anything else."""
        return cls(**json.loads(text))

    def _follow(self, event: Happening, place: str) -> None:
        seen: list[int | str] = [event.time_ms, int(event.kind), place]
        known = self.aircraft.get(event.key)
        if known is None:
            known = self.aircraft[event.key] = [*seen, 0, 0]
        elif seen > known[:3]:
            known[:3] = seen
        if event.kind is Kind.DEPARTED:
            known[3] += 1  # type: ignore[operator]
        known[4] += event.delay_min  # type: ignore[operator]


def merge(boards: Iterable[Board]) -> Board:
    """One board over several partitions; `next_offset` adds up to the number of records read.

    A key lives in one partition, so aircraft need no joining.
    """
    whole = Board()
    for board in boards:
        whole.next_offset += board.next_offset
        whole.events += board.events
        whole.disorder += board.disorder
        _add(whole.carriers, board.carriers)
        _add(whole.airports, board.airports)
        whole.aircraft.update(board.aircraft)
        for origin, stream in board.sequences.items():
            whole.sequences.setdefault(origin, {}).update(stream)
    return whole


def expected(table: FlightTable, streams: Iterable[EventStream]) -> Board:
    """The board that the data alone gives: no broker, no records, no JSON on the way."""
    board = Board()
    for stream in streams:
        for sequence, (minute, row, kind) in enumerate(stream.moments(), start=1):
            carrier = table.carriers[table.carrier[row]][0]
            tail = table.tails[table.tail[row]]
            late = table.departure_delay if kind is Kind.DEPARTED else table.arrival_delay
            board.apply(
                Happening(
                    key=tail or f"{carrier}{table.number[row]}",
                    aircraft=bool(tail),
                    origin=stream.origin,
                    sequence=sequence,
                    time_ms=EPOCH_MS + minute * _MINUTE_MS,
                    kind=kind,
                    carrier=carrier,
                    destination=table.airports[table.destination[row]],
                    delay_min=late[row],
                )
            )
    board.next_offset = board.events
    return board


def _count(tally: Tally, event: Happening) -> None:
    if event.kind is Kind.DEPARTED:
        tally[0] += 1
        tally[1] += event.delay_min
    elif event.kind is Kind.ARRIVED:
        tally[2] += 1
        tally[3] += event.delay_min
    else:
        tally[4] += 1


def _add(whole: dict[str, Tally], part: dict[str, Tally]) -> None:
    for name, tally in part.items():
        known = whole.setdefault(name, [0] * 5)
        for index, value in enumerate(tally):
            known[index] += value
