"""Line charts as SVG: panels side by side, one line a system.

An own writer and no plotting library, since a file in the repository should change only where
numbers changed, be readable on light and dark pages (it brings its own background for either),
and need nothing installed.

No time, no random id, no font but the reader's; coordinates have one decimal. What must not enter:
where the numbers come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Final

from bench.scales import Scale, linear, logarithmic, short

__all__ = ["Line", "Panel", "draw"]

PANEL_WIDTH: Final = 300
PANEL_HEIGHT: Final = 220
LEFT, RIGHT, GAP, TOP, BOTTOM = 64, 24, 68, 64, 84
"""Around the panels; the gap between two has the numbers of the second one's axis."""
COLOURS: Final = (
    ("#0969da", "#58a6ff"),
    ("#bc4c00", "#f0883e"),
    ("#1a7f37", "#3fb950"),
    ("#8250df", "#bc8cff"),
    ("#9a6700", "#d29922"),
    ("#57606a", "#8b949e"),
)
"""Of lines, on light and on dark."""
LEGEND_CHARACTER: Final = 7.2

STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.panel { font-weight: 600 }
.back { fill: #ffffff } .grid { stroke: #d0d7de } .axis { stroke: #57606a }
polyline { fill: none; stroke-width: 2 }
"""
STYLE_DARK: Final = """text { fill: #e6edf3 }
.back { fill: #0d1117 } .grid { stroke: #30363d } .axis { stroke: #8b949e }
"""


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. Logarithmic axes leave out points that are not above 0."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_log: bool = False
    y_log: bool = False
    x_marks: Sequence[tuple[float, str]] = ()
    """Where the axis is marked and how, if not at round numbers. It ends with the last."""

    def visible(self, line: Line) -> list[tuple[float, float]]:
        return [
            (x, y)
            for x, y in sorted(line.points)
            if x == x and y == y and (x > 0 or not self.x_log) and (y > 0 or not self.y_log)
        ]

    def scales(self) -> tuple[Scale, Scale]:
        points = [point for line in self.lines for point in self.visible(line)]
        y = (logarithmic if self.y_log else linear)([y for _, y in points])
        x = (logarithmic if self.x_log else linear)([x for x, _ in points])
        if self.x_marks:
            marks = [mark for mark, _ in self.x_marks]
            x = Scale(marks[0] if self.x_log else 0, marks[-1], tuple(marks), self.x_log)
        return x, y


def draw(
    title: str,
    note: str,
    panels: Sequence[Panel],
    *,
    order: Sequence[str] = (),
    one_y: bool = False,
) -> str:
    """The whole file. `note` is the line under the title. Lines of one name have one colour and
    mark in all panels; with `order`, a list of all names, in all drawings with that list too. With
    `one_y` all panels have the vertical axis that fits everybody's points.
    """
    seen = [line.name for panel in panels for line in panel.lines]
    names = list(dict.fromkeys([*order, *seen]))
    width = LEFT + RIGHT + len(panels) * PANEL_WIDTH + (len(panels) - 1) * GAP
    height = TOP + PANEL_HEIGHT + BOTTOM
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}{_colours(0, len(names))}",
        f"@media (prefers-color-scheme: dark) {{ {STYLE_DARK}{_colours(1, len(names))} }}</style>",
        f'<rect class="back" width="{width}" height="{height}" rx="6"/>',
        _text(LEFT, 22, title, "title"),
        _text(LEFT, 40, note),
    ]
    every = replace(panels[0], lines=[line for panel in panels for line in panel.lines])
    for number, panel in enumerate(panels):
        x_scale, y_scale = panel.scales()
        scales = x_scale, every.scales()[1] if one_y else y_scale
        out += _panel(panel, scales, LEFT + number * (PANEL_WIDTH + GAP), names)
    out += _legend([(names.index(name), name) for name in names if name in seen], height - 20)
    return "\n".join([*out, "</svg>", ""])


def _colours(theme: int, count: int) -> str:
    every = ((number, COLOURS[number % len(COLOURS)][theme]) for number in range(count))
    return "\n".join(
        f".s{number} {{ stroke: {colour} }} .m{number} {{ fill: {colour} }}"
        for number, colour in every
    )


def _panel(panel: Panel, scales: tuple[Scale, Scale], left: float, names: list[str]) -> list[str]:
    x_scale, y_scale = scales
    bottom = TOP + PANEL_HEIGHT

    def x_of(value: float) -> float:
        return left + PANEL_WIDTH * x_scale.place(value)

    def y_of(value: float) -> float:
        return bottom - PANEL_HEIGHT * y_scale.place(value)

    out = [_text(left, TOP - 6, panel.title, "panel")]
    for tick in y_scale.ticks:
        y = y_of(tick)
        out.append(_rule(left, y, left + PANEL_WIDTH, y, "grid"))
        out.append(_text(left - 6, y + 4, short(tick), anchor="end"))
    for tick, name in panel.x_marks or [(tick, short(tick)) for tick in x_scale.ticks]:
        x = x_of(tick)
        out.append(_rule(x, bottom, x, bottom + 4, "axis"))
        out.append(_text(x, bottom + 18, name, anchor="middle"))
    out.append(_rule(left, bottom, left + PANEL_WIDTH, bottom, "axis"))
    out.append(_text(left + PANEL_WIDTH / 2, bottom + 36, panel.x_label, anchor="middle"))
    middle = TOP + PANEL_HEIGHT / 2
    out.append(_text(left - 46, middle, panel.y_label, anchor="middle", turned=True))
    for line in panel.lines:
        number = names.index(line.name)
        points = [(x_of(x), y_of(y)) for x, y in panel.visible(line)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline class="s{number}" points="{joined}"/>')
        out += [_mark(number, x, y) for x, y in points]
    return out


def _legend(names: list[tuple[int, str]], y: float) -> list[str]:
    out: list[str] = []
    x = float(LEFT)
    for number, name in names:
        out.append(f'<polyline class="s{number}" points="{x:.1f},{y:.1f} {x + 24:.1f},{y:.1f}"/>')
        out.append(_mark(number, x + 12, y))
        out.append(_text(x + 30, y + 4, name))
        x += 30 + LEGEND_CHARACTER * len(name) + 24
    return out


def _mark(number: int, x: float, y: float) -> str:
    """Another shape for each line, for those who cannot tell the colours."""
    shapes = (
        f'<circle class="m{number}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
        f'<rect class="m{number}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>',
        _polygon(number, x, y, ((0, -5), (5, 4), (-5, 4))),
        _polygon(number, x, y, ((0, -5), (5, 0), (0, 5), (-5, 0))),
        _polygon(number, x, y, ((0, 5), (5, -4), (-5, -4))),
    )
    return shapes[number % len(shapes)]


def _polygon(number: int, x: float, y: float, corners: Sequence[tuple[int, int]]) -> str:
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="m{number}" points="{points}"/>'


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(
    x: float, y: float, text: str, kind: str = "", anchor: str = "start", turned: bool = False
) -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor != "start" else ""
    attributes += f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(text)}</text>'
