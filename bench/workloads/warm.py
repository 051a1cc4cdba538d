"""What every system does before anything of it counts: just-in-time compilers, caches and pools
that grow with the load are as they are in a server that has run for a while."""

import dataclasses
import time

from bench.compare import Settings
from bench.systems import Running
from bench.workloads.readers import fan_out
from bench.workloads.rounds import MB, mb_per_s, write_round
from bench.workloads.throughput import LARGE, SMALL, one_record_at_a_time

__all__ = ["warm_up"]

PIECE_S = 0.5
PIECE_BYTES = 128 * MB
STEADY = 1.1
"""A turn whose rates are less than this factor above the best before it was no faster."""
STEADY_TURNS = 2


def warm_up(running: Running, settings: Settings) -> None:
    """Small and large batches, single records and reading, in turn: until neither batches became
    faster for two turns, or for `warm_up_s`."""
    brief = dataclasses.replace(settings, seconds=PIECE_S, bytes_max=PIECE_BYTES)
    until = time.perf_counter() + settings.warm_up_s
    best = [0.0, 0.0]
    steady = 0
    while time.perf_counter() < until and steady < STEADY_TURNS:
        for case in (one_record_at_a_time(brief)[0], fan_out(brief)[0]):
            case.run(running, brief)
        rates = [write_round(running, brief, load, mb_per_s).value for load in (SMALL, LARGE)]
        is_faster = any(now >= STEADY * then for now, then in zip(rates, best, strict=True))
        steady = 0 if is_faster else steady + 1
        best = [max(pair) for pair in zip(rates, best, strict=True)]
