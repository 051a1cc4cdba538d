"""Inputs made from others, by a seed: what damage, a wrong length or a large number look like."""

import random
from collections.abc import Sequence
from typing import Final

__all__ = ["mutated"]

CHANGES_MAX: Final = 6
PIECE_BYTES_MAX: Final = 24
NUMBERS: Final = (
    *(b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\xff\xff\xff\xfe"),
    *(b"\x7f\xff", b"\xff\xff", b"\x80\0", b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07"),
    *(b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", b"\x7f" + b"\xff" * 7, b"\x80" + bytes(7)),
)
"""Lengths, counts and offsets at their ends: integers of two, four and eight bytes, varints."""


def mutated(data: bytes, others: Sequence[bytes], rng: random.Random, bytes_max: int) -> bytes:
    """`data` with some changes; now and then a piece of one of `others` comes in."""
    out = bytearray(data)
    for _ in range(rng.randint(1, CHANGES_MAX)):
        at = rng.randrange(len(out) + 1)
        end = min(at + rng.randint(1, PIECE_BYTES_MAX), len(out))
        match rng.randrange(8):
            case 0:
                del out[at:end]
            case 1:
                out[at:at] = rng.randbytes(rng.randint(1, PIECE_BYTES_MAX))
            case 2 | 3:
                number = rng.choice(NUMBERS)
                out[at : at + (len(number) if rng.random() < 0.7 else 1)] = number
            case 4 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 5 if at < len(out):
                out[at] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF))
            case 6:
                out[at:at] = out[at:end] * rng.randint(1, 40)
            case 7 if others:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                out[at:end] = other[start : start + rng.randint(1, len(other) + 1)]
    return bytes(out[:bytes_max])
