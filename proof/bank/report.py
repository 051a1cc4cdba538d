"""What a run of the bank showed, for people and for programs."""

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
    seconds: float
    seed: int
    protocol: str
    orders: int
    transactions: Mapping[str, int]
    """Attempts by what their tellers knew: committed, aborted, unknown (killed amid the commit)."""
    broker_kills: int
    down_s: float
    tellers_started: int
    tellers_killed: int
    tellers_frozen: int
    tellers_gave_up: Mapping[str, int]
    """With an error, by its name; a frozen one is rightly fenced."""
    committed_records: int
    hidden_records: int
    """Of aborted transactions, in the log and not to be seen."""
    reads: int
    """Committed reads, after each of which the sum was right."""
    longest_half_seen_s: float
    settled_s: float
    """From the last order until all was decided."""
    problems: list[str]

    def is_good(self) -> bool:
        return not self.problems

    def as_json(self) -> str:
        machine = {"python": platform.python_version(), "system": platform.system()}
        facts: dict[str, Any] = {"good": self.is_good(), "machine": machine, **asdict(self)}
        return json.dumps(facts, indent=2)

    def print(self) -> None:
        console = Console(width=100)
        table = Table(title=f"A bank for {self.seconds:.0f} s, {self.protocol}, seed {self.seed}")
        table.add_column("what")
        table.add_column("how many", justify="right")
        gave_up = ", ".join(f"{name} {n}" for name, n in self.tellers_gave_up.items())
        rows = {
            "orders": f"{self.orders:,}",
            "transactions committed": f"{self.transactions.get('committed', 0):,}",
            "transactions aborted": f"{self.transactions.get('aborted', 0):,}",
            "transactions cut off by a kill": f"{self.transactions.get('unknown', 0):,}",
            "broker killed": f"{self.broker_kills} (down {self.down_s:.1f} s in all)",
            "tellers killed": str(self.tellers_killed),
            "tellers frozen": str(self.tellers_frozen),
            "tellers that gave up": gave_up or "0",
            "records committed": f"{self.committed_records:,}",
            "records aborted and hidden": f"{self.hidden_records:,}",
            "committed reads with the right sum": f"{self.reads:,}",
            "longest between the two sides": f"{self.longest_half_seen_s:.1f} s",
            "all decided after the last order": f"{self.settled_s:.1f} s",
            "problems": str(len(self.problems)),
        }
        for name, value in rows.items():
            table.add_row(name, value)
        console.print(table)
        for problem in self.problems:
            console.print(problem, style="red", markup=False)
