"""`python -m proof.damage`: every bit of a small partition, after a kill and after a clean end."""

import argparse
import asyncio
import itertools
import logging
import sys
import tempfile
import time
from pathlib import Path

from proof.damage.specimen import make
from proof.damage.sweep import flips, moved, sweep

__all__ = ["main"]


async def _run(seed: int | None) -> int:
    bad = 0
    with tempfile.TemporaryDirectory(prefix="headrace-damage-") as place:
        specimens = await make(Path(place) / "made")
        for state, specimen in specimens.items():
            began_s = time.monotonic()
            changes = itertools.chain(flips(specimen, seed), moved(specimen))
            report = await sweep(specimen, Path(place) / state, changes)
            took_s = time.monotonic() - began_s
            tried = sum(report.ends.values())
            print(f"\n{state}: {tried:,} changes, {took_s:.0f} s, {len(report.problems)} problems")
            for (kind, end), count in sorted(report.ends.items()):
                print(f"  {kind:12} {end:45} {count:7,}")
            for problem in report.problems[:40]:
                print(f"  {problem}")
            bad += len(report.problems)
    return min(bad, 1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/damage", description=__doc__)
    parser.add_argument("--seed", type=int, help="one bit of each byte, by this seed, not all")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    return asyncio.run(_run(options.seed))


if __name__ == "__main__":
    sys.exit(main())
