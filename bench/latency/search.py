"""The highest rate a system sustains, by trial. Pure: the trial is the caller's."""

from collections.abc import Callable

__all__ = ["highest_rate"]


def highest_rate(is_sustained: Callable[[int], bool], flooded: int, trials: int) -> int:
    """The highest rate found in `trials` trials between a fifth of `flooded`, which is what the
    system took when it was flooded, and that. It lies in steps of equal ratio: with four trials
    10 % apart. 0 if not even the least was sustained."""
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
    return max(int(flooded * 5 ** (step / steps - 1)), 1)
