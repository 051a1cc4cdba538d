"""`python -m proof.streams`: run it, print a table; with --json everything that was counted."""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from proof.broker import HeadraceBroker
from proof.streams.load import Plan
from proof.streams.run import run

__all__ = ["main"]


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="headrace-streams-", dir=options.dir))
    plan = Plan(
        seconds=options.seconds,
        seed=options.seed,
        streams=options.streams,
        connections=options.connections,
        records_per_s=options.records_per_s,
        wave_s=options.wave_s,
        life_s=options.life_s,
        kills=options.kills if options.workers > 1 else 0,
    )
    broker = HeadraceBroker(directory, options.durability, with_grpc=True, workers=options.workers)
    with broker:
        report = run(plan, broker)
    if options.json == "-":
        print(report.as_json())
    else:
        report.print()
        if options.json:
            Path(options.json).write_text(report.as_json() + "\n", encoding="utf-8")
    if report.is_good() and not options.keep:
        shutil.rmtree(directory)
    else:
        print(f"log and data: {directory}", file=sys.stderr)
    return 0 if report.is_good() else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=2048, help="at once (default 2048)")
    parser.add_argument("--seconds", type=float, default=300, help="of load (default 300)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the load"
    )
    parser.add_argument("--connections", type=int, default=4, help="(default 4)")
    parser.add_argument(
        "--records-per-s", type=float, default=10, help="of a stream at the top (default 10)"
    )
    parser.add_argument("--wave-s", type=float, default=30, help="low to low (default 30)")
    parser.add_argument("--life-s", type=float, default=20, help="of a stream (default 20)")
    parser.add_argument("--durability", choices=("fsync", "os"), default="fsync")
    parser.add_argument("--workers", type=int, default=1, help="of the broker")
    parser.add_argument("--kills", type=int, default=0, help="of workers, but for the first")
    parser.add_argument("--dir", help="where the data goes (default: a temporary directory)")
    parser.add_argument("--keep", action="store_true", help="keep log and data")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON, - for stdout")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
