"""Flights as events: CloudEvents 1.0 in Kafka's binary content mode, numbered by their producer.

A flight becomes `departed` and `arrived`, or `cancelled`; one that left and is not known to have
arrived (a diversion that ended elsewhere) stays at `departed`. Event time is when it happened: the
actual departure or arrival. When a cancellation was decided is not in the data; it carries the
scheduled departure. One producer speaks for one origin airport and writes in event-time order.

Pure: table in, events out. No Kafka client, no clock.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from headrace.cli.demo.flights_file import EPOCH_MS, FlightTable, Outcome

__all__ = [
    "AIRCRAFT",
    "ORIGINS",
    "SOURCE",
    "TYPES",
    "Event",
    "EventStream",
    "Headers",
    "Kind",
    "shares",
]

Headers = list[tuple[str, str | bytes | None]]

ORIGINS: Final = ("EWR", "JFK", "LGA")

AIRCRAFT: Final = "aircraft/"
"""What the subject of an event starts with if the aircraft is known; else it is `flight/`."""

SOURCE: Final = "/airports/"
"""What the source of an event starts with; the origin airport follows."""

_MINUTE_MS: Final = 60_000
_CONSTANT_HEADERS: Final = (
    ("ce_specversion", b"1.0"),
    ("content-type", b"application/json"),
)


class Kind(IntEnum):
    """What happened. In one minute of one flight's life, in this order."""

    DEPARTED = 0
    ARRIVED = 1
    CANCELLED = 2


_JSON: Final = json.JSONEncoder(separators=(",", ":"))
TYPES: Final = {kind: f"io.headrace.flight.{kind.name.lower()}".encode() for kind in Kind}
_KINDS_OF: Final = {
    Outcome.CANCELLED: (Kind.CANCELLED,),
    Outcome.ARRIVED: (Kind.DEPARTED, Kind.ARRIVED),
    Outcome.DIVERTED: (Kind.DEPARTED, Kind.ARRIVED),
    Outcome.NEVER_ARRIVED: (Kind.DEPARTED,),
}


class Event(NamedTuple):
    """One record for topic `flights`. `time_ms` is the event's time and the record's timestamp."""

    sequence: int
    time_ms: int
    key: bytes
    value: bytes
    headers: Headers


class EventStream:
    """The events of one origin airport in event-time order, numbered 1, 2, 3, ...

    `limit` keeps the first so many. Iterating builds each event anew; only an integer per event is
    held. Raises KeyError for an airport that is not in the table.
    """

    __slots__ = ("_order", "_table", "origin")

    def __init__(self, table: FlightTable, origin: str, limit: int | None = None) -> None:
        if origin not in table.airports:
            raise KeyError(f"no airport {origin} in the table")
        self.origin = origin
        self._table = table
        self._order = _in_event_time(table, table.airports.index(origin))[:limit]

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Event]:
        for sequence, (minute, row, kind) in enumerate(self.moments(), start=1):
            yield self._event(sequence, minute, row, kind)

    def moments(self) -> Iterator[tuple[int, int, Kind]]:
        """What the events are made of: the minute, the flight's row and what happened."""
        rows = len(self._table)
        kinds = tuple(Kind)
        for code in self._order:
            minute, rest = divmod(code, rows * len(kinds))
            row, kind = divmod(rest, len(kinds))
            yield minute, row, kinds[kind]

    def _event(self, sequence: int, minute: int, row: int, kind: Kind) -> Event:
        table = self._table
        carrier = table.carriers[table.carrier[row]][0]
        flight = f"{carrier}{table.number[row]}"
        tail = table.tails[table.tail[row]]
        subject = f"{AIRCRAFT}{tail}" if tail else f"flight/{flight}"
        body: dict[str, str | int | bool | None] = {
            "flight": flight,
            "carrier": carrier,
            "aircraft": tail or None,
            "origin": self.origin,
            "destination": table.airports[table.destination[row]],
        }
        if kind is Kind.ARRIVED:
            body["scheduled"] = _rfc3339(table.scheduled_arrival(row))
            body["delay_min"] = table.arrival_delay[row]
            if table.outcome[row] == Outcome.DIVERTED:
                body["diverted"] = True
        else:
            body["scheduled"] = _rfc3339(table.scheduled_departure[row])
            if kind is Kind.DEPARTED:
                body["delay_min"] = table.departure_delay[row]
        headers: Headers = [
            *_CONSTANT_HEADERS,
            ("ce_id", f"{self.origin}-{sequence}".encode()),
            ("ce_source", f"{SOURCE}{self.origin}".encode()),
            ("ce_type", TYPES[kind]),
            ("ce_time", _rfc3339(minute).encode()),
            ("ce_subject", subject.encode()),
            # The CloudEvents extension "sequence" is a string that sorts; hence the zeros.
            ("ce_sequence", b"%09d" % sequence),
        ]
        value = _JSON.encode(body).encode()
        key = (tail or flight).encode()
        return Event(sequence, EPOCH_MS + minute * _MINUTE_MS, key, value, headers)


def shares(totals: list[int], events: int | None) -> list[int]:
    """How many of `events` each of the producers with `totals` sends; all of them for None."""
    whole = sum(totals)
    if events is None or events >= whole:
        return list(totals)
    parts = [total * events // whole for total in totals]
    by_rest = sorted(range(len(totals)), key=lambda index: -(totals[index] * events % whole))
    for index in by_rest[: events - sum(parts)]:
        parts[index] += 1
    return parts


def _in_event_time(table: FlightTable, origin: int) -> array[int]:
    """One integer per event, (minute, row, kind) in mixed radix, so that sorting is cheap."""
    rows = len(table)
    codes: list[int] = []
    for row in range(rows):
        if table.origin[row] != origin:
            continue
        for kind in _KINDS_OF[Outcome(table.outcome[row])]:
            minute = table.arrival(row) if kind is Kind.ARRIVED else table.departure(row)
            codes.append((minute * rows + row) * len(Kind) + kind)
    codes.sort()
    return array("Q", codes)


@lru_cache(maxsize=4096)
def _rfc3339(minute: int) -> str:
    instant = datetime.fromtimestamp(EPOCH_MS / 1000 + minute * 60, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
