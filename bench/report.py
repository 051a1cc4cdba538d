"""Rows of measurements as a table for people, as Markdown for the documentation and as JSON, with
every round, for programs."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.compare import YARDSTICK, ComparedRow
from bench.systems import Running

__all__ = ["Results", "Row", "as_json", "as_markdown", "print_tables"]

CONSOLE_COLUMNS = 200


@dataclass(slots=True)
class Row:
    """One measurement of ours alone. `ratio` is ours divided by what it is `against`, from the
    same run."""

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


@dataclass(slots=True)
class Results:
    """One run: where, with what, and what came of it."""

    machine: dict[str, Any]
    command: str
    settings: dict[str, Any]
    ours: str
    """The name of the system that the others are compared with."""
    systems: list[Running] = field(default_factory=list)
    """As they were started: one of each name and durability."""
    rows: list[ComparedRow] = field(default_factory=list)
    alone: list[Row] = field(default_factory=list)

    def names(self) -> list[str]:
        """Ours, then the others as they were named."""
        return list(dict.fromkeys(system.name for system in self.systems))


def as_json(results: Results) -> str:
    systems: dict[str, Any] = {}
    for one in results.systems:
        entry = systems.setdefault(
            one.name, {"version": one.version, "family": one.family, "policy": {}, "notes": []}
        )
        entry["policy"][one.durability] = one.policy
        entry["notes"] = one.notes
    whole = {
        "machine": results.machine,
        "command": results.command,
        "settings": results.settings,
        "ours": results.ours,
        "systems": systems,
        "rows": [_row_as_dict(row, results) for row in results.rows],
        "alone": [asdict(row) for row in results.alone],
    }
    return json.dumps(_without_nan(whole), indent=1)


def _row_as_dict(row: ComparedRow, results: Results) -> dict[str, Any]:
    case = row.case
    return {
        "workload": case.workload,
        "what": case.what,
        "durability": case.durability,
        "unit": case.unit,
        "lower_is_better": case.lower_is_better,
        "aim": case.aim,
        "at": case.at,
        "values": {name: row.value(name) for name in row.samples},
        "ratios": {
            name: row.ratio(results.ours, name) for name in row.samples if name != results.ours
        },
        "cpu_s_per_gb": {name: row.cpu_s_per_gb(name) for name in row.samples},
        "failures": row.failures,
        "rounds": {
            name: [asdict(sample) for sample in samples] for name, samples in row.samples.items()
        },
    }


def _without_nan(value: Any) -> Any:
    """NaN is no JSON: null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return value


def _header(results: Results) -> list[str]:
    names = results.names()
    others = [name for name in names if name != results.ours]
    return ["what", "durability", *names, *(f"/ {name}" for name in others), "aim", "cpu s/GB"]


def _cells(row: ComparedRow, results: Results) -> list[str]:
    names = results.names()
    shown = []
    for name in names:
        value = row.value(name)
        seen = f"{number(value)} {row.case.unit}" if name == results.ours else number(value)
        shown.append("failed" if name in row.failures else seen)
    ratios = [_ratio(row.ratio(results.ours, name)) for name in names if name != results.ours]
    aim = row.case.aim
    if YARDSTICK in row.samples:
        aim = f"{aim}; plain {number(row.value(YARDSTICK))}".removeprefix("; ")
    cpu = [number(row.cpu_s_per_gb(name)) for name in names]
    used = " / ".join(one or "-" for one in cpu) if any(cpu) else ""
    what = row.case.what + (" (lower is better)" if row.case.lower_is_better else "")
    return [what, row.case.durability, *shown, *ratios, aim, used]


def print_tables(results: Results) -> None:
    console = Console(width=CONSOLE_COLUMNS)
    if results.rows:
        table = Table(title="side by side, client on the same cores; ratios above 1: ours is ahead")
        for name in _header(results):
            table.add_column(name, justify="left" if name in ("what", "durability") else "right")
        for row in results.rows:
            table.add_row(*_cells(row, results))
        console.print(table)
        for line in _policies(results):
            console.print(f"  {line}")
    if results.alone:
        _print_alone(console, results.alone)


def _print_alone(console: Console, rows: Sequence[Row]) -> None:
    table = Table(title="Headrace alone")
    for name in ("what", "durability", "measured", "aim", "against", "ratio", "detail"):
        table.add_column(name, justify="right" if name in ("measured", "ratio") else "left")
    for row in rows:
        other = "" if row.other is None else f"{row.against}: {number(row.other)} {row.unit}"
        table.add_row(
            row.what,
            row.durability,
            f"{number(row.value)} {row.unit}",
            row.aim,
            other,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            ", ".join(f"{key} {_shown(value)}" for key, value in row.detail.items()),
        )
    console.print(table)


def as_markdown(results: Results) -> str:
    """The compared rows, then what each system does before it acknowledges."""
    header = _header(results)
    lines = [_line(header), _line(["---"] * len(header))]
    lines += [_line(_cells(row, results)) for row in results.rows]
    return "\n".join([*lines, "", *(f"- {line}" for line in _policies(results))]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _policies(results: Results) -> list[str]:
    lines = [f"{one.name} {one.version}, {one.durability}: {one.policy}" for one in results.systems]
    notes = {f"{one.name}: {note}" for one in results.systems for note in one.notes}
    return lines + sorted(notes)


def number(value: float) -> str:
    """Three digits that matter; nothing for NaN."""
    if not math.isfinite(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _shown(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
