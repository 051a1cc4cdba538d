"""`python -m proof.disk`: every way to fail, over as many lives as there is time for."""

import argparse
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from proof.disk.damage import flip_bits, lie
from proof.disk.sweeps import FAULTS, Outcome, crash, fail_nth

__all__ = ["main"]

CALLS_MAX: Final = 5000
"""More than a life makes."""

Run = Callable[[], Outcome]


def main() -> int:
    options = _options()
    logging.disable(logging.CRITICAL)
    began_s = time.monotonic()
    totals, kinds, broken = Counter[str](), Counter[str](), 0
    for name, run in _all_runs(options):
        if options.minutes and time.monotonic() - began_s > options.minutes * 60:
            break
        try:
            outcome = run()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            broken += 1
            print(f"BROKEN {name}: {error!r}", flush=True)
        else:
            totals.update(runs=1, calls=outcome.calls, images=outcome.images)
            totals.update(refused=outcome.refused, faults_met=outcome.was_met)
            kinds.update(outcome.kinds)
    elapsed_s = time.monotonic() - began_s
    print(f"from seed {options.seed}: {dict(totals)}, {elapsed_s:.0f} s, {broken} broken")
    if kinds:
        print(f"damage: {dict(kinds)}")
    return 1 if broken else 0


def _all_runs(options: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """All that is done to each life. A fault goes from call to call until none is left."""
    part = 1 / options.stride
    for seed in range(options.seed, options.seed + options.seeds):
        for name, fault in FAULTS.items():
            for nth in range(1 + seed % options.stride, CALLS_MAX, options.stride):
                outcomes: list[Outcome] = []
                yield (
                    f"{name}, seed {seed}, call {nth}",
                    partial(_kept, outcomes, partial(fail_nth, seed, nth, fault)),
                )
                if outcomes and not outcomes[0].was_met:
                    break
        cut = partial(crash, seed, part=part)
        yield f"power cuts, seed {seed}", cut
        for name in ("EIO", "full for a while"):
            yield f"power cuts after {name}, seed {seed}", partial(cut, fault=FAULTS[name])
        yield f"kills, seed {seed}", partial(cut, durability="os")
        yield f"power cuts that garble, seed {seed}", partial(cut, garbles=True)
        yield f"lies, seed {seed}", partial(lie, seed)
        yield f"flipped bits, seed {seed}", partial(flip_bits, seed)


def _kept(outcomes: list[Outcome], run: Run) -> Outcome:
    outcomes.append(run())
    return outcomes[0]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.disk", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="lives (default 5)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20), help="the first one")
    parser.add_argument("--stride", type=int, default=7, help="1 fails every call (default 7)")
    parser.add_argument("--minutes", type=float, default=0, help="end after so long")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
