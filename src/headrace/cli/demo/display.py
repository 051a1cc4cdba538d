"""How a run looks while it lasts: a live picture on a terminal, plain lines elsewhere, on stderr.

What must not enter: decisions. It is given the status and draws it.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from headrace.cli.demo.board import Tally
from headrace.cli.demo.status import Status
from headrace.cli.output import on_terminal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Display", "LiveDisplay", "PlainDisplay", "choose", "latest", "mean_delays"]

_PLAIN_INTERVAL_S: Final = 2.0
_LIVE_INTERVAL_S: Final = 0.15
_RATE_WINDOW_S: Final = 3.0
_BOARD_ROWS: Final = 5
_BAR_WIDTH: Final = 40


class Display(Protocol):
    """What the job tells; `now_s` is the time since the start."""

    def note(self, now_s: float, text: str) -> None: ...
    def update(self, status: Status, now_s: float) -> None: ...
    def close(self) -> None: ...


def choose() -> Display:
    """A live display if a person is looking at stderr."""
    return LiveDisplay() if on_terminal(sys.stderr) else PlainDisplay()


def mean_delays(carriers: Mapping[str, Tally]) -> list[tuple[str, int, float, float, int]]:
    """Carrier, departures, mean minutes late at departure and arrival, cancelled; worst first.

    Carriers without departures have no mean and are left out.
    """
    rows = [
        (carrier, departed, late / departed, later / arrived if arrived else 0.0, cancelled)
        for carrier, (departed, late, arrived, later, cancelled) in carriers.items()
        if departed
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def latest(rates: deque[tuple[float, int]], now_s: float, count: int) -> float:
    """Events per second over the last moments; `rates` remembers them for the next call."""
    rates.append((now_s, count))
    while len(rates) > 1 and now_s - rates[0][0] > _RATE_WINDOW_S:
        rates.popleft()
    since_s, before = rates[0]
    return (count - before) / (now_s - since_s) if now_s > since_s else 0.0


class PlainDisplay:
    """A line for whatever happens, and one every two seconds."""

    def __init__(self) -> None:
        self._shown_s = 0.0
        self._rates: deque[tuple[float, int]] = deque(maxlen=256)

    def note(self, now_s: float, text: str) -> None:
        self._print(now_s, text)

    def update(self, status: Status, now_s: float) -> None:
        if now_s - self._shown_s < _PLAIN_INTERVAL_S:
            return
        self._shown_s = now_s
        rate = latest(self._rates, now_s, status.acked)
        lags = " / ".join(
            f"{status.lag(name):,}" if consumer.alive else "killed"
            for name, consumer in status.consumers.items()
        )
        verified = f", verified {status.verified:,}" if status.verified else ""
        self._print(
            now_s,
            f"sent {status.sent:,}, in the log {status.acked:,}, processed {status.covered:,} of "
            f"{status.total:,}, {rate:,.0f} events/s, lag {lags}{verified}",
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _print(self, now_s: float, text: str) -> None:
        print(f"{now_s:6.1f} s  {text}", file=sys.stderr, flush=True)


class LiveDisplay:
    """One picture, drawn again a few times a second, gone at the end."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        console = console or Console(stderr=True)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        self._drawn_s = 0.0
        self._rates: deque[tuple[float, int]] = deque(maxlen=256)

    def note(self, now_s: float, text: str) -> None:
        self._live.console.print(f"[dim]{now_s:6.1f} s[/]  {text}", highlight=False)

    def update(self, status: Status, now_s: float) -> None:
        if time.monotonic() - self._drawn_s < _LIVE_INTERVAL_S:
            return
        self._drawn_s = time.monotonic()
        rate = latest(self._rates, now_s, status.acked)
        self._live.update(self._picture(status, rate), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _picture(self, status: Status, rate: float) -> RenderableType:
        from rich.columns import Columns
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        counts = Table.grid(padding=(0, 2))
        for name, value in (
            ("sent", status.sent),
            ("in the log", status.acked),
            ("processed", status.covered),
            ("verified", status.verified),
        ):
            bar = ProgressBar(total=max(1, status.total), completed=value, width=_BAR_WIDTH)
            counts.add_row(name, bar, f"{value:>9,}")
        group = Table(box=None, title="group", title_justify="left")
        for heading in ("consumer", "partitions", "lag"):
            group.add_column(heading)
        for name, consumer in status.consumers.items():
            partitions = " ".join(map(str, consumer.partitions)) if consumer.alive else "killed"
            group.add_row(name, partitions, f"{status.lag(name):,}" if consumer.alive else "-")
        board = Table(box=None, title="delay board, minutes", title_justify="left")
        for heading in ("carrier", "departed", "late", "late at arrival", "cancelled"):
            board.add_column(heading, justify="left" if heading == "carrier" else "right")
        for carrier, departed, late, later, cancelled in mean_delays(status.carriers())[
            :_BOARD_ROWS
        ]:
            board.add_row(carrier, f"{departed:,}", f"{late:.1f}", f"{later:.1f}", f"{cancelled:,}")
        summary = f"{rate:,.0f} events/s, redelivered {status.redelivered:,}"
        return Group(counts, summary, Columns((group, board), padding=(0, 4)))
