"""Durations as ISO 8601 writes them and Kafka's configurations take them: `PnDTnHnMn.nS`.

What must not enter: years, months and weeks, which neither has a fixed length nor does Kafka take
them, and signs: nothing here is configured to lie in the future.
"""

import re
from typing import Final

__all__ = ["duration_ms"]

_DURATION: Final = re.compile(
    r"P(?=.)(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,9})?)S)?)?",
    re.ASCII,
)
_UNITS_MS: Final = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}

DURATION_MS_MAX: Final = 2**63 - 1
_CHARACTERS_MAX: Final = 64


def duration_ms(text: str) -> int:
    """Milliseconds; what is finer is cut off. Raises ValueError."""
    found = _DURATION.fullmatch(text) if len(text) <= _CHARACTERS_MAX else None
    if found is None:
        raise ValueError(f"{text!r} is no duration such as P1DT2H3M4.5S")
    total = 0
    for unit, unit_ms in _UNITS_MS.items():
        whole, _, fraction = (found[unit] or "0").partition(".")
        total += int(whole) * unit_ms + int((fraction + "000")[:3])
    if total > DURATION_MS_MAX:
        raise ValueError(f"{text!r} is longer than {DURATION_MS_MAX} ms")
    return total
