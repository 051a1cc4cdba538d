"""`python -m proof.bank`: run it, print a table and, with --json, everything that was counted."""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from proof.bank.run import PROTOCOLS, Plan, run
from proof.broker import ExternalBroker, HeadraceBroker

__all__ = ["main"]


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="headrace-bank-", dir=options.dir))
    plan = Plan(
        options.minutes * 60,
        options.seed,
        directory,
        options.protocol,
        options.tellers,
        options.accounts,
        options.orders_per_s,
    )
    broker: HeadraceBroker | ExternalBroker
    if options.bootstrap:
        broker = ExternalBroker(options.bootstrap, options.restart)
    else:
        broker = HeadraceBroker(directory, options.durability, workers=options.workers)
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
        print(f"journals and logs: {directory}", file=sys.stderr)
    return 0 if report.is_good() else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bank", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="of trouble (default 5)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of everything"
    )
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default="cooperative")
    parser.add_argument("--tellers", type=int, default=4, help="at a time (default 4)")
    parser.add_argument("--accounts", type=int, default=32, help="(default 32)")
    parser.add_argument("--orders-per-s", type=float, default=60, help="(default 60)")
    parser.add_argument("--durability", choices=("fsync", "os"), default="fsync")
    parser.add_argument("--workers", type=int, default=1, help="of the broker, killed in turn")
    parser.add_argument("--dir", help="where the data goes (default: a temporary directory)")
    parser.add_argument("--keep", action="store_true", help="keep journals and data")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON, - for stdout")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="another broker, to compare with")
    parser.add_argument("--restart", metavar="COMMAND", help="kills and starts that broker")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
