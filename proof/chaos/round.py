"""One round: a fresh broker, everybody at work, the nemesis; then healing, quiet, and judgement."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from proof.chaos.crew import SHARE, group_of
from proof.chaos.faults import FAULTS
from proof.chaos.judge import Statement, judge
from proof.chaos.load import Load
from proof.chaos.nemesis import Incident, Nemesis
from proof.chaos.site import BrokerDown, Site
from proof.chaos.topics import create_topics

__all__ = ["HISTORY_NAME", "Outcome", "Plan", "play"]

HISTORY_NAME: Final = "history.json"
RESIDENT_BYTES_MAX: Final = 400 << 20
"""Of the broker, whatever is done to it."""


@dataclass(frozen=True)
class Plan:
    seed: int
    seconds: float
    directory: Path
    faults: Sequence[str] = tuple(FAULTS)
    durability: str = "fsync"


@dataclass
class Outcome:
    seed: int
    acknowledged: int = 0
    seen: int = 0
    appends: int = 0
    copied: int = 0
    begun_anew: int = 0
    """Transactional producers that could go on no more."""
    resident_bytes_max: int = 0
    quiet_s: float = 0.0
    """From the last healing until everybody had everything."""
    incidents: list[Incident] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    kept: str = ""
    """Where histories and data are, if there are problems."""


def play(plan: Plan) -> Outcome:
    """What is wrong is in the outcome. Raises RuntimeError when the round itself breaks."""
    outcome = Outcome(plan.seed)
    seed = f"{plan.seed}"
    with Site(plan.directory, seed, plan.durability) as site:
        faults = [FAULTS[name]() for name in plan.faults]
        outcome.skipped = {
            fault.name: why for fault in faults if (why := fault.lacks(site)) is not None
        }
        create_topics(site.bootstrap, group_of(SHARE))
        load = Load(site, seed)
        ready = [fault for fault in faults if fault.name not in outcome.skipped]
        nemesis = Nemesis(site, load, ready, f"{seed}/nemesis")
        statement = None
        try:
            nemesis.rage(plan.seconds)
            since = time.monotonic()
            load.stop()
            outcome.quiet_s = time.monotonic() - since
            site.kill()  # what is judged is what a start finds
            site.start()
            statement = load.statement()
        except (BrokerDown, OSError) as error:
            outcome.problems.append(f"the round could not be ended: {error}")
        outcome.incidents = nemesis.incidents
        outcome.problems += [*nemesis.problems, *site.problems, *site.tracebacks()]
        outcome.resident_bytes_max = nemesis.resident_bytes_max
        if outcome.resident_bytes_max > RESIDENT_BYTES_MAX:
            outcome.problems.append(f"the broker had {outcome.resident_bytes_max >> 20} MiB")
        if statement is not None:
            _weigh(outcome, statement, load)
    if outcome.problems:
        outcome.kept = str(plan.directory)
        _keep(plan.directory / HISTORY_NAME, outcome, statement, load)
    return outcome


def _weigh(outcome: Outcome, statement: Statement, load: Load) -> None:
    outcome.problems += judge(statement)
    outcome.acknowledged = len(statement.history.acks)
    outcome.seen = load.readers.seen_count
    outcome.appends = len(statement.lists.acknowledged)
    outcome.copied = sum(len(values) for values in statement.copies.values())
    outcome.begun_anew = load.movers.begun_anew + load.lists.begun_anew


def _keep(path: Path, outcome: Outcome, statement: Statement | None, load: Load) -> None:
    history = {
        "outcome": asdict(outcome),
        "acks": load.history.acks,
        "sightings": load.history.sightings,
        "plain": statement.plain if statement else None,
        "copies": statement.copies if statement else None,
        "lists": statement.lists.final if statement else None,
        "attempts": {name: asdict(one) for name, one in load.lists.attempts.items()},
    }
    path.write_text(json.dumps(history), encoding="utf-8")
