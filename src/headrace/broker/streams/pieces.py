"""How the records of an append are divided into record batches, and which messages end in which.

A topic takes batches of a certain size; what a socket read brings may be more. A piece is as many
records as fit. Of a persistent stream a message is never divided: after a crash its offset must
say whether all of it is there. Pure. What must not enter: the batches' bytes.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.packing import BATCH_RECORDS_MAX

__all__ = ["Piece", "pieces_of"]


class Piece(NamedTuple):
    start: int
    stop: int
    """Records of the append, from start to before stop."""
    messages: int
    """Messages of the append that are whole once this piece is written."""


def pieces_of(
    sizes: Sequence[int], counts: Sequence[int] | None, size_bytes_max: int, *, whole: bool
) -> list[Piece]:
    """`sizes`: the most bytes each record may take in a batch; `counts`: records of each message,
    None if each is one; `whole`: messages must not be divided.

    Raises RequestError: MESSAGE_TOO_LARGE for what fits into no batch, INVALID_RECORD if `counts`
    do not add up, or one is 0 where messages must be whole.
    """
    ends = None if counts is None else list(accumulate(counts))
    if ends is not None:
        _check_counts(ends, sizes, whole=whole)
    if sum(sizes) <= size_bytes_max and len(sizes) <= BATCH_RECORDS_MAX:
        messages = len(sizes) if ends is None else len(ends)
        return [Piece(0, len(sizes), messages)] if sizes else []
    units = ends if whole and ends is not None else range(1, len(sizes) + 1)
    stops = _stops(sizes, units, size_bytes_max)
    starts = (0, *stops[:-1])
    return [
        Piece(start, stop, stop if ends is None else bisect_right(ends, stop))
        for start, stop in zip(starts, stops, strict=True)
    ]


def _stops(sizes: Sequence[int], units: Sequence[int], size_bytes_max: int) -> list[int]:
    """Where pieces end; each holds the units (given by their ends) that fit."""
    stops: list[int] = []
    begun = before = taken = 0
    for number, end in enumerate(units):
        size = sum(sizes[before:end])
        if size > size_bytes_max or end - before > BATCH_RECORDS_MAX:
            raise RequestError(
                ErrorCode.MESSAGE_TOO_LARGE,
                f"message {number} of this append takes {size} bytes, a record batch of the topic "
                f"{size_bytes_max} (max.message.bytes)",
            )
        if taken and (taken + size > size_bytes_max or end - begun > BATCH_RECORDS_MAX):
            stops.append(before)
            begun, taken = before, 0
        taken += size
        before = end
    return [*stops, before]


def _check_counts(ends: list[int], sizes: Sequence[int], *, whole: bool) -> None:
    before = 0
    for end in ends:
        if end < before or (whole and end == before):
            raise RequestError(ErrorCode.INVALID_RECORD, "a message without records")
        before = end
    if before != len(sizes):
        raise RequestError(
            ErrorCode.INVALID_RECORD, f"messages of {before} records, {len(sizes)} are there"
        )
