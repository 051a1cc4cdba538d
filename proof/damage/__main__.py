"""`python -m proof.damage`: every bit of a small partition and one bit of every byte of a catalog,
after a kill and after a clean end."""

import argparse
import asyncio
import itertools
import logging
import sys
import tempfile
import time
from pathlib import Path

from proof.damage import catalog
from proof.damage.specimen import make
from proof.damage.sweep import flips, moved, sweep

__all__ = ["main"]

SHOWN_MAX = 40


async def _sweep_logs(place: Path, seed: int | None) -> int:
    bad = 0
    for state, specimen in (await make(place / "made")).items():
        began_s = time.monotonic()
        changes = itertools.chain(flips(specimen, seed), moved(specimen))
        report = await sweep(specimen, place / state, changes)
        _tell(f"a partition, {state}", began_s, dict(report.ends), report.problems)
        bad += len(report.problems)
    return bad


def _sweep_catalogs(place: Path, count: int | None) -> int:
    bad = 0
    catalog.make(place / "catalog")
    for state in ("closed", "killed"):
        began_s = time.monotonic()
        ends, problems = catalog.sweep(
            place / "catalog", place / "tried", count=count, sealed=state == "closed"
        )
        _tell(f"a catalog, {state}", began_s, dict(ends), problems)
        bad += len(problems)
    return bad


def _tell(what: str, began_s: float, ends: dict[tuple[str, str], int], problems: list[str]) -> None:
    took_s = time.monotonic() - began_s
    print(f"\n{what}: {sum(ends.values()):,} changes, {took_s:.0f} s, {len(problems)} problems")
    for (kind, end), count in sorted(ends.items()):
        print(f"  {kind:16} {end:45} {count:7,}")
    for problem in problems[:SHOWN_MAX]:
        print(f"  {problem}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/damage", description=__doc__)
    parser.add_argument("--seed", type=int, help="one bit of each byte of logs, by this seed")
    parser.add_argument("--catalog-bytes", type=int, help="how many are tried (default: all)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="headrace-damage-") as place:
        bad = asyncio.run(_sweep_logs(Path(place), options.seed))
        bad += _sweep_catalogs(Path(place), options.catalog_bytes)
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
