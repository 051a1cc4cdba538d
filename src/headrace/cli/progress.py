"""How far long work has come, on stderr: a live line on a terminal, now and then a plain one else.

Nothing is shown for work that is over in a moment, and Rich is only opened when it is needed.
What must not enter: Kafka; stdout, which belongs to the result.
"""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from headrace.cli.output import bytes_text, on_terminal

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["Progress"]

QUIET_S: Final = 0.5
"""Work shorter than this shows nothing."""
LIVE_INTERVAL_S: Final = 0.1
PLAIN_INTERVAL_S: Final = 5.0


class Progress:
    """Counts records and bytes; `add` is cheap enough to be called for every record."""

    def __init__(self, what: str, *, hidden: bool = False) -> None:
        """`what` reads like "produced to flights"."""
        self.records = 0
        self.bytes = 0
        self._what = what
        self._total: int | None = None
        self._live = on_terminal(sys.stderr)
        self._hidden = hidden
        self._started = time.monotonic()
        self._shown = self._started
        self._records_shown = 0
        self._interval = QUIET_S if self._live else PLAIN_INTERVAL_S
        self._rich: tuple[RichProgress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._rich is not None:
            self._rich[0].stop()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Records per second so far."""
        return self.records / max(self.seconds, 1e-9)

    def expect(self, records: int) -> None:
        """How many there will be, where that is known."""
        self._total = records

    def add(self, records: int, size_bytes: int) -> None:
        self.records += records
        self.bytes += size_bytes
        if self._hidden or time.monotonic() - self._shown < self._interval:
            return
        self._shown = time.monotonic()
        if self._live or self.records != self._records_shown:
            self._records_shown = self.records
            self._show()

    def _show(self) -> None:
        per_second = f"{self.rate:,.0f} records/s, {bytes_text(self.bytes / self.seconds)}/s"
        if self._live:
            self._interval = LIVE_INTERVAL_S
            progress, task = self._rich or self._open_rich()
            progress.update(task, completed=self.records, speed=per_second)
        else:
            of = f" of {self._total:,}" if self._total is not None else ""
            print(
                f"headrace: {self._what}: {self.records:,}{of} records, {per_second}",
                file=sys.stderr,
                flush=True,
            )

    def _open_rich(self) -> "tuple[RichProgress, TaskID]":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        progress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        task = progress.add_task(self._what, total=self._total, speed="")
        progress.start()
        self._rich = (progress, task)
        return self._rich
