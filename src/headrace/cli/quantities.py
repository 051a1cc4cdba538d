"""Sizes, rates and durations as people write and read them: 6TB, 150MB/s, 7d.

    512, 64kB, 1.5GB, 2TiB     bytes; powers of 1000, with an i of 1024
    150MB/s, 1Gbit/s           bytes a second
    7d, 1d12h, 90m, 500ms      a duration

What must not enter: what they are of.
"""

import re
from typing import Final

from headrace.cli.failure import Exit, Failure

__all__ = [
    "duration_ms",
    "duration_text",
    "parse_duration_s",
    "parse_rate",
    "parse_size",
]

_UNIT_MS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
}
_PART: Final = re.compile(r"(\d{1,15})(ms|s|m|h|d|w)", re.ASCII)
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_NUMBER: Final = r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgtp]?)(i?)"
_SIZE: Final = re.compile(_NUMBER + "b?", re.ASCII | re.IGNORECASE)
_BITS: Final = re.compile(_NUMBER + "bits?", re.ASCII | re.IGNORECASE)
_SHOWN: Final = (("d", 86_400), ("h", 3600), ("min", 60))


def parse_size(text: str, option: str) -> int:
    """Bytes, above 0. Raises Failure (USAGE), which names `option`."""
    size = round(_value(_SIZE.fullmatch(text.strip())))
    if not size:
        raise Failure(f'{option}: expected a size such as 6TB or 512GiB, got "{text}"', Exit.USAGE)
    return size


def parse_rate(text: str, option: str) -> float:
    """Bytes a second, above 0. Raises Failure (USAGE), which names `option`."""
    amount, per_second, rest = text.strip().partition("/s")
    bits = _BITS.fullmatch(amount)
    rate = _value(bits) / 8 if bits else _value(_SIZE.fullmatch(amount))
    if not rate or not per_second or rest:
        raise Failure(
            f'{option}: expected bytes a second such as 150MB/s, got "{text}"', Exit.USAGE
        )
    return rate


def parse_duration_s(text: str, option: str) -> float:
    """Seconds, above 0. Raises Failure (USAGE), which names `option`."""
    found_ms = duration_ms(text.strip()) or 0
    if not found_ms:
        raise Failure(f'{option}: expected a duration such as 7d or 36h, got "{text}"', Exit.USAGE)
    return found_ms / 1000


def duration_ms(text: str) -> int | None:
    """`1d12h` in milliseconds; None if it is no duration."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(int(count) * _UNIT_MS[unit] for count, unit in _PART.findall(text))


def duration_text(seconds: float) -> str:
    """The two greatest units, rounded down: `8 h 53 min`, `7 d`, `12 s`, `0.5 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    left = int(seconds)
    parts: list[str] = []
    for unit, size in _SHOWN:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count:,} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def _value(found: re.Match[str] | None) -> float:
    if found is None:
        return 0.0
    number, prefix, binary = found.groups()
    base = 1024.0 if binary else 1000.0
    return float(number) * base ** " kmgtp".index(prefix.lower() or " ")
