from array import array
from collections.abc import Callable

import pytest

from headrace.cli.demo.flights_file import FlightTable, Outcome, load


@pytest.fixture(scope="session")
def shipped() -> FlightTable:
    """The data that comes with the program."""
    return load()


@pytest.fixture(scope="session")
def first_days(shipped: FlightTable) -> FlightTable:
    """The first thousand flights of it."""
    names = ("carriers", "airports", "tails")
    columns = (getattr(shipped, name) for name in FlightTable.__slots__ if name not in names)
    return FlightTable(
        shipped.carriers, shipped.airports, shipped.tails, *(column[:1000] for column in columns)
    )


@pytest.fixture(scope="session")
def make_table() -> Callable[..., FlightTable]:
    """A table of flights from EWR, each (scheduled departure, tail, outcome, late, later)."""

    def make(*flights: tuple[int, str, Outcome, int, int]) -> FlightTable:
        tails = ["", *sorted({tail for _, tail, *_ in flights} - {""})]
        count = len(flights)
        return FlightTable(
            carriers=[("UA", "United")],
            airports=["EWR", "SFO"],
            tails=tails,
            scheduled_departure=array("I", [flight[0] for flight in flights]),
            scheduled_duration=array("H", [100] * count),
            departure_delay=array("h", [flight[3] for flight in flights]),
            arrival_delay=array("h", [flight[4] for flight in flights]),
            number=array("H", range(1, count + 1)),
            tail=array("H", [tails.index(flight[1]) for flight in flights]),
            outcome=array("B", [flight[2] for flight in flights]),
            carrier=array("B", [0] * count),
            origin=array("B", [0] * count),
            destination=array("B", [1] * count),
        )

    return make
