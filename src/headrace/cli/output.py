"""What a command shows: a tidy table or a sentence for people, one JSON object a line for programs.

What must not enter: Kafka, and Rich (a table needs nothing of it and a quick command should stay
quick; `progress` opens it for long work).
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

__all__ = ["bytes_text", "count_text", "json_line", "on_terminal", "print_json", "print_table"]

_BOLD = "\x1b[1m"
_PLAIN = "\x1b[0m"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def on_terminal(stream: TextIO) -> bool:
    """Whether a person is looking at `stream`, so that it may be drawn on."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def print_json(value: Any) -> None:
    print(json_line(value))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as they need to be, numbers to the right, `-` for None."""
    cells = [[_cell(value) for value in row] for row in (headings, *rows)]
    widths = [max(len(text) for text, _ in column) for column in zip(*cells, strict=True)]
    numeric = [any(number for _, number in column) for column in zip(*cells, strict=True)]
    bold = on_terminal(sys.stdout) and not os.environ.get("NO_COLOR")
    for line, row in enumerate(cells):
        texts = [
            text.rjust(width) if right else text.ljust(width)
            for (text, _), width, right in zip(row, widths, numeric, strict=True)
        ]
        shown = "  ".join(texts).rstrip()
        print(f"{_BOLD}{shown}{_PLAIN}" if bold and line == 0 else shown)


def _cell(value: object) -> tuple[str, bool]:
    if value is None:
        return "-", False
    return str(value), isinstance(value, int) and not isinstance(value, bool)


def count_text(number: int, thing: str) -> str:
    """`1 record`, `12,345 records`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def bytes_text(number: float) -> str:
    """In powers of 1000: `512 B`, `1.5 MB`."""
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
