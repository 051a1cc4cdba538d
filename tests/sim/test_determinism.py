"""The same seed is the same world: in another process, with other hashes of strings, with objects
at other places in memory."""

import os
import re
import subprocess
import sys

HOURS = "0.02"


def trace_of(seed: int, hash_seed: str, **environment: str) -> str:
    play = f"simulate({seed}, {HOURS} * 3600, sorted(SCENES))"
    code = f"from sim.run import SCENES, simulate; print({play}.trace_hash)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"[0-9a-f]{32}\n", done.stdout)
    return done.stdout


def test_one_seed_has_one_trace(tmp_path):
    compiling = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    assert trace_of(7, "2", **compiling) == trace_of(7, "1", **compiling)
