"""Axes: from values to places, and which values are marked. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Scale", "linear", "logarithmic", "short"]

_STEPS: Final = (1, 2, 5, 10)
_DECADES_WITH_STEPS_MAX: Final = 2.5
"""A logarithmic axis that spans no more is marked at 1, 2 and 5 of each decade."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, marked at `ticks`."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_logarithmic: bool

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        if self.is_logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear(values: Sequence[float], ticks_max: int = 6) -> Scale:
    """From 0 to a round number that no value exceeds, in steps of 1, 2 or 5 times a power of 10."""
    greatest = max(values, default=0)
    if greatest <= 0:
        greatest = 1
    power = 10.0 ** math.floor(math.log10(greatest / ticks_max))
    wanted = (power * step for step in _STEPS if greatest <= power * step * ticks_max)
    step = next(wanted, power * _STEPS[-1])
    count = math.ceil(round(greatest / step, 9))
    return Scale(0, count * step, tuple(number * step for number in range(count + 1)), False)


def logarithmic(values: Sequence[float]) -> Scale:
    """Between round numbers around all values, which are more than 0."""
    least, greatest = min(values, default=1), max(values, default=10)
    if math.log10(greatest / least) > _DECADES_WITH_STEPS_MAX:
        steps: tuple[int, ...] = (1,)
    else:
        steps = _STEPS[:-1]
    first = math.floor(math.log10(least)) - 1
    last = math.ceil(math.log10(greatest)) + 2
    marks = [step * 10.0**power for power in range(first, last) for step in steps]
    low = max(mark for mark in marks if mark <= least * (1 + 1e-9))
    high = min(mark for mark in marks if mark >= greatest * (1 - 1e-9) and mark > low)
    return Scale(low, high, tuple(mark for mark in marks if low <= mark <= high), True)


def short(value: float) -> str:
    """1,500,000 as 1.5M, 0.05 as 0.05."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"
