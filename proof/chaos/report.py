"""What all rounds showed, by fault: for people and for programs."""

import json
import platform
import subprocess
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from proof.chaos.nemesis import Incident
from proof.chaos.round import Outcome

__all__ = ["Report"]


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


@dataclass
class Report:
    rounds: list[Outcome] = field(default_factory=list)
    revision: str = field(default_factory=_revision)

    def problems(self) -> list[str]:
        return [
            f"seed {outcome.seed}: {problem}"
            for outcome in self.rounds
            for problem in outcome.problems
        ]

    def as_json(self) -> str:
        machine = {"python": platform.python_version(), "system": platform.system()}
        facts: dict[str, Any] = {
            "good": not self.problems(),
            "revision": self.revision,
            "machine": machine,
            "faults": {
                name: {
                    "times": len(incidents),
                    "recovered_s_median": sorted(one.recovered_s for one in incidents)[
                        len(incidents) // 2
                    ],
                    "recovered_s_max": max(one.recovered_s for one in incidents),
                }
                for name, incidents in self._by_fault().items()
            },
            "rounds": [asdict(outcome) for outcome in self.rounds],
        }
        return json.dumps(facts, indent=2)

    def print(self) -> None:
        console = Console(width=110)
        seeds = ", ".join(str(outcome.seed) for outcome in self.rounds)
        table = Table(title=f"{len(self.rounds)} rounds, {self.revision}, seeds {seeds}")
        table.add_column("fault")
        for column in ("times", "lasted in all", "recovered: median", "longest"):
            table.add_column(column, justify="right")
        table.add_column("the last one")
        for name, incidents in sorted(self._by_fault().items()):
            recovered = sorted(one.recovered_s for one in incidents)
            table.add_row(
                name,
                str(len(incidents)),
                f"{sum(one.lasted_s for one in incidents):.0f} s",
                f"{recovered[len(recovered) // 2]:.2f} s",
                f"{recovered[-1]:.2f} s",
                incidents[-1].what,
            )
        console.print(table)
        console.print(self._totals(), highlight=False)
        for name, why in self._skipped().items():
            console.print(f"without {name}: {why}", style="yellow", markup=False)
        for problem in self.problems():
            console.print(problem, style="red", markup=False)
        for outcome in self.rounds:
            if outcome.kept:
                console.print(f"seed {outcome.seed}, histories and data: {outcome.kept}")

    def _totals(self) -> str:
        def total(name: str) -> int:
            return sum(getattr(outcome, name) for outcome in self.rounds)

        memory = max((outcome.resident_bytes_max for outcome in self.rounds), default=0)
        return (
            f"{total('acknowledged'):,} records acknowledged, {total('seen'):,} seen by readers, "
            f"{total('copied'):,} copied in transactions, {total('appends'):,} appended in "
            f"transactions; {total('begun_anew')} producers begun anew; the broker had "
            f"{memory >> 20} MiB at most; {len(self.problems())} problems"
        )

    def _by_fault(self) -> dict[str, list[Incident]]:
        found: defaultdict[str, list[Incident]] = defaultdict(list)
        for outcome in self.rounds:
            for incident in outcome.incidents:
                found[incident.fault].append(incident)
        return found

    def _skipped(self) -> dict[str, str]:
        return {name: why for outcome in self.rounds for name, why in outcome.skipped.items()}
