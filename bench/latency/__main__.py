"""`scripts/bench latency`: end-to-end latency at fixed rates, beside peers; the method is told in
the package. Prints a table, and writes JSON for `bench.document` and `bench.plots`."""

import argparse
import contextlib
import dataclasses
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.latency.runs import Plan, measure
from bench.ours import OURS, Headrace
from bench.peers import PEERS, External, NotInstalled
from bench.processes import machine
from bench.systems import DURABILITIES, Durability, Running, System

QUICK = {"run_s": 4.0, "trial_s": 2.0, "trials": 4}
"""With four systems in less than twelve minutes on two cores."""
FULL = {"run_s": 30.0, "trial_s": 5.0, "trials": 5}
SHOWN = ("p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench latency", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} instead of {FULL}")
    parser.add_argument("--seconds", type=float, help="of each run, without its warm-up")
    parser.add_argument("--durability", choices=DURABILITIES, help="only this one")
    parser.add_argument("--peers", default="", help=f"to run beside: {','.join(PEERS)}, or all")
    parser.add_argument("--peer", metavar="HOST:PORT", help="a Kafka broker that runs already")
    parser.add_argument("--peer-name", default="peer", help="what to call it in the table")
    parser.add_argument("--dir", help="where data directories are made (default: a temporary one)")
    parser.add_argument("--json", metavar="FILE", help="write everything that was seen")
    return parser


def main() -> int:
    parser = arguments()
    options = parser.parse_args()
    names = list(PEERS) if options.peers == "all" else list(filter(None, options.peers.split(",")))
    if set(names) - set(PEERS):
        parser.error(f"unknown peer; there are {', '.join(PEERS)}")
    systems: list[System] = [Headrace(), *(PEERS[name] for name in names)]
    if options.peer:
        systems.append(External(options.peer, options.peer_name))
    preset = dict(QUICK if options.quick else FULL)
    if options.seconds:
        preset["run_s"] = options.seconds
    try:
        with tempfile.TemporaryDirectory(prefix="headrace-bench-", dir=options.dir) as directory:
            plan = Plan(directory, preset["run_s"], preset["trial_s"], int(preset["trials"]))
            results = run(systems, options.durability, plan)
    except NotInstalled as missing:
        print(missing, file=sys.stderr)
        return 2
    results["command"] = shlex.join(["scripts/bench", "latency", *sys.argv[1:]])
    print_table(results["latency"])
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    return 1 if any("failure" in row for row in results["latency"]) else 0


def run(systems: Sequence[System], only: Durability | None, plan: Plan) -> dict[str, Any]:
    settings = dataclasses.asdict(plan)
    del settings["directory"]
    results: dict[str, Any] = {"machine": machine(plan.directory), "settings": settings}
    results |= {"ours": OURS, "systems": {}, "latency": []}
    for durability in (only,) if only else DURABILITIES:
        with contextlib.ExitStack() as stack:
            running: list[Running] = []
            for system in systems:
                one = stack.enter_context(system.start(plan.directory, durability))
                running.append(one)
                describe(one, results["systems"])
                print(f"{one.name} {one.version} is ready, {durability}", file=sys.stderr)
            for row in measure(running, plan):
                results["latency"].append(row)
                print(in_short(row), file=sys.stderr)
    return results


def describe(one: Running, systems: dict[str, Any]) -> None:
    entry = systems.setdefault(one.name, {"version": one.version, "family": one.family})
    entry.setdefault("policy", {})[one.durability] = one.policy
    entry["notes"] = one.notes


def in_short(row: dict[str, Any]) -> str:
    what = f"{row['system']}, {row['durability']}, {row['load']}"
    if "failure" in row:
        return f"{what}: {row['failure']}"
    if "most" in row:
        return f"{what}: {row['most']:,} /s sustained, {row['flooded']:,} /s when flooded"
    seen = ", ".join(f"{name} {row['end_to_end'][name]:.2f}" for name in SHOWN)
    return f"{what}: {row['rate']:,} /s: {seen}" + ("" if row["is_sustained"] else ", falls behind")


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(title="end to end, ms from when a record was due until the consumer had it")
    for name in ("durability", "load", "system", "records/s", *SHOWN, "ack p50", "ack p99"):
        table.add_column(name.removesuffix("_ms").replace("_", "."), justify="right")
    for row in rows:
        if "end_to_end" not in row:
            continue
        seen = [f"{row['end_to_end'][name]:.2f}" for name in SHOWN]
        acks = [f"{row['ack'][name]:.2f}" for name in ("p50_ms", "p99_ms")]
        rate = f"{row['rate']:,}" + ("" if row["is_sustained"] else " (falls behind)")
        table.add_row(row["durability"], row["load"], row["system"], rate, *seen, *acks)
    Console(width=150).print(table)


if __name__ == "__main__":
    sys.exit(main())
