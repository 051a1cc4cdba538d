"""The highest rate a system sustains, by trial. Pure: the trial is the caller's."""

from collections.abc import Callable
from typing import Final

__all__ = ["highest_rate"]

ABOVE: Final = 1.2
"""Just above what is tried, in parts of what flooding gave, which may have been a bad moment."""
RANGE: Final = 5
"""The most that is tried is less than so many times the least."""


def highest_rate(is_sustained: Callable[[int], bool], flooded: int, trials: int) -> int:
    """The highest rate found in `trials` trials around `flooded`, which is what the system took
    when it was flooded: from below a quarter of it to above it. Steps are of equal ratio: with four
    trials 10 % apart. 0 if not even the least was sustained."""
    steps = 1 << trials
    low, high = 0, steps
    while high - low > 1:
        middle = (low + high) // 2
        if is_sustained(_rate(flooded, middle, steps)):
            low = middle
        else:
            high = middle
    return _rate(flooded, low, steps) if low else 0


def _rate(flooded: int, step: int, steps: int) -> int:
    return max(int(flooded * ABOVE * RANGE ** (step / steps - 1)), 1)
