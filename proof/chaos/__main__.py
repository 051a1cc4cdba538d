"""`python -m proof.chaos`: maltreat a broker for some minutes and judge what clients were told."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from proof.chaos.faults import FAULTS
from proof.chaos.report import Report
from proof.chaos.round import Plan, play

__all__ = ["main"]

ROUND_S = 60.0


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that brokers and mounts are ended
    if options.list:
        for name, kind in FAULTS.items():
            said = (kind.__doc__ or "").split(". ")[0].replace("\n    ", " ").strip()
            print(f"{name:16} {said}")
        return 0
    report = Report()
    seconds = options.minutes * 60
    seed = options.seed
    while seconds > 0:
        directory = Path(tempfile.mkdtemp(prefix=f"headrace-chaos-{seed}-", dir=options.dir))
        plan = Plan(seed, min(seconds, ROUND_S), directory, options.faults, options.durability)
        outcome = play(plan)
        report.rounds.append(outcome)
        if not outcome.problems and not options.keep:
            shutil.rmtree(directory)
        if len(report.rounds) > 1 or outcome.problems or seconds > ROUND_S:
            verdict = f"{len(outcome.problems)} problems" if outcome.problems else "no problem"
            print(f"seed {seed}: {len(outcome.incidents)} draws, {verdict}", file=sys.stderr)
        seconds -= ROUND_S
        seed += 1
    if options.json == "-":
        print(report.as_json())
    else:
        report.print()
        if options.json:
            Path(options.json).write_text(report.as_json() + "\n", encoding="utf-8")
    return 1 if report.problems() else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(10**6),
        help="of the first round; the next has the next one",
    )
    parser.add_argument(
        "--minutes", type=float, default=3, help=f"in rounds of {ROUND_S:.0f} s (default 3)"
    )
    parser.add_argument(
        "--faults", type=_faults, default=list(FAULTS), metavar="A,B", help="only these"
    )
    parser.add_argument("--list", action="store_true", help="tell which faults there are")
    parser.add_argument("--durability", choices=("fsync", "os"), default="fsync")
    parser.add_argument("--dir", help="where the data goes (default: a temporary directory)")
    parser.add_argument("--keep", action="store_true", help="keep histories and data")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON, - for stdout")
    return parser.parse_args()


def _faults(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
