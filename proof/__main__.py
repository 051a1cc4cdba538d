"""`python -m proof`: run it, print a table and, with --json, everything that was counted."""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from proof.broker import ExternalBroker, HeadraceBroker
from proof.churn import Plan, run
from proof.clients import CLIENTS, Client, Unavailable

__all__ = ["main"]


def main() -> int:
    options = _options()
    clients, skipped = _available(options.clients)
    directory = Path(tempfile.mkdtemp(prefix="headrace-proof-", dir=options.dir))
    plan = Plan(clients, options.seconds, options.records, options.kills, options.seed, directory)
    broker: HeadraceBroker | ExternalBroker
    if options.bootstrap:
        broker = ExternalBroker(options.bootstrap, options.restart)
    else:
        broker = HeadraceBroker(directory, options.durability, workers=options.workers)
    with broker:
        report = run(plan, broker)
    report.skipped = skipped
    if options.json == "-":
        print(report.as_json())
    else:
        report.print()
        if options.json:
            Path(options.json).write_text(report.as_json() + "\n", encoding="utf-8")
    if not report.faults() and not options.keep:
        shutil.rmtree(directory)
    else:
        print(f"journals and logs: {directory}", file=sys.stderr)
    return 1 if report.faults() else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/churn", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="of churn (default 120)")
    parser.add_argument("--records", type=int, default=200_000, help="in all (default 200000)")
    parser.add_argument("--kills", type=int, default=2, help="of the broker (default 2)")
    parser.add_argument(
        "--clients",
        nargs="+",
        choices=list(CLIENTS),
        default=list(CLIENTS),
        metavar="CLIENT",
        help=", ".join(CLIENTS),
    )
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the changes"
    )
    parser.add_argument("--durability", choices=("fsync", "os"), default="fsync")
    parser.add_argument("--workers", type=int, default=1, help="of the broker, killed in turn")
    parser.add_argument("--dir", help="where the data goes (default: a temporary directory)")
    parser.add_argument("--keep", action="store_true", help="keep journals and data")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON, - for stdout")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="another broker, to compare with")
    parser.add_argument("--restart", metavar="COMMAND", help="kills and starts that broker")
    return parser.parse_args()


def _available(names: list[str]) -> tuple[list[Client], dict[str, str]]:
    clients, skipped = [], {}
    for name in names:
        try:
            CLIENTS[name].check()
        except Unavailable as error:
            skipped[name] = str(error)
        else:
            clients.append(CLIENTS[name])
    if not clients:
        raise SystemExit(f"no client can run here: {skipped}")
    return clients, skipped


if __name__ == "__main__":
    sys.exit(main())
