"""`python -m bench [WORKLOAD ...]`: measure, print a table and, with --json, one JSON object."""

import argparse
import contextlib
import dataclasses
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence

from bench.compare import Case, ComparedRow, Settings, compare
from bench.ours import OURS, Headrace
from bench.peers import PEERS, External, NotInstalled
from bench.processes import machine
from bench.report import Results, as_json, as_markdown, number, print_tables
from bench.systems import System
from bench.workloads import ALONE, WORKLOADS
from bench.workloads.warm import warm_up

QUICK = {"seconds": 0.4, "rounds": 3, "gigabytes": 0.25, "warm_up": 20.0}
"""Everything with all peers in less than twelve minutes on two cores; medians are rough."""
FULL = {"seconds": 2.0, "rounds": 5, "gigabytes": 1.0, "warm_up": 60.0}

WITH_A_KAFKA = {"one-more"}
"""Of the rows of ours alone, those that have a Kafka broker beside them where there is one."""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = ", ".join([*WORKLOADS, *ALONE])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"{names} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK} instead of {FULL}, no rows of ours alone"
    )
    parser.add_argument("--seconds", type=float, help="per round of a row and system")
    parser.add_argument("--gigabytes", type=float, help="at most, per round of a row and system")
    parser.add_argument("--rounds", type=int, help="of each; the median is reported")
    parser.add_argument(
        "--warm-up", type=float, help="seconds at most, for each system after its start"
    )
    parser.add_argument("--dir", help="where data directories are made (default: a temporary one)")
    parser.add_argument("--peers", default="", help=f"to run beside: {','.join(PEERS)}, or all")
    parser.add_argument("--peer", metavar="HOST:PORT", help="a Kafka broker that runs already")
    parser.add_argument("--peer-name", default="peer", help="what to call it in the table")
    parser.add_argument("--json", metavar="FILE", help="every round as JSON, - for stdout")
    parser.add_argument("--markdown", metavar="FILE", help="the table as Markdown")
    parser.add_argument(
        "--install-peers", action="store_true", help="fetch what --peers needs (default: all)"
    )
    return parser


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which stops what was started
    parser = arguments()
    options = parser.parse_args()
    unknown = set(options.workloads) - {*WORKLOADS, *ALONE}
    if unknown:
        parser.error(f"unknown workload {', '.join(sorted(unknown))}")
    names = list(PEERS) if options.peers == "all" else list(filter(None, options.peers.split(",")))
    if set(names) - set(PEERS):
        parser.error(f"unknown peer; there are {', '.join(PEERS)}")
    try:
        if options.install_peers:
            for name in names or PEERS:
                print(PEERS[name].install(), file=sys.stderr)
            return 0
        with tempfile.TemporaryDirectory(prefix="headrace-bench-", dir=options.dir) as directory:
            results = _run(options, directory, [PEERS[name] for name in names])
    except NotInstalled as missing:
        print(missing, file=sys.stderr)
        return 2
    _write_out(results, options)
    return 1 if any(row.failures for row in results.rows) else 0


def _run(options: argparse.Namespace, directory: str, peers: Sequence[System]) -> Results:
    settings = _settings(options, directory)
    external = [External(options.peer, options.peer_name)] if options.peer else []
    systems: list[System] = [Headrace(), *peers, *external]
    facts = dataclasses.asdict(settings)
    del facts["directory"]
    command = shlex.join(["scripts/bench", *sys.argv[1:]])
    results = Results(machine(directory), command, facts, OURS)
    chosen = options.workloads or [*WORKLOADS, *([] if options.quick else ALONE)]
    cases = [case for name in chosen if name in WORKLOADS for case in WORKLOADS[name](settings)]
    for found in compare(cases, systems, settings, warm_up):
        if isinstance(found, ComparedRow):
            results.rows.append(found)
            print(_in_short(found), file=sys.stderr)
        else:
            results.systems.append(found)
            print(f"{found.name} {found.version} is ready", file=sys.stderr)
    results.rows.sort(key=lambda row: _order(row.case, cases))
    with contextlib.ExitStack() as stack:
        if WITH_A_KAFKA.intersection(chosen) and PEERS["kafka"] in peers and not options.peer:
            kafka = stack.enter_context(PEERS["kafka"].start(directory, "fsync"))
            settings = dataclasses.replace(settings, peer=kafka.bootstrap, peer_name=kafka.name)
        for name in chosen:
            if name in ALONE:
                for row in ALONE[name](settings):
                    results.alone.append(row)
                    print(f"{row.what}: {number(row.value)} {row.unit}", file=sys.stderr)
    return results


def _settings(options: argparse.Namespace, directory: str) -> Settings:
    preset = QUICK if options.quick else FULL
    seconds, gigabytes, rounds, warm_up_s = (
        preset[name] if getattr(options, name) is None else getattr(options, name)
        for name in ("seconds", "gigabytes", "rounds", "warm_up")
    )
    return Settings(
        directory=directory,
        seconds=seconds,
        bytes_max=int(gigabytes * 1e9),
        rounds=int(rounds),
        warm_up_s=warm_up_s,
        peer=options.peer,
        peer_name=options.peer_name,
    )


def _order(case: Case, cases: Sequence[Case]) -> int:
    """As they were given, whatever order they ran in."""
    return next(at for at, one in enumerate(cases) if one is case)


def _in_short(row: ComparedRow) -> str:
    seen = ", ".join(f"{name} {number(row.value(name))}" for name in row.samples)
    case = row.case
    return f"{case.what} ({case.durability}): {seen} {case.unit}, after {row.took_s:.0f} s"


def _write_out(results: Results, options: argparse.Namespace) -> None:
    if options.json == "-":
        print(as_json(results))
    else:
        print_tables(results)
    for path, text in ((options.json, as_json), (options.markdown, as_markdown)):
        if path and path != "-":
            with open(path, "w", encoding="utf-8") as file:
                file.write(text(results) if text is as_markdown else text(results) + "\n")


if __name__ == "__main__":
    sys.exit(main())
