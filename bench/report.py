"""Rows of measurements as a table for people and as JSON for programs."""

import json
import platform
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Row", "as_json", "print_table"]


@dataclass(slots=True)
class Row:
    """One measurement. `ratio` is ours divided by what it is `against`, from the same run."""

    what: str
    durability: str
    value: float
    unit: str
    aim: str = ""
    against: str = ""
    other: float | None = None
    ratio: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def beside(self, against: str, other: float) -> "Row":
        """Put another system's value of the same run beside this one."""
        self.against = against
        self.other = other
        self.ratio = self.value / other if other else None
        return self


def as_json(rows: list[Row]) -> str:
    machine = {
        "python": platform.python_version(),
        "system": platform.system(),
        "release": platform.release(),
    }
    return json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2)


def print_table(rows: list[Row]) -> None:
    table = Table(title="Headrace, client on the same cores")
    for name in ("what", "durability", "measured", "aim", "against", "ratio", "detail"):
        table.add_column(name, justify="right" if name in ("measured", "ratio") else "left")
    for row in rows:
        other = "" if row.other is None else f"{row.against}: {_number(row.other)} {row.unit}"
        table.add_row(
            row.what,
            row.durability,
            f"{_number(row.value)} {row.unit}",
            row.aim,
            other,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            ", ".join(f"{key} {_shown(value)}" for key, value in row.detail.items()),
        )
    Console(width=180).print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _shown(value: Any) -> str:
    return _number(value) if isinstance(value, float) else str(value)
