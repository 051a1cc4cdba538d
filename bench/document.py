"""`python -m bench.document BENCH.json [LATENCY.json ...] [--page docs/PERFORMANCE.md]`: put the
numbers of the last run where the page wants them.

The page says where with two comments, and what is between them is written anew:

    <!-- bench:begin rows large small -->
    <!-- bench:end -->

    rows WORKLOAD ...     what the systems did side by side, a line a row
    alone [WORD ...]      rows of ours alone; with words only those that have one of them
    most                  the highest rate that each system sustains
    latency DURABILITY    end-to-end latency and acknowledgement at each load
    systems               what each system is, and does before it acknowledges
    runs                  machine, date and command of each file
    plot NAME ...         the drawings of bench.plots, by their names without .svg

A part for which the files have nothing stays as it is, and that is said. All else in the page is
written by hand, and no number of a run should be in it.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from bench.plots import plots
from bench.results import load, names_of

__all__ = ["PARTS", "filled"]

Results = dict[str, Any]
PAGE: Final = "docs/PERFORMANCE.md"
PLOTS: Final = "plots"
"""The directory of drawings, beside the page."""
_PART: Final = re.compile(r"(<!-- bench:begin ([^>]*?) *-->\n)(.*?)(<!-- bench:end -->)", re.DOTALL)
LATENCIES: Final = ("p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms")


def filled(page: str, results: Results) -> tuple[str, list[str]]:
    """The page with its parts written anew, and the names of those that stay as they were.

    Raises ValueError for a part that nobody knows, and for a comment without its other one.
    """
    stayed: list[str] = []

    def write(found: re.Match[str]) -> str:
        name, *arguments = found[2].split() or [""]
        if name not in PARTS:
            raise ValueError(f"{found[2]!r} is no part: there are {', '.join(PARTS)}")
        lines = PARTS[name](results, arguments)
        if not lines:
            stayed.append(found[2])
            return found[0]
        return found[1] + "\n" + "\n".join(lines) + "\n\n" + found[4]

    written = _PART.sub(write, page)
    found = len(_PART.findall(page))
    for comment in ("<!-- bench:begin", "<!-- bench:end -->"):
        if page.count(comment) != found:
            raise ValueError(f"{page.count(comment)} times {comment!r}, but {found} whole parts")
    return written, stayed


def rows(results: Results, workloads: Sequence[str]) -> list[str]:
    chosen = [row for row in results["rows"] if row["workload"] in workloads]
    if not chosen:
        return []
    names = [
        name
        for name in names_of(results)
        if any(name in row["values"] or name in row["failures"] for row in chosen)
    ]
    used = any(any(row["cpu_s_per_gb"].values()) for row in chosen)
    header = ["what", "durability", *names] + ["CPU s/GB"] * used
    lines = [[*_row(row, results, names), *([_cpu(row, names)] * used)] for row in chosen]
    return table(header, lines)


def _row(row: Any, results: Results, names: Sequence[str]) -> list[str]:
    what = row["what"] + (" (lower is better)" if row["lower_is_better"] else "")
    if row["aim"]:
        what += f"; aim {row['aim']}"
    if row["values"].get("yardstick"):
        what += f"; plain loop {number(row['values']['yardstick'])}"
    cells = [what, row["durability"]]
    for name in names:
        value, ratio = row["values"].get(name), row["ratios"].get(name)
        cell = "failed" if name in row["failures"] else number(value)
        if name == results["ours"] and value is not None:
            cell = f"**{cell} {row['unit']}**"
        elif value is not None and ratio is not None:
            cell += f" ({ratio_text(ratio)})"
        cell += _beside(row, name)
        cells.append(cell)
    return cells


def _beside(row: Any, name: str) -> str:
    """Of latencies the p99 too: the median of the rounds."""
    seen = [sample["detail"].get("p99 ms") for sample in row["rounds"].get(name, [])]
    found = [value for value in seen if value is not None]
    return f", p99 {number(statistics.median(found))}" if found else ""


def _cpu(row: Any, names: Sequence[str]) -> str:
    return " / ".join(number(row["cpu_s_per_gb"].get(name)) or "-" for name in names)


def alone(results: Results, words: Sequence[str]) -> list[str]:
    chosen = [
        row
        for row in results["alone"]
        if not words or set(words) & set(re.findall(r"\w+", row["what"]))
    ]
    lines = [
        [
            row["what"],
            row["durability"],
            f"{number(row['value'])} {row['unit']}",
            row["aim"],
            "" if row["other"] is None else f"{row['against']} {number(row['other'])}",
            ", ".join(f"{key} {_shown(value)}" for key, value in row["detail"].items()),
        ]
        for row in chosen
    ]
    return table(["what", "durability", "measured", "aim", "beside", "detail"], lines)


def most(results: Results, _: Sequence[str]) -> list[str]:
    found = [row for row in results["latency"] if "most" in row]
    durabilities = list(dict.fromkeys(row["durability"] for row in found))
    seen = {(row["system"], row["durability"]): row for row in found}
    lines = []
    for name in names_of(results):
        cells = [name]
        for durability in durabilities:
            row = seen.get((name, durability))
            cells += [number(row["most"]), number(row["flooded"])] if row else ["", ""]
        lines.append(cells)
    header = [text for one in durabilities for text in (f"{one}, sustained", f"{one}, flooded")]
    return table(["records/s", *header], lines) if found else []


def latency(results: Results, durabilities: Sequence[str]) -> list[str]:
    chosen = [
        row for row in results["latency"] if row["durability"] in durabilities and "rate" in row
    ]
    lines = []
    last_load = ""
    for row in sorted(chosen, key=lambda row: _load_order(row, chosen)):
        load = "" if row["load"] == last_load else row["load"]
        last_load = row["load"]
        rate = number(row["rate"]) + ("" if row.get("is_sustained") else ", falls behind")
        if "failure" in row:
            lines.append([load, row["system"], rate, *["failed"] * 7])
            continue
        seen = [milliseconds(row["end_to_end"][name]) for name in LATENCIES]
        acks = [milliseconds(row["ack"][name]) for name in ("p50_ms", "p99_ms")]
        lines.append([load, row["system"], rate, *seen, *acks])
    header = ["load", "system", "records/s", "p50", "p90", "p99", "p99.9", "max"]
    return table([*header, "ack p50", "ack p99"], lines)


def _load_order(row: Any, chosen: Sequence[Any]) -> tuple[int, int]:
    """All systems at one load, then at the next, as they were run."""
    loads = list(dict.fromkeys(one["load"] for one in chosen))
    systems = list(dict.fromkeys(one["system"] for one in chosen))
    return loads.index(row["load"]), systems.index(row["system"])


def systems(results: Results, _: Sequence[str]) -> list[str]:
    lines = []
    for name in names_of(results):
        one = results["systems"].get(name, {})
        for durability, policy in one.get("policy", {}).items():
            lines.append([f"{name} {one['version']}".strip(), durability, policy])
        lines += [["", "", note] for note in one.get("notes", [])]
    return table(["system", "durability", "what it does before it acknowledges"], lines)


def runs(results: Results, _: Sequence[str]) -> list[str]:
    lines = []
    for run in results["runs"]:
        facts = run.get("machine", {})
        if not facts:
            continue
        command = f"`{run['command']}`" if "command" in run else "a run"
        told = ", ".join(f"{key} {_shown(value)}" for key, value in facts.items() if key != "date")
        lines.append(f"- {command}, {facts.get('date', 'undated')}: {told}")
    return lines


def plot(results: Results, names: Sequence[str]) -> list[str]:
    """A line a drawing; what is left out has no numbers and so no file."""
    drawn = {name.removesuffix(".svg") for name, _ in plots(results)}
    return [f"![{name.replace('-', ' ')}]({PLOTS}/{name}.svg)" for name in names if name in drawn]


PARTS: Final[dict[str, Callable[[Results, Sequence[str]], list[str]]]] = {
    "rows": rows,
    "alone": alone,
    "most": most,
    "latency": latency,
    "systems": systems,
    "runs": runs,
    "plot": plot,
}


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Nothing for no lines."""
    if not lines:
        return []
    return [_line(header), _line(["---"] * len(header)), *map(_line, lines)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def number(value: float | None) -> str:
    """Three digits that matter; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio_text(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def milliseconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _shown(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.document")
    parser.add_argument("results", nargs="+", metavar="JSON")
    parser.add_argument("--page", default=PAGE)
    options = parser.parse_args()
    with open(options.page, encoding="utf-8") as file:
        page = file.read()
    written, stayed = filled(page, load(options.results))
    with open(options.page, "w", encoding="utf-8") as file:
        file.write(written)
    for name in stayed:
        print(f"left as it is, for want of numbers: {name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
