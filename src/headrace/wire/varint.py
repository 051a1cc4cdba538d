"""Variable-length integers: seven bits a byte, least significant first, high bit = more follow.

Unsigned ones carry the lengths and tags of flexible messages (KIP-482); zigzag ones carry the
fields inside a record batch (0, -1, 1, -2 ... become 0, 1, 2, 3 ..., so small stays short).

Readers take a buffer and a position and return (value, next position). They raise MalformedError
for a number too long for its width and IndexError where the bytes end; the callers, which read
many fields in a row, turn the latter into MalformedError once for all of them.
"""

from headrace.wire.errors import MalformedError

__all__ = [
    "read_uvarint",
    "read_varint",
    "read_varlong",
    "write_uvarint",
    "write_varint",
]


def read_uvarint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """An unsigned 32-bit number, one to five bytes."""
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    for shift in (7, 14, 21, 28):
        position += 1
        byte = data[position]
        if byte < 0x80:
            value |= byte << shift
            if value > 0xFFFFFFFF:
                break
            return value, position + 1
        value |= (byte & 0x7F) << shift
    raise MalformedError("a varint does not fit in 32 bits")


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """A signed 32-bit number in zigzag form."""
    value, position = read_uvarint(data, position)
    return (value >> 1) ^ -(value & 1), position


def read_varlong(data: bytes, position: int) -> tuple[int, int]:
    """A signed 64-bit number in zigzag form, one to ten bytes."""
    value = shift = 0
    while shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFFFFFFFFFF:
                break
            return (value >> 1) ^ -(value & 1), position
        shift += 7
    raise MalformedError("a varint does not fit in 64 bits")


def write_uvarint(out: bytearray, value: int) -> None:
    """Append `value`, which must not be negative."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def write_varint(out: bytearray, value: int) -> None:
    """Append `value` in zigzag form; up to 64 bits, so it serves for varlong too."""
    if 0 <= value < 0x40:  # as good as always
        out.append(value << 1)
        return
    write_uvarint(out, value << 1 if value >= 0 else ~value << 1 | 1)
