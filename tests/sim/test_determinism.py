"""The same seed is the same world: in another process, and with other hashes of strings."""

import os
import re
import subprocess
import sys

HOURS = "0.04"


def trace_of(seed: int, hash_seed: str) -> str:
    code = f"from sim.run import SCENES, simulate; print(simulate({seed}, {HOURS} * 3600, sorted(SCENES)).trace_hash)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"[0-9a-f]{32}\n", done.stdout)
    return done.stdout


def test_one_seed_has_one_trace():
    first = trace_of(7, "1")
    assert trace_of(7, "2") == first
    assert trace_of(8, "1") != first
