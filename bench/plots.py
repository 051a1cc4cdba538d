"""`python -m bench.plots BENCH.json [LATENCY.json ...] docs/plots/`: the same numbers as drawings.

A drawing is written when the results have what it shows; the others in the directory stay.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.results import load, names_of
from bench.svg import Line, Panel, draw

__all__ = ["plots"]

Results = dict[str, Any]
DURABILITIES = ("os", "fsync")
PERCENTILES = {"p50_ms": "p50", "p99_ms": "p99", "p99_9_ms": "p99.9"}


def plots(results: Results) -> Iterator[tuple[str, str]]:
    """(file name, SVG) of each drawing there are numbers for."""
    names = names_of(results)
    batch = _throughput(results)
    if any(line.points for panel in batch for line in panel.lines):
        yield (
            "throughput-batch-size.svg",
            draw("Throughput against batch size", "one producer, 1 KB records", batch, order=names),
        )
    for spread in ("partitions", "connections"):
        for durability in DURABILITIES:
            panels = _cost(results, spread, durability)
            if all(any(line.points for line in panel.lines) for panel in panels):
                title = f"Cost against {spread}, {durability}"
                yield (
                    f"cost-{spread}-{durability}.svg",
                    draw(title, "lower is better", panels, order=names),
                )
    for durability in DURABILITIES:
        for kind, note in (
            ("share", "each system at parts of the most it sustains itself"),
            ("rate", "all systems at the same rates"),
        ):
            panels = _latency(results, durability, kind)
            if panels:
                title = f"End-to-end latency against load, {durability}"
                yield (
                    f"latency-{kind}-{durability}.svg",
                    draw(title, note, panels, order=names, one_y=True),
                )


def _throughput(results: Results) -> list[Panel]:
    rows = [row for row in results["rows"] if row["workload"] == "sizes"]
    marks = [(size, bytes_name(size)) for size in _places(rows, "batch_bytes")]
    return [
        Panel(
            f"{durability}, MB/s",
            "batch size",
            "MB/s",
            _lines(results, rows, durability, "batch_bytes", _value),
            x_log=True,
            y_log=True,
            x_marks=marks,
        )
        for durability in DURABILITIES
    ]


def _cost(results: Results, spread: str, durability: str) -> list[Panel]:
    rows = [row for row in results["rows"] if row["workload"] == spread]
    marks = [(count, f"{count:,}") for count in _places(rows, spread)]
    shown: Sequence[tuple[str, str, Callable[[Any, str], float | None]]] = (
        ("processor time", "CPU s/GB", lambda row, name: row["cpu_s_per_gb"].get(name)),
        ("resident memory", "MB", _resident_mb),
    )
    return [
        Panel(
            title,
            spread,
            unit,
            _lines(results, rows, durability, spread, value),
            x_log=True,
            y_log=True,
            x_marks=marks,
        )
        for title, unit, value in shown
    ]


def _latency(results: Results, durability: str, kind: str) -> list[Panel]:
    """`kind` "share": loads that are parts of a system's own most; "rate": the others."""
    rows = [
        row
        for row in results["latency"]
        if row["durability"] == durability
        and "end_to_end" in row
        and (row["share"] is not None) == (kind == "share")
    ]
    if not rows:
        return []
    shares = sorted({row["share"] for row in rows if row["share"] is not None})
    return [
        Panel(
            name,
            "part of its most" if kind == "share" else "records/s",
            "ms",
            [
                Line(system, [(row[kind], row["end_to_end"][percentile]) for row in own])
                for system in names_of(results)
                if (own := [row for row in rows if row["system"] == system])
            ],
            x_log=kind == "rate",
            y_log=True,
            x_marks=[(share, f"{share:.0%}") for share in shares],
        )
        for percentile, name in PERCENTILES.items()
    ]


def _lines(
    results: Results,
    rows: Sequence[Any],
    durability: str,
    place: str,
    value: Callable[[Any, str], float | None],
) -> list[Line]:
    lines = []
    for name in names_of(results):
        seen = [(row["at"][place], value(row, name)) for row in rows if _is(row, durability)]
        lines.append(Line(name, [(x, y) for x, y in seen if y is not None]))
    return [line for line in lines if line.points]


def _is(row: Any, durability: str) -> bool:
    return bool(row["durability"] == durability)


def _places(rows: Sequence[Any], place: str) -> list[float]:
    return sorted({row["at"][place] for row in rows})


def _value(row: Any, name: str) -> float | None:
    found = row["values"].get(name)
    return None if found is None else float(found)


def _resident_mb(row: Any, name: str) -> float | None:
    """The most of all rounds."""
    seen = [sample["detail"].get("resident MB") for sample in row["rounds"].get(name, [])]
    return max((float(size) for size in seen if size is not None), default=None)


def bytes_name(size: float) -> str:
    return f"{size / 1048576:g} MB" if size >= 1048576 else f"{size / 1024:g} KB"


def main() -> int:
    *paths, directory = sys.argv[1:]
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    os.makedirs(directory, exist_ok=True)
    for name, svg in plots(load(paths)):
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(svg)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
