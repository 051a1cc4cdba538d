"""Records that carry a moment, in each system's protocol: bytes only, no socket, no clock.

A value is VALUE_BYTES long: when the record is due (8 bytes, ns, big-endian), then characters that
do not compress well. What goes out is made from a template in which the moments are put side by
side in eight strokes, one for each of their bytes, so a thousand records cost what one costs.
"""

import base64
import os
import sys
from array import array
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Final, Protocol

from bench.latency.schedule import RECORDS_MAX

__all__ = [
    "TIME_BYTES",
    "VALUE_BYTES",
    "Ends",
    "Places",
    "Receiving",
    "Sending",
    "Template",
    "moments",
    "value",
]

VALUE_BYTES: Final = 1000
TIME_BYTES: Final = 8
_MARK: Final = b"\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc"
"""Stands where the moment goes, and nowhere else: these are no characters."""


class Sending(Protocol):
    """One producer's connection."""

    def hello(self) -> tuple[bytes, bytes]:
        """What is sent first, and how the answer to it ends; nothing, where nothing is said."""
        ...

    def encode(self, times_ns: "array[int]") -> memoryview:
        """One send of 1 to RECORDS_MAX records. Valid until the next call."""
        ...

    def acknowledged(self, data: bytes) -> int:
        """How many records are acknowledged by what has come since the last call.

        Raises RuntimeError when the system refused one.
        """
        ...

    def reply(self) -> bytes:
        """What the system must hear now, mostly nothing."""
        ...


class Receiving(Protocol):
    """One consumer's connection, which reads from the start of the log."""

    def hello(self) -> tuple[bytes, bytes]: ...

    def parse(self, data: memoryview) -> "tuple[int, array[int]]":
        """How many bytes of `data` are done with, and the moments in the records they hold."""
        ...

    def ask(self) -> bytes:
        """What is to be sent now to get more (nothing, if enough is asked for)."""
        ...


class Places:
    """Where the moments lie in a template, as runs of equal distance."""

    def __init__(self, positions: Sequence[int]) -> None:
        strides = [b - a for a, b in pairwise(positions)]
        self._runs: list[tuple[int, int, int, int]] = []
        """(number of the first, how many, where it lies, distance)"""
        number = 0
        for stride, same in groupby(strides):
            count = sum(1 for _ in same)
            self._runs.append((number, count, positions[number], stride))
            number += count
        self._runs.append((number, len(positions) - number, positions[number], 1))

    def put(self, buffer: bytearray, times_ns: "array[int]") -> None:
        """Write the first moments, which changes nothing else."""
        data = _big_endian(times_ns).tobytes()
        for number, most, position, stride in self._runs:
            count = min(most, len(times_ns) - number)
            if count < 1:
                return
            own = data[TIME_BYTES * number : TIME_BYTES * (number + count)]
            for byte in range(TIME_BYTES):
                start = position + byte
                buffer[start : start + (count - 1) * stride + 1 : stride] = own[byte::TIME_BYTES]

    def get(self, view: memoryview, count: int) -> "array[int]":
        """The first `count` moments in bytes that are laid out in the same way."""
        data = bytearray(TIME_BYTES * count)
        for number, most, position, stride in self._runs:
            within = min(most, count - number)
            if within < 1:
                break
            first, end = TIME_BYTES * number, TIME_BYTES * (number + within)
            for byte in range(TIME_BYTES):
                start = position + byte
                own = view[start : start + (within - 1) * stride + 1 : stride]
                data[first + byte : end : TIME_BYTES] = own.tobytes()
        return moments(bytes(data))


class Template:
    """Bytes for RECORDS_MAX records; those for fewer are the beginning of them."""

    def __init__(self, data: bytes, ends: Sequence[int]) -> None:
        """`ends` has the position after each record. Raises ValueError if a mark is missing."""
        self.buffer = bytearray(data)
        self.view = memoryview(self.buffer)
        self.ends = ends
        positions: list[int] = []
        at = data.find(_MARK)
        while at >= 0:
            positions.append(at)
            at = data.find(_MARK, at + TIME_BYTES)
        if len(positions) != len(ends):
            raise ValueError(f"{len(positions)} marks in {len(ends)} records")
        self.places = Places(positions)

    @classmethod
    def of(cls, record: bytes) -> "Template":
        """The same bytes for each record, which have a `value()` in them."""
        ends = range(len(record), len(record) * RECORDS_MAX + 1, len(record))
        return cls(record * RECORDS_MAX, ends)

    def fill(self, times_ns: "array[int]") -> memoryview:
        self.places.put(self.buffer, times_ns)
        return self.view[: self.ends[len(times_ns) - 1]]


class Ends:
    """Counts the occurrences of `end` in what comes piece by piece."""

    def __init__(self, end: bytes) -> None:
        self._end = end
        self._left = b""

    def count(self, data: bytes) -> int:
        data = self._left + data
        after = data.rfind(self._end) + len(self._end) if self._end in data else 0
        keep = len(self._end) - 1
        self._left = data[max(after, len(data) - keep) :] if keep else b""
        return data.count(self._end)


def value() -> bytes:
    """A value with the mark in place of its moment."""
    size = VALUE_BYTES - TIME_BYTES
    return _MARK + base64.b64encode(os.urandom(size))[:size]


def moments(data: bytes) -> "array[int]":
    """Moments as they are in values, one after the other."""
    return _big_endian(array("q", data))


def _big_endian(times_ns: "array[int]") -> "array[int]":
    if sys.byteorder == "little":
        times_ns = times_ns[:]
        times_ns.byteswap()
    return times_ns
