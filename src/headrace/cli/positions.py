"""Places in a topic as a person names them: its beginning, its end, an offset, a time, a shift.

    beginning | earliest       the first record that is kept
    end | latest               behind the last record
    1234                       an offset
    2026-11-01T06:30:00+01:00  the first record at or after a time (ISO 8601; UTC if it has no zone)
    -2h, -1d12h, -500ms        the first record of the last two hours, ...
    +100, -100                 a shift from where a group stands

What must not enter: Kafka's client; `offsets` asks a broker what a place is.
"""

import re
import time
from datetime import UTC, datetime
from enum import Enum
from typing import Final, NamedTuple

from headrace.cli.failure import Exit, Failure
from headrace.cli.quantities import duration_ms

__all__ = ["Place", "Position"]

_OFFSET: Final = re.compile(r"\d{1,18}", re.ASCII)
_SHIFT: Final = re.compile(r"[+-]\d{1,18}", re.ASCII)
_WORDS: Final = (
    "beginning (earliest), end (latest), an OFFSET, a time such as 2026-11-01T06:30 or -2h"
)


class Place(Enum):
    EARLIEST = "earliest"
    LATEST = "latest"
    OFFSET = "offset"
    TIME = "time"
    SHIFT = "shift"


class Position(NamedTuple):
    """`number` is an offset, a time (ms since the epoch, UTC) or a shift; else 0."""

    place: Place
    number: int = 0

    @classmethod
    def parse(cls, text: str, option: str, *, shift: bool = False) -> "Position":
        """Raises Failure (USAGE), which names `option` and says what may be written."""
        text = text.strip()
        if text in ("beginning", "earliest"):
            return cls(Place.EARLIEST)
        if text in ("end", "latest"):
            return cls(Place.LATEST)
        if _OFFSET.fullmatch(text):
            return cls(Place.OFFSET, int(text))
        if shift and _SHIFT.fullmatch(text):
            return cls(Place.SHIFT, int(text))
        time_ms = _time_ms(text)
        if time_ms is None:
            shifts = ", or a shift such as +100 or -100" if shift else ""
            raise Failure(f'{option}: expected {_WORDS}{shifts}; got "{text}"', Exit.USAGE)
        return cls(Place.TIME, time_ms)


def _time_ms(text: str) -> int | None:
    """ISO 8601 or `-2h`, as milliseconds since the epoch; None if it is neither."""
    ago_ms = duration_ms(text[1:]) if text.startswith("-") else None
    if ago_ms is not None:
        return max(0, time.time_ns() // 1_000_000 - ago_ms)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp() * 1000))
