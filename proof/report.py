"""What a run showed: a row for each client's group, for people and for programs."""

import json
import platform
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["GroupRow", "Report"]


@dataclass
class GroupRow:
    """`errors` are counted by sort, place and name: `membership commit ILLEGAL_GENERATION`."""

    client: str
    records: int
    redelivered: int
    started: int
    stopped: int
    killed: int
    lag: int
    longest_silence_s: float
    """A record's longest wait for a living member that had its partition."""
    longest_wait_s: float
    """A record's longest wait for anybody: while the group rebalanced, missed its dead, or the
    broker was down."""
    errors: dict[str, int]
    problems: list[str]
    client_faults: list[str]
    """What the client did wrong by itself (`judge`)."""

    def unexpected(self) -> dict[str, int]:
        return {what: n for what, n in self.errors.items() if what.startswith("unexpected")}


@dataclass
class Report:
    records: int
    seconds: float
    seed: int
    kills: int
    down_s: float
    settled_s: float
    """From the end of the churn until every lag was 0."""
    problems: list[str]
    """Of the log itself."""
    groups: list[GroupRow] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Clients that cannot run here, and why."""

    def faults(self) -> list[str]:
        """Everything that should not be, in words."""
        found = [f"the log: {problem}" for problem in self.problems]
        for group in self.groups:
            found += [f"{group.client}: {problem}" for problem in group.problems]
            if group.lag:
                found.append(f"{group.client}: {group.lag} records behind at the end")
            for what, count in group.unexpected().items():
                found.append(f"{group.client}: {count} x {what}")
        return found

    def as_json(self) -> str:
        machine = {"python": platform.python_version(), "system": platform.system()}
        facts: dict[str, Any] = {"faults": self.faults(), "machine": machine, **asdict(self)}
        return json.dumps(facts, indent=2)

    def print(self) -> None:
        console = Console(width=150)
        table = Table(
            title=f"{self.records:,} records in {self.seconds:.0f} s, "
            f"broker killed {self.kills} times (down {self.down_s:.1f} s in all)"
        )
        table.add_column("client")
        for name in ("records", "again", "started", "stopped", "killed", "lag", "silence", "wait"):
            table.add_column(name, justify="right")
        for name in ("broker gone", "late commits", "other errors", "problems"):
            table.add_column(name, justify="right")
        for group in self.groups:
            sorts: Counter[str] = Counter()
            for what, count in group.errors.items():
                sorts[what.partition(" ")[0]] += count
            table.add_row(
                group.client,
                *(f"{n:,}" for n in (group.records, group.redelivered)),
                *(str(n) for n in (group.started, group.stopped, group.killed, group.lag)),
                *(f"{s:.1f} s" for s in (group.longest_silence_s, group.longest_wait_s)),
                *(str(sorts[sort]) for sort in ("transport", "membership", "unexpected")),
                str(len(group.problems)),
            )
        console.print(table)
        for client, why in self.skipped.items():
            console.print(f"{client}: not run, {why}")
        console.print(f"every lag was 0 after {self.settled_s:.1f} s; seed {self.seed}")
        for group in self.groups:
            for fault in group.client_faults:
                console.print(f"{group.client}, by itself: {fault}", style="yellow")
        for fault in self.faults():
            console.print(fault, style="red")
