from array import array
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.demo.flights_file import (
    FlightsFileError,
    FlightTable,
    Outcome,
    decode,
    encode,
)

LIMITS = {"I": (0, 600_000), "H": (0, 2**16 - 1), "h": (-(2**15), 2**15 - 1)}


@st.composite
def tables(draw: st.DrawFn) -> FlightTable:
    count = draw(st.integers(0, 20))
    names = st.lists(st.text("ABCÄ", min_size=1, max_size=4), min_size=1, max_size=5)
    airports, tails = draw(names), ["", *draw(names)]
    carriers = [(code, f"{code} Air") for code in draw(names)]

    def column(code: str, largest: int | None = None) -> "array[int]":
        low, high = LIMITS[code] if largest is None else (0, largest)
        values = st.lists(st.integers(low, high), min_size=count, max_size=count)
        return array(code, draw(values))

    return FlightTable(
        carriers=carriers,
        airports=airports,
        tails=tails,
        scheduled_departure=array("I", sorted(column("I"))),
        scheduled_duration=column("H"),
        departure_delay=column("h"),
        arrival_delay=column("h"),
        number=column("H"),
        tail=column("H", len(tails) - 1),
        outcome=column("B", len(Outcome) - 1),
        carrier=column("B", len(carriers) - 1),
        origin=column("B", len(airports) - 1),
        destination=column("B", len(airports) - 1),
    )


@given(tables())
def test_what_is_written_is_read(table: FlightTable) -> None:
    assert decode(encode(table)) == table


@given(tables(), st.data())
def test_any_damaged_byte_is_noticed(table: FlightTable, data: st.DataObject) -> None:
    file = bytearray(encode(table))
    position = data.draw(st.integers(0, len(file) - 1).filter(lambda at: not 5 <= at < 8))
    file[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FlightsFileError):
        decode(bytes(file))


@given(tables(), st.data())
def test_a_cut_file_is_noticed(table: FlightTable, data: st.DataObject) -> None:
    file = encode(table)
    with pytest.raises(FlightsFileError):
        decode(file[: data.draw(st.integers(0, len(file) - 1))])


def test_rows_out_of_order_are_not_written(first_days: FlightTable) -> None:
    table = decode(encode(first_days))
    table.scheduled_departure[0] = table.scheduled_departure[2] + 1
    with pytest.raises(ValueError, match="sorted"):
        encode(table)


def test_an_index_without_a_name_is_refused(first_days: FlightTable) -> None:
    table = decode(encode(first_days))
    table.carrier[1] = 200
    with pytest.raises(FlightsFileError, match="carrier"):
        decode(encode(table))


def test_the_shipped_file_holds_the_year(shipped: FlightTable) -> None:
    assert len(shipped) == 336_776
    assert len(shipped.tails) == 1 + 4043
    origins = Counter(shipped.airports[origin] for origin in shipped.origin)
    assert origins == {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662}
    assert Counter(Outcome(outcome) for outcome in shipped.outcome) == {
        Outcome.ARRIVED: 327_346,
        Outcome.DIVERTED: 717,
        Outcome.NEVER_ARRIVED: 458,
        Outcome.CANCELLED: 8_255,
    }


def test_every_flight_of_the_shipped_file_arrives_after_it_departs(shipped: FlightTable) -> None:
    arrived = (Outcome.ARRIVED, Outcome.DIVERTED)
    rows = [row for row in range(len(shipped)) if shipped.outcome[row] in arrived]
    assert all(shipped.departure(row) < shipped.arrival(row) for row in rows)
