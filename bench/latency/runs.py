"""One run at one rate, and the runs that make a table.

A row is a dict, as it goes to JSON: `system`, `durability`, `load` (its name), then either `most`
and `flooded` in records/s, or `rate`, `share` (of the system's own most, None where the rate is the
same for all), `is_sustained`, `cpu_s` of the system, `due`, `sent`, `acked`, `received`,
`seconds` from when the first was due to when the last was received, and summaries (`count`,
percentiles and the greatest in ms) of `ack`, `end_to_end` and `late`.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.disk import touch_memory
from bench.latency.clients import Spec
from bench.latency.search import highest_rate
from bench.latency.wires import VALUE_BYTES
from bench.systems import Running

__all__ = ["BACKLOG_MS_MAX", "Plan", "both", "loads_of", "measure"]

BACKLOG_MS_MAX: Final = 100.0
FLOOD_RATE: Final = 10_000_000
FLOODS_MAX: Final = 4
WARM_FACTOR: Final = 1.1
SHARES: Final = (0.1, 0.5, 0.8)
RATES: Final = (1_000, 10_000)
TOUCH_BYTES_MAX: Final = 2 << 30
RUN_S_MAX: Final = 120.0
"""Beyond its schedule: something hangs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long. A run's warm-up comes on top of its seconds."""

    directory: str
    run_s: float
    trial_s: float
    trials: int
    warm_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a run is called and how fast it is. `share` of the system's own most, or None."""

    name: str
    rate: int
    share: float | None


def loads_of(most: int, slowest: int) -> list[Load]:
    """Parts of what this system sustains, then the rates that are the same for all, as far as it
    sustains them."""
    loads = [Load(f"{share:.0%} of its most", int(most * share), share) for share in SHARES]
    loads += [Load(f"{rate:,} /s", rate, None) for rate in RATES if rate <= most]
    name = f"{SHARES[-1]:.0%} of the slowest's most"
    loads.append(Load(name, int(slowest * SHARES[-1]), None))
    return loads


def run_at(
    running: Running,
    rate: int,
    seconds: float,
    *,
    directory: str,
    warm_s: float,
    give_up_s: float,
    expected: int | None = None,
) -> dict[str, Any]:
    """A new log, a consumer, then a producer that keeps to its schedule. What both saw. Memory is
    touched for the `expected` rate, if that is another one.

    Raises RuntimeError when one of them failed, or when what was acknowledged was not received.
    """
    records = max(int(rate * (warm_s + seconds)), 1)
    log = f"latency{time.time_ns()}"
    size_bytes = int((rate if expected is None else expected) * (warm_s + seconds)) * VALUE_BYTES
    touch_memory(directory, min(size_bytes, TOUCH_BYTES_MAX))
    os.sync()  # nobody waits for the disk to take what another has left
    running.driver.create(log)
    try:
        spec = Spec(
            family=running.family,
            bootstrap=running.bootstrap,
            log=log,
            interval_ns=max(round(1e9 / rate), 1),
            records=records,
            warm_records=int(rate * warm_s),
            give_up_s=give_up_s,
        )
        seen = both(spec, RUN_S_MAX + warm_s + seconds)
    finally:
        running.driver.delete(log)
    if not seen["acked"] == seen["received"] == seen["sent"]:
        raise RuntimeError(f"{seen['sent']} sent, {seen['acked']} acked, {seen['received']} read")
    return seen


def both(spec: Spec, timeout_s: float) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        consumer = stack.enter_context(_client("consume", spec))
        assert consumer.stdout is not None
        if consumer.stdout.readline() != "ready\n":
            raise RuntimeError("the consumer did not become ready")
        producer = stack.enter_context(_client("produce", spec))
        seen: dict[str, Any] = {}
        for process in (producer, consumer):
            text, _ = process.communicate(timeout=timeout_s)
            if process.returncode:
                raise RuntimeError(f"a client of the {spec.family} run failed, see above")
            seen.update(json.loads(text))
    return seen


@contextlib.contextmanager
def _client(role: str, spec: Spec) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "bench.latency.clients", role, spec.as_json()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def is_sustained(seen: dict[str, Any]) -> bool:
    """Whether all was sent, and the consumer was with it at some moment of the last quarter."""
    is_all_sent = seen["sent"] == seen["due"]
    return bool(is_all_sent and seen["behind_at_the_end_ms"] <= BACKLOG_MS_MAX)


def find_most(running: Running, plan: Plan) -> dict[str, Any]:
    """Records a second: when flooded, again and again until that is no faster, since then it is
    warm; and what is sustained."""
    rates = [_flooded(running, plan, 0)]
    while len(rates) < FLOODS_MAX:
        rates.append(_flooded(running, plan, max(rates)))
        if rates[-1] < WARM_FACTOR * rates[-2]:
            break

    def sustained(candidate: int) -> bool:
        seen = run_at(
            running,
            candidate,
            plan.trial_s,
            directory=plan.directory,
            warm_s=plan.trial_s / 2,
            give_up_s=1.0,
        )
        return is_sustained(seen)

    return {"flooded": max(rates), "most": highest_rate(sustained, max(rates), plan.trials)}


def _flooded(running: Running, plan: Plan, expected: int) -> int:
    seen = run_at(
        running,
        FLOOD_RATE,
        plan.trial_s,
        directory=plan.directory,
        warm_s=0,
        give_up_s=0,
        expected=expected,
    )
    return int(seen["received"] / seen["seconds"])


def run_load(running: Running, load: Load, plan: Plan) -> dict[str, Any]:
    """One row. A system that failed has the failure in it and no numbers."""
    row = {
        "system": running.name,
        "durability": running.durability,
        "load": load.name,
        "share": load.share,
        "rate": load.rate,
    }
    before_s = running.cpu_s()
    try:
        seen = run_at(
            running,
            load.rate,
            plan.run_s,
            directory=plan.directory,
            warm_s=plan.warm_s,
            give_up_s=2.0,
        )
    except Exception as error:  # noqa: BLE001 - one system's row must not end the run
        return {**row, "failure": f"{type(error).__name__}: {error}"}
    cpu_s = running.cpu_s() - before_s
    return {**row, "is_sustained": is_sustained(seen), "cpu_s": cpu_s, **seen}


def measure(systems: Sequence[Running], plan: Plan) -> Iterator[dict[str, Any]]:
    """Each system's most, then every load, the systems in turn."""
    found: dict[str, int] = {}
    for running in systems:
        row: dict[str, Any] = {"system": running.name, "durability": running.durability}
        row["load"] = "most"
        try:
            row |= find_most(running, plan)
        except Exception as error:  # noqa: BLE001 - one system's failure must not end the run
            row["failure"] = f"{type(error).__name__}: {error}"
        found[running.name] = row.get("most", 0)
        yield row
    slowest = min((rate for rate in found.values() if rate), default=0)
    waiting = [(running, loads_of(found[running.name], slowest)) for running in systems]
    for name in dict.fromkeys(load.name for _, loads in waiting for load in loads):
        for running, loads in waiting:
            for load in loads:
                if load.name == name and found[running.name]:
                    yield run_load(running, load, plan)
