"""Reading the fields that consumers put into JoinGroup and SyncGroup: big-endian, no lengths in
variable form. A string is an i16 length and UTF-8, bytes are an i32 length (-1: none) and
themselves, an array is an i32 count and its elements.

What must not enter: which fields there are (`subscription`, `assignment`).
"""

import struct
from typing import Final

__all__ = ["Fields", "TopicIndex", "packed_partitions"]

TopicIndex = tuple[str, int]
"""A partition by the name of its topic."""

_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")


class Fields:
    """One pass over some bytes. Every method raises ValueError where they end too early or make no
    sense."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def int16(self) -> int:
        return self._number(_INT16)

    def int32(self) -> int:
        return self._number(_INT32)

    def nullable_string(self) -> str | None:
        length = self.int16()
        return None if length < 0 else self._take(length).decode()

    def string(self) -> str:
        text = self.nullable_string()
        if text is None:
            raise ValueError("a string is missing")
        return text

    def nullable_bytes(self) -> bytes | None:
        length = self.int32()
        return None if length < 0 else self._take(length)

    def strings(self) -> frozenset[str]:
        return frozenset([self.string() for _ in range(self._count(2))])

    def partitions(self) -> frozenset[TopicIndex]:
        """An array of (topic string, partitions array of i32)."""
        pairs: set[TopicIndex] = set()
        for _ in range(self._count(6)):
            topic = self.string()
            count = self._count(4)
            numbers = struct.unpack(f">{count}i", self._take(4 * count))
            pairs.update((topic, number) for number in numbers)
        return frozenset(pairs)

    def _count(self, element_bytes_min: int) -> int:
        """Of an array; no more than the bytes that are left can hold."""
        count = self.int32()
        if not 0 <= count * element_bytes_min <= len(self._data) - self._position:
            raise ValueError(f"an array of {count} elements")
        return count

    def _number(self, form: struct.Struct) -> int:
        (number,) = form.unpack(self._take(form.size))
        return int(number)

    def _take(self, length: int) -> bytes:
        end = self._position + length
        if end > len(self._data):
            raise ValueError("the bytes end too early")
        taken = self._data[self._position : end]
        self._position = end
        return taken


def packed_partitions(pairs: frozenset[TopicIndex]) -> bytes:
    """As `Fields.partitions` reads them; topics and partitions in order."""
    topics: dict[str, list[int]] = {}
    for topic, number in sorted(pairs):
        topics.setdefault(topic, []).append(number)
    parts = [_INT32.pack(len(topics))]
    for topic, numbers in topics.items():
        name = topic.encode()
        parts += [_INT16.pack(len(name)), name]
        parts.append(struct.pack(f">i{len(numbers)}i", len(numbers), *numbers))
    return b"".join(parts)
