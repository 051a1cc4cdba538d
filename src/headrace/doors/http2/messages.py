"""gRPC messages in the content of a stream ("Length-Prefixed-Message"), many at a time.

    byte 0     1 if the message is compressed
    byte 1-4   its length, big-endian

What must not enter: what is in a message.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from headrace.doors.http2.status import GrpcError, Status

__all__ = ["PREFIX_BYTES", "Cut", "Messages", "cut", "prefixed"]

PREFIX_BYTES: Final = 5
_PREFIX: Final = struct.Struct(">BI")


class Messages:
    """Whole messages back to back in one buffer, which nobody else writes to: views of it may be
    kept, and cost their whole batch."""

    __slots__ = ("data", "ends")

    def __init__(self, data: memoryview, ends: list[int]) -> None:
        self.data = data
        """Each message after its prefix of five bytes."""
        self.ends = ends
        """Where each ends in `data`: message i is `data[ends[i - 1] + 5 : ends[i]]`."""

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[memoryview]:
        """One view after the other, without prefixes."""
        start = PREFIX_BYTES
        for end in self.ends:
            yield self.data[start:end]
            start = end + PREFIX_BYTES


class Cut(NamedTuple):
    """What there is in a stream's content."""

    ends: list[int]
    """Of its whole messages."""
    needed_bytes: int
    """Size of what follows them, with its prefix, as far as it is known; 0: nothing follows."""
    fault: GrpcError | None
    """Why nothing after them can be read."""


def cut(content: bytearray, message_bytes_max: int) -> Cut:
    """Find the whole messages at the beginning of `content`."""
    ends: list[int] = []
    append = ends.append
    unpack = _PREFIX.unpack_from
    there = len(content)
    last = there - PREFIX_BYTES
    start = 0
    while start <= last:
        flag, size = unpack(content, start)
        if flag or size > message_bytes_max:
            return Cut(ends, 0, _fault(flag, size, message_bytes_max))
        end = start + PREFIX_BYTES + size
        if end > there:
            return Cut(ends, end - start, None)
        append(end)
        start = end
    return Cut(ends, PREFIX_BYTES if start < there else 0, None)


def _fault(flag: int, size: int, message_bytes_max: int) -> GrpcError:
    if flag:
        why = f"a message has the compressed flag {flag}, and no encoding was agreed on"
        return GrpcError(Status.INTERNAL, why)
    why = f"a message of {size} bytes; up to {message_bytes_max} are accepted"
    return GrpcError(Status.RESOURCE_EXHAUSTED, why)


def prefixed(messages: Iterable[bytes | bytearray | memoryview]) -> bytes:
    """Messages as they go into a stream."""
    return b"".join(piece for m in messages for piece in (_PREFIX.pack(0, len(m)), m))
