"""What a run of streams showed, for people and for programs."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Report"]


@dataclass
class Report:
    """Memory is resident, in MB of 10^6 bytes."""

    seconds: float
    seed: int
    producers: int
    configs: Mapping[str, str]
    streams_opened: int
    open_at_once_mean: float
    open_at_once_least: int
    """Of what was seen once a second."""
    acknowledged_records: int
    log_records: int
    resent_records: int
    unacknowledged_records: int
    """In the log, though their stream ended before it was acknowledged: there twice."""
    close_signals: int
    cut_off: int
    """Streams that the broker ended after their grace."""
    turns_without_room: int
    """The window was closed: the producer wrote later."""
    partitions: int
    active_most: int
    opened: int
    reopened: int
    retired: int
    relieved: int
    workers: int
    """Of the broker; the first serves the streams, all have partitions."""
    workers_killed: int
    down_s: float
    broker_idle_mb: float
    broker_peak_mb: float
    broker_mb_by_fifths: list[float]
    """The highest of each fifth of the run."""
    broker_cpu_s: float
    verify_streams: int
    verify_faults: int
    """As `headrace streams verify` judges."""
    problems_count: int
    problems: list[str]

    def is_good(self) -> bool:
        return not self.problems_count

    def as_json(self) -> str:
        machine = {"python": platform.python_version(), "system": platform.system()}
        facts: dict[str, Any] = {"good": self.is_good(), "machine": machine, **asdict(self)}
        return json.dumps(facts, indent=2)

    def print(self) -> None:
        console = Console(width=100)
        title = f"{self.producers:,} streams for {self.seconds:.0f} s, seed {self.seed}"
        table = Table(title=title)
        table.add_column("what")
        table.add_column("how many", justify="right")
        open_ = f"{self.open_at_once_mean:,.0f} (never below {self.open_at_once_least:,})"
        grew = ", ".join(f"{each:.0f}" for each in self.broker_mb_by_fifths)
        rows = {
            "streams open at once, mean": open_,
            "streams opened in all": f"{self.streams_opened:,}",
            "close signals, streams cut off after it": f"{self.close_signals:,}, {self.cut_off:,}",
            "records acknowledged": f"{self.acknowledged_records:,}",
            "records in the log": f"{self.log_records:,}",
            "records sent again": f"{self.resent_records:,}",
            "of them in the log twice": f"{self.unacknowledged_records:,}",
            "partitions opened, reopened, retired": (
                f"{self.opened}, {self.reopened}, {self.retired}"
            ),
            "workers, killed": (
                f"{self.workers}, {self.workers_killed} (down {self.down_s:.1f} s in all)"
            ),
            "times a hot one was relieved": str(self.relieved),
            "partitions, active at most": f"{self.partitions}, {self.active_most}",
            "turns that a window put off": f"{self.turns_without_room:,}",
            "broker's memory: idle, peak": (
                f"{self.broker_idle_mb:.0f} MB, {self.broker_peak_mb:.0f} MB"
            ),
            "the highest of each fifth of the run": f"{grew} MB",
            "broker's processor time": f"{self.broker_cpu_s:.0f} s",
            "streams verified, faults": f"{self.verify_streams:,}, {self.verify_faults}",
            "problems": str(self.problems_count),
        }
        for name, value in rows.items():
            table.add_row(name, value)
        console.print(table)
        for problem in self.problems:
            console.print(problem, style="red", markup=False)
