"""`python -m sim`: worlds, one seed after the other."""

import argparse
import contextlib
import os
import sys
import time

from sim.canaries import CANARIES, canary
from sim.run import SCENES, Outcome, simulate

__all__ = ["main"]

HASH_SEED = "0"


def main() -> int:
    options = _options()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        os.execve(sys.executable, [sys.executable, "-m", "sim", *sys.argv[1:]], environment)  # noqa: S606
    deadline = time.perf_counter() + options.minutes * 60 if options.minutes else float("inf")
    virtual_s = real_s = 0.0
    worlds = failed = 0
    for seed in _seeds(options):
        wrong = canary(options.canary) if options.canary else contextlib.nullcontext()
        with wrong:
            outcome = simulate(seed, options.hours * 3600, options.scenes, options.faults)
        virtual_s += outcome.virtual_s
        real_s += outcome.real_s
        worlds += 1
        _tell(outcome, options)
        if outcome.problems:
            failed += 1
            if not options.go_on:
                break
        if time.perf_counter() > deadline:
            break
    print(
        f"{worlds} worlds, {virtual_s / 3600:.1f} virtual hours in {real_s / 60:.1f} minutes "
        f"({virtual_s / 60 / max(real_s, 0.001):.1f} virtual hours a minute), {failed} failed"
    )
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/sim", description="Worlds of virtual time.")
    parser.add_argument("--seed", type=int, default=1, help="of the first world")
    parser.add_argument("--seeds", metavar="N-M", help="these worlds, and no others")
    parser.add_argument("--hours", type=float, default=0.5, help="of virtual time, each world")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="of real time: worlds until it is over"
    )
    parser.add_argument("--scenes", nargs="*", default=(), choices=sorted(SCENES))
    parser.add_argument("--faults", nargs="*", default=(), help="no others, as power_cut")
    parser.add_argument("--canary", choices=sorted(CANARIES), help="a deliberate mistake")
    parser.add_argument("--go-on", action="store_true", help="after a world with problems")
    parser.add_argument("--trace", type=int, default=40, metavar="LINES", help="shown of a problem")
    return parser.parse_args()


def _seeds(options: argparse.Namespace) -> range:
    if options.seeds:
        first, _, last = options.seeds.partition("-")
        return range(int(first), int(last or first) + 1)
    return range(options.seed, options.seed + (1 << 30 if options.minutes else 1))


def _tell(outcome: Outcome, options: argparse.Namespace) -> None:
    faults = " ".join(f"{name}={count}" for name, count in outcome.faults.items())
    print(
        f"seed {outcome.seed}: {outcome.virtual_s / 3600:.2f} h in {outcome.real_s:.1f} s, "
        f"{outcome.operations} operations, {outcome.events} events, trace {outcome.trace_hash}\n"
        f"  {'+'.join(outcome.scenes)}: {faults or 'no faults'}",
        flush=True,
    )
    if not outcome.problems:
        return
    print("\n".join(outcome.tail[-options.trace :]))
    for problem in outcome.problems:
        print(f"PROBLEM {problem}")
    scenes = f" --scenes {' '.join(options.scenes)}" if options.scenes else ""
    scenes += f" --faults {' '.join(options.faults)}" if options.faults else ""
    wrong = f" --canary {options.canary}" if options.canary else ""
    print(f"again: scripts/sim --seed {outcome.seed} --hours {options.hours}{scenes}{wrong}")


if __name__ == "__main__":
    sys.exit(main())
