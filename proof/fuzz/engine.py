"""Making inputs that reach what others did not: by atheris where it is installed, else by hand.

By hand means: mutations of seeds and of inputs that reached a new line, which `sys.settrace` tells.
That is slow, and good for an hour without anything installed. atheris (libFuzzer) looks at branches
and comparisons, and stops at an input that takes too long or too much memory.
"""

import os
import random
import sys
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any, Final

from proof.fuzz.mutating import mutated
from proof.fuzz.target import Target

__all__ = ["by_atheris", "by_hand", "name_of"]

MEMORY_MB_MAX: Final = 512
TRACED_SHARE: Final = 0.2
"""Of inputs; the others are tried at full speed."""


def name_of(data: bytes) -> str:
    """What the input is called in a corpus."""
    return sha256(data).hexdigest()[:16]


def by_atheris(
    target: Target, corpus: Path, known: Iterable[bytes], seed: int, seconds: int
) -> int:
    """Does not come back: libFuzzer ends the process, with 0 if nothing was found. `corpus` gets
    the inputs that reached something new; a find is written beside it as `crash-...`."""
    import atheris  # type: ignore[import-not-found, unused-ignore]

    for data in known:
        (corpus / name_of(data)).write_bytes(data)
    arguments = [
        sys.argv[0],
        f"-seed={seed}",
        f"-max_total_time={seconds}",
        f"-max_len={target.input_bytes_max}",
        f"-timeout={max(int(target.input_s_max), 1)}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={corpus.parent}{os.sep}",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup(arguments, target.try_one)
    atheris.Fuzz()
    return 0


class _Lines:
    """Which lines of some modules were reached."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._modules = modules
        self._seen: set[tuple[str, int]] = set()
        self.is_new = False

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(self._modules):
            return None
        return self._line

    def _line(self, frame: FrameType, event: str, argument: Any) -> Any:
        place = frame.f_code.co_filename, frame.f_lineno
        if place not in self._seen:
            self._seen.add(place)
            self.is_new = True
        return self._line

    def __len__(self) -> int:
        return len(self._seen)


def by_hand(target: Target, known: Iterable[bytes], seed: int, seconds: float) -> list[bytes]:
    """The inputs that were found to fail, each of another kind; prints how far it got."""
    rng = random.Random(seed)
    lines = _Lines(target.modules)
    population: list[bytes] = []
    failed: dict[tuple[str, str], bytes] = {}
    queue = list(known)
    until, tried, slowest_s = time.monotonic() + seconds, 0, 0.0
    while queue or time.monotonic() < until:
        data = (
            queue.pop()
            if queue
            else mutated(rng.choice(population), population, rng, target.input_bytes_max)
        )
        tried += 1
        lines.is_new = False
        is_traced = tried <= len(population) + len(queue) + 1 or rng.random() < TRACED_SHARE
        began_s = time.perf_counter()
        try:
            if is_traced:
                sys.settrace(lines.trace)
            target.try_one(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            failed.setdefault((type(error).__name__, str(error)[:40]), data)
        finally:
            sys.settrace(None)
        took_s = time.perf_counter() - began_s
        slowest_s = max(slowest_s, took_s)
        if took_s > target.input_s_max and not is_traced:
            failed.setdefault(("too slow", ""), data)
        if lines.is_new or not population:
            population.append(data)
    print(f"{tried:,} inputs, {len(lines):,} lines, slowest {slowest_s:.2f} s")
    for (kind, why), data in failed.items():
        print(f"{kind}: {why}: {data[:60]!r}...")
    return list(failed.values())
